"""Enhancement and separation as a whole: what methods are given, runs of floor and ceiling, `predict`."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from baselines.method import Method
from baselines.reference_speech import ReferenceConfig
from benchmark import registry
from benchmark.cli.predict import predict
from benchmark.cli.run import run as run_command
from benchmark.datasets.dataset import Dataset
from benchmark.datasets.manifest import Manifest, Row
from benchmark.datasets.mixtures import Utterance, noisy_rows, two_talker_rows
from benchmark.datasets.talkers.identity import people
from benchmark.datasets.talkers.sentences import sentences
from benchmark.datasets.talkers.voice import speak
from benchmark.errors import MediaError, MissingWeights, UnknownName, UsageError
from benchmark.media import read_audio, write_audio, write_video
from benchmark.media.face_video import FPS
from benchmark.results.schema import Result
from benchmark.runs.directory import RunDirectory
from benchmark.runs.evaluation import peers, plan_method
from benchmark.runs.generation import batches, generate
from benchmark.runs.session import Request, Session, score_run
from benchmark.tasks import TASKS, Protocol, get_task
from benchmark.types import Audio, Example, Sample

RATE = 16_000
ENHANCE, SEPARATE = get_task("av_enhancement"), get_task("av_separation")
WHOLE = Protocol(None, 1)
WORDS = (
    "words by sphinx_grid: all texts are sentences of the GRID grammar. "
    "Choose another with --metric-set recogniser=NAME"
)


class Four(Dataset):
    """Four people of one sentence each; of person p, frame k of the video has the grey level 20 + 50 p + k mod 40."""

    name: ClassVar[str] = "four"
    revision: ClassVar[str] = "1"
    tasks: ClassVar[tuple[str, ...]] = ("av_enhancement", "av_separation")
    layout: ClassVar[str] = "p0.wav p0.mkv ..."

    def rows(self, split: str, task: str) -> list[Row]:
        spoken = [
            Utterance(f"p{p}", f"p{p}", f"p{p}.wav", f"p{p}.mkv", {"text": sentences(person.id, 1)[0].text})
            for p, person in enumerate(people("test")[:4])
        ]
        if task == "av_separation":
            return list(two_talker_rows(spoken, of="four"))
        return list(noisy_rows(spoken, of="four", snrs_db=(-5.0, 5.0)))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("four")
    for p, person in enumerate(people("test")[:4]):
        audio = speak(person, sentences(person.id, 1)[0]).audio
        write_audio(root / f"p{p}.wav", audio)
        levels = 20 + 50 * p + np.arange(math.ceil(audio.seconds * FPS)) % 40
        write_video(root / f"p{p}.mkv", np.tile(levels.astype(np.uint8)[:, None, None], (1, 112, 112)), FPS)
    return root


@pytest.fixture
def root(media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The four people, as the dataset `four`."""
    monkeypatch.setitem(registry.datasets.entries, "four", registry.Entry(f"{__name__}:Four", ""))
    return Path(shutil.copytree(media, tmp_path / "four"))


@pytest.fixture
def manifest(root: Path, tmp_path: Path) -> Manifest:
    return Four(root, tmp_path).open("test", "av_enhancement")


def only(samples: Sequence[Sample], kind: str) -> Sample:
    return next(sample for sample in samples if sample.attributes["noise"] == kind)


# what a method is given


@pytest.mark.parametrize("seconds", [None, 2.04, 1.0])
def test_every_method_and_repeat_is_given_the_same_mixture(manifest: Manifest, seconds: float | None) -> None:
    protocol = Protocol(seconds, 2)
    for sample in manifest.samples:
        one = ENHANCE.open(sample, 0, protocol, 3, "weights of one")
        other = ENHANCE.open(sample, 0, protocol, 3, "weights of another")
        again = ENHANCE.open(sample, 1, protocol, 3, "weights of one")
        assert len({one.seed, other.seed, again.seed}) == 3, "but the noise inside a method is another"
        for example in (other, again):
            assert np.array_equal(example.inputs["noisy"].samples, one.inputs["noisy"].samples)
            assert np.array_equal(example.truth.samples, one.truth.samples)
        assert np.array_equal(ENHANCE.truth(sample, protocol, 3).samples, one.truth.samples)
        noisy, clean = one.inputs["noisy"].samples, one.truth.samples
        assert noisy.shape == clean.shape and one.inputs["noisy"].rate == one.truth.rate == RATE
        level = 20 * np.log10(np.std(clean) / np.std(noisy - clean))
        assert level == pytest.approx(sample.attributes["snr_db"], abs=1e-3)
        seeded = ENHANCE.open(sample, 0, protocol, 4, "weights of one").inputs["noisy"].samples
        assert not np.array_equal(seeded, noisy)


