"""The verb `weights` on weights that a test puts into the table."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import CONTENT, SHA256, Server, serving
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from benchmark.cli import console
from benchmark.cli.main import app
from benchmark.errors import MissingWeights, PrerequisiteError, UsageError
from benchmark.weights import table
from benchmark.weights.published import File, Weights


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as state:
        yield state


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> Path:
    """A folder of one's own, and a table of two networks: of one file, and of two."""
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.others = {"a.json": b"{}"}
    one = File("toy.dat", server.url, SHA256, len(CONTENT))
    two = (File("pair/b.dat", server.url, SHA256), File("pair/a.json", server.url.replace("/file", "/a.json")))
    about = dict(source="a toy", purpose="tests", used_by="--face-network toy", limits="research only")
    monkeypatch.setattr(
        table,
        "TABLE",
        {
            "toy": Weights("toy", (one,), "CC BY-NC 4.0", **about),
            "pair": Weights("pair", two, "MIT", **about),
        },
    )
    return tmp_path / "home"


def run(*words: str, fails: type[Exception] | None = None, **options: str) -> Result:
    result = CliRunner().invoke(app, ["weights", *words], **options)
    if fails:
        assert isinstance(result.exception, fails), result.output
    else:
        assert result.exit_code in (0, 1) and not (result.exception and result.exit_code == 0), result.output
    return result


def test_the_licence_is_shown_and_has_to_be_accepted(home: Path, server: Server) -> None:
    refused = run("fetch", "toy", fails=PrerequisiteError)
    assert "Licence: CC BY-NC 4.0; research only" in refused.stderr
    assert str(refused.exception).endswith("python -m benchmark weights fetch toy --accept-license")
    assert not server.asked and not (home / "weights").exists()
    fetched = run("fetch", "toy", "--accept-license")
    assert fetched.stdout == f"{home / 'weights' / 'toy.dat'}\n" and "Licence: CC BY-NC 4.0" in fetched.stderr
    assert "toy: MiB 3/3" in fetched.stderr
    assert run("fetch", "toy").exit_code == 0 and len(server.asked) == 1, "what is here asks nothing"


