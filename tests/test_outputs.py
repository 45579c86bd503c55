"""Outputs of systems from elsewhere: found by name, never scored from old rows, and whatever is wrong with one is its
own row's reason."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import ROOT
from PIL import Image
from test_evaluation import finish, numbers, plan_of, pool_of

from baselines.outputs.files import find_outputs
from benchmark.datasets.folder import Folder
from benchmark.datasets.names import safe_ids
from benchmark.errors import UsageError
from benchmark.media import read_audio, read_image, write_video
from benchmark.reports import tables
from benchmark.results.comparison import find_scored
from benchmark.runs.evaluation import RunPlan, checked_label, conclude, evaluate, gathered, plan_method, read_result
from benchmark.runs.export import Export, write_mixtures
from benchmark.runs.session import Request, Session
from benchmark.tasks import Protocol, get_task
from benchmark.types import Audio

FACES = get_task("speech2face")
NAMES = ("anna", "bo", "cleo")


def picture(path: Path, level: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), level, np.uint8)).save(path)
    return path


def found(folder: Path, names=NAMES) -> dict[tuple[str, int], list[str]]:
    outputs = find_outputs(folder, "image", names)
    return {key: [file.shown for file in files] for key, files in sorted(outputs.files.items())}


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        "{id}.{run}.png",
        "{id}_{run}.PNG",
        "{id}-run{run}.jpg",
        "{id}_seed_{run}.bmp",
        "out/{id} {run}.webp",
        "{id}/{run}.png",
        "{id}/face_{run}.png",
        "{id}/seed{run}/face.png",
        "a/b/{id}/run-{run}.png",
        "run_{run}/{id}.png",
        "{run}/faces/{id}.png",
    ],
)
@pytest.mark.parametrize("first", [0, 1, 9, 41])
def test_files_of_a_sample_are_its_evaluation_runs_in_the_order_of_their_numbers(tmp_path, form, first):
    for name in NAMES:
        for run in range(3):
            picture(tmp_path / form.format(id=name, run=first + run))
    expected = {(name, run): [form.format(id=name, run=first + run)] for name in NAMES for run in range(3)}
    assert found(tmp_path) == expected
    (tmp_path / form.format(id="bo", run=first + 1)).unlink()
    del expected["bo", 1]
    assert found(tmp_path) == expected, "a file that is missing moves no other"


@pytest.mark.parametrize("form", ["{id}.png", "deep/er/{id}.TIFF", "{id}/face.png", "{id}/a/b/c.gif"])
def test_one_file_of_a_sample_is_one_evaluation_run(tmp_path, form):
    for name in NAMES:
        picture(tmp_path / form.format(id=name))
    assert found(tmp_path) == {(name, 0): [form.format(id=name)] for name in NAMES}


def test_files_in_a_folder_of_a_sample_need_no_numbers(tmp_path):
    for name in NAMES:
        for what in ("left", "right", "up"):
            picture(tmp_path / name / f"{what}.png")
    assert found(tmp_path)["bo", 2] == ["bo/up.png"] and len(found(tmp_path)) == 9


def test_folders_that_are_called_by_numbers_are_no_runs_where_each_sample_has_one_file(tmp_path):
    names = ("84-121123-0000", "84-121123-0001", "84-121550-0000", "1995-1826-0003")
    for name in names:
        speaker, chapter, _ = name.split("-")
        picture(tmp_path / speaker / chapter / f"{name}.png")
    assert {key for key in found(tmp_path, names)} == {(name, 0) for name in names}
    assert find_outputs(tmp_path, "image", names).repeats == 1


def test_ids_that_end_in_numbers_or_hold_one_another_are_told_apart(tmp_path):
    names = ("talker_2", "talker_20", "talker_20_1", "s1/bbaf2n", "s2/bbaf2n", "bbaf2n")
    for name in ("talker_2_1", "talker_20", "talker_20_1", "talker_20_2", "s1/bbaf2n", "x/s2/bbaf2n", "bbaf2n.0"):
        picture(tmp_path / f"{name}.png")
    assert found(tmp_path, names) == {
        ("talker_2", 1): ["talker_2_1.png"],
        ("talker_20", 0): ["talker_20.png"],
        ("talker_20", 2): ["talker_20_2.png"],
        ("talker_20_1", 0): ["talker_20_1.png"],
        ("s1/bbaf2n", 0): ["s1/bbaf2n.png"],
        ("s2/bbaf2n", 0): ["x/s2/bbaf2n.png"],
        ("bbaf2n", 0): ["bbaf2n.0.png"],
    }


def test_ids_are_found_in_either_way_to_write_accents_and_as_exports_write_them(tmp_path):
    names = ("Zo\u00eb Smith", "Jos\u00e9", "s1/a b")
    picture(tmp_path / "Zoe\u0308 Smith.png")
    picture(tmp_path / f"{safe_ids(names)[names[1]]}.png")
    picture(tmp_path / f"{safe_ids(names)[names[2]]}.0.png")
    assert {sample for sample, _ in found(tmp_path, names)} == set(names)


def test_several_files_for_one_place_are_none(tmp_path):
    for name in ("anna.png", "anna.jpg", "bo.png", "cleo.0.png", "cleo.png"):
        picture(tmp_path / name)
    files = found(tmp_path)
    assert len(files["anna", 0]) == len(files["cleo", 0]) == 2 and files["bo", 0] == ["bo.png"]
    for name in NAMES:
        picture(tmp_path / "all" / "real" / f"{name}.png")
        picture(tmp_path / "all" / "fake" / f"{name}.png")
    with pytest.raises(UsageError, match="several files stand for each sample, such as fake/anna.png, real/anna.png"):
        found(tmp_path / "all")


def test_what_belongs_to_nobody_is_named_and_hidden_files_and_links_to_folders_are_left_alone(tmp_path):
    for name in ("out/anna.png", "out/stranger.png", "out/.hidden/bo.png", "out/._bo.png", "elsewhere/bo.png"):
        picture(tmp_path / name)
    (tmp_path / "out" / "notes.txt").write_text("x")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "out" / "loop").symlink_to(tmp_path / "out")
    outputs = find_outputs(tmp_path / "out", "image", NAMES)
    assert (outputs.strangers, outputs.others) == (["stranger.png"], ["notes.txt"])
    assert outputs.links == ["link", "loop"] and list(outputs.files) == [("anna", 0)]


# -- tables ------------------------------------------------------------------------------------------------------------


def test_a_table_names_files(tmp_path):
    for number in range(6):
        picture(tmp_path / "faces" / f"{number}.png", number)
    table = tmp_path / "list.csv"
    table.write_text("sample,file\nanna,faces/0.png\nanna,faces/1.png\nbo,faces/2.png\n")
    assert found(table) == {("anna", 0): ["faces/0.png"], ("anna", 1): ["faces/1.png"], ("bo", 0): ["faces/2.png"]}
    table.write_text(
        "file;repeat;sample\nfaces/0.png;2;anna\nfaces/1.png;1;anna\nfaces/2.png;1;bo\nfaces/3.png;1;dan\n"
    )
    assert found(table) == {("anna", 1): ["faces/0.png"], ("anna", 0): ["faces/1.png"], ("bo", 0): ["faces/2.png"]}
    assert find_outputs(table, "image", NAMES).strangers == ["faces/3.png (sample 'dan')"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,path\nanna,a.png\n", "no column 'sample'"),
        ("sample,file,repeat\nanna,a.png,first\n", "line 2: repeat is 'first', expected a whole number"),
        ("", "expected a text file with the header: sample,file"),
        ("sample,file\ndan,a.png\n", "none of its 1 files"),
    ],
)
def test_a_table_that_is_none_is_told(tmp_path, text, words):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UsageError, match=words):
        found(tmp_path / "list.csv")


# -- nothing at all ----------------------------------------------------------------------------------------------------


def test_nothing_found_is_one_refusal_with_the_names_that_were_expected(tmp_path):
    with pytest.raises(UsageError, match="no such folder or table"):
        found(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no file and no pictures. Expected pictures called by sample, for inst"):
        found(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(UsageError, match="expected pictures for this task, got 1 sound files.* --task"):
        found(tmp_path)
    picture(tmp_path / "x1.png")
    with pytest.raises(UsageError) as told:
        found(tmp_path)
    assert "none of its 1 files (x1.png)" in str(told.value)
    assert "anna.0.png, anna/0.png or anna.png for the sample 'anna'" in str(told.value)


# -- runs --------------------------------------------------------------------------------------------------------------


def outputs_plan(corpus, folder: Path, runs: Path, task: str = "speech2face", key: str = "folder", **more) -> RunPlan:
    task = get_task(task)
    method = gathered(plan_method("outputs", sets=[f"{key}={folder}"]), task, corpus.samples)
    protocol = Protocol(0.5, more.pop("repeats", None) or method.gathered.repeats or 1)
    return RunPlan(method, task, protocol, corpus, None, 0, None, (1, 1), more.pop("batch_size", 5), "cpu", runs)


@pytest.fixture
def painted(tiny_corpus, tmp_path):
    """A run of a method of this project, and its outputs as its author would hand them over."""
    plan = plan_of(tiny_corpus, tmp_path / "own")
    result = finish(plan, pool_of(tiny_corpus))
    for (sample, repeat), row in plan.run.predictions().items():
        picture(tmp_path / "given" / f"{sample}.{repeat}.png")
        shutil.copy(plan.run.path / row.file, tmp_path / "given" / f"{sample}.{repeat}.png")
    return result, tmp_path / "given"


def test_outputs_score_as_the_run_that_made_them(tiny_corpus, tmp_path, painted):
    result, folder = painted
    plan = outputs_plan(tiny_corpus, folder, tmp_path / "runs")
    again = finish(plan, pool_of(tiny_corpus))
    assert numbers(again) == numbers(result) and not again.partial
    assert again.label == "outputs (given)" and again.spec.config == {"folder": "", "command": ""}
    assert again.generation_seconds == 0, "nobody knows how long it took"
    assert {row.seconds for row in plan.run.predictions().values()} == {None}
    outputs = plan_of(tiny_corpus, tmp_path / "own").run.path / "outputs"  # a run's own folder is one, too
    assert numbers(finish(outputs_plan(tiny_corpus, outputs, tmp_path / "two"), pool_of(tiny_corpus))) == numbers(
        result
    )


def test_a_file_that_is_replaced_makes_another_run_and_one_that_is_moved_does_not(tiny_corpus, tmp_path, painted):
    _, folder = painted
    first = outputs_plan(tiny_corpus, folder, tmp_path / "runs")
    before = finish(first, pool_of(tiny_corpus))
    os.utime(folder / "p00.0.png", (0, 0))
    (folder / "readme.txt").write_text("x")
    picture(folder / "nobody.png")
    shutil.move(folder, tmp_path / "moved")
    same = outputs_plan(tiny_corpus, tmp_path / "moved", tmp_path / "runs")
    assert same.run.path == first.run.path and evaluate(same, None) == 36
    picture(tmp_path / "moved" / "p05.1.png", 255)
    other = outputs_plan(tiny_corpus, tmp_path / "moved", tmp_path / "runs")
    assert other.run.path != first.run.path
    after = finish(other, pool_of(tiny_corpus))
    assert numbers(after) != numbers(before)
    assert numbers(conclude(first.view, pool_of(tiny_corpus).scorer)) == numbers(before), "what was scored stays"


def test_a_file_that_changes_while_it_is_read_fails(tiny_corpus, tmp_path, painted):
    _, folder = painted
    plan = outputs_plan(tiny_corpus, folder, tmp_path / "runs")
    picture(folder / "p05.1.png", 255)
    (folder / "p06.1.png").unlink()
    evaluate(plan, None)
    rows = plan.run.predictions()
    assert rows["p05", 1].reason == "p05.1.png was changed since this command began: give it again"
    assert "No such file" in rows["p06", 1].reason
    assert sum(row.status == "failed" for row in rows.values()) == 2


def test_each_bad_file_is_a_failed_row_with_its_reason(tiny_corpus, tmp_path):
    folder, outside = tmp_path / "out", picture(tmp_path / "secret.png", 200)
    for number in range(12):
        picture(folder / f"p{number:02d}.png", number)
    (folder / "p01.png").unlink()
    (folder / "p02.png").write_bytes(b"not a picture")
    (folder / "p03.png").write_bytes((folder / "p04.png").read_bytes()[:40])
    for number in (4, 5, 6, 7):
        (folder / f"p{number:02d}.png").unlink()
    (folder / "p04.png").symlink_to(outside)
    (folder / "p05.png").symlink_to(folder / "gone.png")
    (folder / "p06.png").symlink_to(folder / "p06.png")
    os.mkfifo(folder / "p07.png")
    (folder / "p08.png").write_bytes(b"")
    picture(folder / "p09.jpg")
    picture(folder / "p10.png").chmod(0o644)
    Image.fromarray(np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)).save(folder / "p11.tiff")
    (folder / "p11.png").unlink()
    plan = outputs_plan(tiny_corpus, folder, tmp_path / "runs")
    evaluate(plan, None)
    reasons = {key[0]: row.reason for key, row in plan.run.predictions().items() if row.status == "failed"}
    expected = {
        "p01": "no file for it in .+ looked for p01.0.png, p01/0.png or p01.png",
        "p02": "p02.png: not a readable picture",
        "p03": "p03.png: cut short",
        "p04": "p04.png lies outside .+ .behind a link.: put a copy inside",
        "p05": "p05.png: there is no such file",
        "p06": "p06.png: there is no such file|cannot be read",
        "p07": "p07.png is no regular file",
        "p08": "p08.png: the file is empty",
        "p09": "2 files stand for it: p09.jpg, p09.png; keep one",
        "p11": "floating",
    }
    assert set(reasons) == set(expected)
    for name, words in expected.items():
        assert re.search(words, reasons[name]), (name, reasons[name])
    result = finish(plan, pool_of(tiny_corpus))
    assert (result.aggregate("brightness_error").scored, result.failures.rows) == (2, 10)


def test_a_table_cannot_reach_outside_its_folder(tiny_corpus, tmp_path):
    picture(tmp_path / "secret.png", 200)
    picture(tmp_path / "out" / "good.png")
    (tmp_path / "out" / "list.csv").write_text(
        "sample,file\np00,good.png\np01,../secret.png\n"
        f"p02,{tmp_path}/secret.png\np03,{tmp_path}/out/good.png\np04,gone.png\np05,.\n"
    )
    plan = outputs_plan(tiny_corpus, tmp_path / "out" / "list.csv", tmp_path / "runs")
    evaluate(plan, None)
    rows = {key[0]: row for key, row in plan.run.predictions().items()}
    assert rows["p00"].status == rows["p03"].status == "ok"
    assert all("lies outside" in rows[name].reason for name in ("p01", "p02"))
    assert "no such file" in rows["p04"].reason and "no regular file" in rows["p05"].reason
    assert "names no file for it (evaluation run 0)" in rows["p06"].reason


def test_the_gaps_of_a_folder_are_noted(tiny_corpus, tmp_path):
    for number in range(10):
        picture(tmp_path / "out" / f"p{number:02d}.png")
    picture(tmp_path / "out" / "zoe.png")
    plan = outputs_plan(tiny_corpus, tmp_path / "out", tmp_path)
    every = plan.manifest.samples
    notes = "\n".join(plan.method.gathered.notes_on(every))
    assert "has outputs of 1 evaluation run, where speech2face has 10" in notes
    assert "2 of 12 samples have no file in" in notes and "p10, p11" in notes
    assert "1 file of" in notes and "belongs to no sample: zoe.png" in notes
    of_six = "\n".join(plan.method.gathered.notes_on(every[:6]))
    assert "no file" not in of_six and "belongs to no sample: zoe.png" in of_six
    assert "1 of 11 samples have no file in" in "\n".join(plan.method.gathered.notes_on(every[:11]))


def test_pictures_of_any_form_and_size_are_read(tiny_corpus, tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (5, 9, 3), np.uint8)
    (tmp_path / "out").mkdir()
    Image.fromarray(pixels).save(tmp_path / "out" / "p00.BMP")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "out" / "p01.png")
    Image.fromarray(np.dstack([pixels, np.full((5, 9), 255, np.uint8)])).save(
        tmp_path / "out" / "p02.webp", lossless=True
    )
    plan = outputs_plan(tiny_corpus, tmp_path / "out", tmp_path / "runs")
    evaluate(plan, None)
    rows = plan.run.predictions()
    image = {name: read_image(plan.run.path / rows[name, 0].file) for name in ("p00", "p01", "p02")}
    assert np.array_equal(image["p00"], pixels) and np.array_equal(image["p02"], pixels)
    assert np.array_equal(image["p01"], np.repeat(pixels[..., :1], 3, axis=2))


# -- sound -------------------------------------------------------------------------------------------------------------

RATE = 16_000


def voice(number: int, seconds: float = 1.5) -> np.ndarray:
    random = np.random.default_rng(number)
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * (1 + np.sin(2 * np.pi * (3 + number) * time)) * random.standard_normal(len(time))).astype(np.float32)


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Six people with a video and its sound each."""
    root = tmp_path / "talks"
    for number, person in enumerate(("anna", "bo", "cy", "dan", "eve", "fay")):
        (root / person).mkdir(parents=True)
        frames = np.random.default_rng(number).integers(0, 255, (38, 48, 64), np.uint8)
        write_video(root / person / "clip.mkv", frames, 25, Audio(voice(number), RATE))
    return root


