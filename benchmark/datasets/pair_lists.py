"""Published lists of pairs of utterances, which define the mixtures of a test.

FlowAVSE and AVDiffuSS publish `vox_test.pckl` (9,458 pairs of VoxCeleb2) and `lrs3_test.pckl` (1,321 pairs of LRS3):
pickled lists of `{"identifier1": ..., "identifier2": ...}`.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from benchmark.datasets.manifest import Row
from benchmark.datasets.mixtures import pair_row, recorded_row
from benchmark.datasets.names import same
from benchmark.datasets.noise_lists import NoiseList
from benchmark.datasets.tables import read_table
from benchmark.datasets.utterances import Utterance, Utterances
from benchmark.errors import MissingDataset
from benchmark.media import is_audio, is_video
from benchmark.types import derive_seed

SUFFIXES = (".pckl", ".pkl", ".json", ".csv")
MAX_BYTES = 64 * 2**20
"""Longer files are refused; the published lists have about 1 MB."""
_COLUMNS = ("identifier1", "identifier2")
_LONGEST = 4096


class Pair(NamedTuple):
    """Two utterances, as the list names them."""

    first: str
    second: str


class PairList(NamedTuple):
    """A list in its own order, which says what noise belongs to what pair."""

    name: str
    pairs: tuple[Pair, ...]


def pair_list(root: Path, names: Sequence[str]) -> PairList | None:
    """Read the first list of one of these names (without suffix) that lies in the root, or None.

    Raises:
        MissingDataset: see `read_pairs`.
    """
    for name in names:
        for suffix in SUFFIXES:
            path = root / f"{name}{suffix}"
            if path.is_file():
                return PairList(path.name, tuple(read_pairs(path)))
    return None


def read_pairs(path: Path) -> list[Pair]:
    """Read a list of pairs: a pickle or JSON of `{identifier1, identifier2}`, or a csv file with these two columns.

    A pickle may hold lists, dicts and text only: nothing that it names is imported or called.

    Raises:
        MissingDataset: no such file, too long, broken, or of another form.
    """
    expected = f"expected a list of {{{', '.join(_COLUMNS)}}}, both of them text"
    if path.suffix.lower() == ".csv":
        found: Any = read_table(path, _COLUMNS)
    else:
        read = json.loads if path.suffix.lower() == ".json" else _plain
        try:
            if path.stat().st_size > MAX_BYTES:
                raise MissingDataset(f"{path} has over {MAX_BYTES >> 20} MiB; {expected}")
            found = read(path.read_bytes())
        except OSError as error:
            raise MissingDataset(f"{path} cannot be read ({error.strerror}); {expected}") from error
        except MissingDataset:
            raise
        except Exception as error:  # a broken pickle raises almost any kind
            raise MissingDataset(f"{path} cannot be used ({type(error).__name__}: {error}); {expected}") from error
    if not isinstance(found, list) or not found:
        raise MissingDataset(f"{path} holds no pairs; {expected}")
    pairs = []
    for number, entry in enumerate(found, start=1):
        # The entry is not shown: a few lists within each other can stand for more text than any machine writes.
        names = [entry.get(column) for column in _COLUMNS] if isinstance(entry, dict) else []
        if not names or not all(isinstance(name, str) and 0 < len(name) <= _LONGEST for name in names):
            raise MissingDataset(f"{path}, pair {number} is not such a {type(entry).__name__}; {expected}")
        pairs.append(Pair(*names))
    return pairs


def pair_rows(
    listed: PairList, utterances: Utterances, problems: list[str], noises: NoiseList | None = None
) -> Iterator[Row]:
    """Two mixtures of each pair i, at 0 dB: the utterances with each other, or each of them with noise i.

    The first is `<i>a_<utterance>`, the second `<i>b_<utterance>`, with i counted from 1. A pair that lacks a file is
    named in `problems` and left out; the others keep their numbers, and so their noises.

    Args:
        utterances: with names such as `<speaker>/<video>/<utterance>`. The list's identifiers may have further folders
            before it and a suffix after it.
        noises: None mixes the two with each other.
    """
    if noises is not None and len(noises.files) < len(listed.pairs):
        problems.append(
            f"{noises.name}: {len(noises.files)} lines for the {len(listed.pairs)} pairs of {listed.name}; "
            "the pairs beyond have no noise"
        )
    for number, pair in enumerate(listed.pairs, start=1):
        first, second = (_named(identifier, utterances) for identifier in pair)
        for identifier, utterance in zip(pair, (first, second), strict=True):
            if utterance is None:
                problems.append(f"{listed.name}, pair {number}, {identifier[:300]!r}: no usable speech and video here")
        noise = noises.files[number - 1] if noises is not None and number <= len(noises.files) else None
        for side, own, other in (("a", first, second), ("b", second, first)):
            key = f"{number:05d}{side}"
            random = np.random.default_rng(derive_seed("pair list", listed.name.partition(".")[0], key))
            if own is not None and noise is not None:
                row = recorded_row(own, noise, key, utterances, random)
            elif own is not None and other is not None and noises is None:
                row = pair_row(own, other, utterances, random)
            else:
                continue
            yield replace(row, id=f"{key}_{own.id}")


def _named(identifier: str, utterances: Utterances) -> Utterance | None:
    """By the last parts of an identifier. It is only ever compared with names, never opened."""
    path = PurePosixPath(same(identifier))
    parts = (*path.parts[:-1], path.stem if is_audio(path.name) or is_video(path.name) else path.name)
    names = ("/".join(parts[first:]) for first in range(len(parts)))
    return next((found for found in (utterances.by("name", name) for name in names) if found), None)


def _refuse(unpickler: Any) -> None:
    raise pickle.UnpicklingError("it holds tuples, sets or arrays of bytes; lists, dicts and text are read")


_REFUSED = (
    pickle.BYTEARRAY8,  # claims as much memory as it states before it looks for the content
    # Forty tuples within each other, of two each, as a key: its hash takes a visit to each of 2**40 leaves.
    *(pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
)


# Python's own unpickler: in the one that is written in C, six bytes can ask for gigabytes of memo.
class _PlainUnpickler(pickle._Unpickler):
    """Builds lists, dicts and text; whatever else a pickle asks for is refused before it is looked up."""

    dispatch = pickle._Unpickler.dispatch | {code[0]: _refuse for code in _REFUSED}

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {f'{module}.{name}'[:100]!r}; lists, dicts and text are read")


def _plain(content: bytes) -> Any:
    return _PlainUnpickler(io.BytesIO(content)).load()
