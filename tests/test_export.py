"""Mixtures as files: the same that a method is given, deterministic, resumable, scored as references."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from benchmark.cli.main import app
from benchmark.datasets.folder import Folder
from benchmark.errors import UsageError
from benchmark.media import read_audio, read_video, write_audio, write_image, write_video
from benchmark.pairs.scoring import PairRequest, score_pairs
from benchmark.runs.export import Export, write_mixtures
from benchmark.runs.session import Request, Session
from benchmark.tasks import Protocol, get_task
from benchmark.types import Audio

RATE = 16_000
ENHANCE = get_task("av_enhancement")
WHOLE = Protocol(None, 1)


def voice(seed: int, seconds: float = 1.5) -> np.ndarray:
    """Noise whose loudness moves as syllables do."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * (1 + np.sin(2 * np.pi * (3 + seed) * time)) * random.standard_normal(len(time))).astype(np.float32)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four people with a video each, whose pictures differ from one to the next."""
    root = tmp_path / "people"
    for number, person in enumerate(("anna", "bo", "cy", "dan")):
        (root / person).mkdir(parents=True)
        frames = np.random.default_rng(number).integers(0, 255, (38, 48, 64), np.uint8)
        write_video(root / person / "clip.mkv", frames, 25, Audio(voice(number), RATE))
        (root / person / "clip.txt").write_text(f"bin blue, at f {['one', 'two', 'three', 'four'][number]} now")
    return root


@pytest.fixture
def export(root: Path, tmp_path: Path) -> Export:
    manifest = Folder(root, tmp_path / "home").open("test", "av_enhancement")
    return Export(manifest, ENHANCE, WHOLE, tmp_path / "out")  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "mixtures.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("seconds", [None, 1.25, 2.0])
def test_the_files_are_what_a_method_is_given(export: Export, seconds: float | None) -> None:
    export = replace(export, protocol=Protocol(seconds, 1), seed=3)
    made = write_mixtures(export)
    assert (made.mixtures, made.kept, made.failed) == (4, 0, {})
    rows = table(export.folder)
    assert [row["id"] for row in rows] == sorted(sample.id for sample in export.manifest.samples)
    for sample, row in zip(export.manifest.samples, rows, strict=True):
        given = ENHANCE.open(sample, 0, export.protocol, 3, "any weights")
        noisy, clean = (read_audio(export.folder / row[kind], None) for kind in ("noisy", "clean"))
        assert noisy.rate == clean.rate == RATE
        assert np.array_equal(noisy.samples, given.inputs["noisy"].samples)
        assert np.array_equal(clean.samples, given.truth.samples)
        pictures = read_video(export.folder / row["video"], 25)
        assert np.array_equal(pictures, np.repeat(given.inputs["video"].frames[..., None], 3, axis=3))
        about = sample.attributes
        assert (row["speaker"], row["noise"], float(row["snr_db"])) == (sample.speaker, about["noise"], about["snr_db"])
        assert row["text"] == about["text"] and float(row["seconds"]) == noisy.seconds


def test_the_files_are_those_of_a_run(export: Export, root: Path, tmp_path: Path) -> None:
    write_mixtures(export)
    session = Session(
        Request("noisy", task="av_enhancement", dataset="folder", data_root=root, references=False, workers=0,
                metrics=("si_sdr",), device="cpu", runs=tmp_path / "runs")
    )  # fmt: skip
    (plan,) = session.plans()
    (result,) = session.run([plan])
    for row in table(export.folder):
        made = plan.run.predictions()[row["id"], 0]
        assert made.file and (plan.run.path / made.file).read_bytes() == (export.folder / row["noisy"]).read_bytes()
    tables = str(export.folder / "mixtures.csv")
    request = PairRequest(
        export.folder / "noisy", export.folder / "clean", Path(tables), tables, metrics=("si_sdr",), workers=0,
        out=tmp_path / "scores",
    )  # fmt: skip
    _, scored, _ = score_pairs(request)[:3]
    known = scored.aggregate("si_sdr")
    assert known and known.value == result.aggregates[0].value and scored.speakers == 4


def test_the_same_list_gives_the_same_bytes_whatever_happened_before(export: Export, tmp_path: Path) -> None:
    write_mixtures(export)
    expected = contents(export.folder)
    other = replace(export, folder=tmp_path / "other")
    assert write_mixtures(other, 2).mixtures == 2 and len(table(other.folder)) == 2
    # Killed while it wrote: a torn line, a file that is not there, and what atomic writes leave.
    rows = (other.folder / "mixtures.jsonl").read_text()
    (other.folder / "mixtures.jsonl").write_text(rows + '{"id": "half')
    (other.folder / "clean" / f"{table(other.folder)[0]['id']}.wav").unlink()
    made = write_mixtures(other)
    assert (made.mixtures, made.kept) == (4, 1)
    assert contents(other.folder) == expected
    again = write_mixtures(other, 2)
    assert (again.mixtures, again.kept) == (2, 2) and contents(other.folder) == expected, (
        "a smaller limit takes nothing"
    )


