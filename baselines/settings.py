"""Checks of settings that methods and trainings have in common, and training tables as dataclasses."""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from benchmark.errors import InvalidConfig
from benchmark.types import Sample

Options = TypeVar("Options")

FILES = {"names_files": True}
"""Metadata of a setting whose text names a file, a folder, or weights of the table. What lies there belongs to the
identity of a run, and the folder that it lies in does not: `vocoder: str = field(default="", metadata=FILES)`."""


def files_of_samples(find: Callable[[Path, Sample], Path | None]) -> dict[str, Any]:
    """Metadata of a setting whose text names a folder that holds files of single samples. Of these, those that the
    samples of a run's split have belong to its identity; whatever else lies in the folder does not.

    Args:
        find: the file of a sample in the folder; None where there is none.
    """
    return {**FILES, "file_of_sample": find}


def check(settings: Any, **ranges: str) -> None:
    """Check the fields of a dataclass: numbers are finite, a choice is one of its Literal's, the two of a pair rise.

    A pair, `tuple[int, int]`, is a range; what has any number of items, `tuple[int, ...]`, may be in any order.

    Args:
        ranges: by field, in which interval its value, or each of several, must lie: "(0, 4]", "[1, inf)".

    Raises:
        ValueError: names the field, what was expected and what came.
    """
    hints = typing.get_type_hints(type(settings))
    for name, value in dataclasses.asdict(settings).items():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise ValueError(f"{name} must be a finite number, got {value}")
        choices = typing.get_args(hints[name]) if typing.get_origin(hints[name]) is typing.Literal else ()
        if choices and value not in choices:
            raise ValueError(f"{name} must be {' or '.join(map(str, choices))}, got {value!r}")
        if _is_pair(hints[name]) and list(numbers) != sorted(numbers):
            raise ValueError(f"{name} must be two rising numbers, got {value}")
        if name in ranges and not all(_lies_in(number, ranges[name]) for number in numbers):
            raise ValueError(f"{name} must be {_told(ranges[name])}, got {value}")


def options(cls: type[Options], table: Mapping[str, Any]) -> Options:
    """A training table (of a preset, or `--set training.key=value`) as the dataclass `cls`.

    Raises:
        InvalidConfig: an unknown key, or a value of the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            guess = f" Did you mean '{near[0]}'?" if near else ""
            raise InvalidConfig(f"Unknown training setting '{key}'.{guess} Known: {', '.join(fields)}")
        default = fields[key].default
        if isinstance(default, tuple) and isinstance(value, list | tuple) and len(value) == len(default):
            values[key] = tuple(type(d)(v) for d, v in zip(default, value, strict=True))
        elif isinstance(default, float) and isinstance(value, int | float) and not isinstance(value, bool):
            values[key] = float(value)
        elif type(value) is type(default):
            values[key] = value
        else:
            raise InvalidConfig(f"training.{key} = {value!r}; expected a value like {default!r}")
    try:
        return cls(**values)
    except ValueError as error:
        raise InvalidConfig(f"training: {error}") from error


def _is_pair(hint: Any) -> bool:
    kinds = typing.get_args(hint)
    return typing.get_origin(hint) is tuple and len(kinds) == 2 and Ellipsis not in kinds


def _lies_in(number: float, interval: str) -> bool:
    low, high = _ends(interval)
    above = number >= low if interval.startswith("[") else number > low
    below = number <= high if interval.endswith("]") else number < high
    return above and below


def _told(interval: str) -> str:
    low, high = interval[1:-1].split(", ")
    if high == "inf":
        return f"at least {low}" if interval.startswith("[") else f"above {low}"
    return f"in {interval}"


def _ends(interval: str) -> tuple[float, float]:
    low, high = interval[1:-1].split(", ")
    return float(low), float(high)
