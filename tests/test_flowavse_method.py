"""FlowAVSE and AVDiffuSS behind the harness: lengths, batches, windows, randomness, bad input, weights, presets."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from test_flowavse_official import lively as official_network
from test_flowavse_official import official
from torch import nn
from torch.nn import functional as F

from baselines.avdiffuss.config import Config as DiffusionConfig
from baselines.avdiffuss.method import AVDiffuSS
from baselines.checkpoints import export
from baselines.flowavse.config import Config, Training
from baselines.flowavse.enhancer import FRAMES_AT_ONCE, OVERLAP, Enhancer, Window, _batches
from baselines.flowavse.method import FlowAVSE
from baselines.flowavse.network import FlowAVSENetwork
from baselines.flowavse.spectrogram import spectrogram, waveform
from baselines.settings import options
from benchmark.configuration import Presets, resolve
from benchmark.errors import InvalidConfig, MediaError, MethodError, MissingWeights
from benchmark.registry import methods
from benchmark.types import Audio, Example, FaceVideo, Sample, derive_seed

RATE = 16_000
TINY = {"size": "small", "width": 0.03}
ROOT = Path(__file__).parents[1] / "baselines"


def lively(config: Config | DiffusionConfig, seed: int = 0) -> FlowAVSENetwork:
    """Far from the start, where branches are nearly zero, so that the second stage and the face count."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = config.network()
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.data += 0.05 * torch.randn_like(parameter)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return network.eval()


def loaded(tmp_path: Path, kind: type[Enhancer] = FlowAVSE, **fields: object) -> Enhancer:
    # Divided by time, the output of untrained weights is some 30 times too loud, and rounding with it.
    usual = {"steps": 2} if kind is AVDiffuSS else {"divide_by_time": False}
    config = kind.Config(**{**TINY, **usual, **fields})
    path = export(tmp_path / f"{kind.name}.safetensors", lively(config).state_dict(), {"method": kind.name}, half=False)
    method = kind(config, path)
    method.load("cpu")
    assert method.frames_at_once == 1
    method.frames_at_once = FRAMES_AT_ONCE  # as on a GPU
    return method