def test_the_truth_is_the_recording(manifest: Manifest, root: Path) -> None:
    for sample in manifest.samples:
        speech = read_audio(root / f"{sample.speaker}.wav").samples
        truth = ENHANCE.open(sample, 0, WHOLE, 0, "").truth.samples
        np.testing.assert_allclose(truth / np.std(truth), speech / np.std(speech), atol=1e-4)


def test_two_talkers_sum_to_the_mixture(root: Path, tmp_path: Path) -> None:
    for sample in Four(root, tmp_path).open("test", "av_separation").samples:
        example = SEPARATE.open(sample, 0, WHOLE, 0, "")
        other = read_audio(sample.inputs["noise"][0]).samples
        rest = example.inputs["noisy"].samples - example.truth.samples
        looped = np.tile(other, 3)[: len(rest)]
        np.testing.assert_allclose(rest / np.std(rest), looped / np.std(looped), atol=1e-4)
        assert np.std(rest) == pytest.approx(np.std(example.truth.samples), rel=1e-4)


def levels_of(frames: np.ndarray) -> np.ndarray:
    return frames.mean(axis=(1, 2))


@pytest.mark.parametrize("seconds", [None, 2.04, 1.0])
def test_the_video_is_in_time_with_the_clip(manifest: Manifest, root: Path, seconds: float | None) -> None:
    for sample in manifest.samples:
        source_s = read_audio(root / f"{sample.speaker}.wav").seconds
        example = ENHANCE.open(sample, 0, Protocol(seconds, 1), 0, "")
        frames = example.inputs["video"].frames
        assert frames.shape == (math.ceil(example.inputs["noisy"].seconds * FPS), 112, 112)
        assert frames.dtype == np.uint8 and example.inputs["video"].without_face == 0
        shown = np.floor((np.arange(len(frames)) / FPS % source_s) * FPS + 1e-6) % 40
        np.testing.assert_allclose(levels_of(frames), 20 + 50 * int(sample.speaker[1]) + shown, atol=2)


def test_a_clip_after_a_silent_one_shows_the_frames_of_its_own_time(manifest: Manifest, root: Path) -> None:
    sample = only(manifest.samples, "white")
    speech = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    speech[: 2 * RATE] = 0
    write_audio(sample.targets["speech"][0], Audio(speech, RATE))
    grey = np.arange(75, dtype=np.uint8)[:, None, None] + np.zeros((1, 112, 112), np.uint8)
    write_video(sample.inputs["video"][0], grey, FPS)
    frames = ENHANCE.open(sample, 0, Protocol(1.0, 1), 0, "").inputs["video"].frames
    np.testing.assert_allclose(levels_of(frames), np.arange(50, 75), atol=2)


def test_the_decoy_is_another_persons_video_opened_on_request(manifest: Manifest) -> None:
    for sample in manifest.samples:
        frames = ENHANCE.open(sample, 0, WHOLE, 0, "").inputs["decoy"]().frames
        seen = (levels_of(frames).min() - 20 + 1) // 50
        assert sample.inputs["decoy"][0].stem == f"p{seen:.0f}" != sample.speaker
    gone = only(manifest.samples, "pink")
    gone.inputs["decoy"][0].unlink()
    example = ENHANCE.open(gone, 0, WHOLE, 0, "")
    with pytest.raises(MediaError, match="no such file"):
        example.inputs["decoy"]()


@pytest.mark.parametrize("count", [0, 2])
def test_a_row_has_one_video(manifest: Manifest, count: int) -> None:
    sample = only(manifest.samples, "white")
    video = sample.inputs["video"] * count
    for inputs in ({"video": video}, {"video": video} if count else {}):
        with pytest.raises(MediaError, match=f"{count} files as its video; expected 1"):
            ENHANCE.open(Sample("a", "a", inputs, sample.targets, sample.attributes), 0, WHOLE, 0, "")


