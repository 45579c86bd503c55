"""What a metric is: rows of sufficient statistics, and a weighted aggregate of them.

`measure` turns each prediction into a row (scalars and small arrays) that is stored. `aggregate` turns stored rows and
a matrix of weights into reported numbers. Weights of one are the point estimate; an interval asks for the values
without each speaker in turn, a bootstrap for those of B draws, all at once, so nothing is ever measured twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Report:
    """One number that a metric yields."""

    name: str
    """The field's name with its variant, e.g. `recall_at_10`."""
    title: str
    """Column head, e.g. `R@10`."""
    higher_is_better: bool | None
    """None where neither direction is better, e.g. a floor that is printed for comparison."""
    bounds: tuple[float, float]
    """Smallest and largest value that the definition allows."""
    unit: str = ""
    """`%`, `dB`, or empty."""
    weigh: Literal["speaker", "sample"] = "speaker"
    """Whether speakers or samples weigh equally in the aggregate."""
    description: str = ""
    """One sentence: definition and source."""
    interval: Literal["mean", "share", "area", "correlation", "smooth"] = "mean"
    """How its interval over speakers is made: as of a mean or a ratio of sums, between its bounds; as of a share of
    hits; as of the area under a ROC; as of a correlation; or as of another number that is smooth in the weights."""
    no_interval: str = ""
    """Why it has no interval, where no way to make one is known to hold."""


@dataclass(frozen=True)
class Undefined:
    """The metric has no value here, and why. Counts against coverage; never a number."""

    reason: str
    evidence: Statistics = field(default_factory=dict, compare=False)
    """What was measured all the same and is kept in the row, for a decision on several rows together."""


@dataclass(frozen=True)
class Failed:
    """The metric could not be computed, and why."""

    reason: str


Statistics = Mapping[str, "float | np.ndarray"]


@dataclass(frozen=True)
class Confusion:
    """How often a true class and an estimated one came together."""

    what: str
    """What the classes are of, e.g. `sex`."""
    classes: tuple[str, ...]
    counts: np.ndarray
    """`[C, C]`: true class, estimated class."""

    @property
    def shares(self) -> np.ndarray:
        """`[C, C]`, rows sum to 1; NaN in a row that holds nobody."""
        total = self.counts.sum(axis=1, keepdims=True)
        return np.divide(self.counts, total, out=np.full(self.counts.shape, np.nan), where=total > 0)


@dataclass(frozen=True)
class Identity:
    """A person of the gallery."""

    id: str
    images: Sequence[np.ndarray]
    """Real portraits, each `[H, W, 3]` uint8 RGB."""
    sex: str | None = None
    """"f", "m" or None where unknown."""
    age: float | None = None
    """Years, or None where unknown."""
    recordings: int = 1
    """How many of the outputs that may be judged are this person's."""


@dataclass(frozen=True)
class FaceItem:
    """A generated face and whose it should be."""

    identity: str
    image: np.ndarray
    """`[H, W, 3]` uint8 RGB."""


@dataclass(frozen=True)
class SpeechItem:
    """A signal to be judged and what it is judged against; mono, float32, full scale 1.0, at one rate."""

    id: str
    estimate: np.ndarray
    """`[T]`."""
    rate: int
    """Hertz, of both signals."""
    reference: np.ndarray | None = None
    """`[T']`, the clean signal; None where there is none. T' need not be T."""
    text: str | None = None
    """The words that are said; None where they are not known."""
    seconds: float | None = None
    """Wall time that making the estimate took; None where it is not known."""
    opening: np.ndarray | None = None
    """`[N]`, how far the mouth is open in each of 25 frames a second, of any scale; NaN in a frame without a face. None
    where no metric asks for it, or nobody is seen."""


class Values(NamedTuple):
    """What a function of a batch returns: a value for each item, or the reason why it has none."""

    values: Tensor
    """`[B]` or `[B, K]`, float64; NaN where there is none."""
    reasons: tuple[Undefined | Failed | None, ...]
    """One per item; None where all of its values are defined."""


