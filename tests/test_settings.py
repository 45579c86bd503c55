"""What the dataclasses of settings refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from baselines.settings import check


@dataclass(frozen=True)
class Toy:
    width: float = 1.0
    steps: int = 1
    overlap: float = 0.5
    kind: Literal["plain", "deep"] = "plain"
    crop: tuple[int, int] = (1, 2)

    def __post_init__(self) -> None:
        check(self, width="(0, 4]", steps="[1, inf)", overlap="[0, 1)", crop="(0, inf)")


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
    ],
)
def test_what_lies_outside_is_refused_by_name(given, told):
    with pytest.raises(ValueError, match=told):
        Toy(**given)


@pytest.mark.parametrize("given", [{"width": 4.0}, {"steps": 1}, {"overlap": 0.0}, {"kind": "deep"}, {"crop": (3, 3)}])
def test_ends_that_belong_to_an_interval_are_taken(given):
    assert Toy(**given)
