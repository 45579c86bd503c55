"""What is seen of the lips of each clip, as shards: by a visual encoder, or as files of features have it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from baselines.lipdiffuser.augmentation import augmentation, augmented
from baselines.lipdiffuser.clips import ClipMaker, Recording, ShardClips
from baselines.lipdiffuser.visual_encoder import centre
from baselines.lipdiffuser.visual_features import feature_files, read_features
from baselines.shards import Part, Progress, Shard, Shards
from benchmark.errors import MediaError, MissingDataset
from benchmark.sources import source_of_modules
from benchmark.types import derive_seed

CLIPS = 32
"""Of a shard."""
_EYES = tuple(f"baselines.lipdiffuser.{name}" for name in ("augmentation", "braven", "visual_encoder"))
"""What decides what an encoder with given weights sees, beside this module."""


class Lips(Sequence[Tensor]):
    """Features of the lips of clips, by the number of the clip: float16 `[views, N, C]`, 25 frames a second.

    They lie on disk; what is taken of them is a view into a file, and read when it is looked at.
    """

    def __init__(self, shards: Shards, count: int) -> None:
        self._shards, self._count = shards, count
        self.faults = {
            CLIPS * shard + int(own): fault
            for shard, about in enumerate(shards.about)
            for own, fault in about["faults"].items()
        }
        """Why a clip, by its number, has no features; it is empty here."""

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Tensor:  # type: ignore[override]
        shard, own = divmod(range(self._count)[number], CLIPS)  # an IndexError, and positions from the end
        arrays = self._shards[shard]
        start, end = arrays["starts"][own : own + 2].tolist()
        views = int(arrays["views"])
        return arrays["seen"][start:end].unflatten(0, (views, (end - start) // views))

    @property
    def sha256(self) -> str:
        """Of all features, in the order of the clips: of what they are, not of where they come from."""
        return hashlib.sha256("".join(about["sha256"] for about in self._shards.about).encode()).hexdigest()


def encoded_lips(
    encoder: nn.Module, clips: ShardClips, views: int = 1, seed: int = 0, progress: Progress | None = None
) -> Lips:
    """What an encoder sees of each clip, computed once, on the device that the encoder is on.

    The first view is of the pictures' middle, as in inference; others are moved, scaled, mirrored and lit at random.

    Raises:
        PrerequisiteError: the shards cannot be written.
    """
    numbers = {clips.id(number): number for number in range(len(clips))}
    code = source_of_modules(*_EYES, within=())
    maker = EncodedMaker(clips.maker, sha256_of(encoder), code, views, seed, encoder.eval(), clips, numbers)
    parts = []
    for group in _groups(len(clips)):
        content = tuple(Clip(clips.id(number), clips.recording(number)) for number in group)
        parts.append(Part(content, tuple(path for clip in content for path in clip.recording), len(group)))
    return Lips(Shards(maker, parts, "lips", progress, here=True), len(clips))


def filed_lips(folder: Path, dim: int, clips: ShardClips, progress: Progress | None = None) -> Lips:
    """The features that a folder has of each clip, by its video or its id (`feature_files`), read once.

    Raises:
        MissingDataset: no clip has features that can be used.
        PrerequisiteError: the shards cannot be written.
    """
    parts = []
    for group in _groups(len(clips)):
        content = tuple(
            Filed(folder, clips.id(number), clips.recording(number).video, len(clips.mouth(number))) for number in group
        )
        files = tuple(path for one in content for path in feature_files(folder, one.id, one.video))
        parts.append(Part(content, files, len(group)))
    code = source_of_modules("baselines.lipdiffuser.visual_features", within=())
    lips = Lips(Shards(FiledMaker(dim, code), parts, "lips", progress), len(clips))
    if len(lips.faults) == len(clips):
        raise MissingDataset(f"visual_features: none of {len(clips)} clips can be used; {lips.faults[0]}")
    return lips


class Clip(NamedTuple):
    id: str
    recording: Recording


class Filed(NamedTuple):
    folder: Path
    id: str
    video: Path
    frames: int


@dataclass(frozen=True)
class EncodedMaker:
    """Looks at clips.

    Its arrays: `seen` `[sum of views * frames, C]` float16, one clip after another and in it one view after another,
    with `starts`, to which the end is added; `views`.
    """

    kind: ClassVar[str] = "lips"
    otherwise: ClassVar[str] = ""

    mouths: ClipMaker
    encoder: str
    """Hash of its weights."""
    code: str
    views: int
    seed: int
    network: nn.Module = field(repr=False)
    clips: ShardClips = field(repr=False)
    numbers: dict[str, int] = field(repr=False)
    """Of the clips, by id."""

    @torch.inference_mode()
    def __call__(self, content: tuple[Clip, ...]) -> Shard:
        return _shard([self._views(clip.id) for clip in content], {})

    def _views(self, name: str) -> Tensor:
        device = next(self.network.parameters()).device
        mouth = self.clips.mouth(self.numbers[name])[None].to(device)
        rng = np.random.default_rng(derive_seed("views", self.seed, name))
        videos = [centre(mouth)]
        for _ in range(self.views - 1):
            warp, light = augmentation(rng, 1)
            videos.append(augmented(mouth, warp.to(device), light.to(device)))
        return torch.cat([self.network(video) for video in videos]).half().cpu()


@dataclass(frozen=True)
class FiledMaker:
    """Reads features; its arrays are those of `EncodedMaker`. What cannot be used is empty there."""

    kind: ClassVar[str] = "features"
    otherwise: ClassVar[str] = ""

    dim: int
    code: str

    def __call__(self, content: tuple[Filed, ...]) -> Shard:
        seen: list[Tensor] = []
        faults: dict[str, str] = {}
        for number, one in enumerate(content):
            features = torch.zeros(0, self.dim)
            try:
                features = read_features(one.folder, one.id, self.dim, one.frames, one.video)
            except MediaError as error:
                faults[str(number)] = str(error)
            seen.append(features[None].half())
        return _shard(seen, faults)


def _shard(seen: Sequence[Tensor], faults: dict[str, str]) -> Shard:
    flat = [one.flatten(0, 1) for one in seen]
    arrays = {
        "seen": torch.cat(flat),
        "starts": torch.tensor([0, *accumulate(len(one) for one in flat)]),
        "views": torch.tensor(len(seen[0])),
    }
    return Shard(arrays, {"faults": faults, "sha256": _sha256(arrays)})


def sha256_of(network: nn.Module) -> str:
    """Hash of a network's state, whatever file it came from."""
    return _sha256(network.state_dict())


def _sha256(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _groups(count: int) -> list[range]:
    return [range(first, min(first + CLIPS, count)) for first in range(0, count, CLIPS)]
