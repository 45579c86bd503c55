"""How often the 95 % interval over speakers holds the true value, by simulation with the real metric classes.

python tests/benchmarks/bench_interval_coverage.py
python tests/benchmarks/bench_interval_coverage.py --trials 200 --only SI-SDR WER

Each trial draws new speakers, each with a number of recordings of its own, and makes rows of statistics such as the
metric stores; `with_intervals` then works on them as in a run. Each cell holds the coverage of the percentile bootstrap
over the same speakers (of estimate +- 1.96 bootstrap deviations for the VGGFace score) and, behind the arrow, of
`with_intervals`; in brackets per cent of trials in which it gives no interval, which count neither way.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.stats import betabinom

from benchmark.results.statistics import Estimate, Values, resampled, with_intervals
from benchmark.runs.scoring import shapes, speaker_values
from metrics.faces.age_agreement import AgeAgreement
from metrics.faces.craniofacial import MEASURES, Craniofacial, number_of
from metrics.faces.identity_bits import IdentityBits, octaves
from metrics.faces.ranks import target_ranks
from metrics.faces.retrieval import Retrieval
from metrics.faces.sex_agreement import SexAgreement
from metrics.faces.similarity import FaceSimilarity
from metrics.faces.vggface_score import VGGFaceScore
from metrics.metric import Metric, Report
from metrics.speech.lip_sync import REACH, STEPS, LipSync
from metrics.speech.si_sdr import SiSdr
from metrics.speech.word_errors import WordErrors

SPEAKERS = (5, 8, 15, 30, 100)
DRAWS = 400
"""Of the percentile bootstrap: its coverage with 10,000 differs by less than a trial's luck."""
OLD_EVERY = 4
"""The percentile bootstrap, which takes most of the time, is made in one trial of so many."""

Rows = Mapping[str, np.ndarray]


def even(random: np.random.Generator, speakers: int) -> np.ndarray:
    """1 to 20 recordings, all numbers alike often, `[S]`."""
    return random.integers(1, 21, speakers)


def uneven(random: np.random.Generator, speakers: int) -> np.ndarray:
    """Log-normal: the median speaker has 5 recordings, one in forty more than 30."""
    return np.ceil(np.exp(random.normal(1.5, 1, speakers))).astype(int)


def few(random: np.random.Generator, speakers: int) -> np.ndarray:
    """1 to 4 recordings."""
    return random.integers(1, 5, speakers)


@dataclass(frozen=True)
class Case:
    """A number and a world in which it is measured."""

    name: str
    metric: Metric
    report: str
    rows: Callable[[np.random.Generator, np.ndarray], Rows]
    """Statistics `[N]` of the rows of speakers numbered by `[N]`."""
    truth: float | None = None
    """None: the mean over all trials, for numbers that depend on how many speakers there are."""
    counts: Callable[[np.random.Generator, int], np.ndarray] = even
    costly: bool = False
    """Takes half of the trials."""

    def trial(self, random: np.random.Generator, speakers: int) -> tuple[np.ndarray, Rows]:
        index = np.repeat(np.arange(speakers), self.counts(random, speakers))
        return index, self.rows(random, index)


class Judge:
    """A network that is never asked: rows are made, not measured."""

    dim, classes, rate = 16, 12, 16000
    signature, units = "none", "words"
    signatures: ClassVar[Mapping[str, str]] = {"sex": "none", "age": "none"}
    lacks: ClassVar[Mapping[str, str]] = {}


def speech_quality(random: np.random.Generator, index: np.ndarray) -> Rows:
    """SI-SDR in dB: speakers differ by 3 dB, recordings of a speaker by 4."""
    return {"si_sdr": random.normal(0, 3, index[-1] + 1)[index] + random.normal(0, 4, len(index))}


def skewed_quality(random: np.random.Generator, index: np.ndarray) -> Rows:
    """SI-SDR whose speakers are distributed exponentially: most are bad, a few very good."""
    return {"si_sdr": 3 * random.exponential(1, index[-1] + 1)[index] + random.normal(0, 2, len(index))}


def word_errors(mean: float, shape: float) -> Callable[[np.random.Generator, np.ndarray], Rows]:
    """Sentences of six words; speakers' error rates follow a gamma distribution."""

    def rows(random: np.random.Generator, index: np.ndarray) -> Rows:
        rate = random.gamma(shape, mean / shape, index[-1] + 1)[index]
        none, words = np.zeros(len(index)), np.full(len(index), 6.0)
        errors = random.poisson(rate * 6).astype(float)
        counted = {"substitutions": errors, "deletions": none, "insertions": none, "character_errors": errors}
        return {"words": words, "characters": words, **counted}

    return rows


