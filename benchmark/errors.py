"""Every error that a user can cause or mend.

    BenchmarkError
    |-- UsageError                 the command or its arguments are wrong
    |   |-- UnknownName            no such method, metric, dataset, preset; says the nearest one
    |   `-- InvalidConfig          an unknown key or a value of the wrong type or range
    |-- PrerequisiteError          something has to be done first; the message says what
    |   |-- MissingDependency      a package: the message holds the pip command
    |   |-- MissingWeights         pretrained or trained weights
    |   |-- MissingDataset         the corpus is not where it was looked for
    |   |-- BrokenPlugIn           a class of another package is not what its entry point promises
    |   `-- ChecksumMismatch       a file is not what its recorded sha256 says
    |-- MediaError                 a recording or a picture cannot be used; of a list, one row fails
    |-- MethodError                a method could not make an output; one row fails
    |   `-- ProgramFailed          the program of another project that was to make it
    `-- SubmissionError            a result file breaks a rule of the leaderboard

UsageError and PrerequisiteError end a command with exit code 2 and no traceback; so does a MediaError of a file that
the command names. Where the one output that was asked for cannot be made, or too many rows failed, it is 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchmarkError(Exception):
    """Anything this package raises on purpose."""


class UsageError(BenchmarkError):
    """The command or its arguments are wrong."""


class UnknownName(UsageError):
    """A name that no registry holds."""


class InvalidConfig(UsageError):
    """A configuration key or value that cannot be used."""


class PrerequisiteError(BenchmarkError):
    """Something has to be done before this can run."""


class MissingDependency(PrerequisiteError):
    """A package is not installed."""


class MissingWeights(PrerequisiteError):
    """Weights are not on this machine."""


class MissingDataset(PrerequisiteError):
    """A corpus is not where it was looked for."""


class BrokenPlugIn(PrerequisiteError):
    """A method, metric or dataset of an outside package cannot be used."""


class ChecksumMismatch(PrerequisiteError):
    """A file differs from its recorded sha256."""


class MediaError(BenchmarkError):
    """A recording or a picture cannot be used."""


class MethodError(BenchmarkError):
    """A method could not make an output for one sample."""


class ProgramFailed(MethodError):
    """A program of another project made no output.

    Args:
        reason: one line.
        printed: the command, how it ended and the end of what it printed.
    """

    def __init__(self, reason: str, printed: str) -> None:
        super().__init__(reason)
        self.printed = printed


class SubmissionError(BenchmarkError):
    """A result file breaks a rule of the leaderboard."""


def did_you_mean(name: str, names: object) -> str:
    """' Did you mean 'sf2f'?' or nothing; where none is as good as the name, two or three that begin with it."""
    known = list(names)  # type: ignore[call-overload]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    begun = [each for each in known if name and each.startswith(name)]
    if 1 < len(begun) < 4 and not difflib.get_close_matches(name, near, cutoff=0.9):
        near = begun
    meant = " or ".join(f"'{each}'" for each in near)
    return f" Did you mean {meant}?" if near else ""


def some(items: Iterable[object], most: int = 3, between: str = ", ") -> str:
    """The first few of what a message has to name, and how many there are besides.

    >>> some(["a.wav", "b.wav", "c.wav", "d.wav"])
    'a.wav, b.wav, c.wav and 1 more'
    """
    texts = [str(item) for item in items]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return between.join(texts[:most]) + more
