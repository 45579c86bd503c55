"""AVDiffuSS's diffusion process against the differential equations of its moments; its sampler against known scores."""

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from baselines.avdiffuss.config import Config
from baselines.avdiffuss.sde import OUVE
from baselines.flowavse.spectrogram import noise_like

PROCESSES = [OUVE(), OUVE(theta=2.5, sigma_min=0.01, sigma_max=1.0), OUVE(theta=0.3, sigma_min=0.1, sigma_max=0.3)]


@pytest.mark.parametrize("process", PROCESSES)
def test_mean_and_deviation_solve_the_moment_equations(process: OUVE) -> None:
    """m' = theta (y - m), v' = -2 theta v + g(t)^2, with g written out."""
    x0, y = 0.7, -0.4
    r = process.sigma_max / process.sigma_min

    def change(t: float, moments: np.ndarray) -> list[float]:
        g = process.sigma_min * r**t * np.sqrt(2 * np.log(r))
        return [process.theta * (y - moments[0]), -2 * process.theta * moments[1] + g**2]

    times = np.linspace(0, 1, 9)
    solved = solve_ivp(change, (0, 1), [x0, 0.0], t_eval=times, rtol=1e-10, atol=1e-13).y
    t = torch.from_numpy(times)
    ones = torch.ones(len(times), 2, 3, 1, dtype=torch.float64)
    means = process.mean(x0 * ones, y * ones, t)
    assert means.shape == ones.shape
    np.testing.assert_allclose(means[:, 1, 2, 0].numpy(), solved[0], rtol=1e-7)
    np.testing.assert_allclose(process.deviation(t).numpy(), np.sqrt(solved[1]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("process", PROCESSES)
def test_the_deviation_is_the_published_formula(process: OUVE) -> None:
    """Richter et al. 2023: sigma_min^2 ((sigma_max / sigma_min)^2t - e^(-2 theta t)) ln r / (theta + ln r)."""
    t, log_r = 0.6, math.log(process.sigma_max / process.sigma_min)
    variance = process.sigma_min**2 * (
        (process.sigma_max / process.sigma_min) ** (2 * t) - math.exp(-2 * process.theta * t)
    )
    expected = math.sqrt(variance * log_r / (process.theta + log_r))
    assert float(process.deviation(torch.tensor([t], dtype=torch.float64))) == pytest.approx(expected)


def test_the_papers_process_is_the_default() -> None:
    assert Config().process() == OUVE(1.5, 0.05, 0.5, 0.03)
    assert (Config().steps, Config().corrector_snr) == (30, 0.5)


CLEAN, SPREAD, MIDDLE = 0.5, 0.3, 0.4
"""Mean and deviation of each part of Gaussian 'clean speech', and where the process drifts."""


def gaussian_score(process: OUVE, asked: list[float]):
    """Optimum of AVDiffuSS's loss for complex bins of which both parts are N(CLEAN, SPREAD^2).

    The score is E[-z | x] / deviation, the best guess of what the loss asks for; z has half a variance in each part.
    """

    def score(x: Tensor, t: Tensor) -> Tensor:
        assert t.shape == (len(x),)
        asked.append(float(t[0]))
        left = torch.exp(-process.theta * t.double())[:, None, None, None]
        mean = left * CLEAN + (1 - left) * MIDDLE
        variance = (left * SPREAD) ** 2 + process.deviation(t.double())[:, None, None, None] ** 2 / 2
        return (mean - x) / 2 / variance

    return score


def sampled(steps: int, snr: float, process: OUVE | None = None) -> tuple[Tensor, list[float]]:
    process, asked = process or OUVE(), []
    y = torch.full((4, 2, 64, 100), MIDDLE, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    draw = lambda: noise_like(y, [generator] * len(y)).double()  # noqa: E731
    return process.sample(gaussian_score(process, asked), y, draw, steps, snr), asked


@pytest.mark.parametrize("snr", [0.0, 0.5])
def test_with_the_exact_score_the_target_is_recovered(snr: float) -> None:
    out, _ = sampled(300, snr)
    assert float(out.mean()) == pytest.approx(CLEAN, abs=0.02)
    assert float(out.std()) == pytest.approx(SPREAD, rel=0.04)


def test_thirty_steps_arrive_and_one_is_far_off() -> None:
    """One step jumps from time 1 to 0 at the slope of time 1: closed form, and why Table 1 has -17 dB for it."""
    spreads = {steps: float(sampled(steps, 0.5)[0].std()) for steps in (1, 30, 300)}
    errors = {steps: abs(spread - SPREAD) for steps, spread in spreads.items()}
    assert max(errors[30], errors[300]) < 0.05 * SPREAD

    process = OUVE()
    out, asked = sampled(1, 0.0)
    assert asked == [1.0]
    g = 0.5 * math.sqrt(2 * math.log(10))
    noise = float(process.deviation(torch.tensor([1.0]))) * math.sqrt(0.5)
    variance = (math.exp(-1.5) * SPREAD) ** 2 + noise**2
    slope = 1 + 1.5 - g**2 / 2 / variance
    assert float(out.std()) == pytest.approx(abs(slope) * noise, rel=0.01)
    assert errors[1] > 3 * SPREAD


@pytest.mark.parametrize(("snr", "evaluations"), [(0.5, 2), (0.0, 1)])
def test_the_score_is_asked_at_even_times_by_corrector_and_predictor(snr: float, evaluations: int) -> None:
    _, asked = sampled(5, snr)
    assert len(asked) == 5 * evaluations
    assert asked == pytest.approx(np.repeat(np.linspace(1, 0.03, 5), evaluations).tolist())


def test_steps_are_those_of_the_published_sampler() -> None:
    """Two steps written out: corrector, predictor, and the mean of the last predictor as the output."""
    process = OUVE()
    generator = torch.Generator().manual_seed(3)
    draws = [torch.randn(2, 2, 4, 5, generator=generator).double() for _ in range(4)]
    y = torch.randn(2, 2, 4, 5, generator=generator).double()
    left = iter(draws)

    def score(x: Tensor, t: Tensor) -> Tensor:
        return torch.sin(3 * x) - t.double()[:, None, None, None]

    found = process.sample(score, y, lambda: next(left), 2, 0.5)

    def variance(t: float) -> float:
        return 0.05**2 * (10 ** (2 * t) - math.exp(-3 * t)) * math.log(10) / (1.5 + math.log(10))

    x = y.numpy() + math.sqrt(variance(1)) * draws[0].numpy()
    for t, step, corrector, predictor in ((1.0, 0.5, 1, 2), (0.03, 0.5, 3, 4)):
        size = 2 * 0.5**2 * variance(t)
        x = x + size * (np.sin(3 * x) - t) + math.sqrt(2 * size) * draws[corrector].numpy()
        g2 = 0.05**2 * 100**t * 2 * math.log(10)
        drift = 1.5 * (y.numpy() - x)
        mean = x - (drift - g2 * (np.sin(3 * x) - t)) * step
        x = mean + math.sqrt(g2 * step) * draws[predictor].numpy() if predictor < 4 else mean
    assert next(left, None) is None
    np.testing.assert_allclose(found.numpy(), x, atol=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        *[{field.name: float("nan")} for field in fields(Config) if isinstance(field.default, float)],
        {"steps": -1},
        {"sigma_max": math.inf},
        {"sigma_min": 0.0},
        {"sigma_max": 0.05},
        {"end": 0.0},
        {"theta": 0.0},
        {"corrector_snr": -0.1},
    ],
)
def test_impossible_configurations_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Config(**values)
