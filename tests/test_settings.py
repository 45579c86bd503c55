"""What the dataclasses of settings refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch

from baselines.lipdiffuser.config import Config
from baselines.settings import check
from benchmark.configuration import Presets, resolve


@dataclass(frozen=True)
class Toy:
    width: float = 1.0
    steps: int = 1
    overlap: float = 0.5
    kind: Literal["plain", "deep"] = "plain"
    crop: tuple[int, int] = (1, 2)
    levels: tuple[int, ...] = (1, 2)
    attention: tuple[bool, ...] = (False, True)

    def __post_init__(self) -> None:
        check(self, width="(0, 4]", steps="[1, inf)", overlap="[0, 1)", crop="(0, inf)", levels="[1, inf)")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"width": 0.0}, r"^width must be in \(0, 4\], got 0.0$"),
        ({"width": 4.1}, r"^width must be in \(0, 4\], got 4.1$"),
        ({"width": float("nan")}, "^width must be a finite number, got nan$"),
        ({"steps": 0}, "^steps must be at least 1, got 0$"),
        ({"overlap": 1.0}, r"^overlap must be in \[0, 1\), got 1.0$"),
        ({"kind": "wide"}, "^kind must be plain or deep, got 'wide'$"),
        ({"crop": (2, 1)}, r"^crop must be two rising numbers, got \(2, 1\)$"),
        ({"crop": (0, 1)}, r"^crop must be above 0, got \(0, 1\)$"),
        ({"crop": (1.0, float("inf"))}, "^crop must be a finite number"),
        ({"levels": (3, 0, 1)}, r"^levels must be at least 1, got \(3, 0, 1\)$"),
    ],
)
def test_what_lies_outside_is_refused_by_name(given, told):
    with pytest.raises(ValueError, match=told):
        Toy(**given)


@pytest.mark.parametrize("given", [{"width": 4.0}, {"steps": 1}, {"overlap": 0.0}, {"kind": "deep"}, {"crop": (3, 3)}])
def test_ends_that_belong_to_an_interval_are_taken(given):
    assert Toy(**given)


@pytest.mark.parametrize("given", [{"levels": (2, 1)}, {"levels": (4, 1, 2)}, {"attention": (True, False)}])
def test_what_is_no_range_may_fall(given):
    """Only the two ends of a range have an order; a network may be wide above and narrow below."""
    assert Toy(**given)


@pytest.mark.parametrize("given", ["multiples=[2, 1]", "attention=[true, false]"])
def test_a_network_may_narrow_on_its_way_down(given):
    small = ["channels=16", "multiples=[1, 2]", "blocks=1", "attention=[false, false]", "head_channels=16", "patch=8"]
    config = resolve(Config, Presets(Path()), sets=[*small, given]).config
    noisy = torch.zeros(1, 80, 16)
    denoiser = config.denoiser(speaker=4, features=6)
    assert denoiser(noisy, torch.ones(1), torch.zeros(1, 4), None).shape == noisy.shape
