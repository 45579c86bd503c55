"""The steps by name."""

from __future__ import annotations

from benchmark.errors import UnknownName, did_you_mean
from benchmark.preparation.enhancing import Enhance
from benchmark.preparation.faces import Faces
from benchmark.preparation.mouths import Mouths
from benchmark.preparation.portraits import HQPortraits
from benchmark.preparation.speech import LogMel, Vad
from benchmark.preparation.step import Step

STEPS: dict[str, type[Step]] = {step.name: step for step in (Faces, HQPortraits, Mouths, Vad, LogMel, Enhance)}


def step_called(name: str) -> type[Step]:
    """The step of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in STEPS:
        raise UnknownName(f"Unknown step '{name}'.{did_you_mean(name, STEPS)} Steps: {', '.join(STEPS)}")
    return STEPS[name]