def checked_values(values: Tensor, reasons: Sequence[Undefined | Failed | None], names: Sequence[str]) -> Values:
    """What a function found, in float64; an item that lacks a number has a reason.

    Args:
        values: `[B]`, or `[B, K]` with K names.
        reasons: `[B]`; where one is None and a value is NaN or infinite, it becomes Failed and names the value.
        names: of the values, for reasons.
    """
    values = values.detach().double()
    known = values.isfinite().reshape(len(reasons), len(names)).tolist()
    found = [
        _not_finite([name for name, finite in zip(names, row, strict=True) if not finite])
        if reason is None and not all(row)
        else reason
        for row, reason in zip(known, reasons, strict=True)
    ]
    return Values(values.masked_fill(~values.isfinite(), float("nan")), tuple(found))


def checked_row(outcome: Any, lacking: Iterable[str] = ()) -> Statistics | Undefined | Failed:
    """A row as it may enter an aggregate: statistics that are all finite, or the reason why there are none.

    One number that is NaN would make NaN of every mean over its column, so a row that holds one is Failed.

    Args:
        outcome: what a metric made of one item, or what was stored of it.
        lacking: names of statistics that may be NaN, see `Metric.lacking`.
    """
    if isinstance(outcome, Undefined | Failed):
        return outcome
    if not isinstance(outcome, Mapping) or not outcome:
        return Failed(f"expected a row of statistics of the metric, got {type(outcome).__name__} {outcome!r}"[:300])
    wrong = []
    for name, value in outcome.items():
        if isinstance(value, str):
            continue
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "biuf":
            return Failed(f"expected a number, an array or text as '{name}', got {type(value).__name__}")
        with np.errstate(over="ignore"):
            # Arrays are stored in single precision.
            finite = np.isfinite(numbers.astype(np.float32 if numbers.ndim else np.float64))
        if not finite.all() and not (name in lacking and not numbers.ndim and np.isnan(numbers)):
            wrong.append(name)
    return _not_finite(wrong) if wrong else outcome


def _not_finite(names: Sequence[str]) -> Failed:
    return Failed(f"{' and '.join(names)} came out as NaN or infinity")


