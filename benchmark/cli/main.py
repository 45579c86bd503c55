"""The command line: `python -m benchmark VERB`."""

from __future__ import annotations

import sys

import typer

from benchmark import __version__
from benchmark.errors import BenchmarkError, PrerequisiteError, UsageError
from benchmark.reports.escaping import printable, printable_lines

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
    from benchmark.cli import data, doctor, generate, listing, predict, run, score, show, speed, train, weights

    app.command("run")(run.run)
    app.command("generate")(generate.generate)
    app.command("score")(score.score)
    app.command("predict")(predict.predict)
    app.command("speed")(speed.speed)
    app.command("train")(train.train)
    app.command("list")(listing.listing)
    app.command("show")(show.show)
    app.add_typer(data.app, name="data")
    app.add_typer(weights.app, name="weights")
    app.command("doctor")(doctor.doctor)


_register()


def main() -> None:
    """Run a verb.

    Exit codes: 0 fine, 1 more failures than allowed, 2 usage or a missing prerequisite, 130 interrupted.
    """
    try:
        try:
            app(prog_name="python -m benchmark", standalone_mode=True)
        except SystemExit as ended:
            if ended.code == 130:
                raise KeyboardInterrupt from None
            raise
    except (UsageError, PrerequisiteError) as error:
        print(printable_lines(f"error: {error}"), file=sys.stderr)
        raise SystemExit(2) from None
    except BenchmarkError as error:
        print(printable_lines(f"error: {error}"), file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("Interrupted. What was finished is kept: the same command continues from there.", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # the reader of a pipe went away
        sys.stderr.close()
        raise SystemExit(0) from None
    except OSError as error:  # a path of the user's that cannot be read or written, or a full disk
        if error.filename is None:
            raise
        print(printable(f"error: {error.filename}: {error.strerror}"), file=sys.stderr)
        raise SystemExit(2) from None
