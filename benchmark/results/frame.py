"""Results as a pandas `DataFrame`, to sort, pivot and plot in a notebook."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = {
    "label": "row name in tables: the method, with its preset or settings where they are not the default",
    "method": "registry name: `sf2f`",
    "role": "`method`, or `floor` or `ceiling`, which stand in tables only to be compared with",
    "preset": "of the method; missing where it has none",
    "task": "`speech2face`, `av_enhancement`, ...",
    "dataset": "`talkers`, `hq_voxceleb`, ...",
    "split": "of the dataset",
    "seconds": "length of each clip; missing where recordings are taken whole",
    "repeats": "evaluation runs",
    "seed": "of crops and of everything random in a method",
    "number": "what is measured: `recall_at_10`",
    "title": "as tables print it: `R@10`",
    "metric": "that yields the number: `retrieval`",
    "value": "mean over evaluation runs, a fraction of 1 where the unit is `%`; missing where nothing could be scored",
    "low": "lower end of the 95 % interval over speakers, as `value`; missing where there is none",
    "high": "its upper end",
    "spread": "standard deviation over the evaluation runs",
    "sd": "standard deviation over outputs, where the value is their mean; missing elsewhere and in older files",
    "scored": "outputs that the value stands on",
    "total": "outputs that were asked for",
    "unit": "as tables print it: `%` (`value`, `low`, `high`, `spread` and `sd` are fractions of 1), `dB`, or empty",
    "higher_is_better": "True, False, or missing where neither is",
    "signature": "the number's definition; compare only values of the same one",
    "samples": "of the dataset that were asked for",
    "speakers": "among them",
    "partial": "True where the result cannot be ranked",
    "run_id": "identity of the run",
    "path": "of the file",
}
"""Columns of the frame, and what they hold."""


def frame(paths: str | Path | Iterable[str | Path]) -> DataFrame:
    """One line for each number of each result. Where its unit is `%`, a value is a fraction of 1: 0.85, not 85.

        from benchmark.results import frame
        numbers = frame("leaderboards/results")
        one = numbers.query("task == 'speech2face' and number == 'recall_at_10' and seconds == 5")
        one.sort_values("value").plot.barh(x="label", y="value")

    Runs that differ in `seconds`, `repeats` or `seed` have the same label: choose one of each, as here the length of
    speech.

    Args:
        paths: result files, run directories, or folders that hold such at any depth; one, or several.

    Returns:
        A `DataFrame` with the columns below, also where there is no result. A file below a folder that should be a
        result and is none is left out with a warning.

    Raises:
        UsageError: a path that is not there, or a file that is no result.
        MissingDependency: pandas is not installed.
    """
    from benchmark.errors import MissingDependency
    from benchmark.registry import role
    from benchmark.results.finding import find_results

    try:
        import pandas
    except ModuleNotFoundError as error:
        raise MissingDependency("A frame needs the package pandas: pip install pandas") from error
    found = find_results([paths] if isinstance(paths, str | Path) else paths)
    for line in found.unread:
        warnings.warn(f"left out: {line}", stacklevel=2)
    rows = []
    for kept in found.kept:
        result, spec = kept.result, kept.result.spec
        about = {name: getattr(spec, name) for name in ("method", "task", "dataset", "split", "seconds", "repeats")}
        about |= {name: getattr(result, name) for name in ("label", "preset", "samples", "speakers", "run_id")}
        about |= {
            "role": role(spec.method),
            "seed": spec.seed,
            "partial": bool(result.why_unranked),
            "path": str(kept.path),
        }
        for item in result.aggregates:
            named = {key: value for key, value in item.model_dump().items() if key in COLUMNS}
            rows.append({**about, "number": item.name, **named})
    table = pandas.DataFrame(rows, columns=list(COLUMNS))
    floats = ("seconds", "value", "low", "high", "spread", "sd")
    whole = ("repeats", "seed", "scored", "total", "samples", "speakers")
    return table.astype(
        {**dict.fromkeys(floats, float), **dict.fromkeys(whole, int), "higher_is_better": "boolean", "partial": bool}
    )


frame.__doc__ = f"{inspect.getdoc(frame)}\n\nColumns:\n" + "\n".join(f"    {n}: {text}" for n, text in COLUMNS.items())