class Metric(ABC):
    """A measurement that yields one or several reported numbers.

    A metric is made by `create`, told the gallery by `prepare`, then measures batches in any order. Measuring is
    deterministic and leaves the caller's random state alone.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    reports: tuple[Report, ...]
    paired: ClassVar[bool] = False
    """Whether it compares an estimate with its reference in time, so that a delay between them matters."""
    looks_at_mouth: ClassVar[bool] = False
    """Whether it wants `SpeechItem.opening`, for which a video has to be searched for a face."""
    lacking: ClassVar[Mapping[str, str]] = {}
    """Statistics that a row may hold as NaN while it has others, and why it lacks them; `defined` tells which reports
    such a row counts for. No other statistic may be NaN, and none infinite."""
    why_unpaired: ClassVar[str] = ""
    """Why it cannot tell, speaker by speaker, which of two runs is ahead; empty where it can."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Hold `measure` to what it promises, whoever calls it."""
        super().__init_subclass__(**kwargs)
        if "measure" in cls.__dict__:
            cls.measure = _checked(cls.measure)  # type: ignore[method-assign]

    @classmethod
    @abstractmethod
    def create(cls, networks: Any, **options: Any) -> Metric:
        """Make the metric; `networks(name)` returns a loaded network, or raises what is missing; `networks.file(name)`
        says where its weights are."""

    @classmethod
    def for_rows(cls, signature: str, statistics: Collection[str]) -> Self:
        """Make the metric for rows that are stored: it has reports and aggregates, and no network to measure with.

        A class whose reports or aggregates hang on what `__init__` is given reads it from the rows instead.

        Args:
            signature: the rows'; those of all reports, with spaces between them.
            statistics: names of what a row holds.

        Raises:
            ValueError: the signature does not state what is needed.
        """
        return cls.__new__(cls)

    @abstractmethod
    def signature(self, report: str) -> str:
        """The short string that pins the definition of one reported number."""

    def prepare(self, gallery: Sequence[Identity]) -> None:  # noqa: B027 - most metrics of single outputs need none
        """Take in the references that all predictions share. Identities come sorted by id."""

    @abstractmethod
    def measure(self, items: Sequence[Any]) -> list[Statistics | Undefined | Failed]:
        """One row per item, in order. A row with a number that is NaN or infinite is Failed; see `lacking`."""

    def defined(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        """Which of N measured rows count for one report, `[N]` bool; all, unless a metric knows better."""
        return np.ones(len(next(iter(statistics.values()))), bool)

    def counts(self, report: str, statistics: Mapping[str, np.ndarray]) -> np.ndarray:
        """How much each of N measured rows counts in one report, `[N]`: 1 where it is defined, unless a metric divides
        by something that rows have more or less of, such as words."""
        return self.defined(report, statistics).astype(np.float64)

    def why_undefined(self, report: str) -> str:
        """Why measured rows do not count for one report, or give it no value together."""
        return "; ".join(dict.fromkeys(self.lacking.values())) or f"{report} is not defined for what was measured"

    def placed(self, statistics: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Rows of one repeat, with whatever their order decides written into them, so that rows of another run can
        stand among them; the rows as they are, unless a metric cuts them into parts."""
        return statistics

    def by_speaker(
        self, statistics: Mapping[str, np.ndarray], index: np.ndarray, speakers: int
    ) -> Mapping[str, np.ndarray]:
        """Rows of one repeat, with whatever has to change with the speakers that an interval leaves out.

        Args:
            index: `[N]`, number of each row's speaker, in the order of their names.
            speakers: how many there are in all.
        """
        return statistics

    def without_interval(self, report: str, statistics: Mapping[str, np.ndarray], speakers: int) -> str:
        """Why one report of such rows has no interval that holds; empty where it has."""
        return ""

    def confusion(self, statistics: Mapping[str, np.ndarray]) -> Confusion | None:
        """The confusion matrix that measured rows hold, for the report; None from a metric of no classes."""
        return None

    @abstractmethod
    def aggregate(self, statistics: Mapping[str, np.ndarray], weights: np.ndarray) -> dict[str, np.ndarray]:
        """Aggregate rows of one repeat.

        Args:
            statistics: name to values stacked over the N measured rows, `[N]` or `[N, ...]`, ordered by sample id.
            weights: `[B, N]`, non-negative; how often (times how much) each row counts in each of B draws. A draw may
                give a row weight 0, and a draw whose weights are all 0 has value NaN.

        Returns:
            report name to `[B]` values; NaN where a draw leaves the number undefined.
        """


def _checked(measure: Callable[..., Sequence[Any]]) -> Callable[..., list[Statistics | Undefined | Failed]]:
    """`measure` with each row checked.

    Raises:
        ValueError: it does not return one row per item.
    """

    @wraps(measure)
    def checked(self: Metric, items: Sequence[Any]) -> list[Statistics | Undefined | Failed]:
        rows = [checked_row(row, self.lacking) for row in measure(self, items)]
        if len(rows) != len(items):
            raise ValueError(f"expected a row of metric '{self.name}' for each of {len(items)} items, got {len(rows)}")
        return rows

    return checked


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of `[N]` values under each of `[B, N]` weights -> `[B]`; NaN where a draw weighs nothing.

    >>> weighted_mean(np.array([1.0, 3.0]), np.array([[1, 1], [0, 2], [0, 0]])).tolist()
    [2.0, 3.0, nan]
    """
    return weighted_ratio(values, np.ones(len(values)), weights)


def weighted_ratio(numerator: np.ndarray, denominator: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ratio of weighted sums, for rates such as WER: both sums are resampled together -> `[B]`."""
    weights = np.asarray(weights, np.float64)
    below = weights @ np.asarray(denominator, np.float64)
    above = weights @ np.asarray(numerator, np.float64)
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
