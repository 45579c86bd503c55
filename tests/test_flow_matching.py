"""Simplified conditional flow matching: the path of Eq. 6, and the way along a known field."""

import math

import pytest
import torch
from torch import Tensor

from baselines.flowavse.flow_matching import FlowMatching

DRAWS = 40_000


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("time", [0.0, 0.03, 0.4, 1.0])
@pytest.mark.parametrize("sigma", [0.0, 0.04, 0.5])
def test_states_have_the_mean_and_the_deviation_of_equation_6(time: float, sigma: float) -> None:
    source, clean = random(2, 1, 2, 3, 4)
    drawn = FlowMatching(sigma).state(
        source.expand(DRAWS, -1, -1, -1),
        clean.expand(DRAWS, -1, -1, -1),
        torch.full((DRAWS,), time),
        random(DRAWS, 2, 3, 4, seed=1),
    )
    # Five standard errors.
    mean = time * clean[0] + (1 - time) * source[0]
    assert float((drawn.mean(0) - mean).abs().max()) <= 5 * sigma / math.sqrt(DRAWS) + 1e-5
    assert float((drawn.std(0) - sigma).abs().max()) <= 5 * sigma / math.sqrt(2 * DRAWS) + 1e-5


def test_each_item_has_its_own_time() -> None:
    source, clean = torch.zeros(3, 2, 4, 4), torch.ones(3, 2, 4, 4)
    times = torch.tensor([0.1, 0.5, 0.9])
    state = FlowMatching(0.0).state(source, clean, times, random(3, 2, 4, 4))
    torch.testing.assert_close(state, times[:, None, None, None].expand_as(state))


@pytest.mark.parametrize("steps", [1, 2, 5, 30])
@pytest.mark.parametrize("start", [0.03, 0.5])
def test_the_exact_field_leads_almost_to_clean_speech_in_any_number_of_steps(steps: int, start: float) -> None:
    """The source stands at time `start` and not at 0: so much of the way is left at the end."""
    source, clean, noise = random(3, 2, 2, 4, 6).double()
    flow = FlowMatching(0.04, start)
    arrived = flow.sample(lambda x, t: clean - source, source, noise, steps)
    torch.testing.assert_close(arrived, clean - start * (clean - source) + 0.04 * noise)


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_a_field_that_aims_at_clean_speech_arrives_there(steps: int) -> None:
    source, clean, noise = random(3, 2, 2, 4, 6).double()

    def field(x: Tensor, t: Tensor) -> Tensor:
        return (clean - x) / (1 - t.double())[:, None, None, None]

    torch.testing.assert_close(FlowMatching().sample(field, source, noise, steps), clean, atol=1e-5, rtol=0)


def test_eulers_error_falls_with_the_length_of_a_step() -> None:
    """dx/dt = x from 0.03 to 1: the limit is e^0.97, the product of N steps (1 + 0.97 / N)^N."""
    source = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    for steps in (1, 2, 10, 100):
        found = FlowMatching(0.0).sample(lambda x, t: x, source, source, steps)
        assert float(found) == pytest.approx((1 + 0.97 / steps) ** steps, rel=1e-12)
    assert float(found) == pytest.approx(math.exp(0.97), rel=0.006)


@pytest.mark.parametrize("steps", [1, 4])
def test_the_field_is_asked_once_a_step_at_even_times(steps: int) -> None:
    asked = []

    def field(x: Tensor, t: Tensor) -> Tensor:
        assert t.shape == (3,) and (t == t[0]).all()
        asked.append(float(t[0]))
        return torch.zeros_like(x)

    start = random(3, 2, 4, 4)
    end = FlowMatching(0.0, 0.2).sample(field, start, start, steps)
    assert asked == pytest.approx([0.2 + 0.8 * step / steps for step in range(steps)])
    assert torch.equal(end, start)


def test_the_zero_prior_begins_at_normal_noise_and_the_other_at_the_estimate() -> None:
    """Table 3."""
    estimate, noise = random(2, 1, 2, 4, 4)
    assert torch.equal(FlowMatching(prior="zero").source(estimate, noise), noise)
    assert torch.equal(FlowMatching(prior="estimate").source(estimate, noise), estimate)