def session(talks: Path, tmp_path: Path, *sets: str, method: str = "outputs", **more) -> Session:
    return Session(
        Request(method, task="av_enhancement", dataset="folder", data_root=talks, references=False, workers=0,
                sets=sets, metrics=("si_sdr", "rtf"), device="cpu", runs=tmp_path / "runs", **more)
    )  # fmt: skip


def test_what_is_exported_and_handed_back_scores_as_noisy_itself(talks, tmp_path):
    manifest = Folder(talks, tmp_path / "home").open("test", "av_enhancement")
    write_mixtures(Export(manifest, get_task("av_enhancement"), Protocol(None, 1), tmp_path / "exported"))
    noisy = session(talks, tmp_path, method="noisy")
    (own,) = noisy.run(noisy.plans())
    handed = session(talks, tmp_path, f"folder={tmp_path / 'exported' / 'noisy'}", label="Nothing done")
    (again,) = handed.run(handed.plans())
    assert numbers(again)[0] == numbers(own)[0] and again.label == "Nothing done"
    assert again.aggregate("rtf").reasons == {"undefined: the time that making it took is not known": 6}
    wrong = session(talks, tmp_path, f"folder={tmp_path / 'exported'}")
    with pytest.raises(UsageError, match="several files stand for each sample, such as clean/.+ noisy/"):
        wrong.plans()
    sorted((tmp_path / "exported" / "noisy").rglob("*.wav"))[-1].unlink()
    for limit, told in ((None, True), (2, False)):
        some = session(talks, tmp_path, f"folder={tmp_path / 'exported' / 'noisy'}", limit=limit)
        some.plans()
        assert any("1 of 6 samples have no file" in note for note in some.notes) is told
        assert any("no file" in note for note in some.notes) is told, "only samples that are asked for are missed"


