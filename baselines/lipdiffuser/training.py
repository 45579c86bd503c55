"""How LipDiffuser is trained: what sees and what speaks, then the denoiser, on speech alone and with video (Sec. 4)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines.checkpoints import fill, read
from baselines.lipdiffuser import visual_training, vocoder_training
from baselines.lipdiffuser.clips import ShardClips
from baselines.lipdiffuser.config import Config, Training
from baselines.lipdiffuser.denoiser_training import PREFIX, AudioRecipe, DenoiserRecipe, own_tensors
from baselines.lipdiffuser.lip_shards import Lips, encoded_lips, filed_lips, sha256_of
from baselines.lipdiffuser.preparation import Voices, seen_utterances
from baselines.lipdiffuser.speaker import SpeakerEncoder
from baselines.lipdiffuser.utterances import Utterances
from baselines.lipdiffuser.visual_features import NAMES
from baselines.settings import options
from baselines.shards import Progress
from baselines.training import Recipe, Stage
from benchmark.errors import InvalidConfig
from benchmark.types import Sample

_log = logging.getLogger(__name__)

AROUND = (visual_training.PREFIX, vocoder_training.PREFIX)
"""Before the names of tensors of the networks around the denoiser."""


def recipes(
    config: Config,
    training: Mapping[str, Any],
    samples: Sequence[Sample],
    validation: Sequence[Sample] = (),
    networks: Callable[[str], Any] | None = None,
    progress: Progress | None = None,
) -> list[Stage]:
    """The stages in order, those with steps: `visual`, `vocoder`, `audio` on speech alone, `denoiser` with video.

    The last export holds all networks that are trained here. One that has no steps is taken from `start_from`, where
    that holds it.

    Args:
        config: architecture, from the preset.
        training: the preset's `training` table; see `Training`.
        samples: the training split of `lip2speech`; without videos where only vocoder and audio are trained.
        validation: people for the measures in the log.
        progress: called as progress(done, total, what) while the corpus is read.

    Raises:
        InvalidConfig: a setting that cannot be used.
        MissingWeights: `start_from` or `visual_weights` is no file with weights.
    """
    settings = options(Training, training)
    started = read(Path(settings.start_from), "lipdiffuser")[0] if settings.start_from else {}
    if settings.steps:
        _check_eye(config, settings, started)

    @functools.cache
    def clips() -> tuple[ShardClips, ShardClips | None]:
        cut = config.visual != "features"
        return ShardClips(samples, progress=progress, cut=cut), ShardClips(validation, cut=cut) if validation else None

    @functools.cache
    def voices() -> tuple[Voices, Voices | None]:
        encoder = SpeakerEncoder(config.speaker, config.speaker_model)
        return Voices(samples, encoder, progress), Voices(validation, encoder) if validation else None

    def visual(folder: Path) -> Recipe:
        return visual_training.VisualRecipe(config, settings, *clips())

    def audio(folder: Path) -> Recipe:
        own, known = (v and v.utterances(config.framing) for v in voices())
        averages = folder / AudioRecipe.name / "averages"
        start = own_tensors(started, PREFIX) or None
        return AudioRecipe(config, settings, own, known, config.visual_dim, averages, start, _others(folder))

    def denoiser(folder: Path) -> Recipe:
        further = _others(folder)
        start = _exported(folder, AudioRecipe.name) if settings.audio_steps else started
        encoder = _encoder(config, further)
        (own_clips, known_clips), (own_voices, known_voices) = clips(), voices()
        lips = _lips(encoder, own_clips, settings, config, progress)
        own = _utterances(own_clips, lips, own_voices, config)
        known = None
        if known_clips is not None and known_voices is not None:
            shown = _lips(encoder, known_clips, settings, config, progress)
            known = _utterances(known_clips, shown, known_voices, config)
        averages = folder / DenoiserRecipe.name / "averages"
        begun = own_tensors(start, PREFIX) or None
        sight = _sight(config, encoder, lips)
        return DenoiserRecipe(config, settings, own, known, config.visual_dim, averages, begun, further, sight)

    def _others(folder: Path) -> dict[str, Tensor]:
        """The tensors of the networks around the denoiser, by their names in the weights of the whole."""
        found = {name: t for name, t in started.items() if name.startswith(AROUND)}
        if settings.visual_steps and config.visual == "talkers":
            found |= _exported(folder, visual_training.VisualRecipe.name)
        if settings.vocoder_steps and not config.vocoder_weights:
            found |= _exported(folder, vocoder_training.NAME)
        return found

    stages: list[Stage] = []
    if settings.visual_steps and config.visual == "talkers":
        stages.append(Stage(visual_training.VisualRecipe.name, settings.visual_steps, visual, ema=0.999, anneal=True))
    if settings.vocoder_steps and not config.vocoder_weights:
        recordings = vocoder_training.SpeechFiles(_spoken(samples))
        known = vocoder_training.SpeechFiles(_spoken(validation)) if validation else None
        stages += vocoder_training.stages(config, settings, recordings, known)
    if settings.audio_steps:
        stages.append(Stage(AudioRecipe.name, settings.audio_steps, audio))
    if settings.steps:
        stages.append(Stage(DenoiserRecipe.name, settings.steps, denoiser))
    return stages


def _lips(
    encoder: nn.Module | None, clips: ShardClips, settings: Training, config: Config, progress: Progress | None
) -> Lips:
    if encoder is None:
        lips = filed_lips(Path(config.visual_features), config.visual_dim, clips, progress)
        if lips.faults:
            first = next(iter(lips.faults.values()))
            _log.warning("%d of %d clips are left out of 'lipdiffuser': %s", len(lips.faults), len(clips), first)
        return lips
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return encoded_lips(encoder.to(device), clips, settings.feature_views, progress=progress)


def _utterances(clips: ShardClips, lips: Lips, voices: Voices, config: Config) -> Utterances:
    return seen_utterances(clips, lips, voices.vectors, voices.speakers, config.framing, lips.faults)


def _sight(config: Config, encoder: nn.Module | None, lips: Lips) -> dict[str, str]:
    """What the denoiser sees by, as a resumed training has to see by the same: contents, wherever they lie."""
    if encoder is None:
        return {"visual": config.visual, "visual_features": f"sha256:{lips.sha256[:16]}"}
    name = "visual_weights" if config.visual == "braven" else f"{visual_training.VisualRecipe.name}.safetensors"
    return {"visual": config.visual, name: f"sha256:{sha256_of(encoder)[:16]}"}


def _check_eye(config: Config, settings: Training, started: Mapping[str, Tensor]) -> None:
    """Refuse what the denoiser could not see with, before hours of other stages."""
    if config.visual == "features" and not config.visual_features:
        raise InvalidConfig(f"visual = features needs visual_features: a folder with {NAMES} of each sample")
    if config.visual == "braven":
        config.visual_encoder()
    if config.visual == "talkers" and not (settings.visual_steps or own_tensors(started, visual_training.PREFIX)):
        raise InvalidConfig(
            "The denoiser learns from what a trained visual encoder sees: set training.visual_steps, or "
            "training.start_from to weights with one"
        )


def _encoder(config: Config, further: Mapping[str, Tensor]) -> nn.Module | None:
    encoder = config.visual_encoder()
    if encoder is not None and config.visual == "talkers":
        fill(encoder, own_tensors(further, visual_training.PREFIX), None, "Set visual_dim as in training")
    return encoder


def _spoken(samples: Sequence[Sample]) -> list[Path]:
    return list({path: None for sample in samples for path in sample.targets.get("speech", ())})


def _exported(folder: Path, stage: str) -> dict[str, Tensor]:
    return read(folder / f"{stage}.safetensors", "lipdiffuser")[0]