def sound(length: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    x = random.standard_normal(length) * (0.1 + np.abs(np.sin(np.arange(length) / 900)))
    return (0.7 * x / np.abs(x).max()).astype(np.float32)


def face(frames: int, seed: int = 0) -> FaceVideo:
    return FaceVideo(np.random.default_rng(seed).integers(0, 256, (frames, 112, 112), dtype=np.uint8))


def example(
    noisy: np.ndarray, video: FaceVideo | None = None, seed: int = 1, rate: int = RATE, **more: object
) -> Example:
    video = face(len(noisy) // 640 + 1) if video is None else video
    return Example(Sample("a", "a", {}), 0, seed, {"noisy": Audio(noisy, rate), "video": video, **more})


def one(method: Enhancer, given: Example) -> np.ndarray:
    (output,) = method.generate([given])
    assert isinstance(output, np.ndarray), output
    assert output.dtype == np.float32 and output.shape == given.inputs["noisy"].samples.shape
    assert np.isfinite(output).all()
    return output


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference in parts of the peak."""
    return float(np.abs(a - b).max() / np.abs(a).max())


BOTH = pytest.mark.parametrize("kind", [FlowAVSE, AVDiffuSS])


# ---- outputs


@BOTH
def test_an_output_depends_neither_on_its_batch_nor_on_its_shard(tmp_path: Path, kind: type[Enhancer]) -> None:
    """Lengths with equal and unequal spectrograms, and one that is cut into windows."""
    lengths = (1600, 8000, 8000, 8001, 8000, 8000, 33_000, 1601)
    examples = [example(sound(n, i), face(n // 640 + 1, i), seed=i) for i, n in enumerate(lengths)]
    method = loaded(tmp_path, kind, longest_s=2.04)
    together = method.generate(examples)
    backwards = method.generate(examples[::-1])[::-1]
    shards = loaded(tmp_path, kind, longest_s=2.04), loaded(tmp_path, kind, longest_s=2.04)
    halves = [shard.generate(examples[number::2]) for number, shard in enumerate(shards)]
    for number, given in enumerate(examples):
        alone = one(method, given)
        for other in (together[number], backwards[number], halves[number % 2][number // 2]):
            assert isinstance(other, np.ndarray)
            assert apart(alone, other) < 1e-5
    assert method.generate([]) == []


@BOTH
@pytest.mark.parametrize("length", [1600, 1663, 1664, 1665, 8191, 32_640, 33_001])
def test_an_output_is_as_long_as_its_input(tmp_path: Path, kind: type[Enhancer], length: int) -> None:
    one(loaded(tmp_path, kind, longest_s=2.04, **({"steps": 1} if kind is AVDiffuSS else {})), example(sound(length)))


@BOTH
def test_loudness_passes_through(tmp_path: Path, kind: type[Enhancer]) -> None:
    """Halves of floating-point numbers are exact."""
    method, x = loaded(tmp_path, kind), sound(8000)
    loud = one(method, example(x))
    for gain in (0.5, 2.0**-12):
        np.testing.assert_array_equal(one(method, example(gain * x)), gain * loud)


@BOTH
def test_inputs_are_left_as_they_were(tmp_path: Path, kind: type[Enhancer]) -> None:
    x, video = sound(4000), face(7)
    video.frames.setflags(write=False)
    kept = x.copy()
    one(loaded(tmp_path, kind), example(x, video))
    np.testing.assert_array_equal(x, kept)


@BOTH
def test_the_face_counts_and_its_last_picture_may_be_held(tmp_path: Path, kind: type[Enhancer]) -> None:
    method, x, video = loaded(tmp_path, kind, pictures="held"), sound(8000), face(9)
    own = one(method, example(x, video))
    longer = FaceVideo(np.concatenate([video.frames, np.repeat(video.frames[-1:], 20, axis=0)]))
    np.testing.assert_array_equal(one(method, example(x, longer)), own)
    assert apart(own, one(method, example(x, face(9, seed=5)))) > 1e-3


@BOTH
def test_the_video_is_seen_once_and_the_second_stage_runs_once_a_step(tmp_path: Path, kind: type[Enhancer]) -> None:
    method = loaded(tmp_path, kind, steps=3)
    calls = {"see": 0, "predict": 0, "refine": 0}

    def counted(name: str) -> Callable[..., object]:
        work = getattr(method.network, name)

        def call(*arguments: object) -> object:
            calls[name] += 1
            return work(*arguments)

        return call

    for name in calls:
        setattr(method.network, name, counted(name))
    one(method, example(sound(4000)))
    assert calls == {"see": 1, "predict": 1, "refine": 6 if kind is AVDiffuSS else 3}


@BOTH
@pytest.mark.parametrize(
    ("pictures", "seen_by"),
    [
        ("own", range(8)),  # 5000 samples are 7.8 pictures long
        ("held", [*range(10), 9, 9, 9]),  # 63 hops of 128 samples are 12.6
    ],
)
def test_no_steps_are_the_first_stage(
    tmp_path: Path, kind: type[Enhancer], pictures: str, seen_by: Sequence[int]
) -> None:
    """Written out: peak, spectrogram, zeros up to 64 frames beside the pictures, network, inverse."""
    method, x, video = loaded(tmp_path, kind, steps=0, pictures=pictures), sound(5000), face(10)
    peak = np.abs(x).max()
    network = lively(method.config)
    with torch.inference_mode():
        y = spectrogram(torch.from_numpy(x / peak)[None])
        seen = network.see(torch.from_numpy(video.frames[list(seen_by)])[None])
        assert y.shape[-1] == 40
        estimate = network.predict(F.pad(y, (0, 24)), seen)[..., :40]
        expected = peak * waveform(estimate, 5000)[0].numpy()
    assert apart(expected, one(method, example(x, video))) < 1e-4


def test_the_papers_one_step_is_written_out(tmp_path: Path) -> None:
    """Estimate plus sigma noise, and 0.97 of the field at time 0.03; 256 frames and 51 pictures, nothing padded."""
    method, x, video = loaded(tmp_path, divide_by_time=True), sound(32_640), face(51)
    peak = np.abs(x).max()
    network = lively(method.config)
    noise = torch.randn(2, 256, 256, generator=torch.Generator().manual_seed(derive_seed(1, 0)))[None]
    with torch.inference_mode():
        seen = network.see(torch.from_numpy(video.frames)[None])
        estimate = network.predict(spectrogram(torch.from_numpy(x / peak)[None]), seen)
        state = estimate + 0.04 * math.sqrt(0.5) * noise
        arrived = state + 0.97 * network.refine(state, estimate, torch.tensor([0.03]), seen)
        expected = peak * waveform(arrived, 32_640)[0].numpy()
    assert apart(expected, one(method, example(x, video))) < 1e-4


# ---- randomness


@pytest.mark.parametrize(
    ("kind", "fields", "random"),
    [
        (FlowAVSE, {}, True),
        (FlowAVSE, {"temperature": 0.0}, False),
        (FlowAVSE, {"temperature": 0.0, "prior": "zero"}, True),
        (FlowAVSE, {"steps": 0}, False),
        (AVDiffuSS, {}, True),
        (AVDiffuSS, {"steps": 0}, False),
    ],
)
def test_noise_comes_from_the_examples_seed(
    tmp_path: Path, kind: type[Enhancer], fields: dict[str, object], random: bool
) -> None:
    method, x = loaded(tmp_path, kind, **fields), sound(4000)
    state = torch.random.get_rng_state()
    outputs = [one(method, example(x, seed=seed)) for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2]) != random


def test_the_zero_prior_begins_without_the_estimate(tmp_path: Path) -> None:
    """A second stage that stands still leaves what it began with: noise, or the estimate and noise."""
    found = {}
    for prior in ("zero", "estimate"):
        method = loaded(tmp_path, prior=prior, sigma=0.0)
        method.network.refine = lambda state, estimate, time, seen: torch.zeros_like(state)
        method.network.predict = lambda noisy, seen: noisy
        found[prior] = one(method, example(sound(8000)))
    np.testing.assert_allclose(found["estimate"], sound(8000), atol=1e-5)
    assert abs(np.corrcoef(found["zero"], sound(8000))[0, 1]) < 0.1


# ---- long recordings


def identity(method: Enhancer) -> list[Window]:
    """Have the networks give back what they get; the windows that pass are told."""
    passed: list[Window] = []

    def enhance(batch: list[Window]) -> np.ndarray:
        assert len({len(window.noisy) for window in batch}) == 1
        passed.extend(batch)
        return np.stack([window.noisy for window in batch])

    method._enhance = enhance  # type: ignore[method-assign, assignment]
    return passed


@pytest.mark.parametrize("length", [32_640, 32_641, 40_000, 55_041, 100_000, 163_841])
def test_windows_cover_a_recording_and_join_without_loss(tmp_path: Path, length: int) -> None:
    method = loaded(tmp_path, longest_s=2.04)
    passed = identity(method)
    x = sound(length)
    x[np.abs(x).argmax()] = 0.5  # a power of two, by which division and multiplication are exact
    x = np.clip(x, -0.5, 0.5)
    frames = np.zeros((length // 640 + 1, 112, 112), np.uint8)
    frames += np.arange(len(frames)).astype(np.uint8)[:, None, None]
    np.testing.assert_array_equal(one(method, example(x, FaceVideo(frames))), x)

    passed.sort(key=lambda window: window.start)
    starts = [window.start for window in passed]
    assert starts[0] == 0 and starts[-1] + len(passed[-1].noisy) == length
    assert all(a + 32_640 - b >= OVERLAP for a, b in zip(starts, starts[1:], strict=False))
    # No more windows than the shared stretches (and a frame of video each) ask for.
    assert len(starts) == 1 + -(-(length - 32_640) // (32_640 - OVERLAP - 640))
    assert len({window.seed for window in passed}) == len(passed)
    for window in passed:
        np.testing.assert_array_equal(window.noisy, 2 * x[window.start : window.start + 32_640])
        pictures = window.video[:, 0, 0].astype(int)
        assert len(pictures) == 51
        # Within half a frame of the sound, up to the video's end.
        ideal = np.minimum(window.start / 640 + np.arange(51), len(frames) - 1)
        assert np.abs(pictures - ideal).max() <= 0.5


def test_windows_fade_into_each_other(tmp_path: Path) -> None:
    """Windows that differ wholly, by 1, join in steps that nobody hears: over 0.64 s."""
    method, values = loaded(tmp_path, longest_s=2.04), iter(range(9))

    def enhance(batch: list[Window]) -> np.ndarray:
        return np.stack([np.full(len(window.noisy), next(values) % 2, np.float32) for window in batch])

    method._enhance = enhance  # type: ignore[method-assign, assignment]
    x = sound(100_000)
    joined = one(method, example(x)) / np.abs(x).max()
    assert joined.min() == pytest.approx(0) and joined.max() == pytest.approx(1)
    assert np.abs(np.diff(joined)).max() < 2.1 / OVERLAP


def test_the_front_end_alone_gives_a_long_recording_back(tmp_path: Path) -> None:
    method = loaded(tmp_path, longest_s=2.04, steps=0)
    method.network.predict = lambda noisy, seen: noisy
    x = sound(70_001)
    assert np.abs(one(method, example(x)) - x).max() < 3e-6


def test_windows_of_one_length_go_together_and_memory_is_bounded() -> None:
    def window(length: int) -> Window:
        return Window(0, 0, np.zeros(length, np.float32), np.zeros((1, 112, 112), np.uint8), 0)

    mixed = [window(n) for n in (8000, 32_640, 8000, 163_840, 8000)]
    assert [[len(w.noisy) for w in batch] for batch in _batches(mixed, FRAMES_AT_ONCE)] == [
        [163_840],
        [32_640],
        [8000] * 3,
    ]
    assert [len(batch) for batch in _batches([window(163_840)] * 8, FRAMES_AT_ONCE)] == [3, 3, 2]
    assert [len(batch) for batch in _batches(mixed, 1)] == [1] * 5
    assert window(163_840).frames == 1344
    longer = dataclasses.replace(mixed[0], video=np.zeros((2, 112, 112), np.uint8))
    assert [len(batch) for batch in _batches([*mixed, longer], FRAMES_AT_ONCE)] == [1, 1, 1, 3]


def test_a_video_that_ends_early_shows_what_it_has(tmp_path: Path) -> None:
    method = loaded(tmp_path, longest_s=2.04)
    seen: list[int] = []
    see = method.network.see
    method.network.see = lambda video: seen.append(video.shape[1]) or see(video)
    # Windows of 51 pictures that begin at 0, 31 and 62 of them; the last begins after the video's end.
    x = sound(32_640 + 2 * 31 * 640)
    one(method, example(x, face(60)))
    assert sorted(seen) == [1, 29, 51]


# ---- another person's video


def test_shuffled_looks_at_the_decoy(tmp_path: Path) -> None:
    x, own, other = sound(8000), face(13), face(40, seed=3)
    expected = one(loaded(tmp_path), example(x, other))
    found = one(loaded(tmp_path, video="shuffled"), example(x, own, decoy=lambda: other))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        one(loaded(tmp_path), example(x, own, decoy=lambda: other)), one(loaded(tmp_path), example(x, own))
    )


def test_a_decoy_that_is_missing_or_broken_fails_alone(tmp_path: Path) -> None:
    def broken() -> FaceVideo:
        raise MediaError("decoy.mp4: no such file")

    x = sound(4000)
    examples = [example(x, decoy=lambda: face(7)), example(x), example(x, decoy=broken)]
    good, none, unread = loaded(tmp_path, video="shuffled").generate(examples)
    assert isinstance(good, np.ndarray)
    assert isinstance(none, MethodError) and "shuffled" in str(none)
    assert isinstance(unread, MediaError) and "decoy.mp4" in str(unread)


# ---- bad input


@BOTH
def test_each_bad_input_fails_in_its_own_place(tmp_path: Path, kind: type[Enhancer]) -> None:
    x, nothing = sound(4000), np.zeros((0, 112, 112), np.uint8)
    broken, infinite = x.copy(), x.copy()
    broken[7], infinite[7] = np.nan, np.inf
    bad = [
        (example(np.zeros(4000, np.float32)), "silent"),
        (example(broken), "NaN or infinity"),
        (example(infinite), "NaN or infinity"),
        (example(x[:1599]), r"0\.100 s of speech"),
        (example(x[:0]), r"0\.000 s of speech"),
        (example(x, rate=8000), "mono speech.*16000 Hz.*8000 Hz"),
        (example(np.stack([x, x])), r"mono speech.*\[2, 4000\]"),
        (example(x, FaceVideo(np.zeros((7, 96, 96), np.uint8))), r"\[N, 112, 112\].*\[7, 96, 96\]"),
        (example(x, FaceVideo(np.zeros((7, 112, 112, 3), np.uint8))), r"\[N, 112, 112\].*\[7, 112, 112, 3\]"),
        (example(x, FaceVideo(nothing)), r"\[N, 112, 112\].*\[0, 112, 112\]"),
    ]
    method = loaded(tmp_path, kind)
    good = one(method, example(x))
    outputs = method.generate([example(x), *(given for given, _ in bad), example(x)])
    for output, (_, message) in zip(outputs[1:-1], bad, strict=True):
        assert isinstance(output, MethodError)
        with pytest.raises(MethodError, match=message):
            raise output
    for output in (outputs[0], outputs[-1]):
        assert isinstance(output, np.ndarray) and apart(good, output) < 1e-5


@BOTH
def test_a_network_that_breaks_is_told(tmp_path: Path, kind: type[Enhancer]) -> None:
    method = loaded(tmp_path, kind)
    with torch.no_grad():
        method.network.refiner.output.bias.fill_(float("nan"))
    (output,) = method.generate([example(sound(4000))])
    assert isinstance(output, MethodError) and "finite" in str(output)


# ---- weights


@BOTH
def test_weights_that_do_not_fit_are_named(tmp_path: Path, kind: type[Enhancer]) -> None:
    config = kind.Config(**TINY)
    path = export(tmp_path / "w.safetensors", config.network().state_dict(), {"method": kind.name})
    for fields in ({"width": 0.06}, {"size": "medium"}, {"shared_encoder": True}):
        with pytest.raises(InvalidConfig, match="does not fit.*Set size, width and shared_encoder as in training"):
            kind(dataclasses.replace(config, **fields), path).load("cpu")
    with pytest.raises(MissingWeights, match=f"train --method {kind.name}"):
        kind(config, tmp_path / "none.safetensors").load("cpu")
    with pytest.raises(MissingWeights, match="names no weights"):
        kind(config).load("cpu")
    with pytest.raises(MissingWeights, match=r"none\.ckpt"):
        kind(config, tmp_path / "none.ckpt").load("cpu")
    for name in ("broken.safetensors", "broken.ckpt"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(MissingWeights, match="cannot be read"):
            kind(config, tmp_path / name).load("cpu")


def test_weights_of_the_other_method_are_refused_although_they_fit(tmp_path: Path) -> None:
    path = export(tmp_path / "w.safetensors", Config(**TINY).network().state_dict(), {"method": "flowavse"})
    with pytest.raises(InvalidConfig, match="holds weights of flowavse; expected those of avdiffuss"):
        AVDiffuSS(DiffusionConfig(**TINY), path).load("cpu")


@BOTH
def test_an_official_file_gives_the_outputs_of_its_network(tmp_path: Path, kind: type[Enhancer]) -> None:
    network = official_network()
    torch.save({"state_dict": official(network)}, tmp_path / "epoch.ckpt")
    export(tmp_path / "own.safetensors", network.state_dict(), {"method": kind.name}, half=False)
    table = Presets.beside(ROOT / kind.name)
    config = resolve(kind.Config, table, "official", sets=["width=0.07", "steps=1"]).config
    outputs = []
    for name in ("epoch.ckpt", "own.safetensors"):
        method = kind(config, tmp_path / name)
        method.load("cpu")
        outputs.append(one(method, example(sound(8000))))
    np.testing.assert_array_equal(*outputs)
    assert np.abs(outputs[0]).max() > 0


@BOTH
def test_random_weights_are_those_of_their_seed(kind: type[Enhancer]) -> None:
    state = torch.random.get_rng_state()
    outputs = []
    for seed in (0, 0, 1):
        method = kind(kind.Config(**TINY, steps=1))
        method.load_random("cpu", seed)
        outputs.append(one(method, example(sound(4000))))
        method.close()
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


# ---- settings


@BOTH
def test_every_preset_resolves(kind: type[Enhancer]) -> None:
    table = Presets.beside(ROOT / kind.name)
    assert table.default in table.tables
    assert {"talkers", "separation", "official"} <= set(table.tables)
    for name in table.tables:
        settings = resolve(kind.Config, table, name)
        training = options(Training, settings.training)
        assert training.talker_share == (1 if name == "separation" else 0.3 if "talkers" in name else 0)
        with torch.device("meta"):
            settings.config.network()


@pytest.mark.parametrize(
    ("kind", "preset", "millions"),
    [
        (FlowAVSE, "large", 60.2),
        (FlowAVSE, "medium", 39.4),
        (FlowAVSE, "small", 28.6),
        (FlowAVSE, "official", 60.2),
        (AVDiffuSS, "paper", 60.2),
        (AVDiffuSS, "official", 60.2),
    ],
)
def test_presets_of_the_paper_have_its_sizes_and_constants(kind: type[Enhancer], preset: str, millions: float) -> None:
    """Table 1 and Sec. 3.2."""
    settings = resolve(kind.Config, Presets.beside(ROOT / kind.name), preset)
    config, training = settings.config, options(Training, settings.training)
    with torch.device("meta"):
        count = sum(p.numel() for p in config.network().parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.005)
    assert (training.batch, training.learning_rate, training.ema, training.frames) == (16, 1e-4, 0.999, 256)
    assert (training.predictor_weight, training.refiner_weight) == (0.5, 0.5)
    assert (training.snr_low_db, training.snr_high_db) == (0, 0)
    assert (config.exponent, config.factor, config.video) == (0.5, 0.33, "own")
    if kind is FlowAVSE:
        assert (config.steps, config.start, config.prior, config.divide_by_time) == (1, 0.03, "estimate", True)
        assert not training.at_start and training.joint and not training.predictor_steps
        assert config.sigma == (1e-4 if preset == "official" else 0.04)


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 0.0},
        {"width": float("nan")},
        {"exponent": 0.0},
        {"exponent": 1.5},
        {"factor": 0.0},
        {"longest_s": 2.0},
        {"steps": -1},
        {"start": 0.0},
        {"start": 1.0},
        {"sigma": -0.1},
        {"temperature": -1.0},
        *[{field.name: float("nan")} for field in dataclasses.fields(Config) if isinstance(field.default, float)],
    ],
)
def test_impossible_configurations_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Config(**fields)


def test_the_registry_knows_both() -> None:
    assert methods.load("flowavse") is FlowAVSE and methods.load("avdiffuss") is AVDiffuSS


# ---- on a GPU


@pytest.mark.gpu
@BOTH
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-2), ("bfloat16", 0.2), ("float16", 0.05)])
def test_a_gpu_gives_what_a_cpu_gives(tmp_path: Path, kind: type[Enhancer], precision: str, tolerance: float) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    given = example(sound(32_640))
    expected = one(loaded(tmp_path, kind), given)
    method = loaded(tmp_path, kind, precision=precision)
    method.load("cuda")
    assert apart(expected, one(method, given)) < tolerance


@pytest.mark.parametrize("length", [4000, 8065, 32_640, 40_000])
def test_mirrored_padding_is_the_same_as_a_longer_recording(length: int) -> None:
    """What follows the end is the sound backwards, and only as much as was given comes out."""
    tiny = Config(size="small", width=0.03, temperature=0.0)
    zeros, mirror = FlowAVSE(tiny), FlowAVSE(dataclasses.replace(tiny, padding="mirror"))
    zeros.load_random("cpu")
    mirror.load_random("cpu")
    sound = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    sound /= np.abs(sound).max()
    longer = sound
    while len(longer) < 127 * 128 * 4:
        longer = np.concatenate([longer, longer[-2::-1]])
    frames = -(-(1 + length // 128) // 64) * 64
    longer = longer[: max(length, (frames - 1) * 128)]
    video = np.zeros((80, 112, 112), np.uint8)

    def output(method: FlowAVSE, given: np.ndarray) -> np.ndarray:
        inputs = {"noisy": Audio(given, 16_000), "video": FaceVideo(video)}
        (made,) = method.generate([Example(Sample("a", "a", {}), 0, 1, inputs)])
        assert isinstance(made, np.ndarray)
        return made

    assert np.allclose(output(mirror, sound), output(zeros, longer)[:length], atol=1e-4)