def test_nothing_is_decoded_that_nobody_asked_for(manifest: Manifest) -> None:
    sample = only(manifest.samples, "white")
    whole = ENHANCE.open(sample, 0, WHOLE, 0, "")
    deaf = ENHANCE.open(sample, 0, WHOLE, 0, "", wanted=("video",))
    assert set(deaf.inputs) == {"video", "decoy"}
    np.testing.assert_array_equal(deaf.inputs["video"].frames, whole.inputs["video"].frames)
    sample.inputs["video"][0].unlink()
    blind = ENHANCE.open(sample, 0, WHOLE, 0, "", wanted=("noisy",))
    assert set(blind.inputs) == {"noisy", "decoy"}
    np.testing.assert_array_equal(blind.inputs["noisy"].samples, whole.inputs["noisy"].samples)
    truth = ENHANCE.open(sample, 0, WHOLE, 0, "", wanted=()).truth
    assert truth is not None and whole.truth is not None
    np.testing.assert_array_equal(truth.samples, whole.truth.samples)


def test_a_video_of_another_length_is_refused(manifest: Manifest) -> None:
    sample = only(manifest.samples, "white")
    write_video(sample.inputs["video"][0], np.zeros((5, 112, 112), np.uint8), FPS)
    with pytest.raises(MediaError, match="check that the two files belong together"):
        ENHANCE.open(sample, 0, WHOLE, 0, "")


class Listener(Method):
    """Keeps what it is given and says nothing."""

    name: ClassVar[str] = "listener"
    task: ClassVar[str] = "av_enhancement"
    Config: ClassVar[type] = ReferenceConfig

    def load(self, device: str) -> None:
        pass

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        self.heard = [*getattr(self, "heard", []), *examples]
        return [np.zeros(1, np.float32) for _ in examples]


class Looker(Listener):
    """Hands the mixture through, though it is shown the video."""

    name: ClassVar[str] = "looker"

    def generate(self, examples: Sequence[Example]) -> list[np.ndarray | Exception]:
        return [example.inputs["noisy"].samples for example in examples]


class Insider(Listener):
    uses_targets: ClassVar[bool] = True


@pytest.mark.parametrize("kind", [Listener, Insider])
def test_only_methods_that_declare_it_are_given_the_truth(manifest: Manifest, tmp_path: Path, kind: type) -> None:
    method = kind(ReferenceConfig())
    generate(
        method, ENHANCE, WHOLE, batches(manifest.samples, 1, 3), RunDirectory(tmp_path / "r"), seed=0, weights="none"
    )
    assert {example.sample.id for example in method.heard} == {sample.id for sample in manifest.samples}
    for example in method.heard:
        told = [example.truth is not None, bool(example.sample.targets), bool(example.sample.attributes)]
        assert told == [kind.uses_targets] * 3
        assert set(example.inputs) == {"noisy", "video", "decoy"}


# runs


def session(root: Path, method: str, **more: object) -> Session:
    options = {"dataset": "four", "data_root": root, "runs": root.parent / "runs", "workers": 0, "references": False}
    return Session(Request(method, device="cpu", **{**options, **more}))


def run(root: Path, method: str, **more: object) -> tuple[Result, Session, RunDirectory]:
    asked = session(root, method, **more)
    plans = asked.plans()
    (result,) = asked.run(plans)
    return result, asked, plans[0].run


def measured(directory: RunDirectory, metric: str) -> dict[str, dict]:
    """Statistics by sample, of the one signature that there is."""
    (rows,) = [rows for (name, _), rows in directory.scores().items() if name == metric]
    return {sample: dict(row.statistics) for (sample, _), row in rows.items()}


def test_the_clean_speech_is_the_ceiling(root: Path) -> None:
    result, asked, _ = run(root, "clean")
    assert result.aggregate("pesq_wb").value == pytest.approx(4.644, abs=1e-3)
    assert result.aggregate("estoi").value == pytest.approx(1, abs=1e-6)
    assert result.aggregate("wer").scored == result.aggregate("rtf").scored == 4
    si_sdr = result.aggregate("si_sdr")
    assert si_sdr.value is None and sum(si_sdr.reasons.values()) == 4 and "infinite" in next(iter(si_sdr.reasons))
    assert asked.notes == [WORDS] and not result.partial and result.failures.rows == 0
    assert (result.samples, result.speakers) == (4, 4)
    assert all(item.signature.endswith("|clip:whole") for item in result.aggregates)


