"""The harness's side of a training: settings, data and networks for recipes; and the heads of offline metrics."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark.configuration import Presets, Settings, resolve
from benchmark.datasets.manifest import Manifest
from benchmark.errors import InvalidConfig, UsageError
from benchmark.evaluation import Progress


@dataclass(frozen=True)
class TrainingPlan:
    """What `train` will do."""

    method: str
    settings: Settings
    training: Manifest
    validation: Manifest | None
    out: Path
    stages: list[Any]

    def describe(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "preset": self.settings.preset,
            "config": self.settings.as_dict(),
            "training": dict(self.settings.training),
            "stages": {stage.name: stage.steps for stage in self.stages},
            "people": len(self.training.samples),
            "manifest_sha256": self.training.sha256,
            "out": str(self.out),
        }

    def train(self, *, seed: int, device: str, precision: str, resume: bool, progress: bool) -> Path:
        """Run every stage that is not finished; returns the weights file."""
        import json

        from baselines.training import Loop, train_stages

        if precision not in ("no", "bf16", "fp16"):
            raise UsageError(f"--precision takes no, bf16 or fp16; got '{precision}'")
        from benchmark import provenance

        self.out.mkdir(parents=True, exist_ok=True)
        about = {**self.describe(), "seed": seed, "precision": precision, "provenance": provenance.collect()}
        (self.out / "training.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        loop = Loop(seed=seed, device=device, precision=precision, resume=resume, progress=progress)
        return train_stages(self.stages, self.out, loop)


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
    """Resolve settings, open the training and validation splits, and lay out the stages.

    Raises:
        UnknownName, InvalidConfig, MissingDataset: as they say.
    """
    from benchmark.networks import Networks
    from benchmark.registry import trainers
    from benchmark.tasks import get_task

    recipes = trainers.load(method)
    module = sys.modules[recipes.__module__]
    source = module.__file__
    assert source is not None
    config_class = module.Config
    presets = (
        Presets.beside(Path(source).parent) if Path(source).name == "training.py" else Presets(Path(source).parent)
    )
    settings = resolve(config_class, presets, preset, config, sets)
    task = get_task(trainers.entry(method).task)
    training = _open(dataset, data_root, "train", task.name, progress)
    validation = _open(dataset, data_root, "val", task.name, progress) if "val" in _adapter(dataset).splits else None
    networks = Networks("cpu", dataset)
    try:
        stages = recipes(
            settings.config,
            settings.training,
            training.samples,
            validation.samples if validation else (),
            networks,
            lambda done, total, what: progress(what)("read", done, total),
        )
    except TypeError as error:
        raise InvalidConfig(f"{method}: {error}") from error
    folder = out or Path("runs") / "train" / f"{method}-{settings.preset or 'default'}"
    return TrainingPlan(method, settings, training, validation, folder, stages)


def fit_face_heads(
    dataset: str, data_root: Path | None, output: Path | None, progress: Callable[[str], Progress]
) -> tuple[Path, str]:
    """Fit sex and identity heads to a dataset's training faces; returns the file and a line about it."""
    import importlib

    from benchmark import weights
    from benchmark.media import read_image
    from benchmark.networks import NETWORKS, Networks

    manifest = _open(dataset, data_root, "train", "speech2face", progress)
    embedder = Networks()("dlib")
    report = progress(f"{dataset} train")
    vectors, people, sexes = [], [], []
    for done, sample in enumerate(manifest.samples, 1):
        found = embedder.embed([read_image(path) for path in sample.targets["face"]])
        vectors.extend(found.vectors)
        people.extend([sample.speaker] * len(found.vectors))
        sexes.extend([sample.attributes.get("sex")] * len(found.vectors))
        report("embed", done, len(manifest.samples))
    heads = importlib.import_module(NETWORKS["face_heads"][0])
    path = output or weights.face_heads_path(dataset)
    about = heads.fit_file(path, vectors, people, sexes, dataset=dataset, manifest_sha256=manifest.sha256)
    return path, about


def _adapter(dataset: str) -> Any:
    from benchmark.registry import datasets

    return datasets.load(dataset)


def _open(dataset: str, data_root: Path | None, split: str, task: str, progress: Callable[[str], Progress]) -> Manifest:
    from benchmark.weights import home

    show = progress(f"{dataset} {split}")
    return _adapter(dataset)(data_root, home()).open(split, task, lambda done, total, what: show("build", done, total))