def test_crops_of_speech_are_those_of_each_evaluation_run(tiny_corpus, tmp_path):
    export = Export(tiny_corpus, FACES, Protocol(0.5, 3), tmp_path / "out", seed=4)
    made = write_mixtures(export, 5)
    assert made.mixtures == 15 and write_mixtures(export).kept == 15
    with (tmp_path / "out" / "crops.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36 and list(rows[0]) == ["id", "sample", "repeat", "speaker", "seconds", "speech"]
    samples = {sample.id: sample for sample in tiny_corpus.samples}
    for row in rows:
        given = FACES.open(samples[row["sample"]], int(row["repeat"]), export.protocol, 4, "any").inputs["speech"]
        assert np.array_equal(read_audio(tmp_path / "out" / row["speech"], None).samples, given.samples)
        shutil.copyfile(picture(tmp_path / "x.png"), picture(tmp_path / "faces" / f"{Path(row['speech']).stem}.png"))
    files = find_outputs(tmp_path / "faces", "image", list(samples)).files
    assert {key: [file.shown for file in found] for key, found in files.items()} == {
        (row["sample"], int(row["repeat"])): [f"{row['id']}.png"] for row in rows
    }
    with pytest.raises(UsageError, match="another export .it differs in repeats"):
        write_mixtures(replace(export, protocol=Protocol(0.5, 2)))
    write_mixtures(replace(export, protocol=Protocol(0.5, 1), folder=tmp_path / "one"))
    assert {path.stem for path in (tmp_path / "one" / "speech").iterdir()} == set(samples), "no number for one run"


def test_sound_of_any_rate_and_channels_is_read_and_what_cannot_be_used_fails(talks, tmp_path):
    names = [sample.id for sample in Folder(talks, tmp_path / "home").open("test", "av_enhancement").samples]
    folder = tmp_path / "out"
    folder.mkdir()
    soundfile.write(folder / f"{names[0]}.WAV", voice(0), RATE, subtype="FLOAT")
    soundfile.write(folder / f"{names[1]}.wav", np.repeat(voice(1), 3), 48_000, subtype="FLOAT")
    soundfile.write(folder / f"{names[2]}.flac", np.stack([voice(2), np.zeros_like(voice(2))], 1), RATE)
    soundfile.write(
        folder / f"{names[3]}.wav", np.where(np.arange(24_000) == 9, np.nan, voice(3)), RATE, subtype="FLOAT"
    )
    soundfile.write(folder / f"{names[4]}.wav", np.zeros(24_000), RATE)
    soundfile.write(folder / f"{names[5]}.wav", voice(5, 0.7), RATE)
    run = session(talks, tmp_path, f"folder={folder}")
    (plan,) = run.plans()
    (result,) = run.run([plan])
    rows = {key[0]: row for key, row in plan.run.predictions().items()}
    read = {name: read_audio(plan.run.path / row.file, None) for name, row in rows.items() if row.file}
    assert np.array_equal(read[names[0]].samples, voice(0)) and not rows[names[0]].remarks
    assert len(read[names[1]].samples) == 24_000 and "48000 Hz, converted to 16000 Hz" in rows[names[1]].remarks[0]
    assert np.allclose(read[names[2]].samples, voice(2) / 2, atol=1e-4)
    assert "2 channels, of which the mean is taken" in rows[names[2]].remarks[0]
    assert "1 of 24000 samples are NaN or infinite" in rows[names[3]].reason
    assert any("48000 Hz, converted" in note for note in run.notes)
    reasons = " ".join(result.aggregate("si_sdr").reasons)
    assert "silent" in reasons and "differ by 0.80 s" in reasons, "the lengths and levels are the metrics' to judge"
    assert result.aggregate("si_sdr").scored == 3


# -- names of rows -----------------------------------------------------------------------------------------------------


def test_two_names_of_the_same_outputs_are_two_rows(talks, tmp_path):
    made = {}
    for label in ("Mine", "Mine, again", None):
        run = session(talks, tmp_path, method="noisy", label=label)
        (plan,) = run.plans()
        (result,) = run.run([plan])
        about = json.loads((plan.run.path / "run.json").read_text())
        assert result.label == about["label"] == (label or "noisy") and about["spec"]["label"] == label
        made[plan.run.path] = numbers(result)[0]
    assert len(made) == 3 and len(set(made.values())) == 1
    assert find_scored("Mine", tmp_path / "runs").result.label == "Mine"


def test_a_run_without_a_name_has_the_id_that_it_had_before_names_were():
    spec = read_result(next((ROOT / "leaderboards" / "results").rglob("sf2f-talkers-*.json")))
    assert spec.spec.label is None and spec.spec.run_id() == spec.run_id


@pytest.mark.parametrize(
    "label", ["", "  ", "x" * 61, "two\nlines", "\x1b[31mred", "left\u202eright", "sf2f", "sf2f (steps=3)", "outputs"]
)
def test_a_name_that_could_mislead_is_refused(label):
    with pytest.raises(UsageError, match="--label"):
        checked_label(label)


@pytest.mark.parametrize("label", ["Speech2Face", "SF2F (official)", "  spaces around ", "<b>&|$_", "声から顔へ"])
def test_other_names_are_taken(label):
    assert checked_label(label) == label.strip()


def test_a_name_is_text_wherever_it_is_printed(tiny_corpus, tmp_path, painted):
    _, folder = painted
    plan = outputs_plan(tiny_corpus, folder, tmp_path / "runs")
    label = "<script>|`$x_y$"
    plan = replace(plan, method=replace(plan.method, label=label, given_label=label))
    result = finish(plan, pool_of(tiny_corpus))
    for text in (tables.markdown([result], ["brightness_error"]), tables.latex([result], ["brightness_error"])):
        assert label not in text and "script" in text