@pytest.mark.parametrize(("answer", "comes"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_it_is_asked_for(
    answer: str, comes: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.cli.weights._on_a_terminal", lambda: True)
    result = run("fetch", "pair", input=answer, fails=None if comes else PrerequisiteError)
    assert "Do you accept it? [y/N]" in result.stderr and bool(server.asked) == table.is_here("pair") == comes


def test_verify_reports_each_file_and_exits_with_1_where_one_is_wrong(home: Path) -> None:
    assert run("verify").stderr.startswith("0 files of 0 networks")
    run("fetch", "toy", "--accept-license")
    run("fetch", "pair", "--accept-license")
    sound = run("verify")
    assert sound.exit_code == 0 and sound.stdout.count("ok") == 3 and SHA256 in sound.stdout
    (home / "weights" / "toy.dat").write_bytes(CONTENT[:1000])
    (home / "weights" / "pair" / "b.dat").write_bytes(CONTENT[::-1])
    (home / "weights" / "pair" / "a.json").unlink()
    wrong = run("verify")
    assert (
        wrong.exit_code == 1 and wrong.stdout.count("WRONG") == 3 and "3 files of 2 networks, 3 wrong" in wrong.stderr
    )
    assert "cut short: 1000 of 3000000 bytes" in wrong.stdout and "sha256 published" in wrong.stdout
    assert "a.json is not there, beside others" in wrong.stdout
    rows = json.loads(run("verify", "pair", "--json").stdout)
    assert [(row["weights"], row["sound"], Path(row["path"]).name) for row in rows] == [
        ("pair", False, "b.dat"),
        ("pair", False, "a.json"),
    ]


def test_verify_of_a_name_wants_it_here() -> None:
    """Absent is not wrong, and is no file."""
    for name in ("toy", "pair"):
        absent = run("verify", name)
        assert absent.exit_code == 1 and f"weights fetch {name}" in absent.stdout
        assert absent.stdout.startswith(f"absent  {name}") and absent.stdout.count("are not here") == 1
        assert "WRONG" not in absent.stdout
        assert absent.stderr.strip().endswith("0 files of 0 networks, none wrong; 1 network not here")
        (row,) = json.loads(run("verify", name, "--json").stdout)
        assert (row["here"], row["sound"]) == (False, False)


def test_what_nobody_publishes_is_said_wherever_it_matters(home: Path, tmp_path: Path) -> None:
    """`a.json` has neither sha256 nor size; of `toy.dat` both are known."""
    assert "Held to: the sha256 that is published" in run("show", "toy").stdout
    told = "neither sha256 nor exact size of a.json is published"
    lock = home / "weights" / "weights.lock.json"
    shown = run("show", "pair").stdout
    assert told in shown and str(lock) in shown
    rows = {row["weights"]: row for row in json.loads(run("list", "--json").stdout)}
    assert told in rows["pair"]["held to"] and rows["toy"]["held to"] == "the sha256 that is published"
    assert "published" in run("list").stdout.splitlines()[1] and "first copy's" in run("list").stdout.splitlines()[2]
    assert told in run("fetch", "pair", "--accept-license").stderr
    assert told not in run("fetch", "toy", "--accept-license").stderr
    sha256 = hashlib.sha256(b"{}").hexdigest()
    assert json.loads(lock.read_text()) == {"pair/a.json": sha256}
    lines = {line.split()[2]: line for line in run("verify").stdout.splitlines()}
    assert lines["a.json"].endswith(f"{sha256}  (of the first copy here: none is published)")
    assert lines["b.dat"].endswith(SHA256) and lines["toy.dat"].endswith(SHA256)
    (home / "weights" / "pair" / "a.json").write_text("{ }")
    changed = run("verify", "pair")
    assert changed.exit_code == 1 and "sha256 recorded: " + sha256 in changed.stdout
    (tmp_path / "a.json").write_text("{}")
    assert told in run("add", "pair", str(tmp_path / "a.json")).stderr


def test_a_size_that_is_only_about_so_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = [line for line in CliRunner().invoke(app, ["weights", "list"]).stdout.splitlines() if line[:3] == "toy"]
    assert " 2.9 " in row
    sized = dataclasses.replace(table.TABLE["pair"], about_mib=12.5)
    monkeypatch.setitem(table.TABLE, "pair", sized)
    (row,) = [line for line in CliRunner().invoke(app, ["weights", "list"]).stdout.splitlines() if line[:4] == "pair"]
    assert " ~12.5 " in row


def test_add_needs_no_name_where_the_file_tells_it(tmp_path: Path, home: Path) -> None:
    (tmp_path / "download (1)").write_bytes(CONTENT)
    named = run("add", "toy", str(tmp_path / "download (1)"))
    assert (
        named.stdout == f"{home / 'weights' / 'toy.dat'}\n"
        and "toy: licence CC BY-NC 4.0; research only" in named.stderr
    )
    (tmp_path / "pair").mkdir()
    (tmp_path / "pair" / "b.dat").write_bytes(CONTENT)
    (tmp_path / "pair" / "a.json").write_text("{}")
    assert run("add", str(tmp_path / "pair")).stdout == f"{home / 'weights' / 'pair'}\n"
    run("add", str(tmp_path / "download (1)"), fails=UsageError)  # of both by its sha256
    (tmp_path / "page").write_text("<html><title>Sign in</title>")
    assert "a web page ('Sign in')" in str(run("add", "toy", str(tmp_path / "page"), fails=MissingWeights).exception)


def test_the_list_says_what_is_here_and_under_which_terms(home: Path) -> None:
    (home / "weights" / "pair").mkdir(parents=True)
    (home / "weights" / "pair" / "a.json").write_text("{}")
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == ["weights", "here", "MiB", "sha256", "licence", "for"]
    assert lines[1].split("  ")[0] == "toy" and "CC BY-NC 4.0; research only" in lines[1] and " no " in lines[1]
    assert "in part" in lines[2] and " ? " in lines[2], "the size of one file is not stated"
    (home / "weights" / "toy.dat.part").write_bytes(b"x")
    rows = json.loads(run("list", "--json").stdout)
    assert [(row["weights"], row["here"], row["limits"]) for row in rows] == [
        ("toy", "in part", "research only"),
        ("pair", "in part", "research only"),
    ]
    assert rows[0]["files"][0] == {
        "name": "toy.dat",
        "url": table.TABLE["toy"].files[0].url,
        "sha256": SHA256,
        "bytes": len(CONTENT),
    }
    assert json.loads(CliRunner().invoke(app, ["list", "weights", "--json"]).stdout) == rows


def test_what_is_shown_of_one(home: Path, server: Server) -> None:
    shown = run("show", "toy").stdout
    for words in ("Licence: CC BY-NC 4.0; research only", SHA256, server.url, "Here: no", "weights add toy FILE"):
        assert words in shown
    run("fetch", "toy", "--accept-license")
    assert "Here: yes" in run("show", "toy").stdout and "not here" not in run("show", "toy").stdout
    assert json.loads(run("show", "pair", "--json").stdout)["licence"] == "MIT"


@pytest.mark.parametrize("width", [80, 120])
def test_the_whole_list_fits_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(console, "WIDTH", width)
    lines = CliRunner().invoke(app, ["weights", "list"]).stdout.splitlines()
    assert max(map(cell_len, lines)) <= width
    assert {name for name in table.TABLE if any(line.split(" ")[0] == name for line in lines)} == set(table.TABLE)
