"""What is seen of lips, on disk: what encoders and files give, made once, taken up after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from baselines import shards
from baselines.lipdiffuser import clips as clips_module
from baselines.lipdiffuser import lip_shards
from baselines.lipdiffuser.clips import ShardClips
from baselines.lipdiffuser.lip_shards import encoded_lips, filed_lips
from baselines.lipdiffuser.visual_encoder import VisualEncoder, centre
from benchmark.errors import MissingDataset
from benchmark.media import write_audio, write_video
from benchmark.types import Audio, Sample
from benchmark.weights.table import home

DIM = 8
LENGTHS = (4, 6, 3, 5, 4)


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardClips:
    """Five films of mouths, two to a shard."""
    monkeypatch.setattr(shards, "cores", lambda: 1)
    monkeypatch.setattr(lip_shards, "CLIPS", 2)
    monkeypatch.setattr(clips_module, "CLIPS", 2)
    rng, samples = np.random.default_rng(0), []
    for number, frames in enumerate(LENGTHS):
        film, speech = tmp_path / f"{number}.mkv", tmp_path / f"{number}.wav"
        write_video(film, rng.integers(0, 256, (frames, 96, 96), np.uint8), 25)
        write_audio(speech, Audio(rng.uniform(-0.5, 0.5, 640 * frames).astype(np.float32), 16_000))
        samples.append(Sample(f"p/{number}", f"p{number}", {"video": (film,)}, {"speech": (speech,)}))
    return ShardClips(samples)


class Counting(VisualEncoder):
    """Tells how often it looked, and fails when it has looked often enough."""

    def __init__(self, seed: int = 0, last: int = 1000) -> None:
        torch.manual_seed(seed)
        super().__init__(DIM)
        self.looks, self.last = 0, last

    def forward(self, video: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        self.looks += 1
        if self.looks > self.last:
            raise KeyboardInterrupt
        return super().forward(video, lengths)


def test_the_first_view_is_what_inference_sees(clips: ShardClips) -> None:
    encoder = Counting().eval()
    lips = encoded_lips(encoder, clips, views=3)
    assert [tuple(one.shape) for one in lips] == [(3, frames, DIM) for frames in LENGTHS]
    with torch.no_grad():
        expected = encoder(centre(clips.mouth(3)[None]))[0]
    assert lips[3].dtype == torch.float16
    torch.testing.assert_close(lips[3][0].float(), expected, atol=5e-3, rtol=1e-2)
    for other in (lips[3][1], lips[3][2]):
        assert (other - lips[3][0]).abs().max() > 0.01
    assert (lips[3][2] - lips[3][1]).abs().max() > 0.01


def test_views_of_clips_differ_from_each_other(clips: ShardClips, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which way a clip is turned hangs on its name, not on its place in a shard."""

    class Corner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, video: torch.Tensor) -> torch.Tensor:
            return video[:, :, 0, :2]

    same = clips.mouth(0)
    monkeypatch.setattr(clips, "mouth", lambda number: same)
    lips = encoded_lips(Corner(), clips, views=2)
    assert torch.equal(lips[0][0], lips[2][0]) and not torch.equal(lips[0][1], lips[2][1])


def test_a_training_that_was_stopped_goes_on_where_it_was(clips: ShardClips) -> None:
    with pytest.raises(KeyboardInterrupt):
        encoded_lips(Counting(last=2), clips)  # the first shard is whole
    rest = Counting()
    lips = encoded_lips(rest, clips)
    assert rest.looks == 3 and len(lips) == 5
    again = Counting()
    encoded_lips(again, clips)
    assert again.looks == 0


def test_another_encoder_or_number_of_views_looks_itself(clips: ShardClips) -> None:
    first = encoded_lips(Counting(), clips)
    other = encoded_lips(Counting(seed=1), clips)
    assert (first[0] - other[0]).abs().max() > 0.01
    more = Counting()
    encoded_lips(more, clips, views=2)
    assert more.looks == 10


def test_features_stay_on_disk(clips: ShardClips) -> None:
    """A piece of them is a view into a file that is mapped."""
    piece = encoded_lips(Counting(), clips)[0]
    mapped = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if str(home() / "shards" / "lips-") in line:
            start, end = (int(place, 16) for place in line.split()[0].split("-"))
            mapped.append(range(start, end))
    assert any(piece.data_ptr() in part for part in mapped)


