"""Terminals, readers, disks and homes that fail a command: what was measured is kept, printed, and told in a line."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from test_evaluation import plan_of, pool_of
from test_tables import result
from typer.testing import CliRunner

from benchmark.cli import main as command_line
from benchmark.cli import tables
from benchmark.cli.console import print_table
from benchmark.cli.ending import Requests
from benchmark.files import naming, write_whole
from benchmark.media import write_audio, write_image
from benchmark.reports.figures import drawn_text, figure_file
from benchmark.reports.parts import Parts
from benchmark.runs.directory import Prediction, RunDirectory
from benchmark.runs.evaluation import conclude, evaluate
from benchmark.types import Audio
from benchmark.weights.table import home

ROOT = Path(__file__).parent.parent
FULL = OSError(errno.ENOSPC, "No space left on device")


def python(code: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess:
    """Run code in a process of its own; `shell` stands behind the command, as in `>&-` or `| head -1`."""
    line = f'set -o pipefail; "{sys.executable}" -c "$CODE" {shell}'
    return subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **environment, "CODE": code},
        timeout=120,
        check=False,
    )


def benchmark(words: str, shell: str = "", **environment: str) -> subprocess.CompletedProcess:
    code = f"import sys; sys.argv[1:] = {words.split()!r}; from benchmark.cli.main import main; main()"
    return python(code, shell, **environment)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    found = result("sf2f — 日本")
    (folder / "result.json").write_text(found.model_dump_json(), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps({"spec": found.spec.model_dump()}))
    return folder


# -- streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_no_character_ends_a_command(run, encoding):
    done = benchmark(f"show {run}", PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and done.stderr == b""
    text = done.stdout.decode(encoding)
    assert "12.3" in text and ("R@10 % ↑" if encoding == "utf-8" else "R@10 % ^") in text
    found = json.loads(benchmark(f"show {run} --json", PYTHONIOENCODING=encoding).stdout.decode(encoding))
    assert found["label"] == "sf2f — 日本"


def test_what_an_encoding_lacks_is_written_plainly():
    done = python("from benchmark.cli.streams import steady; steady(); print('↑↓…日\\udce9')", PYTHONIOENCODING="ascii")
    assert done.stdout == b"^v...\\u65e5\\udce9\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_an_output_that_cannot_be_kept_is_told_at_the_end(tmp_path):
    done = benchmark("list methods", "> /dev/full")
    assert done.returncode == 2
    assert done.stderr.decode() == "error: standard output: No space left on device\n"
    code = "from benchmark.cli.streams import steady; steady(); print('x' * 99999);"
    code += f"open({str(tmp_path / 'after')!r}, 'w').write('done')"
    assert python(code, "> /dev/full").returncode == 0
    assert (tmp_path / "after").read_text() == "done"


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_files_of_others(tmp_path, closed):
    assert benchmark("list methods", closed).returncode == 0
    code = (
        "from benchmark.cli.streams import steady; steady(); import os, sys; print('lost'); sys.stdout.flush();"
        f"file = open({str(tmp_path / 'scores')!r}, 'w'); file.write(str(file.fileno())); os.write(1, b'x');"
        "import subprocess; subprocess.run(['sh', '-c', 'echo >&1 && echo >&2'], check=True)"
    )
    assert python(code, closed).returncode == 0
    assert int((tmp_path / "scores").read_text()) > 2


def test_a_reader_who_leaves_changes_no_exit_code(run):
    done = benchmark(f"show {run} --json", "| head -c 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{", b"")
    done = benchmark("show nothing", "2>&1 | head -c 1")
    assert (done.returncode, done.stdout) == (2, b"e")


@pytest.mark.parametrize("columns", ["1", "20", "33", "80"])
def test_narrow_terminals_cut_no_word_or_number(monkeypatch, capsys, columns):
    heads = ["", "value", "95 % interval over files (from 5 files on)", "scored", "signature"]
    cells = ["SI-SDR dB ↑", "-12.345678", "[-13.456, 98765.43]", "1000/1000", "si_sdr|fs:16000|v1"]
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(heads, [cells])
    shown = re.sub("\x1b[^m]*m", "", capsys.readouterr().out).split()
    assert sorted(shown) == sorted(" ".join(heads + cells).split())


# -- disks and homes -------------------------------------------------------------------------------------------------


def full(*_: object, **__: object) -> None:
    raise OSError(*FULL.args)


def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch):
    picture, sound = np.zeros((8, 8, 3), np.uint8), Audio(np.zeros(9, np.float32), 16_000)
    run = RunDirectory(tmp_path / "run")
    row = Prediction("a", "a", 0, "failed", reason="r")
    run.append_predictions([row])
    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(os, "fsync", full)
    for name, write in {
        "face.png": lambda: write_image(tmp_path / "face.png", picture),
        "clean.wav": lambda: write_audio(tmp_path / "clean.wav", sound),
        "run/result.json": lambda: run.write_document("result.json", "{}"),
        "run/predictions.jsonl": lambda: run.append_predictions([row]),
    }.items():
        with pytest.raises(OSError) as caught:
            write()
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_numbers_whose_file_cannot_be_written_are_printed_first(tiny_corpus, tmp_path, monkeypatch, capsys):
    plan, pool = plan_of(tiny_corpus, tmp_path / "runs"), pool_of(tiny_corpus)
    evaluate(plan, pool)
    monkeypatch.setattr(RunDirectory, "write_document", full)
    unwritten = []
    result = conclude(plan.view, pool.scorer, unwritten)
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space left"):
        tables.finish(
            plan.view,
            [result],
            [],
            signatures=False,
            as_json=False,
            quiet=True,
            allowed=0,
            scorer=pool.scorer,
            retried=False,
            asked=(),
            unwritten=unwritten,
        )
    assert "36/36" in capsys.readouterr().out


def test_a_file_is_whole_or_is_not_there(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    assert write_whole(path, lambda partial: partial.write_text("old")) == path

    def torn(partial: Path) -> None:
        partial.write_text("ne")
        full()

    with pytest.raises(OSError, match=r"No space left on device: '.*deep/a\.txt'"):
        write_whole(path, torn)
    with pytest.raises(ZeroDivisionError):
        write_whole(path, lambda partial: 1 // 0)
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
    with pytest.raises(FileNotFoundError, match="other"):  # a file that is read keeps its own name
        write_whole(path, lambda partial: Path("other").read_text())
    with pytest.raises(OSError, match=r"No space left.*: 'x'"), naming(Path("x")):
        full()
    with pytest.raises(OSError, match="'y'"), naming(Path("x")):
        raise OSError(errno.EACCES, "no", "y")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), "a.png: No space left on device. Make room and"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "Disk quota exceeded. Make room and"),
        (OSError(errno.EROFS, "Read-only file system", "runs/x"), "runs/x: Read-only file system\n"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files\n"),
    ],
)
def test_a_failing_machine_is_one_line_and_2(monkeypatch, capsys, error, told):
    def app(**_: object) -> None:
        raise error

    monkeypatch.setattr(command_line, "app", app)
    assert command_line._exit_code(Requests()) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")
    monkeypatch.setattr(command_line, "app", lambda **_: 1 // 0)
    with pytest.raises(ZeroDivisionError):  # a mistake of this program keeps its traceback
        command_line._exit_code(Requests())


def test_a_home_that_cannot_be_written_says_what_to_set(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "ours"))

    def app(**_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "ours"))

    monkeypatch.setattr(command_line, "app", app)
    assert command_line._exit_code(Requests()) == 2
    assert "ours: Permission denied. Data are kept in" in (told := capsys.readouterr().err)
    assert told.endswith("set FACEVOICE_BENCH_HOME to another folder\n")


def test_nobody_needs_a_home(monkeypatch):
    for name in ("FACEVOICE_BENCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert home() == Path(tempfile.gettempdir(), f"facevoice-bench-{os.getuid()}")


# -- figures and reports ---------------------------------------------------------------------------------------------


def drawn(path: Path) -> bytes:
    with figure_file(path, 2, 2, dpi=50) as figure:
        figure.add_subplot().set_title(drawn_text("$a_b 日\n"))
    return path.read_bytes()


def test_figures_are_alike_whatever_backend_and_style_are_set(tmp_path):
    expected = drawn(tmp_path / "a.png")
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40, "savefig.transparent": True}):
        assert drawn(tmp_path / "b.png") == expected
        assert matplotlib.rcParams["font.size"] == 40
    code = (
        "from pathlib import Path; from benchmark.reports.figures import figure_file, drawn_text\n"
        f"with figure_file(Path({str(tmp_path / 'c.png')!r}), 2, 2, dpi=50) as figure:\n"
        "    figure.add_subplot().set_title(drawn_text('$a_b 日\\n'))"
    )
    for backend in ("nonsense", "module://no.such.module", "TkAgg"):
        (tmp_path / "c.png").unlink(missing_ok=True)
        done = python(code, MPLBACKEND=backend, DISPLAY="")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "c.png").read_bytes() == expected


def test_a_figure_that_fails_leaves_no_older_one(tmp_path):
    drawn(tmp_path / "a.png")
    with pytest.raises(ZeroDivisionError), figure_file(tmp_path / "a.png", 2, 2, dpi=50):
        _ = 1 // 0
    assert not list(tmp_path.iterdir())


def test_a_part_of_a_report_that_fails_costs_itself_alone(tmp_path):
    parts = Parts(tmp_path / "report")
    with parts.part("a.png"):
        raise ValueError("no such\nfont")
    with parts.part("b.md") as path:
        write_whole(path, lambda partial: partial.write_text("b"))
    with parts.part("c.png"):
        full()
    assert parts.notes == [
        f"{tmp_path}/report/a.png could not be made: ValueError: no such font",
        f"{tmp_path}/report/c.png could not be made: No space left on device",
    ]
    assert [path.name for path in parts.folder.iterdir()] == ["b.md"]
    with pytest.raises(KeyboardInterrupt), parts.part("d"):
        raise KeyboardInterrupt


def test_numbers_are_printed_and_kept_where_nothing_can_be_drawn(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    for name in "abc":
        clean = random.standard_normal(8000).astype(np.float32) / 10
        write_audio(tmp_path / "clean" / f"{name}.wav", Audio(clean, 16_000))
        write_audio(tmp_path / "made" / f"{name}.wav", Audio(clean + 0.01 * clean[::-1], 16_000))

    def undrawable(*_: object, **__: object) -> None:
        raise RuntimeError("no fonts here")

    monkeypatch.setattr("benchmark.pairs.report.distributions", undrawable)
    words = ["score", "-r", "clean", "-e", "made", "--metrics", "si_sdr", "--workers", "0", "--out", "out"]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command_line.app, words)
    assert done.exit_code == 0
    assert re.search(r"SI-SDR dB ↑ +\d+\.\d+ .* 3/3", done.stdout)
    assert "out/report/distributions.png could not be made: RuntimeError: no fonts here" in done.stderr
    assert {path.name for path in (tmp_path / "out" / "report").iterdir()} == {"table.md", "table.csv", "table.tex"}
    assert json.loads((tmp_path / "out" / "result.json").read_text())["pairs"] == 3
