"""SGMSE+: the score model against the authors' module, official checkpoints, the loss, training and running unseen."""

import copy
import dataclasses
import math
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.signal import stft
from torch import Tensor, nn

from baselines.avdiffuss.sde import OUVE
from baselines.checkpoints import export, fill, read
from baselines.flowavse.clips import Clips
from baselines.flowavse.enhancer import FRAMES_AT_ONCE
from baselines.flowavse.ncsnpp import ResidualBlock, SelfAttention
from baselines.settings import options
from baselines.sgmse import training as module
from baselines.sgmse.config import Config, Training
from baselines.sgmse.method import SGMSE
from baselines.sgmse.ncsnpp import NCSNpp
from baselines.sgmse.official import read_checkpoint
from baselines.sgmse.training import SGMSERecipe, recipes
from baselines.training import Loop, train_stages
from benchmark.configuration import Presets, resolve
from benchmark.errors import InvalidConfig, MethodError
from benchmark.media import write_audio
from benchmark.registry import methods
from benchmark.types import Audio, Example, Sample

RATE = 16_000
TINY = {"width": 0.03, "blocks": 1}
QUIET = Loop(device="cpu", log_every=1, sample_every=4, checkpoint_every=3)

# Our places of the official list of modules, in order, at two residual blocks a level.
MODULES = (
    *("time", "time.hidden", "time.output", "input"),
    *("down.0.blocks.0", "down.0.blocks.1", "down.0.resample", "down.0.inject"),
    *("down.1.blocks.0", "down.1.blocks.1", "down.1.resample", "down.1.inject"),
    *("down.2.blocks.0", "down.2.blocks.1", "down.2.resample", "down.2.inject"),
    *("down.3.blocks.0", "down.3.blocks.1", "down.3.resample", "down.3.inject"),
    *("down.4.blocks.0", "down.4.attention.0", "down.4.blocks.1", "down.4.attention.1"),
    *("down.4.resample", "down.4.inject"),
    *("down.5.blocks.0", "down.5.blocks.1", "down.5.resample", "down.5.inject"),
    *("down.6.blocks.0", "down.6.blocks.1", "middle.0", "middle.1", "middle.2"),
    *("up.0.blocks.0", "up.0.blocks.1", "up.0.blocks.2", "up.0.norm", "up.0.draw", "up.0.resample"),
    *("up.1.blocks.0", "up.1.blocks.1", "up.1.blocks.2", "up.1.norm", "up.1.draw", "up.1.resample"),
    *("up.2.blocks.0", "up.2.blocks.1", "up.2.blocks.2", "up.2.attention", "up.2.norm", "up.2.draw", "up.2.resample"),
    *("up.3.blocks.0", "up.3.blocks.1", "up.3.blocks.2", "up.3.norm", "up.3.draw", "up.3.resample"),
    *("up.4.blocks.0", "up.4.blocks.1", "up.4.blocks.2", "up.4.norm", "up.4.draw", "up.4.resample"),
    *("up.5.blocks.0", "up.5.blocks.1", "up.5.blocks.2", "up.5.norm", "up.5.draw", "up.5.resample"),
    *("up.6.blocks.0", "up.6.blocks.1", "up.6.blocks.2", "up.6.norm", "up.6.draw"),
)
assert len(MODULES) == 77


