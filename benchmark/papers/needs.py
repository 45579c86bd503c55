"""What a paper's figures need of runs on Talkers: named in words of the command line, and found where it was made.

Nothing is run here. A run is found by what its command would make: the method with its settings and weights as they
are now, on the same split with the same protocol. Results of other weights, or of a part of the split, do not count.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark import registry
from benchmark.errors import MissingWeights, UsageError
from benchmark.results.finding import Kept, find_results
from benchmark.results.schema import Result
from benchmark.runs.evaluation import MethodPlan, plan_method
from benchmark.tasks import get_task, with_protocol

RESULTS = Path(__file__).parents[2] / "leaderboards" / "results"
"""Results that the project publishes, in a checkout and beside the packages where it is installed."""
DATASET, SPLIT = "talkers", "test"
COMMAND = "python -m benchmark"


@dataclass(frozen=True)
class RunNeeded:
    """A run on the test split of Talkers."""

    method: str
    task: str
    sets: tuple[str, ...] = ()
    preset: str | None = None
    """None takes the default, which has weights."""
    trained: bool = False
    """No weights are shipped for the preset: any that a user trained will do."""
    outputs: bool = False
    """Outputs are looked at, not numbers alone: a published result does not suffice."""

    @property
    def words(self) -> list[str]:
        """Of the command line, behind `run`."""
        words = ["--method", self.method]
        words += ["--preset", self.preset] if self.preset else []
        words += ["--task", self.task] if self.task != registry.methods.entry(self.method).task.split(", ")[0] else []
        for item in self.sets:
            words += ["--set", item]
        return words + (["--weights", "FILE"] if self.trained else [])

    def command(self, runs: Path) -> str:
        """What makes it, in a folder of runs."""
        return f"{COMMAND} run {shlex.join(self.words)}" + ("" if runs == Path("runs") else f" --runs {_quoted(runs)}")

    @property
    def training(self) -> str:
        """What has to be done before that; empty where weights are shipped."""
        return f"{COMMAND} train --method {self.method} --preset {self.preset}" if self.trained else ""

    @cached_property
    def plan(self) -> MethodPlan:
        try:
            return plan_method(self.method, self.preset, sets=self.sets)
        except MissingWeights:
            if not self.trained:
                raise
            return plan_method(self.method, self.preset, sets=self.sets, without_weights=True)

    def fits(self, result: Result) -> bool:
        """Whether a result is that of this run, whole."""
        task = get_task(self.task)
        protocol = with_protocol(task, None, None)
        wanted = {
            "task": task.name,
            "task_version": task.version,
            "method": self.method,
            "config": _as_json(self.plan),
            "dataset": DATASET,
            "dataset_revision": registry.datasets.load(DATASET).revision,
            "split": SPLIT,
            "seconds": protocol.seconds,
            "repeats": protocol.repeats,
            "seed": 0,
        }
        if not self.trained:
            wanted["weights_sha256"] = self.plan.weights_sha256
        return not result.why_unranked and all(getattr(result.spec, key) == value for key, value in wanted.items())


@dataclass(frozen=True)
class SpeedNeeded:
    """Speed and size of methods, measured side by side on this machine."""

    name: str
    """Of the file that keeps them."""
    methods: tuple[str, ...]

    def path(self, runs: Path) -> Path:
        return runs / "speed" / f"{self.name}.json"

    def command(self, runs: Path) -> str:
        return f"{COMMAND} speed --method {','.join(self.methods)} --output {_quoted(self.path(runs))}"


@dataclass(frozen=True)
class Made:
    """A run that was found."""

    need: RunNeeded
    result: Result
    folder: Path | None
    """With its outputs; None where the result alone is published."""


class Shelves:
    """The user's runs, then the published results, each read once."""

    def __init__(self, runs: Path, published: Path | None = None) -> None:
        self.runs, self.published = runs, published or RESULTS

    @cached_property
    def _own(self) -> list[Kept]:
        return find_results([self.runs]).kept if self.runs.is_dir() else []

    @cached_property
    def _published(self) -> list[Kept]:
        return find_results([self.published]).kept if self.published.is_dir() else []

    def find(self, need: RunNeeded) -> Made | None:
        """The first that fits.

        Raises:
            MissingWeights: the preset's weights are not here.
        """
        for kept in self._own if need.outputs else [*self._own, *self._published]:
            folder = kept.path.parent if (kept.path.parent / "run.json").is_file() else None
            there = folder is not None or not need.outputs
            if there and kept.result.spec.method == need.method and need.fits(kept.result):
                return Made(need, kept.result, folder)
        return None

    def speeds(self, need: SpeedNeeded) -> dict[str, dict[str, Any]]:
        """Method to its row of the report, of those that were measured with settings and weights as they are now.

        Raises:
            UsageError: the file is no report of `speed`.
        """
        path = need.path(self.runs)
        if not path.is_file():
            return {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            rows = {row["method"]: row for row in document["rows"] if row["status"] == "ok"}
            machine = document["provenance"]["machine"]["cpu"]
            for row in rows.values():
                row["machine"] = row["device_name"] or machine
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is no report of `speed` ({type(error).__name__}: {error}): delete it") from error
        found = {}
        for method in need.methods:
            plan = plan_method(method)
            own = rows.get(method)
            if own and (own["config"], own["weights_sha256"]) == (_as_json(plan), plan.weights_sha256):
                found[method] = own
        return found


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _as_json(plan: MethodPlan) -> Any:
    """Settings as they come back from a file: lists in place of tuples."""
    return json.loads(json.dumps(plan.settings.as_dict()))
