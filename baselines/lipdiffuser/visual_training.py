"""The visual front-end learns to read phonemes from lips, frame by frame, before the denoiser learns to speak.

The paper's BRAVEn has learned from thousands of hours without labels and its readers with texts; Talkers are few, but
their synthesiser tells when which phoneme is spoken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.checkpoints import export
from baselines.lipdiffuser.augmentation import augmentation, augmented
from baselines.lipdiffuser.clips import Clips, Phonemes
from baselines.lipdiffuser.config import Config, Training
from baselines.lipdiffuser.visual_encoder import SIDE, VisualEncoder, centre
from baselines.training import Recipe, Update, seeded
from benchmark.errors import MissingDataset
from benchmark.media.face_video import FPS

PREFIX = "visual."
FRAMES = 64
"""Of a training clip at most: two and a half seconds."""
WARM_UP = 100
"""Steps along which the learning rate rises."""
SMOOTHING = 0.1
"""Of the labels: part that all phonemes share."""
VALIDATION = 200
"""Clips that are measured beside the training, at most."""
IGNORED = -100
"""Label of frames that fill a batch up: torch's `ignore_index`."""
VISEMES = ("pbm", "fv", "θð", "tdnszɾʔl", "ʃʒ", "ɹr", "w", "jiɪ", "kɡgŋx", "eɛæ", "aɑʌɐə", "ɜɚ", "ɔɒoʊu")
"""Phonemes that look alike, by their first letter; what is in none, as silence, is a class of its own."""