def official(network: NCSNpp) -> OrderedDict[str, Tensor]:
    """Its state as the official modules hold it, in their order, written from the structure of the official code."""
    state: OrderedDict[str, Tensor] = OrderedDict()

    def put(name: str, part: nn.Module) -> None:
        for leaf, tensor in part.state_dict().items():
            state[f"{name}.{leaf}"] = tensor.clone()

    put("dnn.output_layer", network.output)
    state["dnn.all_modules.0.W"] = network.time.frequencies.detach().clone()
    for number, place in list(enumerate(MODULES))[1:]:
        name, part = f"dnn.all_modules.{number}", network.get_submodule(place)
        if isinstance(part, ResidualBlock):
            put(f"{name}.GroupNorm_0", part.norm_in)
            put(f"{name}.Conv_0", part.conv_in)
            put(f"{name}.Dense_0", part.time)
            put(f"{name}.GroupNorm_1", part.norm_out)
            put(f"{name}.Conv_1", part.conv_out)
            if part.shortcut is not None:
                put(f"{name}.Conv_2", part.shortcut)
        elif isinstance(part, SelfAttention):
            put(f"{name}.GroupNorm_0", part.norm)
            for i, linear in enumerate((part.query, part.key, part.value, part.output)):
                state[f"{name}.NIN_{i}.W"] = linear.weight.detach().T.clone()
                state[f"{name}.NIN_{i}.b"] = linear.bias.detach().clone()
        else:
            put(f"{name}.Conv_0" if place.endswith("inject") else name, part)
    return state


def held(network: NCSNpp) -> list[tuple[Tensor, bool]]:
    """Its tensors in the order of the official state dict, and whether they are turned there."""
    marked = copy.deepcopy(network)
    own = list(network.state_dict(keep_vars=True).values())
    for number, tensor in enumerate(marked.state_dict().values()):
        tensor.fill_(number)
    return [(own[int(t.flatten()[0])], key.endswith(".W") and t.ndim == 2) for key, t in official(marked).items()]


