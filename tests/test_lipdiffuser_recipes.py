"""LipDiffuser's stages together: recordings in, weights of all networks out."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from test_frontends import speechlike
from test_lipdiffuser_method import SMALL, example, spoken

from baselines import shards
from baselines.checkpoints import read
from baselines.lipdiffuser import clips
from baselines.lipdiffuser import training as module
from baselines.lipdiffuser.braven import BRAVEn, Size
from baselines.lipdiffuser.clips import ShardClips
from baselines.lipdiffuser.config import Config, Training
from baselines.lipdiffuser.mel import LogMel
from baselines.lipdiffuser.method import LipDiffuser
from baselines.lipdiffuser.preparation import Mels, Voices, seen_utterances
from baselines.lipdiffuser.speaker import SpeakerEncoder
from baselines.settings import options
from baselines.training import Loop, train_stages
from benchmark.configuration import Presets, resolve
from benchmark.errors import InvalidConfig, MissingDataset, MissingWeights
from benchmark.media import write_audio, write_video
from benchmark.types import Audio, Sample

QUICK = {
    **{f"{stage}_steps": 1 for stage in ("visual", "vocoder_start", "vocoder", "audio")},
    "steps": 1,
    "batch": 2,
    "frames": 16,
    "visual_batch": 2,
    "vocoder_batch": 2,
    "vocoder_frames": 8,
    "vocoder_critic_width": 0.03,
    "feature_views": 2,
    "ramp_up": 0.0,
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def corpus(folder: Path, people: int = 3, pictures: int = 15) -> list[Sample]:
    """Each person with an utterance of half a second, filmed, and another one as enrolment."""
    samples, rng = [], np.random.default_rng(0)
    for number in range(people):
        paths = [folder / f"p{number}_{kind}.wav" for kind in ("said", "other")]
        for k, path in enumerate(paths):
            write_audio(path, Audio(speechlike(0.6 + 0.1 * k, seed=10 * number + k), 16_000))
        film = folder / f"p{number}.mkv"
        write_video(film, rng.integers(0, 256, (pictures, 96, 96), dtype=np.uint8), 25)
        inputs = {"enrolment": (paths[1],), "video": (film,)}
        spoken = {"phonemes": [["", 0.0], ["a", 0.1], ["t", 0.3]]}
        samples.append(Sample(f"p{number}_0", f"p{number}", inputs, {"speech": (paths[0],)}, spoken))
    return samples


def test_mels_are_made_once_while_there_is_room():
    read: list[int] = []

    def samples(number: int) -> np.ndarray:
        read.append(number)
        return speechlike(0.5, seed=number)

    mels = Mels(samples, 3, "centred")
    expected = LogMel("centred")(torch.from_numpy(speechlike(0.5, seed=1))[None])[0]
    torch.testing.assert_close(mels[1].float(), expected, atol=5e-3, rtol=1e-3)
    assert len(mels) == 3 and torch.equal(mels[1], mels[1]) and read == [1]
    mels._room = 0
    assert torch.equal(mels[2], mels[2]) and read == [1, 2, 2]


def test_voices_are_those_of_all_recordings_that_can_be_used(tmp_path):
    samples = corpus(tmp_path)
    silent, missing = tmp_path / "silent.wav", tmp_path / "missing.wav"
    write_audio(silent, Audio(np.zeros(16_000, np.float32), 16_000))
    samples.append(Sample("q_0", "q", {"enrolment": (silent,)}, {"speech": (missing,)}))
    encoder = SpeakerEncoder("talkers")
    found = Voices(samples, encoder)
    assert found.speakers == ["p0", "p0", "p1", "p1", "p2", "p2"]
    assert len(found.problems) == 2
    assert "missing.wav" in found.problems[0] and "silent" in found.problems[1]
    alone = encoder.embed([speechlike(0.7, seed=11)])[0]
    torch.testing.assert_close(found.vectors[3], alone, atol=1e-2, rtol=0)
    own = found.utterances("hifigan")
    assert len(own) == 6 and own.seen is None and own.mels[1].shape == (80, int(0.7 * 16_000) // 256)
    with pytest.raises(MissingDataset, match="None of the split's 2 recordings can be used"):
        Voices(samples[-1:], encoder)
    with pytest.raises(MissingDataset, match="No speech in the split"):
        Voices([Sample("x", "x", {})], encoder)


def test_clips_of_people_without_a_voice_or_without_features_are_left_out(tmp_path):
    clips = ShardClips(corpus(tmp_path, 4))
    seen = [torch.full((1, 15, 8), float(number)) for number in range(4)]
    voices = torch.nn.functional.normalize(torch.randn(3, 4), dim=1)
    found = seen_utterances(clips, seen, voices, ["p0", "p2", "p3"], "hifigan", {3: "no file"})
    assert list(found.speakers) == ["p0", "p2"] and float(found.seen[1].mean()) == 2 and len(found.seen) == 2
    torch.testing.assert_close(found.mels[1], Mels(lambda n: clips.speech(2), 1, "hifigan")[0])


@pytest.fixture
def filmed(tmp_path) -> list[Sample]:
    return corpus(tmp_path)


def test_all_stages_make_weights_that_speak(tmp_path, filmed):
    stages = module.recipes(SMALL, QUICK, filmed, filmed[:2])
    assert [stage.name for stage in stages] == ["visual", "vocoder_start", "vocoder", "audio", "denoiser"]
    weights = train_stages(stages, tmp_path / "out", Loop(device="cpu"))
    tensors, about = read(weights, "lipdiffuser")
    assert about["method"] == "lipdiffuser" and about["steps"] == "1"
    assert {name.partition(".")[0] for name in tensors} == {"visual", "vocoder", "denoiser"}
    made = LipDiffuser(SMALL, weights)
    made.load("cpu")
    assert spoken(made, example())[0].shape == (3200,)
    for name, value in read(tmp_path / "out" / "visual.safetensors", "lipdiffuser")[0].items():
        torch.testing.assert_close(tensors[name], value, atol=2e-3, rtol=2e-3)
    # Another width of its average can be asked for at once.
    wide = LipDiffuser(dataclasses.replace(SMALL, ema=0.15), weights)
    wide.load("cpu")
    assert spoken(wide, example())[0].shape == (3200,)


def test_speech_alone_may_come_from_another_corpus(tmp_path, filmed):
    alone = {**QUICK, "visual_steps": 0, "steps": 0}
    stages = module.recipes(SMALL, alone, filmed)
    assert [stage.name for stage in stages] == ["vocoder_start", "vocoder", "audio"]
    first = train_stages(stages, tmp_path / "audio", Loop(device="cpu"))
    heard, _ = read(first, "lipdiffuser")
    without = {f"{stage}_steps": 0 for stage in ("vocoder_start", "vocoder", "audio")}
    then = {**QUICK, **without, "start_from": str(first), "learning_rate": 1e-12}
    stages = module.recipes(SMALL, then, filmed)
    assert [stage.name for stage in stages] == ["visual", "denoiser"]
    tensors, _ = read(train_stages(stages, tmp_path / "seen", Loop(device="cpu")), "lipdiffuser")
    assert {name.partition(".")[0] for name in tensors} == {"visual", "vocoder", "denoiser"}
    for name, value in heard.items():
        if name.startswith("vocoder.") or name in ("denoiser.mean", "denoiser.unet.gain"):
            torch.testing.assert_close(tensors[name], value, atol=2e-3, rtol=2e-3)


def test_a_denoiser_without_a_trained_eye_is_refused_at_once(tmp_path, filmed):
    with pytest.raises(InvalidConfig, match=r"set training.visual_steps, or training.start_from"):
        module.recipes(SMALL, {**QUICK, "visual_steps": 0}, filmed)
    with pytest.raises(InvalidConfig, match="visual = features needs visual_features"):
        module.recipes(dataclasses.replace(SMALL, visual="features"), QUICK, filmed)
    with pytest.raises(InvalidConfig, match="visual = braven needs visual_weights"):
        module.recipes(dataclasses.replace(SMALL, visual="braven"), QUICK, filmed)
    with pytest.raises(MissingWeights, match="none.safetensors is not a file"):
        module.recipes(SMALL, {**QUICK, "start_from": str(tmp_path / "none.safetensors")}, filmed)


DENOISER_ALONE = {**QUICK, **{f"{stage}_steps": 0 for stage in ("visual", "vocoder_start", "vocoder", "audio")}}


def with_features(folder: Path, samples: list[Sample], seed: int) -> Config:
    """Settings to learn from features in a folder, which are written."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    for sample in samples:
        np.save(folder / f"{sample.id}.npy", rng.standard_normal((15, 8)))
    return dataclasses.replace(SMALL, visual="features", visual_features=str(folder))