@pytest.mark.parametrize("seconds", [None, 2.04])
def test_the_si_sdr_of_the_mixture_is_its_snr(root: Path, tmp_path: Path, seconds: float | None) -> None:
    _, _, directory = run(root, "noisy", metrics=("si_sdr",), seconds=seconds)
    found = measured(directory, "si_sdr")
    samples = {sample.id: sample for sample in Four(root, tmp_path).open("test", "av_enhancement").samples}
    assert found.keys() == samples.keys()
    for key, row in directory.predictions().items():
        noisy = read_audio(directory.path / row.file).samples.astype(np.float64)
        speech = read_audio(root / f"{row.speaker}.wav").samples.astype(np.float64)
        assert len(noisy) == (len(speech) if seconds is None else 32_640)
        s = np.tile(speech, 2)[: len(noisy)]
        target = s * (s @ noisy) / (s @ s)
        expected = 10 * np.log10(np.sum(target**2) / np.sum((target - noisy) ** 2))
        assert found[key[0]]["si_sdr"] == pytest.approx(expected, abs=1e-3)
        # they would be equal if noise and speech were orthogonal, as they nearly are
        assert expected == pytest.approx(samples[key[0]].attributes["snr_db"], abs=0.5)


def test_clips_of_fixed_length_are_another_run_without_word_errors(root: Path) -> None:
    whole, clipped = session(root, "noisy"), session(root, "noisy", seconds=2.04)
    plans = whole.plans()[0], clipped.plans()[0]
    assert plans[0].spec.run_id() != plans[1].spec.run_id()
    scorers = [
        one.scorer(plan.task, plan.manifest, plan.protocol) for one, plan in zip((whole, clipped), plans, strict=True)
    ]
    assert "wer" in scorers[0].metrics and whole.notes == [WORDS]
    assert "wer" not in scorers[1].metrics
    assert clipped.notes == [
        "metric wer is left out: clips of fixed length cut words off; --seconds 0 takes whole recordings"
    ]
    for name in scorers[1].metrics:
        assert scorers[1].signature(name).endswith("|clip:first-2.04s-looped")
        assert scorers[0].signature(name).endswith("|clip:whole")
    zero = session(root, "noisy", seconds=0.0).plans()[0]
    assert zero.spec.run_id() == plans[0].spec.run_id()


def test_word_errors_that_are_asked_for_on_clips_are_refused(root: Path) -> None:
    asked = session(root, "clean", metrics=("wer",), seconds=1.0)
    with pytest.raises(UsageError, match="wer: clips of fixed length cut words off; --seconds 0"):
        asked.run(asked.plans())


def test_texts_that_are_no_sentences_of_the_grammar_are_for_whisper(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metrics.networks import whisper

    listed = Four.rows

    def rows(self: Four, split: str, task: str) -> list[Row]:
        other = {"text": "to be or not to be"}
        return [replace(row, attributes={**row.attributes, **other}) for row in listed(self, split, task)]

    monkeypatch.setattr(Four, "rows", rows)
    monkeypatch.setattr(whisper, "find_spec", lambda name: None)
    asked = session(root, "noisy")
    plan = asked.plans()[0]
    assert "wer" not in asked.scorer(plan.task, plan.manifest, plan.protocol).metrics
    assert "words by whisper:tiny.en: not every text is a GRID sentence" in asked.notes[0]
    assert "metric wer is left out" in asked.notes[1] and "needs faster-whisper" in asked.notes[1]


def test_a_row_is_named_by_what_differs_from_its_preset(tmp_path: Path) -> None:
    shipped = plan_method("flowavse").weights
    assert shipped is not None
    same, other = tmp_path / "same.safetensors", tmp_path / "other.safetensors"
    same.write_bytes(shipped.read_bytes())
    other.write_bytes(shipped.read_bytes() + b" ")
    (tmp_path / "c.toml").write_text("steps = 3\n")
    digest = hashlib.sha256(other.read_bytes()).hexdigest()[:8]
    for options, label in (
        ({"sets": ("steps=1",)}, "flowavse"),
        ({"preset": "talkers"}, "flowavse"),
        ({"sets": ("steps=2", "video=shuffled")}, "flowavse (video=shuffled, steps=2)"),
        ({"config": tmp_path / "c.toml"}, "flowavse (steps=3)"),
        ({"weights": same}, "flowavse"),
        ({"weights": other}, f"flowavse (weights {digest})"),
        ({"preset": "large", "weights": other}, f"flowavse (large, weights {digest})"),
    ):
        assert plan_method("flowavse", **options).label == label  # type: ignore[arg-type]


def test_a_file_of_weights_stands_in_for_published_ones_that_are_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.safetensors").write_bytes(b"own")
    named = replace(plan_method("flowavse").settings, weights="facenet_vggface2")
    monkeypatch.setattr("benchmark.runs.evaluation.resolve", lambda *_: named)
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeights, match="weights fetch facenet_vggface2"):
        plan_method("flowavse")
    assert plan_method("flowavse", weights=tmp_path / "own.safetensors").weights == tmp_path / "own.safetensors"


