"""Averages of weights by power functions, and others that are made of them after the training (EDM2, Sec. 3).

The average at step t weighs the weights of step s by s^exponent: as the training grows, so does the stretch that it
averages over, and the first random weights are soon forgotten. Its width, the standard deviation of that profile over
t, tells which: 0.05 or 0.1 are usual. Two of them are followed through a training and kept now and then; from what was
kept, the average of any other width follows as the sum whose profile is nearest.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from baselines.checkpoints import export

WIDTHS = (0.05, 0.1)
"""That are followed through a training."""


def exponent(width: float) -> float:
    """The power whose profile has that width (Eq. 126): (w^2)^-1 = (e + 2)^2 (e + 3) / (e + 1).

    >>> round(exponent(0.1), 2), round(exponent(0.05), 2)
    (6.94, 16.97)
    """
    if not 0 < width < 0.28:
        raise ValueError(f"width must be in (0, 0.28), got {width}")
    inverse = width**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


class Kept(NamedTuple):
    """One average, at one step."""

    step: int
    width: float


class PowerAverages(nn.Module):
    """Follows the parameters of a network by an average of each width; buffers are the network's own at the start.

    It is a module, so that a training's checkpoints keep it. Its networks are for evaluation and need no gradients.
    """

    def __init__(self, network: nn.Module, widths: Sequence[float] = WIDTHS) -> None:
        super().__init__()
        self.widths = tuple(widths)
        self.exponents = [exponent(width) for width in widths]
        self.networks = nn.ModuleList(copy.deepcopy(network).eval().requires_grad_(False) for _ in widths)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._count: int | None = None

    @torch.no_grad()
    def update(self, network: nn.Module) -> int:
        """After a step of the optimiser: average <- b average + (1 - b) weights, b = (1 - 1/t)^(e + 1) (Eq. 127).

        Returns how many steps were averaged.
        """
        if self._count is None:
            self._count = int(self.steps)  # read once: a GPU would be waited for
        self._count += 1
        self.steps += 1
        now = [p.detach() for p in network.parameters()]
        for power, average in zip(self.exponents, self.networks, strict=True):
            kept = (1 - 1 / self._count) ** (power + 1)
            torch._foreach_lerp_(list(average.parameters()), now, 1 - kept)
        return self._count

    def keep(self, folder: Path) -> None:
        """Write each average as it is now, for `reconstructed`; parameters as float16."""
        step = int(self.steps)
        for width, average in zip(self.widths, self.networks, strict=True):
            path = folder / f"{step:08d}-{width:.3f}.safetensors"
            export(path, dict(average.named_parameters()), {"step": step, "width": width})


def coefficients(kept: Sequence[Kept], wanted: Kept) -> np.ndarray:
    """With which weights the averages that were kept add up to the one that is wanted: least squares (Algorithm 3).

    Args:
        kept: none later than `wanted`.

    Returns:
        float64 `[len(kept)]`.
    """
    steps = np.array([k.step for k in kept], dtype=np.float64)
    powers = np.array([exponent(k.width) for k in kept])
    a = _product(steps[:, None], powers[:, None], steps[None], powers[None])
    b = _product(steps, powers, np.float64(wanted.step), np.float64(exponent(wanted.width)))
    return np.linalg.lstsq(a, b, rcond=None)[0]


def kept_in(folder: Path) -> dict[Kept, Path]:
    """What `PowerAverages.keep` wrote there, by step and width."""
    found = {}
    for path in sorted(folder.glob("*-*.safetensors")):
        step, _, width = path.stem.partition("-")
        found[Kept(int(step), float(width))] = path
    return found


def reconstructed(kept: Mapping[Kept, Path], wanted: Kept) -> dict[str, Tensor]:
    """The parameters averaged with another width, from what was kept up to that step; float32.

    Raises:
        ValueError: nothing of that step was kept.
    """
    usable = [k for k in kept if k.step <= wanted.step]
    if wanted.step not in {k.step for k in usable}:
        raise ValueError(
            f"Expected averages that were kept at step {wanted.step}, got {sorted({k.step for k in kept})}"
        )
    total: dict[str, Tensor] = {}
    for part, of in zip(coefficients(usable, wanted), usable, strict=True):
        with safe_open(kept[of], framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                value = file.get_tensor(name).double() * part
                total[name] = total[name] + value if name in total else value
    return {name: tensor.float() for name, tensor in total.items()}


def _product(steps: np.ndarray, powers: np.ndarray, others: np.ndarray, their_powers: np.ndarray) -> np.ndarray:
    """Inner products of profiles, each of area 1 from 0 to its step.

    With p(s) = (e + 1) s^e / t^(e + 1): the integral of p q up to the earlier step m, over m to stay within range.
    """
    earlier = np.minimum(steps, others)
    total = powers + their_powers + 1
    shares = (earlier / steps) ** (powers + 1) * (earlier / others) ** (their_powers + 1)
    return (powers + 1) * (their_powers + 1) / total * shares / earlier