def test_a_kill_between_any_two_files_loses_nothing(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mixtures(replace(export, folder=tmp_path / "whole"))
    calls, stop = 0, 0

    def dying(path: Path, audio: Audio) -> None:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        write_audio(path, audio)

    monkeypatch.setattr("benchmark.runs.export.write_audio", dying)
    for stop in range(1, 9):
        calls = 0
        with pytest.raises(KeyboardInterrupt):
            write_mixtures(replace(export, folder=tmp_path / f"out{stop}"))
    monkeypatch.undo()
    for stop in range(1, 9):
        write_mixtures(replace(export, folder=tmp_path / f"out{stop}"))
        assert contents(tmp_path / f"out{stop}") == contents(tmp_path / "whole")


def test_a_folder_of_something_else_is_refused(export: Export) -> None:
    export.folder.mkdir()
    (export.folder / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="not empty and holds no export .'thesis.tex'"):
        write_mixtures(export)
    assert contents(export.folder) == {"thesis.tex": b"x"}
    (export.folder / "thesis.tex").unlink()
    write_mixtures(export, 1)
    for more, what in (
        ({"seed": 1}, "seed"),
        ({"pictures": "none"}, "video"),
        ({"protocol": Protocol(2, 1)}, "seconds"),
    ):
        with pytest.raises(UsageError, match=rf"another export \(it differs in {what}\)"):
            write_mixtures(replace(export, **more))
    (export.folder / "export.json").write_text("{")
    with pytest.raises(UsageError, match=r"export\.json is not JSON"):
        write_mixtures(export)
    with pytest.raises(UsageError, match="is a file"):
        write_mixtures(replace(export, folder=export.folder / "mixtures.csv"))
    with pytest.raises(UsageError, match="expected one of crops, files, none"):
        write_mixtures(replace(export, pictures="all"))


def test_the_videos_of_the_corpus_are_copied_on_request(export: Export, root: Path) -> None:
    (root / "bo" / "clip.mkv").chmod(0o400)
    write_mixtures(replace(export, pictures="files"))
    for row in table(export.folder):
        assert row["video"] == f"source/{row['speaker']}/clip.mkv"
        assert (export.folder / row["video"]).read_bytes() == (root / row["speaker"] / "clip.mkv").read_bytes()
    assert not (export.folder / "video").exists()


@pytest.mark.parametrize("pictures", ["crops", "files"])
def test_a_video_that_went_away_costs_its_own_mixture(export: Export, root: Path, pictures: str) -> None:
    write_audio(root / "bo" / "clip.wav", Audio(voice(1), RATE))
    manifest = Folder(root, root.parent / "home").open("test", "av_enhancement")
    (root / "bo" / "clip.mkv").unlink()
    made = write_mixtures(replace(export, manifest=manifest, pictures=pictures))
    (reason,) = made.failed.values()
    assert made.mixtures == 3 and "clip.mkv: no such file" in reason


def test_a_mixture_that_cannot_be_made_is_told_and_tried_again(export: Export, root: Path) -> None:
    whole = (root / "cy" / "clip.mkv").read_bytes()
    (root / "cy" / "clip.mkv").write_bytes(whole[: len(whole) // 2])
    made = write_mixtures(export)
    (broken,) = [sample.id for sample in export.manifest.samples if sample.speaker == "cy"]
    assert broken in made.failed and made.mixtures == 4 - len(made.failed)
    assert {row["id"] for row in table(export.folder)}.isdisjoint(made.failed)
    (root / "cy" / "clip.mkv").write_bytes(whole)
    again = write_mixtures(export)
    assert (again.mixtures, again.failed) == (4, {})


@pytest.mark.parametrize("kind", ["noisy", "clean", "video"])
def test_a_file_that_was_damaged_is_written_again(export: Export, kind: str) -> None:
    write_mixtures(export)
    path = export.folder / table(export.folder)[1][kind]
    whole = path.read_bytes()
    path.write_bytes(b"junk")
    again = write_mixtures(export)
    assert (again.kept, path.read_bytes()) == (3, whole)


def test_recordings_that_are_noisy_as_they_are_are_exported_too(export: Export, root: Path) -> None:
    write_audio(root / "bo" / "clip.clean.wav", Audio(voice(9), RATE))
    manifest = Folder(root, root.parent / "home").open("noisy", "av_enhancement")
    write_mixtures(replace(export, manifest=manifest, pictures="none"))
    rows = {row["speaker"]: row for row in table(export.folder)}
    assert [bool(rows[name]["clean"]) for name in ("anna", "bo", "cy")] == [False, True, False]
    assert rows["anna"]["snr_db"] == "" and rows["anna"]["noise"] == "as recorded"
    assert np.array_equal(read_audio(export.folder / rows["bo"]["clean"]).samples, voice(9))


def command(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit | typer.Exit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def test_the_command(root: Path, tmp_path: Path) -> None:
    (root / "bo" / "notes.pdf").write_bytes(b"x")
    words = ["data", "export", "folder", "--data-root", root, "--output", tmp_path / "out"]
    code, out, err = command(*words, "--limit", 3)
    assert code == 0 and out.strip() == str(tmp_path / "out") and "3 mixtures, 0 of them from before" in err
    assert "export 3/3" in err and "1 left out" in err
    code, out, err = command(*words, "--json", "--quiet")
    assert json.loads(out) == {"folder": str(tmp_path / "out"), "mixtures": 4, "kept": 3, "failed": {}} and not err
    for person in ("anna", "bo"):
        write_image(root / person / "face.png", np.zeros((8, 8, 3), np.uint8))
    code, out, err = command(*words[:-1], tmp_path / "crops", "--task", "speech2face", "--repeats", 2)
    assert code == 0 and "4 crops, for 2 evaluation runs, 0 of them from before" in err
    assert sorted(path.name for path in (tmp_path / "crops" / "speech").iterdir())[:2] == ["anna.0.wav", "anna.1.wav"]
    with pytest.raises(UsageError, match="expected 1 or more"):
        command(*words, "--limit", 0)


def test_failures_leave_exit_code_1(root: Path, tmp_path: Path) -> None:
    write_audio(root / "cy" / "clip.wav", Audio(voice(2, 9.0), RATE))  # far longer than its video
    words = ["data", "export", "folder", "--data-root", root, "--output", tmp_path / "out"]
    code, _, err = command(*words)
    assert code == 1 and "failed: cy_clip" in err
    assert command(*words, "--fail-on-error", 4)[0] == 0