def test_a_row_that_is_asked_for_stands_in_the_table_once(root: Path) -> None:
    asked = session(root, "flowavse", preset="talkers", sets=("steps=1",), references=True)
    assert [plan.method.label for plan in asked.plans()] == ["flowavse", "noisy", "wiener", "clean"]
    asked = session(root, "flowavse", sets=("steps=0",), references=True)
    labels = [plan.method.label for plan in asked.plans()]
    assert labels == ["flowavse (steps=0)", "noisy", "wiener", "flowavse", "clean"]


def test_a_missing_video_is_one_failed_row_of_what_looks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "p2.mkv").unlink()
    assert run(root, "noisy", metrics=("estoi",))[0].failures.rows == 0
    monkeypatch.setitem(registry.methods.entries, "looker", registry.Entry(f"{__name__}:Looker", "", "x"))
    result, _, directory = run(root, "looker", metrics=("estoi",))
    ((reason, count),) = result.failures.generation.items()
    assert count == 1 and "p2.mkv" in reason and "no such file" in reason
    estoi = result.aggregate("estoi")
    assert (estoi.scored, estoi.total) == (3, 4) and 0 < estoi.value < 1
    assert {row.speaker for row in directory.predictions().values() if row.status == "failed"} == {"p2"}


def test_a_missing_recording_fails_its_own_row_and_those_it_babbles_in(root: Path, tmp_path: Path) -> None:
    (root / "p1.wav").write_bytes(b"RIFF nonsense")
    result, _, directory = run(root, "clean", metrics=("estoi",))
    samples = Four(root, tmp_path).open("test", "av_enhancement").samples
    hit = {
        sample.id
        for sample in samples
        if root / "p1.wav" in (*sample.inputs.get("noise", ()), *sample.targets["speech"])
    }
    assert {key for (key, _), row in directory.predictions().items() if row.status == "failed"} == hit
    assert result.aggregate("estoi").scored == 4 - len(hit) < 4


def test_a_run_on_disk_is_scored_to_the_same_numbers(root: Path) -> None:
    result, _, directory = run(root, "noisy", metrics=("estoi", "si_sdr"), seconds=1.0, seed=5)
    (directory.path / "scores.jsonl").unlink()
    _, again, *_ = score_run(directory.path, metrics=("estoi", "si_sdr"), workers=0)
    assert again.aggregates == result.aggregates


def test_rows_of_the_same_mixtures_stand_beside_a_run_on_disk(root: Path) -> None:
    _, _, directory = run(root, "noisy", metrics=("si_sdr",))
    run(root, "clean", metrics=("si_sdr",))
    run(root, "clean", metrics=("si_sdr",), seed=1)
    run(root, "clean", metrics=("si_sdr",), seconds=2.04)
    view, *_ = score_run(directory.path, metrics=("si_sdr",), workers=0)
    assert [(row.label, row.spec.seed, row.spec.seconds) for row in peers(view)] == [("clean", 0, None)]
    # A reference row of other weights is none.
    found = peers(view)[0]
    other = found.model_copy(update={"spec": found.spec.model_copy(update={"weights_sha256": "0" * 64})})
    (directory.path.parent / found.run_id / "result.json").write_text(other.model_dump_json())
    assert peers(view) == []


def test_separation_goes_through(root: Path) -> None:
    result, _, _ = run(root, "noisy", task="av_separation", metrics=("si_sdr",))
    assert result.spec.task == "av_separation"
    assert result.aggregate("si_sdr").value == pytest.approx(0, abs=0.5) and result.aggregate("si_sdr").scored == 4


def test_floor_and_ceiling_stand_beside_a_method(root: Path) -> None:
    named = {
        method: [plan.method.name for plan in session(root, method, references=True).plans()]
        for method in ("noisy", "clean")
    }
    assert named["noisy"][0] == "noisy" and named["noisy"][-1] == "clean" and named["noisy"].count("noisy") == 1
    assert named["clean"][:2] == ["clean", "noisy"] and named["clean"].count("clean") == 1


