"""The harness's side of a training: settings, data and networks for recipes; and the heads of offline metrics."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.configuration import Presets, Settings, resolve
from benchmark.datasets.dataset import left_out
from benchmark.datasets.manifest import Manifest
from benchmark.datasets.population import TRAINING, VALIDATION, Population
from benchmark.errors import InvalidConfig, UsageError
from benchmark.files import naming, write_whole
from benchmark.runs.evaluation import Progress
from benchmark.runs.workers import pick_device


@dataclass(frozen=True)
class TrainingPlan:
    """What `train` will do."""

    method: str
    settings: Settings
    training: Manifest
    validation: Manifest | None
    out: Path
    stages: list[Any]
    population: dict[str, int] | None = None
    """What was drawn to train on; None where the people are those of a split."""

    def describe(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "preset": self.settings.preset,
            "config": self.settings.as_dict(),
            "training": dict(self.settings.training),
            "population": self.population,
            "stages": {stage.name: stage.steps for stage in self.stages},
            "people": len({sample.speaker for sample in self.training.samples}),
            "manifest_sha256": self.training.sha256,
            "out": str(self.out),
        }

    def train(
        self,
        *,
        seed: int,
        device: str,
        precision: str,
        resume: bool,
        progress: Progress | None = None,
    ) -> Path:
        """Run every stage that is not finished; returns the weights file.

        `training.json` says what was asked for last, by which code; it is written when a step is to follow, not where
        everything is finished or refused.

        Raises:
            UsageError, PrerequisiteError: a device or a precision that there is not.
            InvalidConfig: the folder holds a training of another method, on other data or with other settings.
        """
        from baselines.training import Loop, train_stages

        if precision not in ("no", "bf16", "fp16"):
            raise UsageError(f"--precision takes no, bf16 or fp16; got '{precision}'")
        if device != "auto":
            device = pick_device(device)
        if resume:
            self._check()

        def begin() -> None:
            from benchmark.runs import provenance

            about = {**self.describe(), "seed": seed, "precision": precision, "provenance": provenance.collect()}
            content = json.dumps(about, indent=2) + "\n"
            write_whole(self._record, lambda partial: partial.write_text(content, encoding="utf-8"))

        loop = Loop(seed=seed, device=device, precision=precision, resume=resume, progress=progress)
        asked = {name: value for name, value in self.describe().items() if name not in ("preset", "stages", "out")}
        notes = {}
        if self.population:
            data = {"dataset": self.training.dataset, "manifest_sha256": self.training.sha256}
            notes["population"] = data | self.population
        return train_stages(self.stages, self.out, loop, asked, begin, notes)

    @property
    def _record(self) -> Path:
        return self.out / "training.json"

    def _check(self) -> None:
        """Compare what the stages cannot know with what lies in the folder."""
        if not self._record.is_file():
            return
        try:
            there = {"population": None} | json.loads(self._record.read_text(encoding="utf-8"))
            differing = [
                f"{name} is {there[name]} there, {here} here"
                for name, here in (
                    ("method", self.method),
                    ("population", self.population),
                    ("manifest_sha256", self.training.sha256),
                )
                if there[name] != here
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidConfig(
                f"{self._record} is not a training's: {error!r}. Choose another folder (--out)"
            ) from error
        if differing:
            raise InvalidConfig(
                f"{self.out} holds another training: {'; '.join(differing)}. "
                f"Choose another folder (--out) or start anew (--no-resume)"
            )


def prepare(
    method: str,
    preset: str | None,
    config: Path | None,
    sets: tuple[str, ...],
    dataset: str,
    data_root: Path | None,
    out: Path | None,
    progress: Callable[[str], Progress],
) -> TrainingPlan:
    """Resolve settings, open the people to train on and to validate by, and lay out the stages.

    Raises:
        UnknownName, InvalidConfig, MissingDataset: as they say.
    """
    from baselines.settings import options
    from benchmark.registry import trainers
    from benchmark.tasks import get_task
    from benchmark.weights.networks import Networks

    recipes = trainers.load(method)
    module = sys.modules[recipes.__module__]
    source = module.__file__
    assert source is not None
    config_class = module.Config
    settings = resolve(config_class, Presets.beside(Path(source).parent), preset, config, sets)
    task = get_task(trainers.entry(method).task)
    _check_size(settings, task.name)
    if training_class := getattr(module, "Training", None):  # a mistake is told before people are drawn
        options(training_class, settings.training)
    training, validation = _people(settings.population, dataset, data_root, task.name, progress)
    networks = Networks("cpu", dataset)
    try:
        stages = recipes(
            settings.config,
            settings.training,
            tuple(training.samples),  # a training looks at them again and again
            tuple(validation.samples) if validation else (),
            networks,
            lambda done, total, what: progress(what)("read", done, total),
        )
    except TypeError as error:
        raise InvalidConfig(f"{method}: {error}") from error
    drawn = settings.population.taken(task.name) if settings.population.people else None
    folder = out or Path("runs") / "train" / f"{method}-{settings.preset or 'default'}"
    return TrainingPlan(method, settings, training, validation, folder, stages, drawn)


def fit_face_heads(
    dataset: str, data_root: Path | None, output: Path | None, progress: Callable[[str], Progress]
) -> tuple[Path, str]:
    """Fit heads for sex, age and identity to a dataset's training faces; returns the file and a line about it.

    Of a dataset without a training split, the people under `data_root` are taken.

    Raises:
        UsageError: faces that nobody can be told apart by.
    """
    import importlib

    from benchmark.media import read_image
    from benchmark.weights import table as weights
    from benchmark.weights.networks import NETWORKS, Networks

    split = "train" if "train" in _adapter(dataset).splits else "test"
    manifest = _open(dataset, data_root, split, "speech2face", progress)
    embedder = Networks()("dlib")
    report = progress(f"{dataset} {split}")
    vectors, people, sexes, ages = [], [], [], []
    for done, sample in enumerate(manifest.samples, 1):
        found = embedder.embed([read_image(path) for path in sample.targets["face"]])
        vectors.extend(found.vectors)
        people.extend([sample.speaker] * len(found.vectors))
        sexes.extend([sample.attributes.get("sex")] * len(found.vectors))
        ages.extend([sample.attributes.get("age")] * len(found.vectors))
        report("embed", done, len(manifest.samples))
    heads = importlib.import_module(NETWORKS["face_heads"][0])
    path = output or weights.face_heads_path(dataset)
    try:
        with naming(path):
            about = heads.fit_file(path, vectors, people, sexes, ages, dataset=dataset, manifest_sha256=manifest.sha256)
    except ValueError as error:
        raise UsageError(f"Heads cannot be fitted to {dataset} ({manifest.path}): {error}") from error
    return path, "; ".join([about, *left_out(manifest)[:1]])


def _adapter(dataset: str) -> Any:
    from benchmark.registry import datasets

    return datasets.load(dataset)


def _check_size(settings: Settings, task: str) -> None:
    """Refuse portraits that are smaller than the faces to be learnt from them."""
    side = getattr(settings.config, "portrait_side", getattr(settings.config, "resolution", 0))
    size = settings.population.portrait_size
    if settings.population.people and task == "speech2face" and size < side:
        raise InvalidConfig(
            f"population.portrait_size = {size}; faces of {side} pixels are asked for: "
            f"--set population.portrait_size={side}"
        )


def _people(
    wanted: Population, dataset: str, data_root: Path | None, task: str, progress: Callable[[str], Progress]
) -> tuple[Manifest, Manifest | None]:
    """Those of a population, or of the training and validation splits."""
    if not wanted.people:
        has_validation = "val" in _adapter(dataset).splits
        return (
            _open(dataset, data_root, "train", task, progress),
            _open(dataset, data_root, "val", task, progress) if has_validation else None,
        )
    return (
        draw(wanted, TRAINING, dataset, data_root, task, progress),
        draw(wanted, VALIDATION, dataset, data_root, task, progress) if wanted.validation else None,
    )


def draw(
    wanted: Population,
    part: str,
    dataset: str,
    data_root: Path | None,
    task: str,
    progress: Callable[[str], Progress],
) -> Manifest:
    """Open a part of a population, built where it is missing.

    Raises:
        UsageError: the dataset has the people that it has.
    """
    from benchmark.weights.table import home

    show = progress(f"{dataset} {part}")
    manifest: Manifest = _adapter(dataset)(data_root, home()).draw(
        wanted, part, task, lambda done, total, what: show("build", done, total, what)
    )
    return manifest


def _open(dataset: str, data_root: Path | None, split: str, task: str, progress: Callable[[str], Progress]) -> Manifest:
    from benchmark.weights.table import home

    show = progress(f"{dataset} {split}")
    return _adapter(dataset)(data_root, home()).open(
        split, task, lambda done, total, what: show("build", done, total, what)
    )