def files(folder: Path, seed: int = 0) -> list[np.ndarray]:
    rng, made = np.random.default_rng(seed), []
    (folder / "p").mkdir(parents=True, exist_ok=True)
    for number, frames in enumerate(LENGTHS):
        made.append(rng.standard_normal((frames, DIM)).astype(np.float16))
        np.save(folder / "p" / f"{number}.npy", made[-1])
    return made


def test_features_of_files_are_read_once(clips: ShardClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = files(tmp_path / "a")
    lips = filed_lips(tmp_path / "a", DIM, clips)
    for one, expected in zip(lips, written, strict=True):
        np.testing.assert_array_equal(one.numpy(), expected[None])
    read: list[str] = []
    original = lip_shards.read_features
    monkeypatch.setattr(lip_shards, "read_features", lambda *given: read.append(given[1]) or original(*given))
    filed_lips(tmp_path / "a", DIM, clips)
    assert not read
    np.save(tmp_path / "a" / "p" / "2.npy", np.ones((3, DIM), np.float16))
    assert filed_lips(tmp_path / "a", DIM, clips)[2].eq(1).all() and read == ["p/2", "p/3"]


def test_without_cutting_there_are_as_many_frames_and_the_same_speech(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At other rates, of other sizes, and where the sound of a film begins later than its pictures."""
    monkeypatch.setattr(shards, "cores", lambda: 1)  # in this process
    monkeypatch.setattr("benchmark.media.video.sound_delay", lambda path: 0.12)
    rng, samples = np.random.default_rng(0), []
    for number, (rate, frames, side, delayed) in enumerate(((25, 20, 96, 0), (30, 33, 160, 0), (25, 20, 160, 3))):
        film = tmp_path / f"{number}.mkv"
        sound = Audio(rng.uniform(-0.5, 0.5, 16_000 * frames // rate).astype(np.float32), 16_000)
        write_video(film, rng.integers(0, 256, (frames, side, side), np.uint8), rate, sound)
        speech = (film,) if delayed else (film.with_suffix(".wav"),)
        write_audio(film.with_suffix(".wav"), sound)
        samples.append(Sample(f"p{number}", f"p{number}", {"video": (film,)}, {"speech": speech}))
    broken = tmp_path / "3.mkv"
    broken.write_bytes(b"no film")
    samples.append(Sample("p3", "p3", {"video": (broken,)}, {"speech": samples[0].targets["speech"]}))
    whole, counted = ShardClips(samples), ShardClips(samples, cut=False)
    assert len(whole) == len(counted) == 3 and whole.problems == counted.problems and len(counted.problems) == 1
    assert [len(counted.mouth(number)) for number in range(3)] == [20, 27, 17]
    for number in range(3):
        assert torch.equal(whole.speech(number), counted.speech(number))
        assert counted.mouth(number).shape == (len(whole.mouth(number)), 0, 0)


def test_features_lie_where_the_videos_do(clips: ShardClips, tmp_path: Path) -> None:
    for number, frames in enumerate(LENGTHS):  # the videos are <tmp_path>/<number>.mkv
        for folder in (tmp_path / "a", tmp_path / "b" / tmp_path.name):
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / f"{number}.npy", np.full((frames, DIM), number, np.float16))
    lips = filed_lips(tmp_path / "b", DIM, clips)
    assert not lips.faults and [float(one.mean()) for one in lips] == list(range(5))
    np.save(tmp_path / "b" / tmp_path.name / "1.npy", np.full((LENGTHS[1], DIM), 7, np.float16))
    assert float(filed_lips(tmp_path / "b", DIM, clips)[1].mean()) == 7
    with pytest.raises(MissingDataset, match="none of 5 clips"):  # a name alone is no video's path
        filed_lips(tmp_path / "a", DIM, clips)


def test_the_hash_is_of_what_the_features_are(clips: ShardClips, tmp_path: Path) -> None:
    found = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        files(tmp_path / folder, seed)
        found.append(filed_lips(tmp_path / folder, DIM, clips).sha256)
    assert found[0] == found[1] != found[2]


def test_a_file_that_cannot_be_used_leaves_the_others(clips: ShardClips, tmp_path: Path) -> None:
    written = files(tmp_path / "a")
    (tmp_path / "a" / "p" / "2.npy").unlink()
    np.save(tmp_path / "a" / "p" / "4.npy", np.full((4, DIM), np.nan))
    lips = filed_lips(tmp_path / "a", DIM, clips)
    assert sorted(lips.faults) == [2, 4] and "2.npy is not there" in lips.faults[2] and "finite" in lips.faults[4]
    np.testing.assert_array_equal(lips[3][0].numpy(), written[3])