def lively(config: Config, seed: int = 0) -> NCSNpp:
    """Far from the start, where branches are nearly zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = config.network()
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.data += 0.05 * torch.randn_like(parameter)
    return network.eval()


def loaded(tmp_path: Path, **fields: object) -> SGMSE:
    config = Config(**{**TINY, "steps": 2, **fields})
    path = export(tmp_path / "w.safetensors", lively(config).state_dict(), {"method": "sgmse"}, half=False)
    method = SGMSE(config, path)
    method.load("cpu")
    method.frames_at_once = FRAMES_AT_ONCE
    return method


def sound(length: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(length) * (0.1 + np.abs(np.sin(np.arange(length) / 900)))
    return (0.7 * x / np.abs(x).max()).astype(np.float32)


def example(noisy: np.ndarray, seed: int = 1, rate: int = RATE) -> Example:
    """Without any video."""
    return Example(Sample("a", "a", {}), 0, seed, {"noisy": Audio(noisy, rate)})


def one(method: SGMSE, given: Example) -> np.ndarray:
    (output,) = method.generate([given])
    assert isinstance(output, np.ndarray), output
    assert output.dtype == np.float32 and output.shape == given.inputs["noisy"].samples.shape
    return output


# ---- the network


def test_the_papers_network_has_the_published_number_of_parameters() -> None:
    """ "65M" by its authors (sp-uhh/sgmse, issue 11); 65,590,822 counted in their code, 128 of them frozen."""
    with torch.device("meta"):
        parameters = list(resolve(Config, presets(), "paper").config.network().parameters())
    assert sum(p.numel() for p in parameters) == 65_590_822
    assert sum(p.numel() for p in parameters if not p.requires_grad) == 128


def test_the_score_is_that_of_the_authors_module() -> None:
    """Their NCSNpp(nf=16), weights drawn in the order of its state dict; the negative of what it gave for 0.4."""
    network = NCSNpp(width=0.125, blocks=2).eval()
    random = np.random.RandomState(7)
    for tensor, turned in held(network):
        shape = tensor.T.shape if turned else tensor.shape
        fan = math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 4.0
        drawn = torch.from_numpy((random.standard_normal(tuple(shape)) / fan).astype(np.float32))
        tensor.data.copy_(drawn.T if turned else drawn)
    x, y = (torch.from_numpy(random.standard_normal((1, 2, 256, 64)).astype(np.float32)) for _ in range(2))
    with torch.inference_mode():
        score = network(x, y, torch.tensor([0.4]))[0]
    expected = {
        (0, 0, 0): -0.6216158,
        (1, 3, 5): 0.1200059,
        (0, 100, 31): -1.9497881,
        (1, 255, 63): 0.0544472,
        (0, 17, 40): -1.3579023,
        (1, 200, 2): 0.6576377,
    }
    assert {at: float(score[at]) for at in expected} == pytest.approx(expected, abs=2e-4)
    assert (float(score.mean()), float(score.std())) == pytest.approx((-0.4903472, 1.1763625), abs=1e-4)


def test_any_number_of_frames_and_only_whole_bins() -> None:
    """Frames are filled up with zeros to a multiple of 64 and cut again."""
    network = lively(Config(**TINY))
    x, y = torch.randn(2, 1, 2, 64, 70, generator=torch.Generator().manual_seed(0))
    time = torch.tensor([0.5])
    with torch.inference_mode():
        found = network(x, y, time)
        whole = network(*(nn.functional.pad(z, (0, 58)) for z in (x, y)), time)[..., :70]
    assert found.shape == x.shape
    torch.testing.assert_close(found, whole)
    with pytest.raises(ValueError, match="multiple of 64"):
        network(x[:, :, :32], y[:, :, :32], time)


# ---- official checkpoints


def checkpoint(path: Path, network: NCSNpp, **settings: object) -> Path:
    """As PyTorch Lightning writes it: the last weights, the average that counts, the settings."""
    state = official(network)
    average = {"decay": 0.999, "num_updates": 9, "shadow_params": list(state.values())}
    last = {name: tensor + 1 if name != "dnn.all_modules.0.W" else tensor for name, tensor in state.items()}
    torch.save({"epoch": 3, "state_dict": last, "ema": average, "hyper_parameters": settings}, path)
    return path


OFFICIAL = {
    "backbone": "ncsnpp",
    "sde": "ouve",
    "loss_type": "mse",
    "n_fft": 510,
    "hop_length": 128,
    "window": "hann",
    "theta": 1.5,
    "sigma_min": 0.05,
    "sigma_max": 0.5,
    "t_eps": 0.03,
    "spec_factor": 0.15,
    "spec_abs_exponent": 0.5,
    "centered": True,
    "transform_type": "exponent",
    "lr": 1e-4,
}


def test_an_official_checkpoint_becomes_the_network_of_its_average(tmp_path: Path) -> None:
    source = lively(Config(width=0.03))
    path = checkpoint(tmp_path / "epoch=3.ckpt", source, **OFFICIAL)
    tensors, told = read_checkpoint(path)
    assert told == {
        "theta": 1.5,
        "sigma_min": 0.05,
        "sigma_max": 0.5,
        "end": 0.03,
        "factor": 0.15,
        "exponent": 0.5,
    }
    filled = lively(Config(width=0.03), seed=4)
    fill(filled, tensors, path)
    for name, tensor in source.state_dict().items():
        assert torch.equal(filled.state_dict()[name], tensor), name
    method = SGMSE(Config(width=0.03, steps=1), path)
    method.load("cpu")
    assert np.isfinite(one(method, example(sound(4000)))).all()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"backbone": "ncsnpp_v2", "sde": "sbve"}, "backbone = 'ncsnpp_v2'; expected 'ncsnpp'"),
        ({"sde": "sbve"}, "sde = 'sbve'; expected 'ouve'"),
        ({"loss_type": "data_prediction"}, "loss_type = 'data_prediction'"),
        ({"n_fft": 1534}, "n_fft = 1534; expected 510"),
        ({"centered": False}, "centered = False"),
        ({"sigma_max": 1.0}, "sigma_max = 1.0; expected that, got 0.5"),
        ({"spec_factor": 0.33}, "factor = 0.33; expected that, got 0.15"),
    ],
)
def test_a_checkpoint_for_something_else_is_refused_although_it_fits(
    tmp_path: Path, wrong: dict[str, object], told: str
) -> None:
    """Models of the same code have tensors of the same names and shapes."""
    path = checkpoint(tmp_path / "x.ckpt", lively(Config(width=0.03)), **{**OFFICIAL, **wrong})
    with pytest.raises(InvalidConfig, match=told):
        SGMSE(Config(width=0.03), path).load("cpu")


def test_a_key_of_another_network_is_named_and_a_missing_one_too(tmp_path: Path) -> None:
    state = official(lively(Config(width=0.03)))
    torch.save({"state_dict": {**state, "dnn.all_modules.77.weight": torch.ones(1)}}, tmp_path / "more.ckpt")
    with pytest.raises(InvalidConfig, match=r"not an official SGMSE\+ checkpoint: dnn.all_modules.77.weight in its"):
        read_checkpoint(tmp_path / "more.ckpt")
    state.pop("dnn.all_modules.33.NIN_2.W")
    torch.save({"state_dict": state}, tmp_path / "less.ckpt")
    with pytest.raises(InvalidConfig, match=r"middle.1.value.weight is missing.*Set width and blocks as in training"):
        SGMSE(Config(width=0.03), tmp_path / "less.ckpt").load("cpu")


# ---- the method


def test_an_output_depends_neither_on_its_batch_nor_on_a_face(tmp_path: Path) -> None:
    """Lengths with equal and unequal spectrograms, and one that is cut into windows; nothing is looked at."""
    examples = [example(sound(n, i), seed=i) for i, n in enumerate((1600, 8000, 8000, 8001, 33_000))]
    method = loaded(tmp_path, longest_s=2.04)
    for given, together in zip(examples, method.generate(examples), strict=True):
        alone = one(method, given)
        assert np.abs(alone - together).max() < 1e-3 * np.abs(alone).max()
    again = one(method, dataclasses.replace(examples[1], seed=77))
    assert np.abs(again - one(method, examples[1])).max() > 1e-2 * np.abs(again).max(), "noise is drawn by the seed"


def test_louder_speech_gives_a_louder_output(tmp_path: Path) -> None:
    """The peak is 1 inside."""
    method = loaded(tmp_path)
    quiet, loud = (one(method, example(gain * sound(8000))) for gain in (0.25, 1.0))
    np.testing.assert_allclose(4 * quiet, loud, atol=1e-4 * np.abs(loud).max())


def test_with_the_exact_score_the_clean_speech_is_recovered(tmp_path: Path) -> None:
    """Clean speech that is known exactly has the score (mean - x) / deviation^2; noise at 0 dB goes."""
    method = loaded(tmp_path, steps=60)
    noisy, clean = sound(8000, 1) / 2 + sound(8000, 2) / 2, sound(8000, 1) / 2
    peak, frames, process = np.abs(noisy).max(), 64, OUVE()

    def spectrum(x: np.ndarray) -> Tensor:
        z = stft(np.pad(x / peak, (255, 255)), window="hann", nperseg=510, noverlap=382, boundary=None, padded=False)[2]
        z = z * np.hanning(511)[:510].sum()
        z = 0.15 * np.abs(z) ** 0.5 * np.exp(1j * np.angle(z))
        z = np.pad(z, ((0, 0), (0, frames - z.shape[1])))
        return torch.from_numpy(np.stack([z.real, z.imag])[None].astype(np.float32))

    target = spectrum(clean)

    class Exact(nn.Module):
        def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
            return (process.mean(target, y, t) - x) / process.deviation(t)[:, None, None, None] ** 2

    method.network = Exact()
    output = one(method, example(noisy))
    error = output - clean
    assert 10 * np.log10(np.sum(clean**2) / np.sum(error**2)) > 15


@pytest.mark.parametrize(
    ("noisy", "rate", "reason"),
    [
        (np.zeros(8000, np.float32), RATE, "silent"),
        (np.full(8000, np.nan, np.float32), RATE, "NaN"),
        (sound(100), RATE, "at least 0.1 s"),
        (sound(8000), 8000, "at 16000 Hz"),
    ],
)
def test_input_that_cannot_be_used_fails_alone(tmp_path: Path, noisy: np.ndarray, rate: int, reason: str) -> None:
    method = loaded(tmp_path)
    bad, good = method.generate([example(noisy, rate=rate), example(sound(4000))])
    assert isinstance(bad, MethodError) and reason in str(bad)
    assert isinstance(good, np.ndarray)


def test_a_sample_without_noise_fails_alone(tmp_path: Path) -> None:
    silent = dataclasses.replace(example(sound(4000)), inputs={})
    bad, good = loaded(tmp_path).generate([silent, example(sound(4000))])
    assert isinstance(bad, MethodError) and "nothing to enhance" in str(bad)
    assert isinstance(good, np.ndarray)


# ---- training


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Four people who say noise of changing loudness; nobody has filmed them."""
    folder, random = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
    samples = []
    for number in range(4):
        path = folder / f"{number}.wav"
        loudness = np.abs(np.sin(np.arange(16_000) / (500 + 300 * number)))
        write_audio(path, Audio((0.1 * random.standard_normal(16_000) * loudness).astype(np.float32), RATE))
        samples.append(Sample(f"s{number}", f"p{number}", {}, {"speech": (path,)}))
    return samples


