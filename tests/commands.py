"""The command line in this process: a start of Python with torch takes some seconds, and a test has many commands."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from benchmark.cli.main import main

ROOT = Path(__file__).parent.parent


def ended(*words: object, cwd: Path = ROOT) -> CompletedProcess[str]:
    """What `python -m benchmark WORDS` prints, and its exit code."""
    line = ["benchmark", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", line),
        mock.patch.dict(os.environ),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            return CompletedProcess(line, end.code, out.getvalue(), err.getvalue())
    raise AssertionError("a command ends with an exit code")
