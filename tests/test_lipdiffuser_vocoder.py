"""HiFi-GAN against its definition in plain functions, under every naming that weights are published with."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from baselines.lipdiffuser.mel import LogMel
from baselines.lipdiffuser.vocoder import Critics, Generator, PeriodCritic, folded, read_published, with_weight_norm
from benchmark.errors import InvalidConfig, MissingWeights

# Mel spectrogram


def by_definition(x: np.ndarray, first_centre: int, frames: int) -> np.ndarray:
    """`LogMel` in numpy: frame f about sample 256 f + `first_centre` of a mirrored signal."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    mirrored = np.concatenate([x[512:0:-1], x, x[-2:-514:-1]])
    rows = np.stack([mirrored[256 * f + first_centre :][:1024] * window for f in range(frames)])
    magnitudes = np.abs(np.fft.rfft(rows, axis=1))
    edges = np.linspace(0, 15 + 27 * np.log(8) / np.log(6.4), 82)
    hz = np.where(edges < 15, edges * 200 / 3, 1000 * 6.4 ** ((edges - 15) / 27))
    bins = np.arange(513) * 16000 / 1024
    bands = []
    for low, top, high in zip(hz, hz[1:], hz[2:], strict=False):
        triangle = np.clip(np.minimum((bins - low) / (top - low), (high - bins) / (high - top)), 0, None)
        bands.append(magnitudes @ triangle * 2 / (high - low))
    return np.log(np.maximum(np.stack(bands), 1e-5))


