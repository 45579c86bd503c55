"""LipDiffuser's denoiser: its size, magnitudes, MP-FiLM, preconditioning, loss and sampler."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from baselines.layers.magnitude_preserving import MPConv
from baselines.lipdiffuser.config import Config
from baselines.lipdiffuser.diffusion import (
    Denoiser,
    Uncertainty,
    at_mel_rate,
    drawn_sigmas,
    heun,
    mel_frames,
    noise_levels,
    squared_errors,
    uncertain_loss,
)
from baselines.lipdiffuser.unet import Block, Modulation, MPFiLM, UNet, mp_film

TINY = Config(channels=8, multiples=(1, 2, 3), blocks=1, attention=(False, False, True), head_channels=8, patch=4)
SPEAKER, FEATURES = 6, 10


@pytest.fixture(autouse=True, scope="module")
def one_thread():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def magnitude(x: torch.Tensor) -> float:
    return float(x.detach().square().mean().sqrt())


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def speakers(count: int) -> torch.Tensor:
    return nn.functional.normalize(normal(count, SPEAKER, seed=9), dim=1)


def lively(denoiser: Denoiser) -> Denoiser:
    """With gains that let every part matter: all of them begin at 0."""
    with torch.no_grad():
        for name, tensor in denoiser.named_parameters():
            if name.endswith("gain"):
                tensor.fill_(0.5)
    return denoiser.eval()


def tiny(config: Config = TINY) -> Denoiser:
    torch.manual_seed(0)
    return lively(config.denoiser(SPEAKER, FEATURES))


def test_the_papers_network_has_205_million_parameters():
    with torch.device("meta"):
        denoiser, uncertainty = Config().denoiser(256, 1024), Uncertainty()
    film = sum(parameters(part) for part in denoiser.modules() if isinstance(part, MPFiLM))
    gains = sum(isinstance(part, MPFiLM) for part in denoiser.modules())
    assert gains == 21
    # EDM2-XS with one channel and labels of 256 numbers, as its own code counts it.
    assert parameters(denoiser) + parameters(uncertainty) - film == 124_325_413
    assert film - gains == 80_642_048
    assert round((parameters(denoiser) + parameters(uncertainty)) / 1e6, 2) == 204.97


def test_the_papers_layout_learns_at_a_quarter_of_its_width():
    torch.manual_seed(0)
    denoiser = Config(channels=32, head_channels=32).denoiser(SPEAKER, FEATURES).train()
    optimiser = torch.optim.Adam(denoiser.parameters(), lr=1e-2)
    x, sigma = normal(2, 80, 16), torch.tensor([0.3, 2.0])

    def loss() -> torch.Tensor:
        said = denoiser.unet.modulations(normal(2, FEATURES, 16, seed=1))
        estimate = denoiser(x + sigma[:, None, None] * normal(2, 80, 16, seed=2), sigma, speakers(2), said)
        return squared_errors(estimate, x, sigma).mean()

    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        losses.append(loss())
        losses[-1].backward()
        optimiser.step()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in denoiser.parameters())
    # At first only the output's gain has a gradient; then all have.
    assert all(p.grad.any() for p in denoiser.parameters() if p.ndim)
    assert losses[2] < losses[1] < losses[0]


def test_every_layer_keeps_the_magnitude_at_the_start():
    """On average over networks: a few channels alone can be as much as a third off."""
    powers: dict[str, list[float]] = {}

    def keep(name: str):  # type: ignore[no-untyped-def]
        return lambda module, args, output: powers.setdefault(name, []).append(magnitude(output) ** 2)

    config = Config(channels=48, multiples=(1, 2, 3), blocks=1, attention=(False, True, True), head_channels=48)
    for seed in range(6):
        torch.manual_seed(seed)
        unet = config.denoiser(SPEAKER, FEATURES).unet.eval()
        for name, module in unet.named_modules():
            # Those with a gain of 0, as the output has, say nothing at the start.
            if isinstance(module, MPConv | Block) and not name.endswith(("embedding", "leave", "gate.pointwise")):
                module.register_forward_hook(keep(name))
        label = nn.functional.normalize(torch.randn(2, SPEAKER), dim=1)
        with torch.no_grad():
            said = unet.modulations(torch.randn(2, FEATURES, 32))
            assert not unet(torch.randn(2, 1, 80, 32), torch.randn(2), label, said).any()
    found = {name: math.sqrt(sum(values) / len(values)) for name, values in powers.items()}
    assert len(found) > 70
    assert {name: m for name, m in found.items() if not 0.75 < m < 1.25} == {}


def test_video_says_nothing_at_the_start_and_everything_with_an_open_gate():
    torch.manual_seed(0)
    layer = MPFiLM(FEATURES, 8).eval()
    seen, x = normal(2, FEATURES, 12), normal(2, 8, 5, 12, seed=1)
    assert torch.equal(mp_film(x, layer(seen)), x)
    with torch.no_grad():
        layer.gain.fill_(1e6)
    gate, shift = layer(seen)
    assert set(gate.unique().tolist()) == {0.0, 1.0}
    film = mp_film(x, Modulation(gate, shift))
    torch.testing.assert_close(film, torch.where(gate == 1, shift, x).expand_as(x))


def test_film_is_equation_5():
    x, gate, shift = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 0.25), torch.full((1, 1, 1, 1), -1.0)
    expected = (0.75 * 2 - 0.25) / math.sqrt(0.75**2 + 0.25**2)
    assert float(mp_film(x, Modulation(gate, shift))) == pytest.approx(expected)
    part = torch.rand(1, 500, 1, 1)
    film = mp_film(normal(1, 500, 9, 9), Modulation(part, normal(1, 500, 1, 9, seed=1)))
    assert magnitude(film) == pytest.approx(1, abs=0.03)


def test_the_gate_learns_from_0_on():
    torch.manual_seed(0)
    layer = MPFiLM(FEATURES, 8).eval()
    x, wanted = normal(2, 8, 5, 12, seed=1), normal(2, 8, 5, 12, seed=2)
    (mp_film(x, layer(normal(2, FEATURES, 12))) - wanted).square().sum().backward()
    assert layer.gain.grad is not None and layer.gain.grad.abs() > 1e-3


def test_each_frame_hears_of_pictures_near_it_alone():
    torch.manual_seed(0)
    unet = UNet(1, 8, (1, 2), 1, (False, False), SPEAKER, FEATURES, head_channels=8)
    with torch.no_grad():
        for block in unet.decoder:
            block.film.gain.fill_(1.0)
    seen = normal(1, FEATURES, 64)
    other = seen.clone()
    other[..., 40] += 5
    for block, one, two in zip(unet.decoder, unet.modulations(seen), unet.modulations(other), strict=True):
        at, reach = (20, 2) if unet.levels[list(unet.decoder).index(block)] else (40, 2)
        moved = ((one.shift - two.shift).abs() > 1e-4).any(1)[0, 0].nonzero()[:, 0]
        assert moved.min() >= at - reach and moved.max() <= at + reach


def test_nothing_told_is_the_best_guess_that_needs_no_network():
    torch.manual_seed(0)
    denoiser = TINY.denoiser(SPEAKER, FEATURES).eval()
    x, sigma = normal(2, 80, 8), torch.tensor([0.1, 5.0])
    # The mean of x given x + n, for normal x of deviation 0.5.
    expected = x * (0.25 / (0.25 + sigma**2))[:, None, None]
    torch.testing.assert_close(denoiser(x, sigma, speakers(2)), expected)


def test_preconditioning_is_equation_3():
    denoiser = tiny()
    x, sigma, who = normal(1, 80, 8), 0.7, speakers(1)
    taken: list[torch.Tensor] = []
    denoiser.unet.register_forward_pre_hook(lambda module, args: taken.extend(args[:2]))
    out = denoiser(x, torch.tensor([sigma]), who)
    told = denoiser.unet(*taken[:2], who).transpose(1, 2).flatten(1, 2)
    total = math.sqrt(sigma**2 + 0.25)
    torch.testing.assert_close(taken[0].transpose(1, 2).flatten(1, 2), x / total)
    assert float(taken[1]) == pytest.approx(math.log(sigma) / 4)
    torch.testing.assert_close(out, 0.25 / total**2 * x + sigma * 0.5 / total * told, rtol=1e-4, atol=1e-5)


def test_bands_that_go_in_as_channels_are_neighbours():
    denoiser = tiny()
    x = torch.arange(80.0)[None, :, None].expand(1, 80, 8)
    folded = denoiser._folded(x)
    assert folded.shape == (1, 4, 20, 8)
    assert folded[0, :, 0, 0].tolist() == [0, 1, 2, 3] and folded[0, 1, :, 0].tolist() == list(range(1, 80, 4))
    assert torch.equal(denoiser._unfolded(folded), x)


def test_standardised_mels_have_mean_0_and_deviation_one_half():
    denoiser = tiny()
    mels = -7.98 + 2.43 * normal(1, 80, 1000)
    x = denoiser.standardised(mels)
    assert float(x.mean()) == pytest.approx(0, abs=0.01) and float(x.std()) == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(denoiser.log_mels(x), mels)


def test_the_loss_is_equation_2():
    clean, estimate, sigma = normal(3, 80, 8), normal(3, 80, 8, seed=1), torch.tensor([0.1, 0.5, 3.0])
    u = torch.tensor([0.5, 0.0, -1.0])
    weight = (sigma**2 + 0.25) / (0.5 * sigma) ** 2
    errors = weight * ((clean - estimate) ** 2).mean((1, 2))
    torch.testing.assert_close(squared_errors(estimate, clean, sigma), errors)
    torch.testing.assert_close(uncertain_loss(errors, u), (errors / u.exp() + u).mean())


def test_errors_are_1_where_the_network_tells_nothing():
    sigma = torch.tensor([0.05, 0.5, 5.0]).repeat_interleave(200)
    clean = 0.5 * normal(600, 80, 8)
    x = clean + sigma[:, None, None] * normal(600, 80, 8, seed=1)
    estimate = x * (0.25 / (0.25 + sigma**2))[:, None, None]
    torch.testing.assert_close(squared_errors(estimate, clean, sigma), torch.ones(600), atol=0.2, rtol=0)


def test_uncertainty_learns_the_logarithm_of_the_error():
    torch.manual_seed(0)
    head = Uncertainty().train()
    optimiser = torch.optim.Adam(head.parameters(), lr=0.02)
    sigma = torch.tensor([0.05, 0.5, 5.0])
    errors = torch.tensor([0.9, 0.4, 0.2])
    for _ in range(300):
        optimiser.zero_grad()
        uncertain_loss(errors, head(sigma)).backward()
        optimiser.step()
    torch.testing.assert_close(head.eval()(sigma), errors.log(), atol=0.05, rtol=0)


def test_noise_levels_are_drawn_log_normal():
    torch.manual_seed(0)
    logs = drawn_sigmas(20_000, -1.2, 1.2, torch.device("cpu")).log()
    assert float(logs.mean()) == pytest.approx(-1.2, abs=0.03) and float(logs.std()) == pytest.approx(1.2, abs=0.03)


def test_noise_levels_of_sampling():
    levels = noise_levels(32)
    assert len(levels) == 33 and levels[0] == pytest.approx(80) and levels[-2:] == [pytest.approx(0.002), 0.0]
    roots = np.array(levels[:-1]) ** (1 / 7)
    np.testing.assert_allclose(np.diff(roots), (0.002 ** (1 / 7) - 80 ** (1 / 7)) / 31)
    assert noise_levels(1) == [pytest.approx(80), 0.0]


def gaussian(mean: float, deviation: float):  # type: ignore[no-untyped-def]
    calls = []

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        calls.append(sigma)
        return (deviation**2 * x + sigma**2 * mean) / (deviation**2 + sigma**2)

    return denoise, calls


def test_sampling_follows_the_closed_form_of_a_normal_distribution():
    """Of N(m, s^2) the flow from noise level S ends at m + (S z - m) s / sqrt(s^2 + S^2)."""
    noise = normal(1000, seed=1).double()
    exact = 0.3 + (80 * noise - 0.3) * 0.5 / math.hypot(0.5, 80)
    worst = {}
    for steps in (16, 32, 64):
        denoise, calls = gaussian(0.3, 0.5)
        found = heun(denoise, noise, noise_levels(steps))
        assert len(calls) == 2 * steps - 1
        worst[steps] = float((found - exact).abs().max())
    assert worst[32] < 0.05
    assert 3 < worst[16] / worst[32] < 6 and 3 < worst[32] / worst[64] < 6  # of second order
    one, _ = gaussian(0.3, 0.5)
    torch.testing.assert_close(heun(one, noise, noise_levels(1)), one(80 * noise, 80.0))


def test_features_lie_at_the_middle_of_mel_frames():
    pictures = torch.arange(6.0)[None, :, None].expand(1, 6, 2)
    found = at_mel_rate(pictures, 15)[0, 0]
    # Picture n stands at (n + 1/2) 40 ms, mel frame m at (m + 1/2) 16 ms.
    expected = np.interp((np.arange(15) + 0.5) * 16, (np.arange(6) + 0.5) * 40, np.arange(6))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    early = at_mel_rate(pictures, 15, "centred")[0, 0]
    np.testing.assert_allclose(early, np.interp(np.arange(15) * 16, (np.arange(6) + 0.5) * 40, np.arange(6)), atol=1e-6)
    held = at_mel_rate(pictures, 20)[0, 0]
    assert held[15:].tolist() == [5] * 5
    assert at_mel_rate(pictures[:, :1], 4).shape == (1, 2, 4)


@pytest.mark.parametrize(("pictures", "frames"), [(1, 3), (2, 5), (75, 188), (76, 190)])
def test_mel_frames_cover_a_video(pictures, frames):
    assert mel_frames(pictures) == frames and frames * 256 >= pictures * 640 > (frames - 1) * 256


def test_a_batch_is_its_items():
    denoiser = tiny()
    x, sigma, seen = normal(3, 80, 16), torch.tensor([0.1, 1.0, 20.0]), normal(3, FEATURES, 16, seed=1)
    together = denoiser(x, sigma, speakers(3), denoiser.unet.modulations(seen))
    for i in range(3):
        one = slice(i, i + 1)
        alone = denoiser(x[one], sigma[one], speakers(3)[one], denoiser.unet.modulations(seen[one]))
        torch.testing.assert_close(together[one], alone, rtol=1e-4, atol=1e-5)


def test_speaker_and_video_matter():
    denoiser = tiny()
    x, sigma = normal(1, 80, 16), torch.tensor([1.0])
    seen = normal(1, FEATURES, 16, seed=1)
    said = denoiser.unet.modulations(seen)
    out = denoiser(x, sigma, speakers(2)[:1], said)
    assert (denoiser(x, sigma, speakers(2)[1:], said) - out).abs().max() > 1e-3
    assert (denoiser(x, sigma, speakers(2)[:1], denoiser.unet.modulations(seen.flip(2))) - out).abs().max() > 1e-3
    assert (denoiser(x, sigma, speakers(2)[:1]) - out).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 3}, "80 mel bands must be a multiple of patch times 2"),
        ({"attention": (True,)}, "attention must say true or false for each of 3 levels, got 1"),
        ({"head_channels": 7}, "head_channels must divide the channels of levels with attention, got 7 and 24"),
        ({"film_kernel": 4}, "film_kernel must be odd, got 4"),
        ({"multiples": (2, 0, 3)}, r"multiples must be at least 1, got \(2, 0, 3\)"),
        ({"ema": 0.3}, r"ema must be in \[0, 0.28\), got 0.3"),
        ({"steps": 0}, r"steps must be in \[1, 1000\], got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)