def recipe(people: list[Sample], **fields: object) -> SGMSERecipe:
    settings = Training(**{"frames": 64, "batch": 2, "learning_rate": 1e-3, **fields})
    return SGMSERecipe(Config(**TINY, steps=1), settings, Clips(people, settings, faces=False))


def test_the_loss_of_no_score_is_the_noises_energy_and_of_the_true_score_nothing(people: list[Sample]) -> None:
    """|z|^2 is 1 a bin on average; score = (mean(t) - x_t) / deviation(t)^2 = -z / deviation(t)."""
    trained = recipe(people, batch=16)
    batch = trained.batch(np.random.default_rng(0))
    assert set(batch) == {"noisy", "clean"}
    clean = trained._spectrogram(batch["clean"])
    process = trained.config.process()

    class Answer(nn.Module):
        true = False

        def forward(self, state: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
            assert ((process.end <= time) & (time <= 1)).all() and time.std() > 0.1
            exact = (process.mean(clean, noisy, time) - state) / process.deviation(time)[:, None, None, None] ** 2
            return exact if self.true else torch.zeros_like(state)

    trained.network = Answer()
    losses = []
    for true in (False, True):
        trained.network.true = true
        with torch.random.fork_rng():
            torch.manual_seed(0)
            losses.append(float(trained.step(batch, lambda name, loss: None)["score"]))
    assert losses[0] == pytest.approx(256 * 64, rel=0.01)
    assert losses[1] < 1e-4 * losses[0]


@pytest.mark.parametrize("moment", [0.03, 0.3, 1.0])
def test_preconditioned_a_network_that_says_nothing_has_the_score_of_normal_speech(moment: float) -> None:
    """Clean bins of variance s^2 make x_t normal: mean (1 - e) y, variance (e s)^2 + deviation^2, e = exp(-theta t).

    What is left to the network is then of variance 1 at every time.
    """
    config, random = Config(clean_deviation=0.1), torch.Generator().manual_seed(0)
    clean, noisy, noise = (torch.randn(8, 2, 64, 64, generator=random) * math.sqrt(0.5) for _ in range(3))
    clean, time = 0.1 * clean, torch.full((8,), moment)
    left, deviation = math.exp(-1.5 * moment), float(OUVE().deviation(time)[0])
    state = left * clean + (1 - left) * noisy + deviation * noise
    score = config.score(lambda x, y, t: torch.zeros_like(x), state, noisy, time)
    expected = -(state - (1 - left) * noisy) / ((0.1 * left) ** 2 + deviation**2)
    torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-3)
    error = config.weight(time) * (deviation * score + noise) ** 2
    assert float(error.sum(1).mean()) == pytest.approx(1, rel=0.03)