@pytest.mark.parametrize(("framing", "first_centre"), [("hifigan", 128), ("centred", 0)])
@pytest.mark.parametrize("samples", [640, 1024, 5000])
def test_log_mel_is_what_its_definition_says(framing: str, first_centre: int, samples: int) -> None:
    x = np.random.default_rng(1).uniform(-0.9, 0.9, samples)
    mels = LogMel(framing)(torch.from_numpy(x).float()[None])
    assert mels.shape == (1, 80, samples // 256)
    np.testing.assert_allclose(mels[0], by_definition(x, first_centre, samples // 256), atol=2e-4)


def test_silence_lies_at_the_floor_and_has_a_gradient() -> None:
    x = torch.zeros(1, 2048, requires_grad=True)
    mels = LogMel()(x)
    torch.testing.assert_close(mels, torch.full_like(mels, float(np.log(1e-5))))
    mels.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_a_signal_too_short_to_be_mirrored_is_refused() -> None:
    with pytest.raises(ValueError, match=r"T over 512, got \[1, 512\]"):
        LogMel()(torch.zeros(1, 512))


# Generator


def random_state(channels: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights under the official names: `weight_g`, `weight_v`, `bias`."""
    draw = torch.Generator().manual_seed(seed)
    state = {}

    def layer(name: str, outputs: int, inputs: int, kernel: int, transposed: bool = False) -> None:
        shape = (inputs, outputs, kernel) if transposed else (outputs, inputs, kernel)
        state[f"{name}.weight_v"] = torch.randn(shape, generator=draw)
        state[f"{name}.weight_g"] = 1 + torch.rand(shape[0], 1, 1, generator=draw)
        state[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=draw)

    layer("conv_pre", channels, 80, 7)
    for number, kernel in enumerate((16, 16, 4, 4)):
        layer(f"ups.{number}", channels // 2, channels, kernel, transposed=True)
        channels //= 2
        for side, size in enumerate((3, 7, 11)):
            for one in range(3):
                layer(f"resblocks.{3 * number + side}.convs1.{one}", channels, channels, size)
                layer(f"resblocks.{3 * number + side}.convs2.{one}", channels, channels, size)
    layer("conv_post", 1, channels, 7)
    return state


def by_paper(state: dict[str, torch.Tensor], mels: torch.Tensor, mode: str = "constant") -> torch.Tensor:
    """The generator of HiFi-GAN, written down from its paper's Sec. 2.2 and Appendix A."""

    def weight(name: str) -> torch.Tensor:
        v = state[f"{name}.weight_v"]
        return state[f"{name}.weight_g"] * v / v.square().sum((1, 2), keepdim=True).sqrt()

    def same(name: str, x: torch.Tensor, dilation: int = 1) -> torch.Tensor:
        w = weight(name)
        reach = dilation * (w.shape[2] - 1) // 2
        return F.conv1d(F.pad(x, (reach, reach), mode=mode), w, state[f"{name}.bias"], dilation=dilation)

    x = same("conv_pre", mels)
    for number, stride in enumerate((8, 8, 2, 2)):
        w = weight(f"ups.{number}")
        x = F.leaky_relu(x, 0.1)
        x = F.conv_transpose1d(x, w, state[f"ups.{number}.bias"], stride, padding=(w.shape[2] - stride) // 2)
        total = torch.zeros_like(x)
        for side in range(3):
            y = x
            for one, dilation in enumerate((1, 3, 5)):
                inner = f"resblocks.{3 * number + side}"
                z = same(f"{inner}.convs1.{one}", F.leaky_relu(y, 0.1), dilation)
                y = y + same(f"{inner}.convs2.{one}", F.leaky_relu(z, 0.1))
            total += y
        x = total / 3
    return torch.tanh(same("conv_post", F.leaky_relu(x, 0.01)))[:, 0]


MELS = 0.3 * torch.randn(2, 80, 6, generator=torch.Generator().manual_seed(3))


def under_speechbrain_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {".conv.".join(name.rsplit(".", 1)): tensor for name, tensor in state.items()}


def saved(path, content):
    torch.save(content, path)
    return path


def test_published_generators_speak_as_the_paper_defines(tmp_path) -> None:
    state = random_state(32)
    generator, framing = read_published(saved(tmp_path / "g_00000001", {"generator": state}))
    assert framing == "hifigan"
    sound = generator(MELS)
    assert sound.shape == (2, 6 * 256)
    torch.testing.assert_close(sound, by_paper(state, MELS), atol=1e-5, rtol=1e-4)


def test_speechbrain_s_generator_mirrors_its_ends_and_has_centred_frames(tmp_path) -> None:
    state = random_state(32, seed=1)
    generator, framing = read_published(saved(tmp_path / "generator.ckpt", under_speechbrain_names(state)))
    assert framing == "centred"
    torch.testing.assert_close(generator(MELS), by_paper(state, MELS, "reflect"), atol=1e-5, rtol=1e-4)


def test_every_naming_of_normalised_weights_folds_to_the_same() -> None:
    normalised = with_weight_norm(Generator(16))
    with torch.no_grad():
        for parameter in normalised.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(5))
    new = normalised.state_dict()
    old = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in new.items()
    }
    plain = Generator(16)
    plain.load_state_dict(folded(new))
    torch.testing.assert_close(plain(MELS), normalised(MELS), atol=1e-6, rtol=1e-4)
    for other in (folded(old), folded(under_speechbrain_names(old)), folded(folded(new))):
        assert other.keys() == plain.state_dict().keys()
        for name, tensor in plain.state_dict().items():
            torch.testing.assert_close(other[name], tensor)


def test_sizes_are_those_of_the_paper_s_table() -> None:
    # Kong et al. 2020, Table 1: 13.92 M and 0.92 M.
    with torch.device("meta"):
        counts = {channels: sum(p.numel() for p in Generator(channels).parameters()) for channels in (512, 128)}
    assert int(counts[512] / 1e4) / 100 == 13.92
    assert int(counts[128] / 1e4) / 100 == 0.92


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv_post.weight_v"), "conv_post.weight is missing"),
        (lambda s: s.update({"ups.4.bias": torch.zeros(1)}), "ups.4.bias is not part"),
        (lambda s: s.update({"ups.0.bias": torch.zeros(3)}), r"ups.0.bias is \(3,\), expected \(8,\)"),
    ],
)
def test_other_networks_are_refused_with_what_differs(tmp_path, change, message) -> None:
    state = random_state(16)
    change(state)
    with pytest.raises(InvalidConfig, match=message):
        read_published(saved(tmp_path / "g.pt", {"generator": state}))


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(MissingWeights, match=r"nothing\.pt is not a file"):
        read_published(tmp_path / "nothing.pt")


# Critics


def test_critics_of_full_size_are_the_official_ones() -> None:
    with torch.device("meta"):
        critics = Critics()
        plain = sum(
            (
                m.parametrizations.weight.original1 if hasattr(m.parametrizations.weight, "original1") else m.weight
            ).numel()
            + m.bias.numel()
            for m in critics.modules()
            if hasattr(m, "parametrizations")
        )
    # Five critics by period and three by scale, from the channels, kernels and groups of the official code.
    period = sum(a * b * 5 + b for a, b in ((1, 32), (32, 128), (128, 512), (512, 1024), (1024, 1024))) + 1024 * 3 + 1
    layers = ((1, 128, 15, 1), (128, 128, 41, 4), (128, 256, 41, 16), (256, 512, 41, 16), (512, 1024, 41, 16))
    layers += ((1024, 1024, 41, 16), (1024, 1024, 5, 1))
    scale = sum(a // g * b * k + b for a, b, k, g in layers) + 1024 * 3 + 1
    assert plain == 5 * period + 3 * scale


def test_a_period_critic_sees_columns_of_the_signal_alone() -> None:
    """What changes every third sample changes one column's scores and no other's."""
    torch.manual_seed(0)
    critic = PeriodCritic(3, width=0.02)
    x = torch.randn(1, 3000)
    other = x.clone()
    other[:, 1::3] += 1
    before, after = (critic(signal)[0].unflatten(1, (-1, 3)) for signal in (x, other))
    changed = (before != after).any(1)[0]
    assert changed.tolist() == [False, True, False]


def test_critics_judge_any_length() -> None:
    torch.manual_seed(0)
    judged = Critics(width=0.02)(torch.randn(2, 4099))
    assert len(judged) == 8
    assert [len(features) for _, features in judged] == [6] * 5 + [8] * 3
    assert all(scores.shape[0] == 2 and scores.ndim == 2 for scores, _ in judged)
    assert judged[5][1][0].shape[2] == 4099 and judged[6][1][0].shape[2] == 2050 and judged[7][1][0].shape[2] == 1026