class VisualRecipe(Recipe):
    """Cross entropy of the phoneme on screen in the middle of each frame.

    Pictures of a clip are moved, scaled, mirrored, brightened and given more or less contrast together.

    Args:
        clips: whose `phonemes` are known.
        validation: clips of other people; may be None.

    Raises:
        MissingDataset: a clip without phonemes.
    """

    name = "visual"

    def __init__(
        self,
        config: Config,
        training: Training,
        clips: Clips,
        validation: Clips | None = None,
    ) -> None:
        self.config, self.training, self.clips = config, training, clips
        self.labels, self.phonemes = _labelled(clips)
        self._validation = validation
        self._held = _labelled(validation, self.phonemes)[0] if validation else []
        with seeded("lipdiffuser", self.name, config.visual_dim):
            self.encoder = VisualEncoder(config.visual_dim)
            self.head = nn.Linear(config.visual_dim, len(self.phonemes))
        parameters = [*self.encoder.parameters(), *self.head.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=training.visual_learning_rate, weight_decay=0.02)

    def modules(self) -> Mapping[str, nn.Module]:
        return {"encoder": self.encoder, "head": self.head}

    def averaged(self) -> Mapping[str, nn.Module]:
        return self.modules()

    def optimisers(self) -> Mapping[str, torch.optim.Optimizer]:
        return {"visual": self.optimiser}

    def pace(self, step: int) -> float:
        return min(1.0, (step + 1) / WARM_UP)

    def description(self) -> Mapping[str, Any]:
        own = ("visual_batch", "visual_learning_rate")
        about = {name: getattr(self.training, name) for name in own}
        return {**about, "dim": self.encoder.dim, "clips": len(self.clips), "phonemes": " ".join(self.phonemes)}

    def batch(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """`mouth` `[B, N, 96, 96]` uint8, `lengths` `[B]`, `labels` `[B, N]`, `warp` `[B, 2, 3]`, `light` `[B, 2]`."""
        count = self.training.visual_batch
        numbers = rng.choice(len(self.clips), count, replace=count > len(self.clips))
        mouths, labels = [], []
        for number in numbers.tolist():
            mouth, spoken = self.clips.mouth(number), self.labels[number]
            first = int(rng.integers(max(0, len(mouth) - FRAMES) + 1))
            mouths.append(mouth[first : first + FRAMES])
            labels.append(spoken[first : first + FRAMES])
        warp, light = augmentation(rng, count)
        return {**_filled(mouths, labels), "warp": warp, "light": light}

    def step(self, batch: Mapping[str, Tensor], update: Update) -> dict[str, Tensor]:
        self.encoder.train()
        video = augmented(batch["mouth"], batch["warp"], batch["light"])
        said = self.head(self.encoder(video, batch["lengths"])).float()
        loss = F.cross_entropy(said.flatten(0, 1), batch["labels"].flatten(), label_smoothing=SMOOTHING)
        update("visual", loss)
        return {"cross_entropy": loss}

    def validate(self) -> dict[str, float]:
        """Part of the frames whose phoneme, or viseme, is read; and what the commonest one alone would give."""
        if self._validation is None:
            return {}
        self.encoder.eval()
        device, count = self.head.weight.device, min(len(self._validation), VALIDATION)
        read: list[Tensor] = []
        with torch.no_grad():
            for number in range(count):
                video = centre(self._validation.mouth(number)[None].to(device))
                read.append(self.head(self.encoder(video))[0].argmax(-1).cpu())
        return accuracies(torch.cat(read), torch.cat(self._held[:count]), self.phonemes)

    def export(self, path: Path) -> Path:
        """The encoder's tensors under PREFIX; the classes of the phonemes go, for features are what is wanted."""
        tensors = {PREFIX + name: tensor for name, tensor in self.encoder.state_dict().items()}
        about = {"method": f"lipdiffuser.{self.name}", "phonemes": " ".join(self.phonemes)}
        return export(path, tensors, about, half=False)


def labels_of(phonemes: Phonemes, frames: int, classes: Mapping[str, int]) -> Tensor:
    """The phoneme in the middle of each frame: `[frames]` int64.

    Raises:
        KeyError: a phoneme that is no class.
    """
    starts = np.array([start for _, start in phonemes])
    middles = (np.arange(frames) + 0.5) / FPS
    numbers = np.maximum(np.searchsorted(starts, middles, side="right") - 1, 0)
    return torch.tensor([classes[phonemes[number][0]] for number in numbers.tolist()])


def visemes_of(phonemes: Sequence[str]) -> Tensor:
    """The class of each phoneme by its looks, `[phonemes]`; len(VISEMES) where it is in none."""
    found = [[n for n, letters in enumerate(VISEMES) if ipa[:1] and ipa[0] in letters] for ipa in phonemes]
    return torch.tensor([classes[0] if classes else len(VISEMES) for classes in found])


def accuracies(read: Tensor, spoken: Tensor, phonemes: Sequence[str]) -> dict[str, float]:
    """Parts of the frames that are right, and those of the commonest class of what was spoken."""
    looks = F.pad(visemes_of(phonemes), (0, 1), value=len(VISEMES) + 1)  # what is no class is never read
    measured = {}
    for name, a, b in (("phonemes", read, spoken), ("visemes", looks[read], looks[spoken])):
        measured[name] = float((a == b).double().mean())
        measured[f"{name}_commonest"] = float((b == b.mode().values).double().mean())
    return measured


def _labelled(clips: Clips, phonemes: Sequence[str] | None = None) -> tuple[list[Tensor], tuple[str, ...]]:
    """The labels of each clip's frames, and the phonemes that they number: given, or all that the clips have."""
    spoken: list[Phonemes] = []
    for number in range(len(clips)):
        said = clips.phonemes(number)
        if said is None:
            raise MissingDataset(
                f"The phonemes of clip {number}, of {clips.speaker(number)}, are not known, from which the visual "
                "encoder learns: train on people that --dataset talkers draws (population.people), or set visual = "
                "braven or features"
            )
        spoken.append(said)
    known = tuple(phonemes or sorted({ipa for said in spoken for ipa, _ in said}))
    classes = {ipa: n for n, ipa in enumerate(known)}
    # a phoneme that training never heard cannot be read: it is in no class
    others = {ipa: len(known) for said in spoken for ipa, _ in said if ipa not in classes}
    lengths = (len(clips.mouth(number)) for number in range(len(clips)))
    return [labels_of(said, n, {**classes, **others}) for said, n in zip(spoken, lengths, strict=True)], known


def _filled(mouths: Sequence[Tensor], labels: Sequence[Tensor]) -> dict[str, Tensor]:
    lengths = torch.tensor([len(mouth) for mouth in mouths])
    longest = int(lengths.max())
    mouth = torch.zeros(len(mouths), longest, SIDE, SIDE, dtype=torch.uint8)
    label = torch.full((len(mouths), longest), IGNORED)
    for row, (pictures, spoken) in enumerate(zip(mouths, labels, strict=True)):
        mouth[row, : len(pictures)], label[row, : len(spoken)] = pictures, spoken
    return {"mouth": mouth, "lengths": lengths, "labels": label}
