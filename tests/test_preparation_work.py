"""Files to products: kept, made again where something changed, gone on with after a kill, never among what is read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from commands import ended

from benchmark.errors import MediaError, PrerequisiteError, UsageError
from benchmark.files import write_whole
from benchmark.media import write_audio
from benchmark.preparation.record import RECORD, Record
from benchmark.preparation.step import LeftOut, Made, Step, renamed
from benchmark.preparation.work import Prepared, prepare
from benchmark.preparation.worklist import in_folder
from benchmark.types import Audio


@dataclass(frozen=True)
class Shout(Step):
    """Upper case, with so many marks; keeps a diary of what it is asked."""

    marks: int = 1

    name: ClassVar[str] = "shout"
    takes: ClassVar[str] = "text"

    def accepts(self, file: str) -> bool:
        return file.endswith((".txt", ".text"))

    def products(self, file: str) -> tuple[str, ...]:
        return (renamed(file, ".out"),)

    def make(self, source: Path, out: Path, products: tuple[str, ...]) -> Made:
        with (out.parent / "diary").open("a") as diary:
            diary.write(f"{source.name}\n")
        text = source.read_text()
        if text == "bad":
            raise MediaError(f"{source}: 3 bad words")
        if text == "odd":
            return 1 // 0  # type: ignore[return-value]
        if text == "rule":
            raise LeftOut("too quiet", "2 dB; expected 3")
        if text == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "stop":
            raise KeyboardInterrupt
        write_whole(out / products[0], lambda partial: partial.write_text(text.upper() + "!" * self.marks))
        return Made(products, {"length": len(text)})


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    (root / "s1").mkdir(parents=True)
    for name, text in {"a.txt": "one", "s1/b.txt": "two", "s1/c.txt": "three"}.items():
        (root / name).write_text(text)
    (root / "picture.jpg").write_text("no text")
    (root / ".hidden.txt").write_text("hidden")
    return root


def shout(root: Path, step: Step | None = None, **options: object) -> Prepared:
    step = step or Shout()
    return prepare(step, in_folder(root, step), root.parent / "out", **options)  # type: ignore[arg-type]


def diary(root: Path) -> list[str]:
    """What was worked on since it was asked last."""
    path = root.parent / "diary"
    lines = sorted(path.read_text().split()) if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def products(root: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(root.parent / "out").items() if name != RECORD}


def record(root: Path) -> dict[str, dict]:
    lines = map(json.loads, (root.parent / "out" / RECORD).read_text().splitlines())
    return {line["source"]: line for line in lines}


def test_products_mirror_the_tree_and_the_record_says_what_came_from_what(texts: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in texts.rglob("*")}
    made = shout(texts)
    assert products(texts) == {"a.out": b"ONE!", "s1/b.out": b"TWO!", "s1/c.out": b"THREE!"}
    assert (made.count("made"), made.kept, made.others) == (3, 0, 1)
    line = record(texts)["s1/b.txt"]
    assert line["products"] == {"s1/b.out": 4} and line["about"] == {"length": 3} and line["state"] == "made"
    assert line["settings"] == {"step": "shout", "version": 1, "marks": 1}
    status = (texts / "s1/b.txt").stat()
    assert (line["size"], line["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
    assert before == {path: path.stat().st_mtime_ns for path in texts.rglob("*")}, "the input is only read"


def test_what_is_there_is_kept_and_what_changed_is_made_again(texts: Path) -> None:
    shout(texts)
    diary(texts)
    assert shout(texts).kept == 3 and diary(texts) == []
    (texts / "a.txt").write_text("other")
    shout(texts)
    assert diary(texts) == ["a.txt"] and products(texts)["a.out"] == b"OTHER!"
    os.utime(texts / "a.txt", ns=(1, 1))
    shout(texts)
    assert diary(texts) == ["a.txt"]
    (texts.parent / "out/s1/b.out").unlink()
    (texts.parent / "out/s1/c.out").write_text("cut")
    shout(texts)
    assert diary(texts) == ["b.txt", "c.txt"] and products(texts)["s1/c.out"] == b"THREE!"
    shout(texts, Shout(2))
    assert diary(texts) == ["a.txt", "b.txt", "c.txt"] and products(texts)["s1/c.out"] == b"THREE!!"


def test_what_a_kill_leaves_of_other_settings_is_not_taken_for_that_of_the_old_ones(texts: Path, tmp_path) -> None:
    """A product of the same size was written, and its line was not."""
    (texts / "s1/b.txt").unlink()
    shout(texts)
    content = (tmp_path / "out/a.out").read_bytes()

    def killed(*_: object) -> None:
        (tmp_path / "out/a.out").write_bytes(content.replace(b"!", b"?"))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Shout, "make", killed)
        shout(texts, Shout(2))
    shout(texts)
    assert products(texts) == {"a.out": b"ONE!", "s1/c.out": b"THREE!"}


def test_what_was_made_of_a_file_goes_with_it(texts: Path) -> None:
    shout(texts)
    (texts / "a.txt").unlink()
    (texts / "s1/b.txt").write_text("bad")
    made = shout(texts)
    assert made.removed == 1 and products(texts) == {"s1/c.out": b"THREE!"} and set(record(texts)) == set(made.lines)


def test_each_file_that_gives_nothing_is_a_line_with_its_reason(texts: Path) -> None:
    for name, text in {"x.txt": "bad", "y.txt": "odd", "z.txt": "rule"}.items():
        (texts / name).write_text(text)
    made = shout(texts)
    lines = made.lines
    assert (made.count("made"), made.count("failed"), made.count("left out")) == (3, 2, 1)
    assert lines["x.txt"].reason == "3 bad words" and lines["x.txt"].kind == "N bad words"
    assert lines["y.txt"].reason.startswith("ZeroDivisionError: ")
    assert (lines["z.txt"].kind, lines["z.txt"].reason) == ("too quiet", "2 dB; expected 3")
    assert {kind: len(alike) for kind, alike in made.reasons("left out").items()} == {"too quiet": 1}
    diary(texts)
    shout(texts)
    assert diary(texts) == [], "a failure is known"
    shout(texts, retry_failed=True)
    assert diary(texts) == ["x.txt", "y.txt"], "and tried again where that is asked for; what a rule took out is not"


def test_a_file_that_kills_its_process_is_one_failed_line_and_processes_make_the_same(texts: Path, tmp_path) -> None:
    alone = shout(texts).lines
    shutil.rmtree(tmp_path / "out")
    (texts / "deadly.txt").write_text("kill")
    made = shout(texts, workers=2)
    assert "the process died" in made.lines.pop("deadly.txt").reason
    assert made.lines == alone


def test_a_command_that_is_stopped_goes_on_where_it_was(texts: Path, tmp_path: Path) -> None:
    (texts / "s1/b.txt").write_text("stop")
    with pytest.raises(KeyboardInterrupt):
        shout(texts)
    assert set(record(texts)) == {"a.txt"} and set(products(texts)) == {"a.out"}
    # What a kill in the middle of writing leaves: a torn line and half a file.
    with (tmp_path / "out" / RECORD).open("a") as file:
        file.write('{"source": "s1/c.t')
    (tmp_path / "out/s1").mkdir()
    half = tmp_path / "out/s1/.4242.b.out"
    half.write_text("TW")
    (texts / "s1/b.txt").write_text("two")
    diary(texts)
    assert shout(texts).kept == 1 and diary(texts) == ["b.txt", "c.txt"]
    assert products(texts) == {"a.out": b"ONE!", "s1/b.out": b"TWO!", "s1/c.out": b"THREE!"}


def test_a_killed_command_leaves_whole_files_and_the_next_one_ends_as_if_nothing_had_been(tmp_path: Path) -> None:
    root = tmp_path / "voices"
    rng = np.random.default_rng(1)
    for number in range(6):
        envelope = np.repeat(rng.random(40) > 0.5, 2000)
        tone = np.sin(np.arange(80_000) * 0.05) * np.sin(np.arange(80_000) * 0.002)
        write_audio(root / f"s{number % 2}/{number}.wav", Audio((0.4 * tone * envelope).astype(np.float32), 16_000))
    code = "from benchmark.cli.main import main; main()"
    words = ["data", "prepare", "log_mel", str(root), "--workers", "0", "--quiet", "--out"]
    killed = subprocess.Popen([sys.executable, "-c", code, *words, str(tmp_path / "out")], stdout=subprocess.DEVNULL)
    lines = tmp_path / "out" / RECORD
    deadline = time.monotonic() + 60
    while killed.poll() is None and time.monotonic() < deadline and not (lines.is_file() and lines.stat().st_size):
        time.sleep(0.001)
    killed.kill()
    killed.wait()
    for path in (tmp_path / "out").rglob("*.npy"):
        if not path.name.startswith("."):
            np.load(path)
    for name in ("out", "whole"):
        assert ended(*words, tmp_path / name).returncode == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_files_of_one_product_are_told(texts: Path) -> None:
    (texts / "a.text").write_text("again")
    made = shout(texts)
    assert made.count("failed") == 1 and products(texts)["a.out"] in (b"ONE!", b"AGAIN!")
    (why,) = (line.reason for line in made.lines.values() if line.state == "failed")
    assert "would be written as a.out" in why


def test_a_product_whose_name_another_file_takes_over_does_not_outlive_that_file(texts: Path) -> None:
    shout(texts)
    (texts / "a.text").write_text("bad")  # comes first in order of name
    made = shout(texts)
    assert made.count("failed") == 2 and "a.out" not in products(texts)


@pytest.mark.parametrize("out", ["in", "in/out", "in/s1/deep", "."])
def test_products_never_lie_among_what_is_read(texts: Path, out: str) -> None:
    with pytest.raises(UsageError, match="only read"):
        prepare(Shout(), in_folder(texts, Shout()), texts.parent / out)
    assert RECORD not in os.listdir(texts)


def test_a_link_to_the_input_is_no_way_into_it(texts: Path) -> None:
    (texts.parent / "link").symlink_to(texts)
    with pytest.raises(UsageError, match="only read"):
        prepare(Shout(), in_folder(texts, Shout()), texts.parent / "link" / "out")


def test_products_need_a_folder(texts: Path) -> None:
    (texts.parent / "out").write_text("a file")
    with pytest.raises(UsageError, match="is a file; expected a folder"):
        shout(texts)


def test_a_folder_of_something_else_is_left_alone(texts: Path) -> None:
    out = texts.parent / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"'mine\.txt' is in it"):
        shout(texts)
    assert tree(out) == {"mine.txt": b"mine"}


@pytest.mark.parametrize("name", ["../in/a.txt", "/etc/x", RECORD])
def test_a_record_cannot_have_files_deleted_elsewhere(texts: Path, name: str) -> None:
    shout(texts)
    path = texts.parent / "out" / RECORD
    path.write_text(path.read_text().replace('"a.out"', json.dumps(name)))
    (texts / "a.txt").write_text("changed")
    with pytest.raises(UsageError, match="line 1 is no line of a record"):
        shout(texts)
    assert (texts / "a.txt").exists()


def test_two_commands_do_not_write_into_one_folder(texts: Path) -> None:
    with Record(texts.parent / "out").held(), pytest.raises(PrerequisiteError, match="Another process"):
        shout(texts)


def test_a_folder_without_a_file_of_the_kind_is_told(texts: Path, tmp_path: Path) -> None:
    for path in texts.rglob("*.txt"):
        path.unlink()
    with pytest.raises(UsageError, match="No file under .* text"):
        shout(texts)
    with pytest.raises(UsageError, match="is not a folder"):
        in_folder(tmp_path / "nowhere", Shout())
