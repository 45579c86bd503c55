"""Speech from lips as a whole: what methods are given, enrolments, rows beside them, `predict --enroll`."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from commands import ended

from benchmark import registry
from benchmark.cli.predict import predict
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.manifest import Manifest, Row
from benchmark.datasets.mixtures import LIP_SNRS_DB, Utterance, lip_snrs, noisy_rows, with_enrolments
from benchmark.datasets.population import TRAINING, VALIDATION, Population
from benchmark.datasets.talkers import corpus, population
from benchmark.datasets.talkers.build import UTTERANCES, Job
from benchmark.datasets.talkers.corpus import Talkers
from benchmark.datasets.talkers.sentences import sentence
from benchmark.errors import MediaError, UsageError
from benchmark.media import mouth_video, read_audio, read_video, write_audio, write_video
from benchmark.media.clips import mixture_clip
from benchmark.reports.fitted import caption
from benchmark.results.schema import Result, RunSpec
from benchmark.runs.evaluation import RunPlan, peers
from benchmark.runs.export import Export, write_mixtures
from benchmark.runs.session import Request, Session, score_run
from benchmark.tasks import Protocol, SpeechFromLips, get_task, with_protocol
from benchmark.types import Audio, Sample

RATE, PER_PICTURE = 16_000, 640
LIPS = get_task("lip2speech")
OTHER = Protocol(None, 1, "other")
PEOPLE, EACH = 3, 2
LENGTH = 30 * PER_PICTURE + 100
"""Samples of a recording: its last picture lasts longer than the sound."""


def level(person: int, number: int) -> int:
    """Grey of the first picture of a video; the others follow in steps of 1."""
    return 40 + 60 * person + 20 * number


class Mouths(Dataset):
    """Three people of two recordings each, with videos of their mouths; `alone` has no noise, `mute` no speech,
    `lonely` no second utterance and `unseen` no video."""

    name: ClassVar[str] = "mouths"
    revision: ClassVar[str] = "1"
    splits: ClassVar[tuple[str, ...]] = ("test", "test_snr", "alone", "mute", "lonely", "unseen")
    tasks: ClassVar[tuple[str, ...]] = ("lip2speech",)
    layout: ClassVar[str] = "p0_0.wav p0_0.mkv ..."

    def rows(self, split: str, task: str) -> list[Row]:
        spoken = [
            Utterance(f"p{p}_{k}", f"p{p}", f"p{p}_{k}.wav", f"p{p}_{k}.mkv", {"text": sentence(7 * p + k).text})
            for p in range(PEOPLE)
            for k in range(EACH)
        ]
        rows = list(with_enrolments(noisy_rows(spoken, of="mouths", snrs_db=lip_snrs(split)), spoken, of="mouths"))
        if split in ("lonely", "unseen"):
            gone = {"lonely": "enrolment", "unseen": "video"}[split]
            return [replace(row, inputs={k: v for k, v in row.inputs.items() if k != gone}) for row in rows]
        if split in ("alone", "mute"):
            about = ({k: v for k, v in row.attributes.items() if k not in ("noise", "snr_db")} for row in rows)
            inputs = ({k: v for k, v in row.inputs.items() if k != "noise"} for row in rows)
            rows = [replace(row, attributes=a, inputs=i) for row, a, i in zip(rows, about, inputs, strict=True)]
        return [replace(row, targets={}) for row in rows] if split == "mute" else rows


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mouths")
    time = np.arange(LENGTH) / RATE
    for p in range(PEOPLE):
        for k in range(EACH):
            tone = 0.2 * np.sin(2 * np.pi * (150 + 50 * p + 7 * k) * time) * (1.2 + np.sin(9 * time))
            write_audio(root / f"p{p}_{k}.wav", Audio(tone.astype(np.float32), RATE))
            grey = (level(p, k) + np.arange(31) % 15).astype(np.uint8)
            write_video(root / f"p{p}_{k}.mkv", np.tile(grey[:, None, None], (1, 96, 96)), 25)
    return root


@pytest.fixture
def root(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dataset `mouths`, and the methods `echo` and `halver`."""
    monkeypatch.setitem(registry.datasets.entries, "mouths", registry.Entry(f"{__name__}:Mouths", ""))
    for name in ("Echo", "Halver"):
        monkeypatch.setitem(registry.methods.entries, name.lower(), registry.Entry(f"tests.toys:{name}", "", "x"))
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(media, tmp_path / "mouths"))


