"""Mixing lists: which speech is mixed with which noise, at which SNR, drawn once from a seed and kept in the manifest.

A row is one mixture: `targets.speech` the clean recording, `inputs.video` its speaker's face, `inputs.noise` what it is
mixed with where that is read from files, `inputs.decoy` another person's video. Attributes say `noise` (its kind),
`snr_db`, and `framing`: `face` where the whole picture is the face, `scene` where it has to be looked for in it.
For `lip2speech`, `inputs.enrolment` is another utterance of the speaker and `inputs.enrolment_decoy` another person's.
`noise_start_s` says where in a long recording of noise the part lies that is heard.
A row with `inputs.noisy` is a recording that is noisy as it is: it has no SNR, and `targets.speech` where there is any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace

import numpy as np

from benchmark.datasets.manifest import Row
from benchmark.datasets.utterances import Utterance, Utterances
from benchmark.media.mixing import AS_RECORDED, BABBLE_VOICES, NOISES, RECORDED, TALKER
from benchmark.types import derive_seed

SNRS_DB = (-10.0, -5.0, 0.0, 5.0, 10.0)
"""The grid."""
LIP_SNRS_DB = (5.0, 0.0, -5.0, -10.0, -15.0, -20.0)
"""The grid of LipDiffuser (Sec. 4.1)."""
LIP_DB = -10.0
"""SNR of its Table 1."""
GRIDS = ("av_enhancement", "lip2speech")
"""Tasks with a split `test_snr`."""


def noisy_rows(
    utterances: Iterable[Utterance],
    *,
    of: str,
    per_speaker: int | None = None,
    snrs_db: Sequence[float] = (0.0,),
    recorded: Sequence[str] = (),
) -> Iterator[Row]:
    """Utterances in noise.

    Kinds of noise and SNRs are dealt out evenly, in an order drawn by the name of the list, so that every pair of them
    occurs equally often, give or take one.

    Args:
        of: name of the list (`talkers test`); the seed of everything that is drawn.
        per_speaker: at most so many utterances of each speaker; None takes all.
        snrs_db: one of them for each mixture.
        recorded: files of noise; where there are any they take the place of the kinds that are made.
    """
    everyone = Utterances.of(utterances)
    chosen = _chosen(everyone, per_speaker, of)
    kinds = (RECORDED,) if recorded else tuple(k for k in NOISES if k != "babble" or everyone.of_several())
    cells = [(kind, snr) for snr in snrs_db for kind in kinds]
    random = np.random.default_rng(derive_seed("mixing list", of))
    # one byte each; all are dealt before the first row is drawn
    dealt = bytes(k for _ in range(-(-len(chosen) // len(cells))) for k in random.permutation(len(cells)))
    for utterance, cell in zip(chosen, dealt, strict=False):
        kind, snr_db = cells[cell]
        files: tuple[str, ...] = ()
        if kind == "babble":
            files = tuple(other.speech for other in other_people(utterance, everyone, BABBLE_VOICES, random))
        elif kind == RECORDED:
            files = (recorded[int(random.integers(len(recorded)))],)
        level = "" if tuple(snrs_db) == (0.0,) else f"_{snr_db:g}dB"
        yield _row(f"{utterance.id}_{kind}{level}", utterance, kind, snr_db, files, everyone, random)


def two_talker_rows(utterances: Iterable[Utterance], *, of: str, per_speaker: int | None = None) -> Iterator[Row]:
    """Utterances with one of another person's over them, at 0 dB."""
    everyone = Utterances.of(utterances)
    random = np.random.default_rng(derive_seed("talkers list", of))
    for utterance in _chosen(everyone, per_speaker, of):
        others = other_people(utterance, everyone, 1, random)
        if others:
            yield pair_row(utterance, others[0], everyone, random)


def as_recorded_rows(utterances: Iterable[Utterance], *, of: str) -> Iterator[Row]:
    """Utterances that are noisy as they are, and their clean speech where there is any; nothing is mixed."""
    everyone = Utterances.of(utterances)
    random = np.random.default_rng(derive_seed("as recorded", of))
    for utterance in everyone:
        row = _row(utterance.id, utterance, AS_RECORDED, 0.0, (), everyone, random)
        inputs = {**row.inputs, "noisy": (utterance.speech,)}
        targets = {"speech": (utterance.clean,)} if utterance.clean else {}
        attributes = {key: value for key, value in row.attributes.items() if key != "snr_db"}
        yield replace(row, inputs=inputs, targets=targets, attributes=attributes)