def test_run_prints_a_row_for_each_method_whole_where_it_is_piped(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, ENHANCE.name, replace(ENHANCE, references=("wiener", "clean")))
    asked = {"dataset": "four", "data_root": root, "metrics": ["si_sdr,stoi"], "workers": 0, "device": "cpu"}
    heads = []
    for columns in (None, ["stoi"]):
        run_command("noisy", ENHANCE.name, runs=tmp_path / "runs", quiet=True, columns=columns, **asked)
        printed = capsys.readouterr().out
        assert [re.match(r"(-- )?\w+", line)[0] for line in printed.splitlines()[3:8]] == [
            *("-- floors", "noisy", "wiener", "-- ceiling", "clean")
        ], printed
        heads.append(printed.splitlines()[2].split())
    assert heads == [["SI-SDR", "dB", "↑", "ESTOI", "↑", "STOI", "↑"], ["STOI", "↑"]]
    assert "clean, undefined in 4: SI-SDR" not in printed, "a number that is not shown needs no reason"


@pytest.mark.parametrize(
    ("method", "more", "error", "reason"),
    [
        ("noisy", {"task": "av_enhancment"}, UnknownName, "Did you mean 'av_enhancement'"),
        (
            "noisy",
            {"task": "speech2face"},
            UsageError,
            "'noisy' does not serve task 'speech2face'; it serves: av_enhan",
        ),
        ("sf2f", {"task": "av_separation"}, UsageError, "does not serve task 'av_separation'; it serves: speech2face"),
        ("noisy", {"metrics": ("retrieval",)}, UsageError, "'retrieval' measures speech2face, not av_enhancement"),
        ("noisy", {"metrics": ("si_sdrr",)}, UnknownName, "Did you mean 'si_sdr'"),
        ("noisy", {"seconds": -1.0}, UsageError, "--seconds -1.0"),
        ("noisy", {"split": "dev"}, UsageError, "no split 'dev'"),
        ("noisy", {"dataset": "hq_voxceleb"}, UsageError, "'hq_voxceleb' does not serve task 'av_enhancement'"),
    ],
)
def test_what_cannot_be_run_is_said_before_any_work(
    root: Path, method: str, more: dict, error: type, reason: str
) -> None:
    with pytest.raises(error, match=reason):
        session(root, method, **more).plans()
    assert not (root.parent / "runs").exists()


# predict


