"""What the operating system says of one file is that file's error; remarks made while reading reach the person."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import numpy as np
import pytest
from films import VIDEO, film, noise
from test_evaluation import plan_of
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.datasets.folder import Folder
from benchmark.errors import MediaError
from benchmark.media import audio_header, check_header, read_audio, read_image, read_video, write_audio, write_image
from benchmark.pairs.scoring import PairRequest, score_pairs
from benchmark.runs.scoring import gallery
from benchmark.runs.session import remarks_on
from benchmark.types import Audio, Sample

REFUSALS = [
    PermissionError(errno.EACCES, "Permission denied"),
    OSError(errno.EIO, "Input/output error"),
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    OSError(errno.ESTALE, "Stale file handle"),
]


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: OSError, *, from_stat: bool = False) -> None:
    """Let the operating system refuse every file of a name, whoever opens it."""
    import builtins
    import io

    real_open, real_stat = io.open, Path.stat

    def opening(file: object, *args: object, **options: object) -> object:
        if Path(str(file)).name == name:
            raise error
        return real_open(file, *args, **options)  # type: ignore[call-overload]

    def asking(self: Path, **options: bool) -> object:
        if from_stat and self.name == name:
            raise error
        return real_stat(self, **options)

    monkeypatch.setattr(io, "open", opening)
    monkeypatch.setattr(builtins, "open", opening)
    monkeypatch.setattr(Path, "stat", asking)


@pytest.mark.parametrize("error", REFUSALS, ids=str)
@pytest.mark.parametrize("from_stat", [False, True])
def test_a_file_that_the_system_refuses_is_a_media_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, from_stat: bool
) -> None:
    write_audio(tmp_path / "a.wav", Audio(noise(16_000, 1.0), 16_000))
    write_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    film(tmp_path / "a.mkv", *VIDEO["a.mkv"])
    readers = {"a.wav": (read_audio, audio_header), "a.png": (read_image,), "a.mkv": (read_video, read_audio)}
    for name, several in readers.items():
        with monkeypatch.context() as patched:
            refuse(patched, name, error, from_stat=from_stat)
            for read in (*several, check_header):
                with pytest.raises(MediaError, match=name):
                    read(tmp_path / name)


def test_loops_and_endless_names_are_media_errors(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to(tmp_path / "b.wav")
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    for path in (
        tmp_path / "a.wav",
        tmp_path / ("x" * 300 + ".wav"),
        tmp_path / "a\0.wav",
        tmp_path / "a.wav" / "b.wav",
    ):
        for read in (read_audio, audio_header, check_header):
            with pytest.raises(MediaError):
                read(path)


def person(root: Path, name: str) -> None:
    write_audio(root / name / "a.wav", Audio(noise(16_000, 1.0), 16_000))
    write_audio(root / name / f"{name}.wav", Audio(noise(16_000, 1.0), 16_000))
    write_image(root / name / "f.png", np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("error", REFUSALS, ids=str)
@pytest.mark.parametrize("from_stat", [False, True])
def test_a_file_that_the_system_refuses_is_left_out_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, from_stat: bool
) -> None:
    for name in ("p1", "p2"):
        person(tmp_path / "data", name)
    refuse(monkeypatch, "p1.wav", error, from_stat=from_stat)
    dataset = Folder(tmp_path / "data", tmp_path / "home")
    manifest = dataset.open("test", "speech2face")
    assert [len(sample.inputs["speech"]) for sample in manifest.samples] == [1, 2]
    assert len(dataset.problems) == 1 and "p1/p1.wav" in dataset.problems[0]


def test_a_file_that_vanishes_while_its_content_is_hashed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmark.datasets import folder

    for name in ("p1", "p2"):
        person(tmp_path / "data", name)
    digest = folder._digest

    def vanishing(path: Path) -> bytes:
        if path.name == "p2.wav":
            path.unlink()
        return digest(path)

    monkeypatch.setattr(folder, "_digest", vanishing)
    dataset = Folder(tmp_path / "data", tmp_path / "home")
    assert [len(sample.inputs["speech"]) for sample in dataset.open("test", "speech2face").samples] == [2, 1]
    assert len(dataset.problems) == 1 and "p2/p2.wav" in dataset.problems[0]


def test_a_picture_that_the_system_refuses_is_named_by_the_gallery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    refuse(monkeypatch, "b.png", REFUSALS[1])
    samples = [Sample(name, name, {}, {"face": (tmp_path / f"{name}.png",)}) for name in "ab"]
    identities, problems = gallery(samples)
    assert len(identities) == 1
    assert len(problems) == 2 and "Input/output error" in problems[0] and "'b'" in problems[1]


# ---- remarks reach the person


def gapped(path: Path) -> Path:
    """A film of 3 s whose sound has a gap of a second and whose camera stalls."""
    kept = [k / 25 for k in range(75) if not 20 <= k < 60]
    return film(path, *VIDEO["a.mkv"], times=kept, lost=lambda time: 1 <= time < 2)


def test_remarks_are_kept_on_the_rows_of_a_run(tiny_corpus, tmp_path: Path) -> None:
    from dataclasses import replace

    from benchmark.runs.evaluation import evaluate

    path = gapped(tmp_path / "gap.mkv")
    first, *others = tiny_corpus.samples
    corpus = replace(tiny_corpus, samples=(replace(first, inputs={"speech": (path,)}), *others))
    plan = plan_of(corpus, tmp_path)
    evaluate(plan, None)
    rows = plan.run.predictions()
    told = {key: row.remarks for key, row in rows.items() if row.remarks}
    assert {sample for sample, _ in told} == {first.id}
    assert all(len(texts) == 1 and "sound is missing for" in texts[0] for texts in told.values())
    assert remarks_on(rows.values(), plan.samples) == list(next(iter(told.values())))
    assert remarks_on(rows.values(), others) == []


def test_remarks_are_kept_on_the_rows_of_pairs_and_counted(tmp_path: Path) -> None:
    write_audio(tmp_path / "made" / "three.wav", Audio(noise(16_000, 3.0), 16_000))
    for name in ("one", "two"):
        gapped(tmp_path / "made" / f"{name}.mkv")
    for name in ("one", "two", "three"):
        write_audio(tmp_path / "clean" / f"{name}.wav", Audio(noise(16_000, 3.0), 16_000))
    request = PairRequest(
        tmp_path / "made", tmp_path / "clean", metrics=("si_sdr",), workers=0, out=tmp_path / "scores"
    )
    folder, _, notes = score_pairs(request)[:3]
    assert sum("sound is missing for" in line and line.startswith("2 x ") for line in notes) == 1
    with (folder / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row["remarks"] for row in csv.DictReader(file)}
    assert "silence there" in rows["one"] and "silence there" in rows["two"] and rows["three"] == ""
    _, _, again = score_pairs(request)[:3]
    assert [line for line in again if "silence" in line] == [line for line in notes if "silence" in line]


def test_predict_tells_what_was_done_to_read_its_input(tmp_path: Path) -> None:
    path = gapped(tmp_path / "gap.mkv")
    command = ["predict", "--method", "noisy", "--input", str(path), "--output", str(tmp_path / "out.wav"), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    about = json.loads(result.stdout)
    assert len(about["remarks"]) == 2
    for text in about["remarks"]:
        assert text in result.stderr
    assert np.array_equal(read_audio(tmp_path / "out.wav").samples, read_audio(path).samples)