def lip_snrs(split: str) -> tuple[float, ...]:
    """SNRs of the mixtures of a split for `lip2speech`, which the enhancers beside it are given."""
    return LIP_SNRS_DB if split in ("train", "test_snr") else (LIP_DB,)


def with_enrolments(rows: Iterable[Row], utterances: Iterable[Utterance], *, of: str) -> Iterator[Row]:
    """Rows of utterances, each with another one of its speaker and one of another person, drawn by its own name.

    Rows of one utterance have the same ones. What there is none of is left out.

    Args:
        of: as for `noisy_rows`.
    """
    everyone = Utterances.of(utterances)
    for row in rows:
        heard = [*row.inputs.get("noisy", ()), *row.targets.get("speech", ())]
        own = next(one for one in (everyone.by("speech", file) for file in heard) if one is not None)
        random = np.random.default_rng(derive_seed("enrolment", of, own.id))
        inputs = dict(row.inputs)
        if sibling := everyone.sibling(own, random):
            inputs["enrolment"] = (_voice(sibling),)
        if strangers := other_people(own, everyone, 1, random):
            inputs["enrolment_decoy"] = (_voice(strangers[0]),)
        yield replace(row, inputs=inputs)


def _voice(utterance: Utterance) -> str:
    return utterance.clean or utterance.speech


def pair_row(utterance: Utterance, other: Utterance, utterances: Utterances, random: np.random.Generator) -> Row:
    """One utterance with a given other one over it."""
    key = f"{utterance.id}_with_{other.id}"
    return _row(key, utterance, TALKER, 0.0, (other.speech,), utterances, random, {other.speaker})


def recorded_row(
    utterance: Utterance, noise: str, key: str, utterances: Utterances, random: np.random.Generator
) -> Row:
    """One utterance in a given recording of noise at 0 dB; `key` tells this row from others of the utterance."""
    return _row(f"{utterance.id}_{key}", utterance, RECORDED, 0.0, (noise,), utterances, random)


def _row(
    key: str,
    utterance: Utterance,
    kind: str,
    snr_db: float,
    files: tuple[str, ...],
    utterances: Utterances,
    random: np.random.Generator,
    heard: Set[str] = frozenset(),
) -> Row:
    inputs = {"video": (utterance.video,)} if utterance.video else {}
    if files:
        inputs["noise"] = files
    strangers = other_people(utterance, utterances, 1, random, heard)
    if strangers and strangers[0].video:
        inputs["decoy"] = (strangers[0].video,)
    about = {"framing": "face", **utterance.attributes, "noise": kind, "snr_db": snr_db}
    return Row(key, utterance.speaker, inputs, {"speech": (utterance.speech,)}, about)


def _chosen(utterances: Utterances, per_speaker: int | None, of: str) -> Sequence[Utterance]:
    """Some utterances of each speaker, speakers in order of name; or all in their own order."""
    if per_speaker is None:
        return utterances
    chosen = []
    for speaker, own in utterances.by_speaker():
        order = np.random.default_rng(derive_seed("chosen", of, speaker)).permutation(len(own))
        chosen += [own[k] for k in sorted(order[:per_speaker])]
    return chosen


def other_people(
    utterance: Utterance,
    utterances: Utterances,
    count: int,
    random: np.random.Generator,
    heard: Set[str] = frozenset(),
) -> list[Utterance]:
    """Up to `count` utterances of different other people; at least one where there is anybody else.

    Nobody in `heard` is taken where there are others.
    """
    found: list[Utterance] = []
    people = {utterance.speaker, *heard}
    for _ in range(50 * count):
        other = utterances[int(random.integers(len(utterances)))]
        if other.speaker not in people:
            people.add(other.speaker)
            found.append(other)
            if len(found) == count:
                break
    if not found and (stranger := utterances.stranger(utterance, random)):  # nearly all are the speaker's own
        return [stranger]
    return found
