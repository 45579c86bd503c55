"""LipDiffuser's visual front-end: batches and ends of clips, labels from phonemes, augmentation, learning, clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.checkpoints import load_state
from baselines.lipdiffuser import clips as clips_module
from baselines.lipdiffuser import visual_encoder, visual_training
from baselines.lipdiffuser.clips import Phonemes, ShardClips
from baselines.lipdiffuser.config import Config, Training
from baselines.lipdiffuser.visual_encoder import VisualEncoder, centre, seen_of
from baselines.lipdiffuser.visual_features import read_features
from baselines.lipdiffuser.visual_training import (
    IGNORED,
    VISEMES,
    VisualRecipe,
    accuracies,
    augmentation,
    augmented,
    labels_of,
    visemes_of,
)
from baselines.training import Loop, train
from benchmark.datasets.talkers.phonemes import phonemes_of
from benchmark.datasets.talkers.sentences import Sentence
from benchmark.errors import InvalidConfig, MediaError, MissingDataset
from benchmark.media import read_audio, read_video, write_audio, write_video
from benchmark.types import Audio, Sample

CONFIG = Config(visual="talkers", visual_dim=16)
TRAINING = Training(visual_batch=4)


@pytest.fixture(scope="module")
def encoder() -> VisualEncoder:
    torch.manual_seed(0)
    encoder = VisualEncoder(32)
    for module in encoder.modules():  # statistics of a training, not those of no data
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return encoder.eval()


def video(frames: int, seed: int = 0, count: int = 1) -> torch.Tensor:
    return torch.rand(count, frames, 88, 88, generator=torch.Generator().manual_seed(seed))


# ---- the encoder


@torch.no_grad()
def test_what_fills_a_batch_up_changes_nothing(encoder) -> None:
    short, long = video(5), video(9, seed=1)
    batch = torch.cat([torch.cat([short, video(4, seed=2)], dim=1), long])
    seen = encoder(batch, torch.tensor([5, 9]))
    torch.testing.assert_close(seen[:1, :5], encoder(short), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen[1:], encoder(long), atol=1e-5, rtol=1e-4)
    assert not seen[0, 5:].any()


@torch.no_grad()
def test_time_goes_forward_and_places_count(encoder) -> None:
    clip = video(8)
    assert encoder.dim == 32 and encoder(clip).shape == (1, 8, 32)
    backward = encoder(clip.flip(1)).flip(1)
    assert (encoder(clip) - backward).abs().mean() > 0.01
    assert (encoder(clip) - encoder(clip.roll(20, dims=3))).abs().mean() > 0.01


@torch.no_grad()
def test_attention_ends_three_seconds_away() -> None:
    torch.manual_seed(1)
    block = VisualEncoder(16).eval().blocks[0]
    x = torch.randn(1, 170, 16)
    other = x.clone()
    other[:, 0] += 5
    inside = torch.ones(1, 170)
    a, b = (block(y, inside, seen_of(inside)) for y in (x, other))
    changed = (a - b).abs().amax(-1)[0] > 1e-6
    # the convolution before attention sees three frames each way
    assert changed[:76].any() and not changed[75 + 4 :].any()


def test_the_middle_of_a_picture_is_taken() -> None:
    mouths = torch.arange(96 * 96).reshape(1, 96, 96).remainder(256).to(torch.uint8)
    np.testing.assert_allclose(centre(mouths)[0].numpy(), mouths[0, 4:92, 4:92].numpy() / 255, atol=1e-6)


def test_parameters_are_few_enough_to_ship() -> None:
    assert sum(p.numel() for p in VisualEncoder().parameters()) < 800_000


# ---- labels


def test_labels_are_the_phonemes_in_the_middle_of_frames() -> None:
    spoken = [("", 0.0), ("b", 0.059), ("ɪ", 0.1), ("n", 0.101), ("", 0.15)]
    classes = {"": 0, "b": 1, "ɪ": 2, "n": 3}
    # middles: 0.02, 0.06, 0.10, 0.14, 0.18
    assert labels_of(spoken, 5, classes).tolist() == [0, 1, 2, 3, 0]


def test_phonemes_of_a_talker_are_those_of_the_sentence() -> None:
    spoken = phonemes_of(100_000, Sentence.parse("bbaf2n"))
    starts = [start for _, start in spoken]
    assert [ipa for ipa, _ in spoken[:4]] == ["", "b", "ɪ", "n"] and spoken[-1][0] == ""
    assert starts[0] == 0 and starts == sorted(starts) and 1 < starts[-1] < 4


def test_phonemes_of_one_viseme_look_alike() -> None:
    b, m, f, silence, long_i, short_i = visemes_of(["b", "m", "f", "", "iː", "ɪ"]).tolist()
    assert b == m != f and long_i == short_i and silence == len(VISEMES)


def test_accuracies_are_parts_of_the_frames() -> None:
    phonemes = ("", "b", "m", "iː")
    read, spoken = torch.tensor([1, 1, 3, 0, 0]), torch.tensor([1, 2, 3, 3, 4])  # 4: never heard in training
    measured = accuracies(read, spoken, phonemes)
    assert measured == {"phonemes": 0.4, "phonemes_commonest": 0.4, "visemes": 0.6, "visemes_commonest": 0.4}


# ---- augmentation


def test_without_change_the_middle_is_taken() -> None:
    mouths = torch.randint(0, 256, (2, 3, 96, 96), dtype=torch.uint8)
    warp = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(2, 2, 3)
    same = augmented(mouths, warp, torch.tensor([[1.0, 0.0]]).expand(2, 2))
    torch.testing.assert_close(same, centre(mouths), atol=1e-4, rtol=0)


def test_warp_and_light_do_what_they_say() -> None:
    mouths = torch.randint(0, 256, (1, 3, 96, 96), dtype=torch.uint8)
    mirrored = torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]])
    still = torch.tensor([[1.0, 0.0]])
    torch.testing.assert_close(augmented(mouths, mirrored, still), centre(mouths).flip(-1), atol=1e-4, rtol=0)
    down = torch.tensor([[[1.0, 0, 0], [0, 1, 2 / 44]]])  # two pixels
    expected = mouths[..., 6:94, 4:92].float() / 255
    torch.testing.assert_close(augmented(mouths, down, still), expected, atol=1e-4, rtol=0)
    lit = augmented(mouths, down, torch.tensor([[1.3, 0.1]]))
    torch.testing.assert_close(lit, (expected - expected.mean()) * 1.3 + expected.mean() + 0.1, atol=1e-3, rtol=0)


def test_clips_are_augmented_differently_and_within_bounds() -> None:
    warp, light = augmentation(np.random.default_rng(0), 500)
    assert set(warp[:, 0, 0].sign().tolist()) == {-1.0, 1.0}
    assert 0.9 <= warp[:, 1, 1].min() < 0.92 and 1.08 < warp[:, 1, 1].max() <= 1.1
    assert 0.08 < warp[:, :, 2].abs().max() <= 4 / 44 and light[:, 0].min() >= 0.7 and light[:, 1].abs().max() <= 0.15


# ---- learning


@dataclass(frozen=True)
class MemoryClips:
    """Clips that lie in memory."""

    mouths: Sequence[Tensor]
    speeches: Sequence[Tensor]
    """May be empty where a training asks for none."""
    speakers: Sequence[str]
    spoken: Sequence[Phonemes | None]

    def __len__(self) -> int:
        return len(self.mouths)

    def mouth(self, number: int) -> Tensor:
        return self.mouths[number]

    def speech(self, number: int) -> Tensor:
        return self.speeches[number]

    def speaker(self, number: int) -> str:
        return self.speakers[number]

    def phonemes(self, number: int) -> Phonemes | None:
        return self.spoken[number]


def lips(count: int, frames: int, seed: int) -> MemoryClips:
    """Mouths that are dark where `a` is said, and light where `m` is."""
    rng = np.random.default_rng(seed)
    mouths, spoken = [], []
    for _ in range(count):
        changes = np.sort(rng.choice(np.arange(1, frames), 2, replace=False))
        track = [("", 0.0), ("a", changes[0] / 25), ("m", changes[1] / 25)]
        grey = np.full(frames, 120)
        grey[changes[0] : changes[1]], grey[changes[1] :] = 40, 200
        pictures = np.full((frames, 96, 96), 120)
        pictures[:, 40:56, 30:66] = grey[:, None, None]
        mouths.append(torch.from_numpy((pictures + rng.integers(-5, 6, pictures.shape)).astype(np.uint8)))
        spoken.append(track)
    return MemoryClips(mouths, [], [f"p{n}" for n in range(count)], spoken)


def test_a_batch_is_filled_up_and_ignored_there() -> None:
    clips = lips(3, 6, 0)
    clips.mouths[1] = torch.zeros(100, 96, 96, dtype=torch.uint8)
    batch = VisualRecipe(CONFIG, TRAINING, clips).batch(np.random.default_rng(0))
    assert batch["mouth"].shape == (4, 64, 96, 96) and sorted(set(batch["lengths"].tolist())) == [6, 64]
    for row, length in enumerate(batch["lengths"].tolist()):
        assert (batch["labels"][row, length:] == IGNORED).all() and (batch["labels"][row, :length] >= 0).all()


def test_lips_are_learned_to_be_read_and_exported(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(visual_encoder, "STAGES", (8, 8, 8, 16, 16))
    monkeypatch.setattr(visual_training, "WARM_UP", 5)
    training = Training(visual_batch=4, visual_learning_rate=5e-3)
    recipe = VisualRecipe(CONFIG, training, lips(8, 6, 0), lips(4, 6, 1))
    before = recipe.validate()
    train(recipe, tmp_path, 36, Loop(device="cpu", log_every=20, checkpoint_every=100))
    after = recipe.validate()
    assert after["phonemes"] > 0.9 > before["phonemes"] and after["visemes"] >= after["phonemes"]
    assert recipe.phonemes == ("", "a", "m")
    state = load_state(recipe.export(tmp_path / "visual.safetensors"))
    encoder = CONFIG.visual_encoder()
    assert encoder is not None
    encoder.load_state_dict({name.removeprefix("visual."): tensor for name, tensor in state.items()})
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(video(4)), recipe.encoder.eval()(video(4)))


def test_the_loss_is_cross_entropy_over_frames_of_the_clips() -> None:
    recipe = VisualRecipe(CONFIG, TRAINING, lips(3, 6, 0))
    for module in recipe.encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch = recipe.batch(np.random.default_rng(0))
    loss = recipe.step(batch, lambda name, value: None)["cross_entropy"]
    said = recipe.head(recipe.encoder(augmented(batch["mouth"], batch["warp"], batch["light"]), batch["lengths"]))
    known = batch["labels"] != IGNORED
    logs = F.log_softmax(said[known], dim=-1)
    chosen = logs.gather(1, batch["labels"][known][:, None])[:, 0]
    torch.testing.assert_close(loss, -(0.9 * chosen + 0.1 * logs.mean(-1)).mean(), rtol=1e-4, atol=1e-5)


def test_clips_without_phonemes_are_refused() -> None:
    clips = MemoryClips([torch.zeros(5, 96, 96, dtype=torch.uint8)], [], ["somebody"], [None])
    with pytest.raises(MissingDataset, match="somebody"):
        VisualRecipe(CONFIG, TRAINING, clips)


# ---- clips from files


def test_clips_come_from_shards_in_step_with_their_speech(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FACEVOICE_BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(clips_module, "CLIPS", 2)
    rng, samples = np.random.default_rng(0), []
    for number, (frames, seconds) in enumerate([(10, 0.45), (12, 0.4), (8, 0.32)]):
        mouth, speech = tmp_path / f"{number}.mkv", tmp_path / f"{number}.wav"
        write_video(mouth, rng.integers(0, 256, (frames, 96, 96), np.uint8), 25)
        write_audio(speech, Audio(rng.uniform(-0.5, 0.5, round(16_000 * seconds)).astype(np.float32), 16_000))
        spoken = {"phonemes": [["", 0.0], ["b", 0.1]]} if number else {}
        samples.append(Sample(f"s{number}", f"p{number}", {"video": (mouth,)}, {"speech": (speech,)}, spoken))
    (tmp_path / "broken.mkv").write_bytes(b"nothing")
    broken = Sample("s3", "p3", {"video": (tmp_path / "broken.mkv",)}, {"speech": (tmp_path / "0.wav",)}, {})
    again = Sample("s1 in other noise", "p1", samples[1].inputs, samples[1].targets, samples[1].attributes)
    clips = ShardClips([samples[0], broken, *samples[1:], again])
    assert [clips.speaker(n) for n in range(len(clips))] == ["p0", "p1", "p2"]
    assert [len(clips.mouth(n)) for n in range(3)] == [10, 10, 8]
    assert [len(clips.speech(n)) for n in range(3)] == [6400, 6400, 5120]
    assert clips.phonemes(0) is None and clips.phonemes(2) == [["", 0.0], ["b", 0.1]]
    assert len(clips.problems) == 1 and clips.problems[0].startswith("s3:")
    np.testing.assert_array_equal(clips.mouth(2).numpy(), read_video(tmp_path / "2.mkv", 25, None, "luma"))
    np.testing.assert_array_equal(clips.speech(1).numpy(), read_audio(tmp_path / "1.wav", 16_000).samples[:6400])


def test_a_split_without_videos_is_refused(tmp_path) -> None:
    with pytest.raises(MissingDataset):
        ShardClips([])


# ---- the other choices


def test_braven_is_asked_for_with_its_weights() -> None:
    with pytest.raises(InvalidConfig, match="visual_weights"):
        Config().visual_encoder()
    assert Config(visual="features").visual_encoder() is None


def test_features_are_read_by_the_id_of_the_sample(tmp_path) -> None:
    features = np.random.default_rng(0).standard_normal((10, 1024)).astype(np.float16)
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "b.npy", features)
    np.testing.assert_array_equal(read_features(tmp_path, "a/b", 1024, 10).numpy(), features.astype(np.float32))
    np.testing.assert_array_equal(read_features(tmp_path, "a/b", 1024, 9).numpy(), features[:9].astype(np.float32))
    longer = read_features(tmp_path, "a/b", 1024, 11).numpy()
    np.testing.assert_array_equal(longer[9:], features[[9, 9]].astype(np.float32))


def test_features_are_read_by_the_path_of_the_video(tmp_path) -> None:
    """Below any root, the longest end of the path first; a name alone is no video's, and the id comes last."""
    video, rng = Path("/data/lrs3/test/t10/00001.mp4"), np.random.default_rng(0)
    names = ("data/lrs3/test/t10/00001", "lrs3/test/t10/00001", "test/t10/00001", "t10/00001", "t10_00001_pink_-5dB")
    written = {name: rng.standard_normal((10, 8)).astype(np.float32) for name in (*names, "00001")}
    for name, features in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"{name}.npy", features)
    for name in names:
        found = read_features(tmp_path, names[-1], 8, 10, video)
        np.testing.assert_array_equal(found.numpy(), written[name])
        (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(MediaError, match=r"t10_00001_pink_-5dB.npy is not there, nor t10/00001.npy: .* or by its id"):
        read_features(tmp_path, names[-1], 8, 10, video)
    with pytest.raises(MediaError, match="alone.npy is not there: "):
        read_features(tmp_path, "alone", 8, 10)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c", None, "not there"),
        ("a", np.zeros((8, 1024)), "10 frames"),
        ("a", np.zeros((10, 512)), "got \\[10, 512\\]"),
        ("a", np.full((10, 1024), np.nan), "finite"),
        ("a", np.array(["x"] * 10), "numbers"),
        ("a", b"no array", "cannot be read"),
    ],
)
def test_features_that_do_not_fit_are_refused(tmp_path, name: str, content: object, message: str) -> None:
    if isinstance(content, np.ndarray):
        np.save(tmp_path / f"{name}.npy", content)
    elif isinstance(content, bytes):
        (tmp_path / f"{name}.npy").write_bytes(content)
    with pytest.raises(MediaError, match=message):
        read_features(tmp_path, name, 1024, 10)