@pytest.fixture
def manifest(root: Path, tmp_path: Path) -> Manifest:
    return Mouths(root, tmp_path).open("test_snr", "lip2speech")


def snr_db(sample: Sample, noisy: np.ndarray, protocol: Protocol = OTHER) -> float:
    """Of a mixture, by the clean speech in it as enhancers are asked for it."""
    clean = mixture_clip(sample, protocol.seconds, RATE, 0).mixture.clean
    assert clean is not None
    return float(20 * np.log10(clean.std() / (noisy[: len(clean)] - clean).std()))


# what a method is given


def test_output_and_truth_are_as_long_as_the_pictures(manifest: Manifest) -> None:
    for sample in manifest.samples:
        example = LIPS.open(sample, 0, OTHER, 0, "weights")
        own = sample.targets["speech"][0]
        frames = example.inputs["mouth"].frames
        assert frames.shape == (31, 96, 96)  # 30 pictures and a hundred samples
        p, k = int(own.stem[1]), int(own.stem[3])
        np.testing.assert_allclose(frames.mean(axis=(1, 2)), level(p, k) + np.arange(31) % 15, atol=1)
        recording = read_audio(own).samples
        assert len(example.truth.samples) == 31 * PER_PICTURE
        assert np.array_equal(example.truth.samples[:LENGTH], recording)  # at its own level, whatever the SNR
        assert not example.truth.samples[LENGTH:].any()
        noisy = example.inputs["noisy"].samples
        assert len(noisy) == 31 * PER_PICTURE
        assert snr_db(sample, noisy) == pytest.approx(sample.attributes["snr_db"], abs=1e-3)
        known = LIPS.signals(sample, OTHER, 0)
        assert np.array_equal(known.noisy, noisy) and np.array_equal(known.clean, example.truth.samples)
        again = LIPS.truth(sample, OTHER, 0)
        assert again is not None and np.array_equal(again.samples, example.truth.samples)