def test_predict_reads_a_real_video_and_its_sound(
    realdata: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip, output = realdata / "grid" / "bbaf2n.mpg", tmp_path / "new" / "out.wav"
    predict("noisy", clip, output, as_json=True)
    told = json.loads(capsys.readouterr().out)
    sound = read_audio(clip)
    assert np.array_equal(read_audio(output).samples, sound.samples)
    assert told["method"] == "noisy" and told["seconds"] == sound.seconds
    assert told["video_frames"] == math.ceil(sound.seconds * FPS) and told["without_face"] == 0


def test_predict_takes_the_pictures_of_another_file(
    realdata: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    clip = realdata / "grid" / "bbaf2n.mpg"
    sound = read_audio(clip)
    write_audio(tmp_path / "in.flac", sound._replace(samples=sound.samples[: 2 * RATE] / 2))
    predict("noisy", tmp_path / "in.flac", tmp_path / "out.flac", video=clip, as_json=True)
    assert json.loads(capsys.readouterr().out)["video_frames"] == 50
    np.testing.assert_allclose(read_audio(tmp_path / "out.flac").samples, sound.samples[: 2 * RATE] / 2, atol=1e-6)
    with pytest.raises(UsageError, match="has no pictures: give a video, .* --video"):
        predict("flowavse", tmp_path / "in.flac", tmp_path / "lost.wav")
    with pytest.raises(MediaError, match="no pictures"):
        predict("noisy", tmp_path / "in.flac", tmp_path / "lost.wav", video=tmp_path / "out.flac")
    with pytest.raises(MediaError, match="none.mp4: no such file"):
        predict("noisy", tmp_path / "in.flac", tmp_path / "lost.wav", video=tmp_path / "none.mp4")
    assert not (tmp_path / "lost.wav").exists()


def test_predict_with_a_method_that_does_not_look_takes_sound_alone(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    predict("noisy", root / "p0.wav", tmp_path / "out.wav", as_json=True)
    told, speech = json.loads(capsys.readouterr().out), read_audio(root / "p0.wav")
    assert told["seconds"] == speech.seconds and "video_frames" not in told
    assert np.array_equal(read_audio(tmp_path / "out.wav").samples, speech.samples)


def test_predict_tells_of_frames_without_a_face(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    predict("noisy", root / "p0.wav", tmp_path / "out.wav", video=root / "p0.mkv")
    told = capsys.readouterr()
    frames = math.ceil(read_audio(root / "p0.wav").seconds * FPS)
    assert f"no face in {frames} of {frames} frames of {root / 'p0.mkv'}" in told.err and not told.out
    assert np.array_equal(read_audio(tmp_path / "out.wav").samples, read_audio(root / "p0.wav").samples)


def filmed(path: Path, sound_s: float, pictures_s: float) -> Path:
    """3 s of noise and of grey pictures, of which number k has the level 3 k, each beginning at its own time."""
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=FPS)
        video.width, video.height, video.pix_fmt = 112, 112, "bgr0"
        sound = container.add_stream("flac", rate=RATE, layout="mono")
        packets = []
        for number in range(3 * FPS):
            pixels = np.full((112, 112, 3), 3 * number, np.uint8)
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts = number + round(pictures_s * FPS)
            packets += video.encode(picture)
        samples = np.random.default_rng(1).integers(-9000, 9000, (1, 3 * RATE), dtype=np.int16)
        for start in range(0, 3 * RATE, 4000):
            part = av.AudioFrame.from_ndarray(samples[:, start : start + 4000].copy(), format="s16", layout="mono")
            part.sample_rate, part.pts = RATE, start + round(sound_s * RATE)
            packets += sound.encode(part)
        packets += [*video.encode(None), *sound.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("sound_s", "pictures_s", "shown"),
    [
        (0.0, 0.0, [*range(75)]),
        (1.0, 0.0, [*range(25, 75), *[74] * 25]),
        (0.0, 0.4, [*[0] * 10, *range(65)]),
        (0.015, 0.0, [*range(75)]),
    ],
)
def test_sound_and_pictures_of_one_file_are_paired_by_their_times(
    tmp_path: Path, sound_s: float, pictures_s: float, shown: list[int]
) -> None:
    path = filmed(tmp_path / "a.mkv", sound_s, pictures_s)
    about = {"noise": "white", "snr_db": 0.0}
    sample = Sample("a", "a", {"video": (path,)}, {"speech": (path,)}, about)
    whole, clip = ENHANCE.open(sample, 0, WHOLE, 0, ""), ENHANCE.open(sample, 0, Protocol(2.0, 1), 0, "")
    for inputs in (ENHANCE.read(path, None), ENHANCE.read(path, path), whole.inputs):
        assert inputs["noisy"].seconds == 3 and (inputs["video"].frames[:, 50, 50] / 3).tolist() == shown
    assert (clip.inputs["video"].frames[:, 50, 50] / 3).tolist() == shown[:50]
    write_audio(tmp_path / "a.wav", read_audio(path))
    apart = ENHANCE.read(tmp_path / "a.wav", path)["video"]
    assert (apart.frames[:, 50, 50] / 3).tolist() == [*range(75)], "the times of two files have nothing in common"


@pytest.mark.parametrize(
    ("method", "output", "reason"),
    [
        ("noisy", "out.png", r"audio is written as .wav or .flac, for instance \S*out.wav"),
        ("noisy", "out", "audio is written as .wav or .flac"),
        ("clean", "out.wav", "'clean' is a reference row"),
    ],
)
def test_predict_says_what_it_can_write(root: Path, tmp_path: Path, method: str, output: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        predict(method, root / "p0.wav", tmp_path / output, video=root / "p0.mkv")


def test_predict_of_a_face_looks_at_no_video(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="speech2face looks at no video"):
        predict("sf2f", root / "p0.wav", tmp_path / "face.png", video=root / "p0.mkv")


def test_errors_of_predict_are_one_line_and_an_exit_code(root: Path) -> None:
    line = [sys.executable, "-m", "benchmark", "predict", "-m", "flowavse", "-i", str(root / "p0.wav"), "-o", "out.wav"]
    done = subprocess.run(
        line, capture_output=True, text=True, cwd=Path(__file__).parent.parent, timeout=100, check=False
    )
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith(f"error: {root / 'p0.wav'} has no pictures") and len(done.stderr.splitlines()) == 1
