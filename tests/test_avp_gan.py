"""AVP-GAN: attention and spectral normalisation against plain numpy, sizes, the wrapper."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from test_frontends import speechlike
from torch import nn

from baselines.avp_gan.attention import CBAM, ChannelAttention, SpatialAttention
from baselines.avp_gan.config import Config, Training
from baselines.avp_gan.method import AVPGAN
from baselines.avp_gan.network import AttentiveDecoder, AttentiveFaceEmbedding, AVPGANNetwork, normalise_spectra
from baselines.avp_gan.training import PLAIN
from baselines.checkpoints import export
from baselines.voice2face.network import DeconvolutionDecoder, FaceEmbedding
from benchmark.errors import InvalidConfig, MethodError, MissingWeights
from benchmark.types import Audio, Example, Sample

SMALL = Config(width=0.05, resolution=16, prior_width=0.03125, prior_style=8, prior_mapping=1, vad=False)


@pytest.fixture(autouse=True)
def quiet():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


def stirred(module: nn.Module, seed: int = 0, scale: float = 0.3) -> nn.Module:
    """Weights of which none is 0, nor like another."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return module


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_channel_attention_is_equations_2_and_3() -> None:
    attention = stirred(ChannelAttention(32, 8))
    x = np.random.default_rng(0).standard_normal((2, 32, 3, 5)).astype(np.float32)
    w0, w1 = (p.detach().numpy() for p in attention.parameters())
    assert (w0.shape, w1.shape) == ((4, 32), (32, 4))
    expected = np.empty_like(x)
    for one, features in zip(expected, x, strict=True):
        logit = sum(w1 @ np.maximum(w0 @ pooled, 0) for pooled in (features.mean((1, 2)), features.max((1, 2))))
        one[:] = sigmoid(logit)[:, None, None] * features
    np.testing.assert_allclose(attention(torch.from_numpy(x)).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_spatial_attention_is_equations_4_and_5() -> None:
    attention = stirred(SpatialAttention())
    x = np.random.default_rng(1).standard_normal((2, 6, 5, 4)).astype(np.float32)
    weight, bias = (p.detach().numpy() for p in attention.parameters())
    pooled = np.stack([x.mean(1), x.max(1)], axis=1)
    padded = np.pad(pooled, ((0, 0), (0, 0), (3, 3), (3, 3)))
    logit = np.empty((2, 5, 4))
    for b, row, column in np.ndindex(logit.shape):
        logit[b, row, column] = (padded[b, :, row : row + 7, column : column + 7] * weight[0]).sum() + bias[0]
    expected = sigmoid(logit)[:, None] * x
    np.testing.assert_allclose(attention(torch.from_numpy(x)).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_cbam_is_both_in_order_and_begins_by_weighing_all_alike() -> None:
    x = torch.randn(2, 16, 4, 4, generator=torch.Generator().manual_seed(0))
    block = CBAM(16, 4)
    torch.testing.assert_close(block(x), x * 0.5 * torch.sigmoid(torch.tensor(2.0)))
    stirred(block)
    torch.testing.assert_close(block(x), block[1](block[0](x)))


def largest_singular_value(weight: torch.Tensor, transposed: bool) -> float:
    """Of the matrix of output channels against all else."""
    matrix = weight.detach().double().numpy()
    matrix = matrix.swapaxes(0, 1) if transposed else matrix
    return float(np.linalg.svd(matrix.reshape(len(matrix), -1), compute_uv=False)[0])


@pytest.mark.parametrize("cbam", [True, False])
def test_spectra_are_normalised_in_layers_2_to_5_of_the_generator_and_inside_the_critics(cbam: bool) -> None:
    reduction = 16 if cbam else None
    decoder, critic = AttentiveDecoder(64, 0.05, reduction), AttentiveFaceEmbedding(64, 0.1, reduction)
    for network, kind, channels in (
        (decoder, nn.ConvTranspose2d, [52, 24, 12, 8, 4, 3]),
        (critic, nn.Conv2d, [4, 8, 12, 24, 52, 64]),
    ):
        layers = [m for m in network.model if isinstance(m, kind)]
        assert [layer.out_channels for layer in layers] == channels
        with torch.no_grad():
            for layer in layers:
                original = dict(layer.named_parameters()).get("parametrizations.weight.original", layer.weight)
                original.mul_(7)
        network.train()
        z = torch.zeros(1, 64) if network is decoder else torch.zeros(1, 3, 64, 64)
        for _ in range(150):  # each pass is a step of the power iteration
            network(z)
        network.eval()
        values = [largest_singular_value(layer.weight, kind is nn.ConvTranspose2d) for layer in layers]
        assert values[1:-1] == pytest.approx([1.0] * 4, abs=0.02)
        assert all(abs(value - 1) > 0.2 for value in (values[0], values[-1]))
        assert sum(isinstance(m, CBAM) for m in network.model) == (5 if cbam else 0)


@pytest.mark.parametrize("reduction", [2, None])
def test_a_generator_that_is_given_spectral_normalisation_draws_what_it_drew(reduction: int | None) -> None:
    decoder = stirred(AttentiveDecoder(8, 0.03, reduction, spectral=False), scale=0.2)
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    before = decoder(z)
    normalise_spectra(decoder)
    torch.testing.assert_close(decoder.eval()(z), before, rtol=1e-3, atol=1e-4)
    assert float((before - before.mean(0)).abs().max()) > 1e-2
    fresh = AttentiveDecoder(8, 0.03, reduction)
    fresh.load_state_dict(decoder.state_dict())
    torch.testing.assert_close(fresh.eval()(z), before, rtol=1e-3, atol=1e-4)


def attention(channels: list[int], reduction: int = 16) -> int:
    return sum(2 * c * max(1, c // reduction) + 2 * 49 + 1 for c in channels)


def test_networks_of_the_paper_have_these_sizes() -> None:
    plain, attended = parameters(DeconvolutionDecoder()), attention([1024, 512, 256, 128, 64])
    assert parameters(AttentiveDecoder()) == plain + attended
    assert parameters(AttentiveDecoder(reduction=None)) == plain
    critic = parameters(FaceEmbedding()) + attention([32, 64, 128, 256, 512])
    assert parameters(AttentiveFaceEmbedding()) == critic
    with torch.device("meta"):
        network = Config().network()
        assert parameters(Config().critics(924, Training())) == 2 * critic + 64 + 64 * 924
    assert parameters(network.decoder) == plain + attended
    sizes = [parameters(part) for part in (network.encoder, network.decoder, network.enhancer)]
    assert [round(size / 1e6, 2) for size in sizes] == [2.67, 12.37, 86.44]


def example(samples: np.ndarray) -> Example:
    return Example(Sample("a", "a", {}), 0, 1, {"speech": Audio(samples, 16000)})


def lively(config: Config) -> AVPGANNetwork:
    """Faces that differ visibly between voices, and leave the range here and there."""
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        network = config.network().eval()
        voices = torch.nn.functional.normalize(torch.randn(16, config.embedding), dim=1)
    last = network.decoder.model[-1]
    with torch.no_grad():
        for layer in network.decoder.model:  # beside biases the voice would count for less than rounding
            if isinstance(layer, nn.ConvTranspose2d):
                layer.bias.zero_()
        drawn = network.decoder(voices)
        last.weight.mul_(0.3 / drawn.std(0).mean())
        last.bias.sub_(network.decoder(voices).mean((0, 2, 3)))
    return network


def method(tmp_path: Path, config: Config, network: AVPGANNetwork | None = None) -> AVPGAN:
    network = network or lively(config)
    made = AVPGAN(config, export(tmp_path / "w.safetensors", network.state_dict(), {}, half=False))
    made.load("cpu")
    return made


@pytest.mark.parametrize("enhance", [True, False])
def test_an_output_does_not_depend_on_its_batch_and_is_deterministic(tmp_path: Path, enhance: bool) -> None:
    avp = method(tmp_path, dataclasses.replace(SMALL, enhance=enhance))
    examples = [example(speechlike(seconds, seed)) for seed, seconds in enumerate((5.0, 2.0, 12.0))]
    together, again = avp.generate(examples), avp.generate(examples)
    for one, first, second in zip(examples, together, again, strict=True):
        (alone,) = avp.generate([one])
        assert isinstance(alone, np.ndarray)
        assert alone.shape == ((16, 16, 3) if enhance else (64, 64, 3))
        np.testing.assert_array_equal(first, second)
        assert np.abs(alone.astype(int) - np.asarray(first).astype(int)).max() <= 1
    assert not np.array_equal(together[0], together[1])


def test_unusable_speech_fails_alone(tmp_path: Path) -> None:
    good = speechlike(2.0)
    outputs = method(tmp_path, SMALL).generate([example(x) for x in (good, 0 * good, good * np.nan, good[:400], good)])
    assert [isinstance(output, MethodError) for output in outputs] == [False, True, True, True, False]
    np.testing.assert_array_equal(outputs[0], outputs[4])


def test_one_file_serves_both_generators_with_and_without_enhancement(tmp_path: Path) -> None:
    whole, plain = lively(SMALL), lively(dataclasses.replace(SMALL, cbam=False, enhance=False))
    tensors = whole.state_dict() | {f"{PLAIN}.{k}": v for k, v in plain.decoder.state_dict().items()}
    path = export(tmp_path / "w.safetensors", tensors, {}, half=False)
    x = torch.randn(2, 64, 100, generator=torch.Generator().manual_seed(0))
    for cbam in (True, False):
        for enhance in (True, False):
            avp = AVPGAN(dataclasses.replace(SMALL, cbam=cbam, enhance=enhance), path)
            avp.load("cpu")
            drawn = (whole if cbam else plain).decoder.eval()(whole.encoder.eval()(x))
            torch.testing.assert_close(avp.network(x), whole.eval().enhanced(drawn) if enhance else drawn)
    unenhanced = export(tmp_path / "u.safetensors", plain.state_dict(), {}, half=False)
    with pytest.raises(InvalidConfig, match="enhance = false"):
        AVPGAN(dataclasses.replace(SMALL, cbam=False), unenhanced).load("cpu")
    with pytest.raises(MissingWeights):
        AVPGAN(SMALL, tmp_path / "none.safetensors").load("cpu")


def test_settings_are_checked() -> None:
    for wrong in ({"resolution": 96}, {"resolution": 4}, {"reduction": 0}, {"prior_multiplier": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Config(**wrong)  # type: ignore[arg-type]
    for wrong in ({"generated": 1.5}, {"mouth_side": 0.0}, {"real_target": 0.2}, {"perceptual_network": "none"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Training(**wrong)  # type: ignore[arg-type]
    assert copy.copy(Config()).attention == 16
    assert Config(cbam=False).attention is None


@pytest.mark.parametrize("cbam", [True, False])
def test_the_shipped_generators_are_normalised_and_hear_as_voice2face_does(cbam: bool) -> None:
    from baselines.avp_gan.training import RECOGNISER
    from baselines.checkpoints import read
    from benchmark.runs.evaluation import plan_method

    plan = plan_method("avp_gan", sets=(f"cbam={str(cbam).lower()}",))
    avp = AVPGAN(plan.settings.config, plan.weights)
    avp.load("cpu")
    layers = [m for m in avp.network.decoder.model if isinstance(m, nn.ConvTranspose2d)]
    # power iteration, moving averages and float16 leave a little
    assert [largest_singular_value(m.weight, True) for m in layers[1:-1]] == pytest.approx([1.0] * 4, abs=0.03)
    other, _ = read(RECOGNISER, "voice2face")
    for name, tensor in avp.network.encoder.state_dict().items():
        assert torch.equal(tensor, other[f"encoder.{name}"]), name
    first, second = avp.generate([example(speechlike(2.0, seed)) for seed in (0, 1)])
    assert isinstance(first, np.ndarray)
    assert first.shape == (128, 128, 3)
    assert not np.array_equal(first, second)