def test_a_clip_of_fixed_length_is_the_first_seconds(manifest: Manifest) -> None:
    example = LIPS.open(manifest.samples[0], 0, Protocol(0.5, 1, "clean"), 0, "weights")
    recording = read_audio(manifest.samples[0].targets["speech"][0]).samples
    assert len(example.inputs["mouth"].frames) == 13  # of 12.5, counted up
    assert np.array_equal(example.truth.samples[: RATE // 2], recording[: RATE // 2])
    assert len(example.truth.samples) == len(example.inputs["noisy"].samples) == 13 * PER_PICTURE
    assert np.array_equal(example.inputs["enrolment"].samples, recording)  # whole all the same


def test_decoys_are_of_other_people(manifest: Manifest) -> None:
    for sample in manifest.samples:
        inputs = LIPS.open(sample, 0, OTHER, 0, "").inputs
        (face,), (voice,) = sample.inputs["decoy"], sample.inputs["enrolment_decoy"]
        assert not face.stem.startswith(sample.speaker) and not voice.stem.startswith(sample.speaker)
        assert np.array_equal(inputs["decoy"]().frames, mouth_video.read_mouth_video(face).frames)
        assert np.array_equal(inputs["enrolment_decoy"]().samples, read_audio(voice).samples)


def test_a_silent_video_is_taken_as_long_as_it_is(root: Path, tmp_path: Path) -> None:
    sample = Mouths(root, tmp_path).open("mute", "lip2speech").samples[0]
    example = LIPS.open(sample, 0, OTHER, 0, "")
    assert example.truth is None and set(example.inputs) == {"mouth", "enrolment", "decoy", "enrolment_decoy"}
    assert len(example.inputs["mouth"].frames) == 31 and LIPS.truth(sample, OTHER, 0) is None
    assert LIPS.signals(sample, OTHER, 0)[:2] == (None, None)
    assert len(LIPS.open(sample, 0, Protocol(0.4, 1, "other"), 0, "").inputs["mouth"].frames) == 10
    for kind in ("clean", "noisy"):
        with pytest.raises(MediaError, match="nobody knows the speech itself.*--enrolment other"):
            LIPS.open(sample, 0, Protocol(None, 1, kind), 0, "")


def test_the_mouth_is_read_only_for_who_looks_at_it(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mouth_video, "read_mouth_video", lambda *of: pytest.fail("looked at"))
    assert set(LIPS.open(manifest.samples[0], 0, OTHER, 0, "", wanted=("noisy",)).inputs) >= {"noisy"}
    assert LIPS.open(manifest.samples[0], 0, OTHER, 0, "", wanted=()).truth is not None


# enrolment


def test_another_utterance_of_the_speaker_is_enrolled(manifest: Manifest) -> None:
    for sample in manifest.samples:
        (enrolled,), (own,) = sample.inputs["enrolment"], sample.targets["speech"]
        assert enrolled != own and enrolled.name[:2] == own.name[:2] == sample.speaker
        assert np.array_equal(
            LIPS.open(sample, 0, OTHER, 0, "").inputs["enrolment"].samples, read_audio(enrolled).samples
        )


def test_clean_and_noisy_enrolments_are_of_the_speech_itself(manifest: Manifest) -> None:
    for sample in manifest.samples:
        recording = read_audio(sample.targets["speech"][0]).samples
        clean = LIPS.open(sample, 0, Protocol(None, 1, "clean"), 0, "").inputs["enrolment"].samples
        assert np.array_equal(clean, recording)
        example = LIPS.open(sample, 0, Protocol(None, 1, "noisy"), 0, "")
        noisy = example.inputs["enrolment"].samples
        at_ten = replace(sample, attributes={**sample.attributes, "snr_db": -10.0})  # whatever that of the row
        assert len(noisy) == LENGTH and snr_db(at_ten, noisy) == pytest.approx(-10, abs=1e-3)
        if sample.attributes["snr_db"] == -10:
            assert np.array_equal(noisy, example.inputs["noisy"].samples[:LENGTH])


def test_who_speaks_once_has_no_other_utterance(manifest: Manifest) -> None:
    sample = manifest.samples[0]
    lonely = replace(sample, inputs={k: v for k, v in sample.inputs.items() if k != "enrolment"})
    with pytest.raises(MediaError, match="no other utterance of this speaker to enrol; --enrolment clean"):
        LIPS.open(lonely, 0, OTHER, 0, "")
    assert "enrolment" not in LIPS.open(lonely, 0, OTHER, 0, "", wanted=("noisy",)).inputs


def test_rows_of_one_utterance_have_one_enrolment() -> None:
    spoken = [Utterance(f"p{n % 4}_{n}", f"p{n % 4}", f"{n}.wav", f"{n}.mkv") for n in range(40)]
    first = [row for snr in (-5.0, 5.0) for row in noisy_rows(spoken, of="a", snrs_db=(snr,))]
    enrolled: dict[str, set[tuple[str, ...]]] = {}
    for row in with_enrolments(first, spoken, of="a"):
        enrolled.setdefault(row.targets["speech"][0], set()).add(
            row.inputs["enrolment"] + row.inputs["enrolment_decoy"]
        )
    assert len(enrolled) == 40 and all(len(pairs) == 1 for pairs in enrolled.values())
    assert len(set.union(*enrolled.values())) > 20


@pytest.mark.parametrize("kind", ["same", "enhanced", "enhanced:", ""])
def test_an_unknown_enrolment_says_what_there_is(kind: str) -> None:
    with pytest.raises(UsageError, match=f"--enrolment {kind}: expected other, clean, noisy or enhanced:METHOD"):
        with_protocol(LIPS, None, None, kind)


def test_other_tasks_enrol_nobody() -> None:
    for name in ("speech2face", "av_enhancement"):
        with pytest.raises(UsageError, match=f"--enrolment clean: {name} is not told whose voice to give"):
            with_protocol(get_task(name), None, None, "clean")
        assert get_task(name).protocol.enrolment is None


# runs


def asked(root: Path, tmp_path: Path, method: str = "echo", **changed: object) -> Session:
    about = {"task": "lip2speech", "dataset": "mouths", "data_root": root, "runs": tmp_path / "runs", "workers": 0}
    return Session(Request(method, **(about | {"metrics": ("si_sdr",), "references": False} | changed)))


def outputs(session: Session) -> dict[str, np.ndarray]:
    (plan,) = session.plans()
    session.run([plan])
    known = plan.run.predictions()
    assert {row.reason for row in known.values()} == {None}
    return {key[0]: read_audio(plan.run.path / row.file).samples for key, row in known.items() if row.file}


def test_a_method_runs_beside_floor_and_ceiling(root: Path, tmp_path: Path) -> None:
    session = asked(root, tmp_path, metrics=("si_sdr", "rtf"), references=True)
    plans = session.plans()
    results = {result.spec.method: result for result in session.run(plans)}
    assert {"echo", "noisy", "clean"} <= set(results)
    assert results["clean"].aggregate("si_sdr").reasons == {
        "undefined: the estimate equals the reference up to scale: the ratio is infinite": 6
    }
    assert results["noisy"].aggregate("si_sdr").value == pytest.approx(-10, abs=2)
    assert [results[name].spec.enrolment for name in ("echo", "noisy", "clean")] == ["other", None, None]
    assert "enrolment: another utterance of the speaker," in caption(results["echo"])
    assert "enrolment" not in caption(results["noisy"])
    view, again, notes, _ = score_run(plans[0].run.path, metrics=("si_sdr",), data_root=root, workers=0)
    assert again.aggregate("si_sdr").value == results["echo"].aggregate("si_sdr").value


def test_an_enrolment_is_part_of_a_runs_identity(root: Path, tmp_path: Path) -> None:
    of = {
        (method, kind): asked(root, tmp_path, method, enrolment=kind).plans()[0]
        for method in ("echo", "noisy", "clean")
        for kind in (None, "other", "clean", "noisy", "enhanced:halver", "enhanced:wiener")
    }
    ids = {key: plan.spec.run_id() for key, plan in of.items()}
    assert ids["echo", None] == ids["echo", "other"] and len(set(ids.values())) == 5 + 2
    labels = {kind: plan.method.label for (method, kind), plan in of.items() if method == "echo"}
    assert labels[None] == labels["other"] == "echo" and labels["clean"] == "echo (enrolment=clean)"
    assert labels["enhanced:halver"] == "echo (enrolment=enhanced:halver)"


def test_rows_beside_a_run_on_disk_are_of_its_enrolment(root: Path, tmp_path: Path) -> None:
    runs = {}
    for method, kind in (("echo", None), ("echo", "clean"), ("echo", "noisy"), ("noisy", None)):
        session = asked(root, tmp_path, method, enrolment=kind)
        (plan,) = session.plans()
        session.run([plan])
        runs[method, kind] = replace(plan.view, task=replace(LIPS, references=("echo", "noisy")))
    assert [row.label for row in peers(runs["noisy", None])] == ["echo"]
    assert [row.label for row in peers(runs["echo", "clean"])] == ["noisy"]
    assert [row.label for row in peers(runs["echo", None])] == ["noisy"]


def test_runs_of_other_tasks_keep_their_identity() -> None:
    kept = sorted((Path(__file__).parent.parent / "leaderboards" / "results").rglob("*.json"))
    results = [Result.model_validate_json(path.read_text(encoding="utf-8")) for path in kept[:5]]
    assert results and all(result.spec.run_id() == result.run_id for result in results)
    assert "enrolment" in RunSpec.model_fields


def test_the_noisy_enrolment_is_enhanced_by_a_method(root: Path, tmp_path: Path) -> None:
    noisy = outputs(asked(root, tmp_path, enrolment="noisy"))
    enhanced = outputs(asked(root, tmp_path, enrolment="enhanced:halver"))
    assert noisy.keys() == enhanced.keys() and len(noisy) == 6
    for name, samples in noisy.items():
        np.testing.assert_allclose(enhanced[name], samples / 2, rtol=1e-6)


def test_the_code_of_what_enhances_an_enrolment_is_part_of_the_record(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edited, it makes other outputs of the same settings: what is kept is told, and a mixture is not ranked."""
    states = {"echo": "0" * 12, "halver": "1" * 12, "wiener": "2" * 12}
    monkeypatch.setattr("benchmark.runs.evaluation.source_of_method", lambda kind: states[kind.name])

    def made(enrolment: str, **more: object) -> tuple[RunPlan, Result, list[str]]:
        session = asked(root, tmp_path, enrolment=enrolment, **more)
        (plan,) = session.plans()
        (result,) = session.run([plan])
        return plan, result, [note for note in session.notes if "code" in note]

    plan, first, notes = made("enhanced:halver")
    assert not notes and first.sources == [plan.source] and plan.source not in states.values()
    (record,) = first.generated_by
    assert record["enhancer"] == {
        "method": "halver",
        "preset": None,
        "config": {},
        "weights_sha256": None,
        "source": "1" * 12,
    }
    assert plan.run.read_run()["enhancer"] == record["enhancer"]
    assert made("noisy")[1].sources == ["0" * 12] and "enhancer" not in made("noisy")[0].run.read_run()
    states["halver"] = "3" * 12
    edited, kept, notes = made("enhanced:halver")
    assert edited.spec.run_id() == plan.spec.run_id() and kept.sources == first.sources != [edited.source]
    assert len(notes) == 1 and "made by other code than is here now" in notes[0]
    _, _, notes, _ = score_run(plan.run.path, metrics=("si_sdr",), data_root=root, workers=0)
    assert sum("made by other code than is here now" in note for note in notes) == 1
    shutil.rmtree(plan.run.path)
    made("enhanced:halver", limit=2, batch_size=2)
    states["halver"] = "4" * 12
    assert made("enhanced:halver", batch_size=2)[1].why_unranked == "mixed: outputs of 2 states of the code"


@pytest.mark.parametrize("name", ["echo", "clean", "flowavse"])
def test_only_what_hears_noise_alone_enhances_enrolments(root: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"--enrolment enhanced:{name}: '{name}' is no method that makes speech"):
        asked(root, tmp_path, enrolment=f"enhanced:{name}").plans()


def test_where_there_is_no_noise_a_mixture_cannot_be_heard(root: Path, tmp_path: Path) -> None:
    session = asked(root, tmp_path, split="alone", references=True)
    assert [plan.method.name for plan in session.plans()] == ["echo", "lipdiffuser", "clean"]
    (note,) = [line for line in session.notes if line.startswith("noisy is left out")]
    assert note.endswith("noisy can make nothing of mouths alone for lip2speech: nothing is mixed with noise there")
    with pytest.raises(UsageError, match="nothing is mixed with noise there"):
        asked(root, tmp_path, "wiener", split="alone").plans()


@pytest.mark.parametrize(
    ("split", "enrolment", "reason"),
    [
        ("alone", "noisy", "there is no noise to enrol in; --enrolment other or clean"),
        ("alone", "enhanced:halver", "there is no noise to enrol in"),
        ("mute", "clean", "nobody knows the speech itself, which is to enrol; --enrolment other"),
        ("lonely", None, "there is no other utterance of this speaker to enrol; --enrolment clean"),
        ("unseen", None, "no video shows who speaks"),
    ],
)
def test_what_no_sample_has_is_refused_before_the_work(
    root: Path, tmp_path: Path, split: str, enrolment: str | None, reason: str
) -> None:
    with pytest.raises(UsageError, match=f"echo can make nothing of mouths {split} for lip2speech: {reason}"):
        asked(root, tmp_path, split=split, enrolment=enrolment).plans()
    assert not (tmp_path / "runs").exists()


def test_what_one_sample_has_is_no_reason_to_refuse_the_others(manifest: Manifest) -> None:
    lonely = replace(manifest.samples[0], inputs={"video": manifest.samples[0].inputs["video"]})
    assert LIPS.all_lack([lonely], OTHER) and LIPS.all_lack([lonely, lonely], OTHER)
    assert LIPS.all_lack([lonely, *manifest.samples], OTHER) is None
    assert LIPS.all_lack([lonely], OTHER, ("mouth",)) is None and LIPS.all_lack([], OTHER) is None


def test_a_corpus_that_is_not_for_evaluation_is_refused_in_one_line(root: Path, tmp_path: Path) -> None:
    """LibriSpeech shows nobody, and CHiME-3 has noise alone."""
    books, noises = tmp_path / "books" / "test-clean" / "1" / "2", tmp_path / "noises"
    for folder, names in ((books, ("1-2-0.flac", "1-2-1.flac")), (noises, ("BGD_1_2_CAF.CH1.wav",))):
        folder.mkdir(parents=True)
        for name in names:
            write_audio(folder / name, read_audio(root / "p0_0.wav", None))
    for dataset, where, method, task, reason in (
        ("librispeech", tmp_path / "books", "lipdiffuser", "lip2speech", "no video shows who speaks"),
        ("librispeech", tmp_path / "books", "clean", "lip2speech", "no video shows who speaks"),
        ("chime3", noises, "lipdiffuser", "lip2speech", "no video shows who speaks"),
        ("chime3", noises, "flowavse", "av_enhancement", "no speech is in it"),
    ):
        about = ["--dataset", dataset, "--data-root", where, "--task", task, "--runs", tmp_path / "runs"]
        done = ended("run", "--method", method, *about, "--quiet")
        assert done.returncode == 2 and not done.stdout
        assert f"{method} can make nothing of {dataset} test for {task}: {reason}" in " ".join(done.stderr.split())
    assert not (tmp_path / "runs").exists()


def test_who_hears_no_enrolment_says_so(root: Path, tmp_path: Path) -> None:
    told = "--enrolment clean changes nothing of wiener, which is not told whose voice to give"
    session = asked(root, tmp_path, "wiener", enrolment="clean")
    session.plans()
    assert told in session.notes
    for method, enrolment in (("wiener", None), ("echo", "clean")):
        session = asked(root, tmp_path, method, enrolment=enrolment, references=True)
        session.plans()
        assert not [note for note in session.notes if "changes nothing" in note]


@pytest.mark.parametrize(
    ("method", "reason"), [("noisy", "no mixture to hand through"), ("wiener", "nothing to enhance")]
)
def test_a_row_without_noise_says_so(manifest: Manifest, method: str, reason: str) -> None:
    kind = registry.methods.load(method)
    instance = kind(kind.Config())
    instance.load("cpu")
    sample = replace(manifest.samples[0], attributes={}, inputs={"video": manifest.samples[0].inputs["video"]})
    (made,) = instance.generate([LIPS.open(sample, 0, OTHER, 0, "", wanted=("noisy",))])
    assert reason in str(made)


# files for systems from elsewhere


@pytest.mark.parametrize("pictures", ["crops", "files", "none"])
def test_the_files_are_what_a_method_is_given(manifest: Manifest, tmp_path: Path, pictures: str) -> None:
    wanted = Export(manifest, LIPS, OTHER, tmp_path / "out", seed=3, pictures=pictures)
    assert write_mixtures(wanted).mixtures == 6 and write_mixtures(wanted).kept == 6
    with (wanted.folder / "mixtures.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    for sample in manifest.samples:
        row, given = rows[sample.id], LIPS.open(sample, 0, OTHER, 3, "")
        for kind, samples in {
            "noisy": given.inputs["noisy"].samples,
            "clean": given.truth.samples,
            "enrolment": given.inputs["enrolment"].samples,
        }.items():
            assert np.array_equal(read_audio(wanted.folder / row[kind], None).samples, samples)
        assert float(row["seconds"]) == 31 / 25 and row["text"] == sample.attributes["text"]
        if pictures == "crops":
            frames = read_video(wanted.folder / row["video"])[..., 0]
            assert np.array_equal(frames, given.inputs["mouth"].frames)
        elif pictures == "files":
            assert (wanted.folder / row["video"]).read_bytes() == sample.inputs["video"][0].read_bytes()
        else:
            assert not row["video"]


def test_without_noise_there_is_no_noisy_file(root: Path, tmp_path: Path) -> None:
    alone = Mouths(root, tmp_path).open("alone", "lip2speech")
    assert write_mixtures(Export(alone, LIPS, OTHER, tmp_path / "out")).mixtures == 6
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_dir()) == [
        "clean",
        "enrolment",
        "video",
    ]
    with pytest.raises(UsageError, match="--enrolment enhanced:wiener: .* export with --enrolment noisy"):
        write_mixtures(Export(alone, LIPS, replace(OTHER, enrolment="enhanced:wiener"), tmp_path / "other"))


def test_mixtures_of_who_speaks_once_are_exported_too(manifest: Manifest, tmp_path: Path) -> None:
    lonely = [
        replace(sample, inputs={k: v for k, v in sample.inputs.items() if k != "enrolment"})
        if sample.speaker == "p1"
        else sample
        for sample in manifest.samples
    ]
    made = write_mixtures(Export(replace(manifest, samples=tuple(lonely)), LIPS, OTHER, tmp_path / "out"))
    assert made.mixtures == 6 and not made.failed
    (told,) = made.remarks
    assert told.startswith("2 x exported without an enrolment, for there is no other utterance") and "(p1_0_" in told
    with (tmp_path / "out" / "mixtures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["speaker"] for row in rows if not row["enrolment"]} == {"p1"}
    assert all(row["noisy"] and row["clean"] and row["video"] for row in rows)


def test_what_has_nothing_to_export_is_refused(root: Path, tmp_path: Path) -> None:
    unseen = Mouths(root, tmp_path).open("unseen", "lip2speech")
    with pytest.raises(UsageError, match="mouths unseen has nothing to export for lip2speech: no video shows"):
        write_mixtures(Export(unseen, LIPS, OTHER, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


# Talkers


@pytest.fixture
def unbuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Talkers:
    """Talkers of which no file is made; every recording lasts 40 pictures."""

    def facts(job: Job) -> dict[str, object]:
        return {"samples": [40 * PER_PICTURE] * UTTERANCES, "frames": [40] * UTTERANCES}

    monkeypatch.setattr(corpus, "known_facts", facts)
    monkeypatch.setattr(corpus, "_all_there", lambda manifest: True)
    monkeypatch.setattr(population, "make", lambda wanted: (40 * PER_PICTURE,) * wanted.recordings)
    return Talkers(None, tmp_path, workers=1)


def test_talkers_test_is_at_the_snr_of_table_1(unbuilt: Talkers) -> None:
    lips, enhanced = (unbuilt.open("test", task).samples for task in ("lip2speech", "av_enhancement"))
    assert len(lips) == 200 and {sample.attributes["snr_db"] for sample in lips} == {-10.0}
    assert {sample.targets["speech"] for sample in lips} == {sample.targets["speech"] for sample in enhanced}
    assert_enrolled(lips)


def test_talkers_sweep_has_the_papers_snrs(unbuilt: Talkers) -> None:
    samples = unbuilt.open("test_snr", "lip2speech").samples
    counts = Counter(sample.attributes["snr_db"] for sample in samples)
    assert set(counts) == {5.0, 0.0, -5.0, -10.0, -15.0, -20.0} == set(LIP_SNRS_DB)
    assert len(samples) == 400 and max(counts.values()) - min(counts.values()) <= 4
    assert_enrolled(samples)
    with pytest.raises(UsageError, match="grid of SNRs for av_enhancement and lip2speech, not for av_separation"):
        unbuilt.open("test_snr", "av_separation")


def assert_enrolled(samples: Sequence[Sample]) -> None:
    for sample in samples:
        (own,), (enrolled,), (stranger,) = (
            sample.targets["speech"],
            sample.inputs["enrolment"],
            sample.inputs["enrolment_decoy"],
        )
        assert enrolled.parent == own.parent and enrolled != own and stranger.parent != own.parent
        assert sample.attributes["text"] and sample.attributes["frames"] == 40


def test_a_population_has_some_of_its_sentences_filmed(unbuilt: Talkers) -> None:
    wanted = Population(people=3, validation=2, sentences=4, videos=1)
    samples = unbuilt.draw(wanted, TRAINING, "lip2speech").samples
    assert len(samples) == 3 and all(sample.inputs["video"][0].suffix == ".mp4" for sample in samples)
    assert {sample.inputs["enrolment"][0].name.partition(".")[0] for sample in samples} == {s.speaker for s in samples}
    assert all(sample.inputs["enrolment"] != sample.targets["speech"] for sample in samples)
    heard = unbuilt.draw(replace(wanted, videos=0), TRAINING, "lip2speech").samples
    assert len(heard) == 3 * 4 and all(
        "video" not in sample.inputs and "decoy" not in sample.inputs for sample in heard
    )
    assert len(unbuilt.draw(replace(wanted, videos=3), VALIDATION, "lip2speech").samples) == 2


# predict


@pytest.mark.parametrize("sound", ["present", "muted", "absent"])
def test_predict_reads_lips_whatever_the_sound_track(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture, sound: str
) -> None:
    voice, video = root / "p1_0.wav", tmp_path / "silent.mkv"
    track = {"present": read_audio(voice), "muted": Audio(np.zeros(LENGTH, np.float32), RATE), "absent": None}[sound]
    write_video(video, np.full((31, 96, 96), 102, np.uint8), 25, track)
    predict("echo", video, tmp_path / "out.wav", enroll=voice, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["seconds"], told["video_frames"], told["without_face"]) == (31 / 25, 31, 0)
    made, said = read_audio(tmp_path / "out.wav").samples, read_audio(voice).samples
    assert len(made) == 31 * PER_PICTURE
    np.testing.assert_allclose(made[:LENGTH], said * 0.4, atol=2e-3)


def test_predict_says_what_lips_lack(root: Path, tmp_path: Path) -> None:
    voice, video, out = root / "p1_0.wav", root / "p0_0.mkv", tmp_path / "out.wav"
    write_audio(tmp_path / "short.wav", Audio(np.ones(RATE // 4, np.float32), RATE))
    write_audio(tmp_path / "still.wav", Audio(np.zeros(RATE, np.float32), RATE))
    write_video(tmp_path / "short.mkv", np.zeros((3, 96, 96), np.uint8), 25)
    write_video(tmp_path / "wall.mkv", np.zeros((10, 120, 160), np.uint8), 25)
    for source, enrolled, error, reason in (
        (video, None, UsageError, "needs a recording of the voice that is to be heard.*--enroll voice.wav"),
        (voice, voice, UsageError, "--input .*p1_0.wav: expected a video of who speaks"),
        (video, tmp_path / "none.wav", MediaError, "none.wav: no such file"),
        (video, video, MediaError, "no sound"),
        (video, tmp_path / "short.wav", MediaError, "short.wav: 0.25 s of the voice.* at least 0.5 s"),
        (video, tmp_path / "still.wav", MediaError, "still.wav: the voice that is to be heard is silent"),
        (tmp_path / "short.mkv", voice, MediaError, "short.mkv: 3 pictures at 25 a second; expected at least 5"),
        (tmp_path / "wall.mkv", voice, MediaError, "wall.mkv: no face was found in any of its 10 pictures"),
    ):
        with pytest.raises(error, match=reason):
            predict("echo", source, out, enroll=enrolled)
    with pytest.raises(UsageError, match="--output .* is the input itself"):
        predict("echo", video, voice, enroll=voice)
    with pytest.raises(UsageError, match="--video .*: lip2speech hears nothing but --enroll"):
        predict("echo", video, out, video=video, enroll=voice)
    for method, source in (("sf2f", voice), ("noisy", voice)):
        suffix = ".png" if method == "sf2f" else ".wav"
        with pytest.raises(UsageError, match="--enroll .* is not told whose voice to give"):
            predict(method, source, out.with_suffix(suffix), enroll=voice)
    assert not out.exists()


def test_a_real_clip_goes_through(realdata: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    clip = realdata / "grid" / "bbaf2n.mpg"
    predict("echo", clip, tmp_path / "out.wav", enroll=realdata / "grid" / "lbbc2a.mpg", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["video_frames"] == 75 and told["without_face"] == 0
    assert len(read_audio(tmp_path / "out.wav").samples) == 75 * PER_PICTURE


def test_the_class_names_its_inputs() -> None:
    assert isinstance(LIPS, SpeechFromLips) and tuple(LIPS.inputs) == ("mouth", "enrolment", "noisy")
