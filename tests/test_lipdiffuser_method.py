"""LipDiffuser as a method: from silent video and a voice to speech as long as the video."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from test_frontends import speechlike
from torch import nn

from baselines.checkpoints import export
from baselines.lipdiffuser.config import Config
from baselines.lipdiffuser.diffusion import SIGMA_DATA, at_mel_rate, noise_levels
from baselines.lipdiffuser.method import LipDiffuser
from baselines.lipdiffuser.network import LipDiffuserNetwork
from baselines.lipdiffuser.vocoder import Generator
from baselines.lipdiffuser.windows import fades, in_pieces, pieces, starts
from baselines.post_hoc_ema import PowerAverages
from benchmark.configuration import Presets, resolve
from benchmark.errors import InvalidConfig, MediaError, MethodError, MissingWeights
from benchmark.media.mouth_video import MouthVideo
from benchmark.runs.evaluation import plan_method
from benchmark.types import Audio, Example, Sample

SMALL = Config(
    channels=8,
    multiples=(1, 2),
    blocks=1,
    attention=(False, False),
    head_channels=16,
    patch=8,
    steps=2,
    speaker="talkers",
    visual="talkers",
    visual_dim=8,
    vocoder_channels=16,
)


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lively(config: Config = SMALL) -> LipDiffuserNetwork:
    """Gains that let every part matter: all of them begin at 0."""
    torch.manual_seed(0)
    network = config.network()
    with torch.no_grad():
        for name, tensor in network.denoiser.named_parameters():
            if name.endswith("gain"):
                tensor.fill_(0.7)
    return network.eval()


def method(folder: Path, config: Config = SMALL, trained: Config = SMALL, steps: int = 0) -> LipDiffuser:
    told = {"method": "lipdiffuser", "config": dataclasses.asdict(trained), "steps": steps}
    made = LipDiffuser(config, export(folder / "weights.safetensors", lively().state_dict(), told, half=False))
    made.load("cpu")
    return made


def mouth(pictures: int, seed: int = 0) -> MouthVideo:
    frames = np.random.default_rng(seed).integers(0, 256, (pictures, 96, 96), dtype=np.uint8)
    frames.flags.writeable = False  # as those that were kept on disk
    return MouthVideo(frames)


def voice(seed: int = 0, seconds: float = 1.0) -> Audio:
    rng = np.random.default_rng(100 + seed)
    time = np.arange(int(seconds * 16_000)) / 16_000
    pitch = rng.uniform(90, 250)
    harmonics = sum(rng.uniform(0.2, 1) * np.sin(2 * np.pi * k * pitch * time) for k in range(1, 12))
    return Audio((0.05 * harmonics * (1 + np.sin(9 * time))).astype(np.float32), 16_000)


def example(pictures: int = 5, seed: int = 1, **more: object) -> Example:
    inputs = {"mouth": mouth(pictures, seed), "enrolment": voice(seed), **more}
    return Example(Sample(f"a{seed}", "a", {}), 0, seed, inputs)


def spoken(made: LipDiffuser, *examples: Example) -> list[np.ndarray]:
    outputs = made.generate(examples)
    for output in outputs:
        assert isinstance(output, np.ndarray), output
    return outputs  # type: ignore[return-value]


@pytest.mark.parametrize("pictures", [1, 2, 7])
def test_speech_is_as_long_as_the_video(tmp_path, pictures):
    (samples,) = spoken(method(tmp_path), example(pictures))
    assert samples.shape == (640 * pictures,) and samples.dtype == np.float32 and samples.std() > 0


def test_the_same_example_gives_the_same_speech_and_another_seed_another(tmp_path):
    made = method(tmp_path)
    one, again, other = spoken(made, example(), example(), dataclasses.replace(example(), seed=2))
    assert np.array_equal(one, again) and not np.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("together", [1, 10_000])
def test_a_batch_is_its_items(tmp_path, monkeypatch, together):
    made = method(tmp_path)
    if together > 1:  # as on a GPU
        monkeypatch.setattr(
            made, "_batches", lambda usable: [[u for u in usable if len(u.seen) == n] for n in (4, 5, 9)]
        )
    examples = [example(5, 1), example(9, 2), example(5, 3), example(4, 4)]
    alone = [spoken(method(tmp_path), one)[0] for one in examples]
    for one, other in zip(spoken(made, *examples), alone, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_lips_and_voice_matter(tmp_path):
    made = method(tmp_path)
    base = example()
    lips = dataclasses.replace(base, inputs={**base.inputs, "mouth": mouth(5, 7)})
    sound = dataclasses.replace(base, inputs={**base.inputs, "enrolment": voice(7)})
    one, with_lips, with_sound = spoken(made, base, lips, sound)
    assert np.abs(one - with_lips).max() > 1e-4 and np.abs(one - with_sound).max() > 1e-4


def test_anothers_lips_and_voice_are_taken_where_asked(tmp_path):
    base = example()
    decoys = {"decoy": lambda: mouth(3, 8), "enrolment_decoy": lambda: voice(8)}
    with_decoys = dataclasses.replace(base, inputs={**base.inputs, **decoys})
    repeated = MouthVideo(mouth(3, 8).frames[[0, 1, 2, 0, 1]])
    lips = dataclasses.replace(base, inputs={**base.inputs, "mouth": repeated})
    sound = dataclasses.replace(base, inputs={**base.inputs, "enrolment": voice(8)})
    own = method(tmp_path)
    for setting, same in ({"video": "shuffled"}, lips), ({"enrolment": "shuffled"}, sound):
        made = method(tmp_path, dataclasses.replace(SMALL, **setting))
        np.testing.assert_array_equal(spoken(made, with_decoys)[0], spoken(own, same)[0])
        (missing,) = made.generate([base])
        assert isinstance(missing, MethodError) and "= shuffled needs a dataset that has other people's" in str(missing)


def test_what_cannot_be_used_is_one_failed_row(tmp_path):
    def broken() -> MouthVideo:
        raise MediaError("gone")

    made = method(tmp_path)
    silent = example(enrolment=Audio(np.zeros(16_000, np.float32), 16_000))
    narrow = example(mouth=MouthVideo(np.zeros((4, 88, 88), np.uint8)))
    empty = example(mouth=MouthVideo(np.zeros((0, 96, 96), np.uint8)))
    outputs = made.generate([silent, example(), narrow, empty])
    assert "Expected audible speech, got silence" in str(outputs[0])
    assert isinstance(outputs[1], np.ndarray)
    assert "Expected a video [N, 96, 96] of the mouth, got [4, 88, 88]" in str(outputs[2])
    assert "got [0, 96, 96]" in str(outputs[3])
    shuffled = method(tmp_path, dataclasses.replace(SMALL, video="shuffled"))
    assert [str(output) for output in shuffled.generate([example(decoy=broken)])] == ["gone"]


def test_a_video_too_short_for_a_vocoder_that_mirrors_is_one_failed_row(tmp_path):
    made = method(tmp_path)
    made.network.vocoder = Generator(16, "reflect").eval()
    short, spoken_ = made.generate([example(1), example(2)])
    assert isinstance(short, MethodError) and "1 picture of the mouth; the vocoder can speak no less than 2" in str(
        short
    )
    assert isinstance(spoken_, np.ndarray) and spoken_.shape == (1280,)


def test_channels_that_no_vocoder_has_are_refused():
    for channels in (0, 100):
        with pytest.raises(ValueError, match=f"vocoder_channels must be a multiple of 16, got {channels}"):
            dataclasses.replace(SMALL, vocoder_channels=channels)


def test_a_network_that_gives_no_numbers_is_told(tmp_path):
    made = method(tmp_path)
    with torch.no_grad():
        made.network.vocoder.conv_post.weight.fill_(float("nan"))
    assert "Expected finite samples" in str(made.generate([example()])[0])


def test_weights_of_another_kind_are_refused(tmp_path):
    with pytest.raises(MissingWeights, match="train --method lipdiffuser"):
        LipDiffuser(SMALL, tmp_path / "none.safetensors").load("cpu")
    with pytest.raises(InvalidConfig, match="was trained with framing = centred; expected that, got hifigan"):
        method(tmp_path, trained=dataclasses.replace(SMALL, framing="centred"))
    with pytest.raises(InvalidConfig, match="does not fit the configured network"):
        method(tmp_path, dataclasses.replace(SMALL, channels=16))


def test_an_average_of_another_width_is_made_of_what_the_training_kept(tmp_path):
    network = lively().denoiser
    averages = PowerAverages(network)
    for _ in range(3):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
        averages.update(network)
    wide = dataclasses.replace(SMALL, ema=0.1)
    with pytest.raises(InvalidConfig, match=r"ema = 0.1: expected the averages .* at step 3 .* ema = 0 takes"):
        method(tmp_path, wide, steps=3)
    averages.keep(tmp_path / "denoiser" / "averages")
    made = method(tmp_path, wide, steps=3)
    for name, parameter in made.network.denoiser.named_parameters():
        torch.testing.assert_close(parameter, averages.networks[1].get_parameter(name), rtol=2e-3, atol=2e-3)


def test_a_published_vocoder_takes_the_place_of_the_trained_one(tmp_path):
    torch.manual_seed(3)
    vocoder = Generator(32)
    torch.save({"generator": vocoder.state_dict()}, tmp_path / "g.pt")
    config = dataclasses.replace(SMALL, vocoder_weights=str(tmp_path / "g.pt"))
    made = method(tmp_path, config)
    torch.testing.assert_close(made.network.vocoder.state_dict(), vocoder.state_dict())
    assert spoken(made, example())[0].shape == (3200,)
    centred = dataclasses.replace(config, framing="centred")
    with pytest.raises(InvalidConfig, match="framing is hifigan; the denoiser was trained with centred"):
        method(tmp_path, centred, centred)


def test_features_may_come_from_files(tmp_path):
    config = dataclasses.replace(SMALL, visual="features", visual_features=str(tmp_path))
    one = example()
    pictures = torch.tensor(one.inputs["mouth"].frames)[None, :, 4:-4, 4:-4].float() / 255
    with torch.no_grad():
        np.save(tmp_path / "a1.npy", lively().visual(pictures)[0].numpy())
    made = method(tmp_path, config)
    np.testing.assert_allclose(spoken(made, one)[0], spoken(method(tmp_path), one)[0], atol=2e-5)
    (missing,) = made.generate([example(seed=5)])
    assert isinstance(missing, MediaError) and "a5.npy is not there" in str(missing)
    other = example(seed=5)
    filmed = dataclasses.replace(other.sample, inputs={**other.sample.inputs, "video": (Path("/films/t10/00001.mp4"),)})
    (tmp_path / "t10").mkdir()
    (tmp_path / "a1.npy").rename(tmp_path / "t10" / "00001.npy")
    assert spoken(made, dataclasses.replace(other, sample=filmed))[0].shape == (3200,)
    with pytest.raises(InvalidConfig, match="visual = features needs visual_features"):
        method(tmp_path, dataclasses.replace(config, visual_features=""))


def test_random_weights_can_be_timed(tmp_path):
    made = LipDiffuser(dataclasses.replace(SMALL, speaker="wespeaker"))
    made.load_random("cpu")
    assert spoken(made, example())[0].shape == (3200,)


def test_who_lacks_weights_is_told_of_the_networks_around_them():
    with pytest.raises(MissingWeights) as told:
        plan_method("lipdiffuser", "paper")
    for word in ("visual_weights=braven_large", "weights fetch wespeaker_resnet221", "vocoder_weights=hifigan_16khz"):
        assert word in str(told.value)
    sets = ("visual=features", "visual_features=folder", "speaker=ge2e", "vocoder_weights=hifigan_16khz")
    with pytest.raises(MissingWeights) as told:
        plan_method("lipdiffuser", "paper", sets=sets)
    assert "networks of others" not in str(told.value)


def test_presets_are_those_of_the_paper_and_of_talkers():
    presets = Presets.beside(Path(__file__).parents[1] / "baselines" / "lipdiffuser")
    assert resolve(Config, presets, "paper").config == Config()
    network = resolve(Config, presets).config.network()
    assert sum(p.numel() for p in network.parameters()) < 5e6  # ten megabytes as float16


# Long videos


def test_pieces_join_without_a_gap_and_have_context():
    for length in (1, 50, 51, 99, 100, 237):
        found = list(pieces(length, 50, 7))
        kept = [n for _, _, first, last in found for n in range(first, last)]
        assert kept == list(range(length))
        for start, end, first, last in found:
            assert end - start <= 50
            assert start == 0 or first - start >= 7
            assert end == length or end - last >= 7


def test_working_in_pieces_changes_nothing_within_the_context():
    torch.manual_seed(0)
    vocoder = Generator(16).eval()
    mels = torch.randn(1, 80, 150)
    with torch.no_grad():
        torch.testing.assert_close(in_pieces(vocoder, mels, 80, 24, scale=256), vocoder(mels), atol=1e-5, rtol=0)
        encoder = nn.Conv1d(3, 4, 5, padding=2)
        pictures = torch.randn(2, 40, 3)

        def along(x: torch.Tensor) -> torch.Tensor:
            return encoder(x.transpose(1, 2)).transpose(1, 2)

        torch.testing.assert_close(in_pieces(along, pictures, 15, 2, dim=1), along(pictures))


def test_windows_cover_a_recording_and_their_weights_sum_to_1():
    for length in (40, 41, 100, 333):
        begin = starts(length, 40, 8)
        assert begin[0] == 0 and begin[-1] == length - 40
        assert all(later - earlier <= 32 for earlier, later in zip(begin, begin[1:], strict=False))
        total = torch.zeros(length)
        for start, weight in zip(begin, fades(length, 40, begin, 8), strict=True):
            total[start : start + 40] += weight
        torch.testing.assert_close(total, torch.ones(length))


class Pointwise(nn.Module):
    """A denoiser of normal values whose mean video and speaker tell; it looks at each frame alone."""

    multiple = 8

    def __init__(self) -> None:
        super().__init__()
        self.unet, self.widest = self, 0

    def modulations(self, seen: torch.Tensor) -> torch.Tensor:
        return seen.mean(1, keepdim=True)

    def forward(self, x, sigma, speaker, said):  # type: ignore[no-untyped-def]
        self.widest = max(self.widest, x.shape[2])
        variance, own = sigma[:, None, None] ** 2, SIGMA_DATA**2
        return (own * x + variance * (said + speaker[:, :1, None])) / (own + variance)

    def log_mels(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_long_videos_are_one_trajectory_in_windows():
    denoiser = Pointwise()
    network = LipDiffuserNetwork(None, denoiser, nn.Identity())  # type: ignore[arg-type]
    noise, seen, speakers = torch.randn(2, 80, 200), torch.randn(2, 5, 200), torch.randn(2, 3)
    whole = network.sample(noise, seen, speakers, noise_levels(4), 200)
    denoiser.widest = 0
    windows = network.sample(noise, seen, speakers, noise_levels(4), 56)
    assert denoiser.widest == 56
    torch.testing.assert_close(windows, whole, atol=1e-4, rtol=1e-4)


def test_a_long_video_is_spoken_whole(tmp_path):
    config = dataclasses.replace(SMALL, longest_s=1.0)
    long, short = example(60, 1), example(20, 2)
    one, two = spoken(method(tmp_path, config), long, short)
    assert one.shape == (60 * 640,)
    np.testing.assert_array_equal(two, spoken(method(tmp_path), short)[0])


def test_frames_that_fill_up_are_not_heard(tmp_path):
    """Of 5 pictures 13 mel frames are spoken, though the denoiser works on 14."""
    made = method(tmp_path)
    lengths: list[int] = []
    made.network.vocoder.register_forward_pre_hook(lambda module, args: lengths.append(args[0].shape[2]))
    spoken(made, example(5))
    assert lengths == [13]
    features = at_mel_rate(torch.randn(1, 5, 3), 14)
    assert torch.equal(features[..., 13], features[..., 12])


def test_speechlike_enrolments_of_any_length_are_taken(tmp_path):
    made = method(tmp_path)
    for seconds in (0.6, 4.0):
        assert spoken(made, example(enrolment=Audio(speechlike(seconds), 16_000)))[0].shape == (3200,)
