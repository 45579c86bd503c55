"""The command line: `python -m benchmark VERB`."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from benchmark import __version__
from benchmark.cli.console import complain
from benchmark.cli.ending import Requests, heeded
from benchmark.cli.streams import steady
from benchmark.errors import BenchmarkError, MediaError, PrerequisiteError, UsageError
from benchmark.reports.escaping import printable_lines

app = typer.Typer(
    name="benchmark",
    help="FaceVoice Bench: evaluate systems that cross voice and face.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"facevoice-bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def _register() -> None:
    from benchmark.cli import (
        compare,
        data,
        doctor,
        figure,
        generate,
        leaderboard,
        listing,
        predict,
        run,
        score,
        show,
        speed,
        table,
        train,
        weights,
    )

    app.command("run")(run.run)
    app.command("generate")(generate.generate)
    app.command("score")(score.score)
    app.command("predict")(predict.predict)
    app.command("speed")(speed.speed)
    app.command("train")(train.train)
    app.command("figure")(figure.figure)
    app.command("compare")(compare.compare)
    app.command("table")(table.table)
    app.command("list")(listing.listing)
    app.command("show")(show.show)
    app.add_typer(data.app, name="data")
    app.add_typer(weights.app, name="weights")
    app.add_typer(leaderboard.app, name="leaderboard")
    app.command("doctor")(doctor.doctor)


_register()


def main() -> None:
    """Run a verb.

    Exit codes: 0 fine, 1 more failures than allowed, 2 usage (a file that is named and cannot be used is one) or a
    missing prerequisite (room on a disk is one), 130 interrupted, 128 and its number where a signal asked for the end
    (143 for SIGTERM).
    """
    output = steady()
    _settle_matplotlib()
    with heeded() as requests:
        code = _exit_code(requests)
    output.flush()
    if output.failure is not None and not isinstance(output.failure, BrokenPipeError):
        complain(f"standard output: {output.failure.strerror}")
        code = 2
    raise SystemExit(code)


def _settle_matplotlib() -> None:
    """Figures are files, whatever a notebook or a display asks for; and nobody needs a home to draw one."""
    os.environ["MPLBACKEND"] = "agg"
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where its settings cannot be kept it says so at length
    try:
        Path.home()
    except RuntimeError:
        from benchmark.weights.table import home

        os.environ.setdefault("MPLCONFIGDIR", str(home() / "matplotlib"))


def _exit_code(requests: Requests) -> Any:
    try:
        app(prog_name="python -m benchmark", standalone_mode=True)
    except SystemExit as ended:
        if ended.code == 2:  # the words of the command are wrong, which it has said
            for line in whose_options(sys.argv[1:]):
                print(printable_lines(line), file=sys.stderr)
        return _interrupted(requests) if ended.code == 130 else ended.code
    except KeyboardInterrupt:
        return _interrupted(requests)
    except (UsageError, PrerequisiteError, MediaError) as error:  # a file in a list is a row; this one was named
        complain(str(error))
        return 2
    except BenchmarkError as error:
        complain(str(error))
        return 1
    except OSError as error:  # a path of the user's that cannot be read or written, or a full disk
        if error.filename is None and error.errno not in _SURROUNDINGS:
            raise
        complain(_told(error))
        return 2
    return 0


def whose_options(words: Sequence[str]) -> list[str]:
    """Of the options of a command line that its verb does not take, those that others do; and settings without --set.

    A line for each.
    """
    verbs = {verb.name: verb for verb in app.registered_commands}
    taken = {name: _options_of(verb) for name, verb in verbs.items() if name}
    own = taken.get(words[0]) if words else None
    if own is None:
        return []
    loose = [
        word
        for before, word in zip(words, words[1:], strict=False)
        if re.match(r"[a-z_.]+=", word) and not before.startswith("-")
    ]
    asked = dict.fromkeys(word.partition("=")[0] for word in words[1:] if word.startswith("--"))
    found = {word: [name for name, options in taken.items() if word in options] for word in asked if word not in own}
    return [
        f"{word} is an option of {', '.join(f'`{name}`' for name in names)}, not of `{words[0]}`"
        + (", which takes a run, or files, as they are" if words[0] == "score" else "")
        for word, names in found.items()
        if names
    ] + [f"A setting stands behind --set: --set {word}" for word in loose if "--set" in own]


def _options_of(verb: typer.models.CommandInfo) -> set[str]:
    """`--label` and all others."""
    command = typer.main.get_command_from_info(verb, pretty_exceptions_short=False, rich_markup_mode=None)
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_SURROUNDINGS = (*_FULL, *_FORBIDDEN, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOENT)
"""What is the machine's and not a mistake of this program, even where no file is named."""


def _told(error: OSError) -> str:
    """The file, what is wrong with it, and what to do."""
    from benchmark.weights.table import home

    told = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error.strerror)
    if error.errno in _FULL:
        return f"{told}. Make room and give the command again: what was finished is kept"
    if error.errno in _FORBIDDEN and Path(os.fsdecode(error.filename or "")) in (home(), *home().parents):
        return f"{told}. Data are kept in {home()}; set FACEVOICE_BENCH_HOME to another folder"
    return told


def _interrupted(requests: Requests) -> int:
    why, code = ("Interrupted", 130) if requests.first is None else (requests.first.name, 128 + requests.first)
    print(f"{why}. What was finished is kept: the same command continues from there.", file=sys.stderr)
    return code