def test_a_resumed_denoiser_sees_by_the_features_it_began_with(tmp_path, filmed):
    def trained(config: Config, steps: int) -> Path:
        stages = module.recipes(config, {**DENOISER_ALONE, "steps": steps}, filmed)
        return train_stages(stages, tmp_path / "out", Loop(device="cpu"))

    config = with_features(tmp_path / "one", filmed, 0)
    trained(config, 1)
    with pytest.raises(InvalidConfig, match=r"visual_features is sha256:\w+ there, sha256:\w+ here"):
        trained(with_features(tmp_path / "two", filmed, 1), 2)
    with pytest.raises(InvalidConfig, match=r"visual_features is sha256:\w+ there, sha256:\w+ here"):
        trained(with_features(tmp_path / "one", filmed, 1), 2)  # the same folder with other contents
    moved = with_features(tmp_path / "three", filmed, 0)
    assert trained(moved, 2) == tmp_path / "out" / "denoiser.safetensors"


def test_a_denoiser_that_learns_from_features_cuts_no_mouth(tmp_path, filmed, monkeypatch):
    def refuse(*given):
        raise AssertionError("a mouth is cut")

    monkeypatch.setattr(shards, "cores", lambda: 1)  # in this process
    monkeypatch.setattr(clips, "read_mouth_video", refuse)
    config = with_features(tmp_path / "features", filmed, 0)
    train_stages(module.recipes(config, DENOISER_ALONE, filmed), tmp_path / "out", Loop(device="cpu"))


