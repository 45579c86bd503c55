"""Averages by power functions, against sums over the whole training."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from baselines.post_hoc_ema import Kept, PowerAverages, coefficients, exponent, kept_in, reconstructed


@pytest.mark.parametrize("width", [0.01, 0.05, 0.1, 0.2])
def test_an_exponent_has_its_width(width):
    power = exponent(width)
    s = (np.arange(200_000) + 0.5) / 200_000
    profile = s**power / (s**power).sum()
    mean = (profile * s).sum()
    assert np.sqrt((profile * (s - mean) ** 2).sum()) == pytest.approx(width, rel=1e-3)


@pytest.mark.parametrize("width", [0.0, 0.28, 0.5])
def test_other_widths_are_refused(width):
    with pytest.raises(ValueError, match="width must be in"):
        exponent(width)


def path_of_weights(steps: int) -> np.ndarray:
    """A walk that settles, two numbers at each step."""
    rng = np.random.default_rng(0)
    return np.cumsum(rng.standard_normal((steps, 2)) / np.sqrt(1 + np.arange(steps))[:, None], axis=0)


def weights_of(width: float, steps: int) -> np.ndarray:
    """What b = (1 - 1/t)^(e + 1) comes to for each step s: (s/t)^(e + 1) - ((s - 1)/t)^(e + 1)."""
    edges = (np.arange(steps + 1) / steps) ** (exponent(width) + 1)
    return np.diff(edges)


def followed(folder, steps=240, every=20):  # type: ignore[no-untyped-def]
    network = nn.Linear(2, 1, bias=False)
    averages = PowerAverages(network)
    for number, value in enumerate(path_of_weights(steps), 1):
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(value[None]))
        assert averages.update(network) == number
        if number % every == 0:
            averages.keep(folder)
    return averages


def test_an_average_is_the_sum_over_all_steps(tmp_path):
    averages = followed(tmp_path)
    for width, network in zip((0.05, 0.1), averages.networks, strict=True):
        expected = weights_of(width, 240) @ path_of_weights(240)
        np.testing.assert_allclose(network.weight.detach()[0], expected, rtol=1e-4)
        assert not network.weight.requires_grad


@pytest.mark.parametrize("width", [0.05, 0.07, 0.1, 0.15, 0.2])
def test_other_widths_follow_from_what_was_kept(tmp_path, width):
    followed(tmp_path)
    found = reconstructed(kept_in(tmp_path), Kept(240, width))["weight"][0]
    direct = weights_of(width, 240) @ path_of_weights(240)
    spread = path_of_weights(240).std(0)
    assert np.abs(found.numpy() - direct).max() < 0.02 * spread.max()


def test_what_was_kept_is_taken_as_it_is():
    kept = [Kept(step, width) for step in (50, 100) for width in (0.05, 0.1)]
    np.testing.assert_allclose(coefficients(kept, Kept(100, 0.1)), [0, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(coefficients(kept, Kept(100, 0.05)), [0, 0, 1, 0], atol=1e-6)


def test_coefficients_minimise_the_distance_of_profiles():
    kept = [Kept(step, width) for step in (60, 120, 200) for width in (0.05, 0.1)]
    wanted = Kept(200, 0.13)
    s = (np.arange(200_000) + 0.5) / 1000

    def profile(of: Kept) -> np.ndarray:
        power = exponent(of.width)
        return np.where(s < of.step, (power + 1) * (s / of.step) ** power / of.step, 0)

    basis = np.stack([profile(k) for k in kept], axis=1)
    expected = np.linalg.lstsq(basis, profile(wanted), rcond=None)[0]
    np.testing.assert_allclose(coefficients(kept, wanted), expected, rtol=0.02, atol=1e-3)


def test_later_averages_are_left_out_and_the_wanted_step_must_be_there(tmp_path):
    followed(tmp_path, steps=60)
    kept = kept_in(tmp_path)
    assert {k.step for k in kept} == {20, 40, 60} and {k.width for k in kept} == {0.05, 0.1}
    early = reconstructed(kept, Kept(40, 0.1))["weight"][0]
    np.testing.assert_allclose(early, weights_of(0.1, 40) @ path_of_weights(60)[:40], atol=2e-3)
    with pytest.raises(ValueError, match=r"kept at step 50, got \[20, 40, 60\]"):
        reconstructed(kept, Kept(50, 0.1))


def test_an_average_goes_on_from_its_state(tmp_path):
    averages = followed(tmp_path, steps=40)
    network = nn.Linear(2, 1, bias=False)
    again = PowerAverages(network)
    again.load_state_dict(copy.copy(averages.state_dict()))
    with torch.no_grad():
        network.weight.fill_(1.0)
    assert again.update(network) == 41 == averages.update(network)
    for one, other in zip(again.networks, averages.networks, strict=True):
        assert torch.equal(one.weight, other.weight)