def chances(random: np.random.Generator, index: np.ndarray, mean: float, alike: float) -> np.ndarray:
    """Whether each row is a hit; speakers' chances follow a beta distribution, narrow where `alike` is large."""
    return random.random(len(index)) < random.beta(mean * alike, (1 - mean) * alike, index[-1] + 1)[index]


def hits(mean: float, alike: float) -> Callable[[np.random.Generator, np.ndarray], Rows]:
    """Ranks in a gallery of 100: first or last."""

    def rows(random: np.random.Generator, index: np.ndarray) -> Rows:
        greater = np.where(chances(random, index, mean, alike), 0.0, 99.0)
        return ranked(greater, np.zeros(len(index)), 100)

    return rows


def ranked(greater: np.ndarray, ties: np.ndarray, size: int) -> Rows:
    kinds = ("hundreds", "full", "within")
    one = {"greater": greater, "ties": ties, "size": np.full(len(greater), float(size))}
    return {f"{name}_{kind}": values for kind in kinds for name, values in one.items()}


def faces(random: np.random.Generator, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of generated faces and of the speakers' true ones; the speakers are the gallery."""
    true = random.normal(size=(index[-1] + 1, Judge.dim))
    made = true[index] + 1.2 * random.normal(size=true.shape)[index] + 0.6 * random.normal(size=(len(index), Judge.dim))
    return tuple(v / np.linalg.norm(v, axis=1, keepdims=True) for v in (made, true))


def found_faces(random: np.random.Generator, index: np.ndarray) -> Rows:
    made, true = faces(random, index)
    greater, ties, size = target_ranks(made, true, index, np.arange(len(true)))
    return ranked(greater, ties, size[0])


CROWD = 100
"""People of the gallery in which faces stand `placed`."""


def placed(a: float, b: float) -> Callable[[np.random.Generator, np.ndarray], Rows]:
    """Ranks among `CROWD`; what part of them is ahead follows a beta distribution, and is a speaker's own."""

    def rows(random: np.random.Generator, index: np.ndarray) -> Rows:
        greater = random.binomial(CROWD - 1, random.beta(a, b, index[-1] + 1)[index]).astype(float)
        none = np.zeros(len(index))
        return {"person": index.astype(float), "greater": greater, "ties": none, "size": none + CROWD}

    return rows


def told(a: float, b: float) -> float:
    """Bits that ranks so `placed` tell, counted in octaves."""
    shares = np.add.reduceat(betabinom.pmf(np.arange(CROWD), CROWD - 1, a, b), octaves(CROWD)[:-1])
    return float(shares @ np.log2(shares * CROWD / np.diff(octaves(CROWD))))


def similar_faces(random: np.random.Generator, index: np.ndarray) -> Rows:
    made, true = faces(random, index)
    cosines = made @ true.T
    others = cosines[np.arange(len(true)) != index[:, None]].reshape(len(index), -1)
    own = np.take_along_axis(cosines, index[:, None], 1)[:, 0]
    return {
        "cosine": own.astype(np.float32).astype(float),
        "mismatched": others.mean(axis=1),
        "l1": 1 - own,
        "others": others.astype(np.float32),
    }


def sexes(mean: float, alike: float) -> Callable[[np.random.Generator, np.ndarray], Rows]:
    def rows(random: np.random.Generator, index: np.ndarray) -> Rows:
        label = random.integers(0, 2, index[-1] + 1)[index].astype(float)
        read = np.where(chances(random, index, mean, alike), label, 1 - label)
        return {"read": read, "face": label, "label": label}

    return rows


def ages(random: np.random.Generator, index: np.ndarray) -> Rows:
    """Speakers' ages are normal with 15 years; a judge is 12 years off by speaker and 8 by face."""
    label = random.normal(45, 15, index[-1] + 1)[index]
    read = label + random.normal(0, 12, index[-1] + 1)[index] + random.normal(0, 8, len(index))
    return {"read": read, "face": label, "label": label}


AGE_R = 15 / (15**2 + 12**2 + 8**2) ** 0.5


def measures(r: float, skew: float = 0.0) -> Callable[[np.random.Generator, np.ndarray], Rows]:
    """Every measure of faces goes with the true one's at r; of its other variance, half differs by face.

    Args:
        skew: above 0 measures are log-normal with this deviation of their logarithms, and r is of the logarithms.
    """

    def rows(random: np.random.Generator, index: np.ndarray) -> Rows:
        true = random.normal(size=index[-1] + 1)
        own, face = random.normal(size=true.shape)[index], random.normal(size=len(index))
        made = r * true[index] + ((1 - r**2) / 2) ** 0.5 * (own + face)
        both = (made, true[index]) if not skew else (np.exp(skew * made), np.exp(skew * true[index]))
        columns = {f"{name}{of}": values for name in MEASURES for of, values in zip(("", "_true"), both, strict=True)}
        return {**columns, "person": index.astype(float), "other": both[1]}

    return rows


SKEW = 0.5
SKEWED_R = float(np.expm1(0.6 * SKEW**2) / np.expm1(SKEW**2))
"""Correlation of log-normal measures whose logarithms have 0.6."""


def identities(random: np.random.Generator, index: np.ndarray) -> Rows:
    """What a classifier of twelve people says of each face: alike within a speaker, some people far oftener."""
    logits = 2 * random.normal(size=(index[-1] + 1, Judge.classes))[index] + random.normal(size=(len(index), 12))
    odds = np.exp(logits + np.linspace(-2, 2, Judge.classes))
    return {"probabilities": (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)}


LATE_MS, LATE_BY_SPEAKER_MS, SYNC, WIDE_MS = -10.0, 15.0, 0.5, 30.0
"""How late speech is against mouths on average; by how much speakers differ in it; how high the correlation of a clip
is at its own offset; how wide the peak, a Gaussian's."""


def synchrony(random: np.random.Generator, index: np.ndarray) -> Rows:
    """Correlations of mouth and speech: speakers have offsets and strengths of their own, and clips noise as wide as a
    peak, of 0.18, which is what unrelated clips of two seconds have (card of lip_sync)."""
    people, steps = index[-1] + 1, np.arange(-REACH, REACH + 1)
    late = random.normal(LATE_MS, LATE_BY_SPEAKER_MS, people)[index] / 1000 * STEPS
    strength = (SYNC + random.normal(0, 0.1, people))[index] + random.normal(0, 0.05, len(index))
    wide = WIDE_MS / 1000 * STEPS
    peak = np.exp(-(((steps - late[:, None]) / wide) ** 2) / 2)
    noise = gaussian_filter1d(random.normal(size=(len(index), len(steps))), wide / 2**0.5, axis=1, mode="wrap")
    noise *= 0.18 * (2 * np.pi**0.5 * wide / 2**0.5) ** 0.5
    return {
        "correlation": strength[:, None] * peak + noise,
        "variance": np.full(len(index), 0.18**2),
        "seconds": random.uniform(1.5, 3, len(index)),
    }


SYNC_OF_ALL = SYNC * WIDE_MS / (WIDE_MS**2 + LATE_BY_SPEAKER_MS**2) ** 0.5
"""Height of the peak of the mean over all speakers there could be: theirs, blurred by how they differ in offset."""


def cases() -> list[Case]:
    judge: Any = Judge()
    sdr, wer, recall, sync = SiSdr(), WordErrors(judge, judge), Retrieval(judge), LipSync()
    bits = IdentityBits(judge)
    bits.reports = bits._reports(CROWD)
    face, nose = Craniofacial(judge), number_of("nose_width")
    sex, age, similar, score = SexAgreement(judge), AgeAgreement(judge), FaceSimilarity(judge), VGGFaceScore(judge)
    return [
        Case("SI-SDR", sdr, "si_sdr", speech_quality, 0.0),
        Case("SI-SDR, very uneven counts", sdr, "si_sdr", speech_quality, 0.0, uneven),
        Case("SI-SDR, exponential speakers", sdr, "si_sdr", skewed_quality, 3.0),
        Case("WER 20 %", wer, "wer", word_errors(0.2, 3), 0.2),
        Case("WER 20 %, very uneven counts", wer, "wer", word_errors(0.2, 3), 0.2, uneven),
        Case("WER 5 %", wer, "wer", word_errors(0.05, 2), 0.05),
        Case("LipSync ms", sync, "lip_sync_ms", synchrony, LATE_MS, few, True),
        Case("LipSync r", sync, "lip_sync_strength", synchrony, SYNC_OF_ALL, few, True),
        Case("R@10 30 %", recall, "recall_at_10", hits(0.3, 4), 0.3, costly=True),
        Case("R@10 85 %", recall, "recall_at_10", hits(0.85, 4), 0.85, costly=True),
        Case("R@1, gallery of the speakers", recall, "recall_at_1", found_faces, None, few, True),
        Case("identity 0 bits", bits, "identity_bits", placed(1, 1), told(1, 1), few),
        Case("identity 2.2 bits", bits, "identity_bits", placed(0.25, 2), told(0.25, 2), few),
        Case("identity 4.8 bits", bits, "identity_bits", placed(0.08, 4), told(0.08, 4), few),
        Case("sex 90 %", sex, "sex_agreement", sexes(0.9, 4), 0.9),
        Case("sex 97 %, speakers alike", sex, "sex_agreement", sexes(0.97, 50), 0.97),
        Case("sex 97 %, a few always wrong", sex, "sex_agreement", sexes(0.97, 2), 0.97),
        Case("age r", age, "age_r_label", ages, AGE_R),
        Case("nose width r 0", face, nose, measures(0.0), 0.0, costly=True),
        Case("nose width r 0.3", face, nose, measures(0.3), 0.3, costly=True),
        Case("nose width r 0.57, skewed", face, nose, measures(0.6, SKEW), SKEWED_R, costly=True),
        Case("age error", age, "age_error_label", ages, float((2 / np.pi) ** 0.5 * (12**2 + 8**2) ** 0.5)),
        Case("cosine", similar, "face_cosine", similar_faces, None, few, True),
        Case("AUC", similar, "face_auc", similar_faces, None, few, True),
        Case("VFS", score, "vggface_score", identities, None, few, True),
        Case("VFS std", score, "vggface_score_split_std", identities, None, few, True),
    ]


class Coverage(NamedTuple):
    """Shares of trials, NaN where there was no interval at all."""

    old: float
    new: float
    none: float
    """How often the new way gives no interval."""


def as_before(report: Report, speakers: int, values: Values, seed: int) -> tuple[float, float]:
    """The interval that stood here before: percentiles of the bootstrap, or its deviation."""
    drawn = resampled(speakers, values, DRAWS, seed)[report.name]
    if not np.isfinite(drawn).any():  # no offset of mouth and speech stands out
        return float("nan"), float("nan")
    if report.interval == "smooth":
        value = values(np.ones((1, speakers)))[report.name][0]
        return value - 1.96 * np.nanstd(drawn, ddof=1), value + 1.96 * np.nanstd(drawn, ddof=1)
    return tuple(np.nanquantile(drawn, [0.025, 0.975]))


def coverage(case: Case, speakers: int, trials: int, seed: int = 0) -> Coverage:
    """Simulate one number with so many speakers."""
    random = np.random.default_rng([seed, speakers])
    report = next(report for report in case.metric.reports if report.name == case.report)
    found: list[Estimate] = []
    before: list[tuple[float, float]] = []
    for trial in range(trials):
        runs = [case.trial(random, speakers)]
        values = speaker_values(case.metric, runs)
        found.append(with_intervals(speakers, values, shapes(case.metric, runs, speakers))[case.report])
        if trial % OLD_EVERY == 0:
            before.append(as_before(report, speakers, values, trial))
    truth = case.truth if case.truth is not None else float(np.mean([one.value for one in found]))
    now = np.array([(one.low, one.high) for one in found])
    given = np.isfinite(now).all(axis=1)
    return Coverage(share_of(np.array(before), truth), share_of(now, truth), float(1 - given.mean()))


def share_of(limits: np.ndarray, truth: float) -> float:
    """How many intervals `[T, 2]`, of those that there are, hold a value; a hair of rounding is no miss."""
    limits = limits[np.isfinite(limits).all(axis=1)]
    if not len(limits):
        return float("nan")
    return float(((limits[:, 0] <= truth + 1e-9) & (truth - 1e-9 <= limits[:, 1])).mean())


def cell(one: Coverage) -> str:
    if one.none == 1:
        return f"{100 * one.old:.0f} → none"
    return f"{100 * one.old:.0f} → {100 * one.new:.1f}" + (f" ({100 * one.none:.0f})" if one.none > 0.005 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trials",
        type=int,
        default=1000,
        help="of each cell; costly numbers take half  [default: 1000]",
    )
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="numbers whose name begins so")
    chosen = parser.parse_args()
    print(f"| number | {' | '.join(f'{n} speakers' for n in SPEAKERS)} |")
    print("|---|" + "---:|" * len(SPEAKERS))
    for case in cases():
        if not chosen.only or case.name.startswith(tuple(chosen.only)):
            row = [coverage(case, n, chosen.trials // (2 if case.costly else 1)) for n in SPEAKERS]
            print(f"| {case.name} | {' | '.join(map(cell, row))} |", flush=True)


if __name__ == "__main__":
    main()