def braven(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    torch.save(BRAVEn(Size(8, 2, 16, 1)).state_dict(), path)
    return path


def test_a_resumed_denoiser_sees_by_the_weights_it_began_with(tmp_path, filmed):
    def trained(weights: Path, steps: int) -> Path:
        config = dataclasses.replace(SMALL, visual="braven", visual_weights=str(weights))
        stages = module.recipes(config, {**DENOISER_ALONE, "steps": steps}, filmed)
        return train_stages(stages, tmp_path / "out", Loop(device="cpu"))

    trained(braven(tmp_path / "a.pth", 0), 1)
    with pytest.raises(InvalidConfig, match=r"visual_weights is sha256:\w+ there, sha256:\w+ here"):
        trained(braven(tmp_path / "b.pth", 1), 2)
    with pytest.raises(InvalidConfig, match="visual is braven there, features here.*visual_features is unset there"):
        config = with_features(tmp_path / "features", filmed, 0)
        train_stages(module.recipes(config, DENOISER_ALONE, filmed), tmp_path / "out", Loop(device="cpu"))
    assert trained(braven(tmp_path / "copy.pth", 0), 2).is_file()


def test_clips_without_usable_features_are_told_and_left_out(tmp_path, filmed, caplog):
    config = with_features(tmp_path / "features", filmed, 0)
    (tmp_path / "features" / "p1_0.npy").unlink()
    train_stages(module.recipes(config, DENOISER_ALONE, filmed), tmp_path / "out", Loop(device="cpu"))
    assert "1 of 3 clips are left out of 'lipdiffuser'" in caplog.text and "p1_0.npy is not there" in caplog.text
    for name in ("p0_0", "p2_0"):
        (tmp_path / "features" / f"{name}.npy").unlink()
    with pytest.raises(MissingDataset, match="visual_features: none of 3 clips can be used.*p0_0.npy"):
        train_stages(module.recipes(config, DENOISER_ALONE, filmed), tmp_path / "none", Loop(device="cpu"))


def test_the_presets_trainings_are_settings_of_the_trainer():
    presets = Presets.beside(Path(module.__file__).parent)
    for name in ("talkers", "paper"):
        settings = resolve(Config, presets, name)
        assert options(Training, settings.training).frames % 8 == 0
