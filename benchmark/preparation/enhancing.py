"""Noise taken out of speech by any method of enhancement, before something else is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from benchmark.errors import MethodError, MissingWeights, UsageError
from benchmark.media import is_audio, is_video, write_audio
from benchmark.preparation.step import Made, Step, renamed
from benchmark.types import Audio, Example, Sample, derive_seed

_TASK = "av_enhancement"


@dataclass(frozen=True)
class Enhance(Step):
    """Speech as a method of enhancement makes it, 16 kHz WAV of the same length under the same name.

    LipDiffuser enhances the sound of LRS3 so before its training, with a Schrodinger bridge whose weights its authors
    publish; any method of the task `av_enhancement` serves here. Methods that look at the face take videos alone.
    """

    method: str = "deepfilternet"
    """Name of the method."""
    preset: str | None = None
    """Of the method; none takes its first."""
    weights: str | None = None
    """A file instead of the preset's."""
    settings: tuple[str, ...] = ()
    """Of the method: `["key=value"]`."""
    seed: int = 0
    """Of everything random in the method."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N; products do not depend on it."""

    name: ClassVar[str] = "enhance"
    title: ClassVar[str] = "speech with the noise taken out by a method of enhancement, 16 kHz WAV"
    takes: ClassVar[str] = "recordings, and videos for their sound; videos alone where the method looks at the face"
    pictures: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "deepfilternet": {"method": "deepfilternet"},
        "wiener": {"method": "wiener"},
        "sgmse": {"method": "sgmse"},
    }

    def identity(self) -> dict[str, Any]:
        plan = self.plan()
        known = {
            key: value for key, value in super().identity().items() if key not in ("device", "weights", "settings")
        }
        about = {"preset": plan.settings.preset, "settings": plan.settings.for_identity()}
        files = {"files": dict(plan.files)} if plan.files else {}
        return {**known, **about, "weights_sha256": plan.weights_sha256, **files}

    def check(self) -> list[str]:
        """Load the method once, so that what it lacks is told before any file is opened."""
        _loaded(self)
        return []

    def workers(self) -> int:
        """One where a GPU works, which would hold the method once for each process."""
        from benchmark.runs.workers import pick_device

        return super().workers() if pick_device(self.device) == "cpu" else 1

    def plan(self) -> Any:
        """The method with its settings and weights.

        Raises:
            UsageError: it is no method of enhancement.
            MissingWeights: it has none.
        """
        return _plan(self)

    def accepts(self, file: str) -> bool:
        return is_video(file) or (is_audio(file) and not self._looks())

    def products(self, file: str) -> tuple[str, ...]:
        return (renamed(file, ".wav"),)

    def make(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        from benchmark.runs.generation import checked, outputs_of, without_face
        from benchmark.tasks import get_task
        from benchmark.tracebacks import last_lines

        task, plan, method = get_task(_TASK), self.plan(), _loaded(self)
        inputs = task.read(source, None, getattr(method, "grey", "luma"), None, getattr(plan.kind, "hears", None))
        sample = Sample(products[0], source.stem, {"noisy": (source,)})
        example = Example(sample, 0, derive_seed(plan.weights_id, products[0], self.seed, 0), inputs)
        (made,) = outputs_of(method, [example])
        if isinstance(made, MethodError):
            raise made
        if isinstance(made, Exception):
            raise MethodError(f"{source}: {plan.name} raised {last_lines(made)}") from made
        write_audio(out / products[0], Audio(checked(made, task), task.rate))
        about = {"seconds": round(inputs["noisy"].seconds, 4)}
        return Made(products, about | ({"without_face": without_face(inputs)} if self._looks() else {}))

    def _looks(self) -> bool:
        hears = getattr(self.plan().kind, "hears", None)
        return hears is None or "video" in hears


@lru_cache(maxsize=4)
def _plan(step: Enhance) -> Any:
    from benchmark.runs.evaluation import plan_method

    weights = Path(step.weights) if step.weights else None
    try:
        plan = plan_method(step.method, step.preset, None, step.settings, weights)
    except MissingWeights as error:
        raise MissingWeights(f"{error}; here as --set weights=FILE") from error
    if _TASK not in (plan.kind.task, *plan.kind.further_tasks) or plan.kind.uses_targets:
        raise UsageError(
            f"'{step.method}' enhances no speech; expected a method of the task {_TASK}: "
            "python -m benchmark list methods shows them"
        )
    return plan


@lru_cache(maxsize=1)
def _loaded(step: Enhance) -> Any:
    """The method, loaded once in each process."""
    from benchmark.runs.workers import pick_device

    plan = _plan(step)
    method = plan.kind(plan.settings.config, plan.weights)
    method.load(pick_device(step.device))
    return method