def test_preconditioned_the_network_hears_inputs_of_one_size_and_gives_the_clean_speech() -> None:
    config, random = Config(clean_deviation=0.1), torch.Generator().manual_seed(0)
    clean, noisy, noise = (torch.randn(4, 2, 64, 64, generator=random) * math.sqrt(0.5) for _ in range(3))
    clean, time = 0.1 * clean, torch.tensor([0.03, 0.2, 0.6, 1.0])
    left, deviation = (x[:, None, None, None] for x in (torch.exp(-1.5 * time), OUVE().deviation(time)))
    state, heard = left * clean + (1 - left) * noisy + deviation * noise, {}
    spread = deviation / left

    def network(x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        heard.update(x=x, y=y)
        total = (0.01 + spread**2).sqrt()
        return (clean - (0.1 / total) ** 2 * (clean + spread * noise)) / (spread * 0.1 / total)

    score = config.score(network, state, noisy, time)
    torch.testing.assert_close(deviation * score, -noise, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(heard["x"].pow(2).sum(1).mean((1, 2)), torch.ones(4), rtol=0.05, atol=0)
    torch.testing.assert_close(heard["y"], 10 * noisy)


def test_clips_without_faces_are_mixed_as_others_are(people: list[Sample]) -> None:
    settings = Training(frames=64, snr_low_db=-20.0, snr_high_db=5.0)
    clips, random = Clips(people, settings, faces=False), np.random.default_rng(3)
    snrs, starts = [], set()
    for _ in range(60):
        clip = clips.draw(random)
        assert clip.noisy.shape == clip.clean.shape == (63 * 128,) and len(clip.video) == 0
        assert np.abs(clip.noisy).max() == 1
        snrs.append(20 * np.log10(clip.clean.std() / (clip.noisy - clip.clean).std()))
        starts.add(clip.clean[:3].tobytes())
    assert -20.1 < min(snrs) < -15 and 0 < max(snrs) < 5.1
    assert len(starts) > 40, "from any place"


def test_a_training_is_resumed_and_its_export_runs(people: list[Sample], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "VALIDATION", 2)
    monkeypatch.setattr(module, "SHOWN", 1)
    config = Config(**TINY, steps=1)
    table = {"frames": 64, "batch": 2, "learning_rate": 1e-3, "shards": False, "ema": 0.9}
    exports = []
    for name, counts in (("whole", (4,)), ("parts", (2, 4))):
        for steps in counts:
            stages = recipes(config, {**table, "steps": steps}, people, people[:2])
            path = train_stages(stages, tmp_path / name, QUIET)
        exports.append(read(path, "sgmse")[0])
    assert exports[0].keys() == exports[1].keys()
    assert all(torch.equal(tensor, exports[1][name]) for name, tensor in exports[0].items())
    method = SGMSE(config, path)
    method.load("cpu")
    assert np.isfinite(one(method, example(sound(4000)))).all()
    log = (tmp_path / "whole" / "sgmse" / "log.jsonl").read_text("utf-8")
    assert "si_sdr_output" in log and "score" in log


# ---- settings


def presets() -> Presets:
    return Presets.beside(Path(__file__).parents[1] / "baselines" / "sgmse")


def test_every_preset_resolves_and_the_defaults_are_the_papers() -> None:
    table = presets()
    assert methods.load("sgmse") is SGMSE and {"talkers", "paper"} <= set(table.tables)
    for name in table.tables:
        settings = resolve(Config, table, name)
        assert options(Training, settings.training).frames % 64 == 0
    paper = resolve(Config, table, "paper").config
    assert paper.process() == OUVE(1.5, 0.05, 0.5, 0.03)
    assert (paper.steps, paper.corrector_snr, paper.exponent, paper.factor) == (30, 0.5, 0.5, 0.15)
    assert (Training().learning_rate, Training().ema, Training().batch, Training().frames) == (1e-4, 0.999, 8, 256)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"blocks": 0}, {"width": 0.0}, {"sigma_max": 0.01}, {"factor": 0.0}])
def test_impossible_configurations_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Config(**wrong)


def test_frames_that_cannot_be_halved_six_times_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="frames must be a multiple of 64, got 96"):
        options(Training, {"frames": 96})
