"""Layers that keep magnitudes, against formulas worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from baselines.layers.magnitude_preserving import (
    MPAttention,
    MPConv,
    MPFourier,
    mp_cat,
    mp_silu,
    mp_sum,
    unit_magnitude,
)


def magnitude(x: torch.Tensor) -> float:
    return float(x.detach().square().mean().sqrt())


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_magnitude_is_the_root_mean_square():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    rms = math.sqrt(12.5)
    torch.testing.assert_close(unit_magnitude(x, 1)[0], x[0] / (rms + 1e-4))
    assert unit_magnitude(x, 1)[1].tolist() == [0, 0]
    assert magnitude(unit_magnitude(5 * normal(4, 8, 3), (1, 2))) == pytest.approx(1, abs=1e-3)


def test_silu_keeps_the_magnitude_of_normal_values():
    z = np.linspace(-10, 10, 200_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    power = np.trapezoid((z / (1 + np.exp(-z))) ** 2 * density, z)
    ours = mp_silu(torch.from_numpy(z)).numpy()
    assert np.trapezoid(ours**2 * density, z) == pytest.approx(1, abs=2e-3)
    np.testing.assert_allclose(ours, z / (1 + np.exp(-z)) / 0.596)
    assert math.sqrt(power) == pytest.approx(0.596, abs=5e-4)


def test_a_sum_is_weighted_and_keeps_the_magnitude():
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])
    # (0.7 a + 0.3 b) / sqrt(0.49 + 0.09)
    expected = torch.tensor([1.4, 0.3]) / math.sqrt(0.58)
    torch.testing.assert_close(mp_sum(a, b, 0.3), expected)
    assert magnitude(mp_sum(normal(10_000), normal(10_000, seed=1), 0.3)) == pytest.approx(1, abs=0.02)


def test_a_concatenation_gives_each_input_its_part_however_many_channels_it_has():
    a, b = normal(2, 6, 4), normal(2, 2, 4, seed=1)
    joined = mp_cat(a, b)
    # At equal parts: sqrt((6 + 2) / (0.25 + 0.25)) = 4; a is 4 * 0.5 / sqrt(6) as large, b 4 * 0.5 / sqrt(2).
    torch.testing.assert_close(joined[:, :6], a * 2 / math.sqrt(6))
    torch.testing.assert_close(joined[:, 6:], b * 2 / math.sqrt(2))
    a, b = normal(1, 600, 40), normal(1, 20, 40, seed=1)
    joined = mp_cat(a, b)
    assert magnitude(joined) == pytest.approx(1, abs=0.02)
    assert float(joined[:, :600].square().sum() / joined[:, 600:].square().sum()) == pytest.approx(1, abs=0.1)


def test_fourier_features_are_cosines_of_magnitude_1():
    torch.manual_seed(0)
    layer = MPFourier(4000, bandwidth=2.0)
    x = torch.tensor([0.3, -1.2])
    expected = math.sqrt(2) * np.cos(np.outer(x, layer.frequencies) + layer.phases.numpy())
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert magnitude(layer(x)) == pytest.approx(1, abs=0.03)
    assert float(layer.frequencies.std()) == pytest.approx(4 * math.pi, rel=0.05)
    assert torch.equal(layer.frequencies, layer.frequencies.half().float())


def test_a_linear_layer_divides_by_the_norm_of_each_row():
    layer = MPConv(2, 2).eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    x = torch.tensor([[1.0, 1.0]])
    # Rows over their norms, 5 and 2: (3 + 4) / 5 and 1.
    torch.testing.assert_close(layer(x), torch.tensor([[1.4, 1.0]]), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(layer(x, gain=2.0), 2 * layer(x))
    assert layer.weight.tolist() == [[3, 4], [0, 2]]


@pytest.mark.parametrize("kernel", [(), (5,), (3, 3)])
def test_a_convolution_keeps_the_magnitude_and_the_positions(kernel):
    torch.manual_seed(1)
    layer = MPConv(24, 48, kernel).eval()
    shape = (40, 24, *(12 for _ in kernel))
    y = layer(normal(*shape))
    assert y.shape == (40, 48, *shape[2:])
    middle = y[(..., *(slice(2, -2) for _ in kernel))]
    assert magnitude(middle) == pytest.approx(1, abs=0.05)
    with torch.no_grad():
        layer.weight.mul_(7)
    torch.testing.assert_close(layer(normal(*shape)), y, rtol=1e-3, atol=1e-3)


def test_a_convolution_is_torchs_with_normalised_weights():
    torch.manual_seed(1)
    layer = MPConv(3, 4, (3, 3)).eval()
    norms = layer.weight.detach().flatten(1).norm(dim=1)[:, None, None, None]
    expected = torch.nn.functional.conv2d(normal(2, 3, 5, 6), layer.weight / norms, padding=1)
    torch.testing.assert_close(layer(normal(2, 3, 5, 6)), expected, rtol=1e-3, atol=1e-3)


def test_training_forces_stored_weights_to_magnitude_1():
    torch.manual_seed(1)
    layer = MPConv(24, 8, (3,))
    with torch.no_grad():
        layer.weight.mul_(5)
    before = layer.eval()(normal(2, 24, 9)).detach()
    assert magnitude(layer.weight) == pytest.approx(5, rel=0.1)
    y = layer.train()(normal(2, 24, 9))
    torch.testing.assert_close(y.detach(), before, rtol=1e-3, atol=1e-3)
    per_channel = layer.weight.detach().square().flatten(1).mean(1)
    torch.testing.assert_close(per_channel, torch.ones(8), rtol=1e-3, atol=1e-3)
    y.square().sum().backward()
    # The gradient is orthogonal to the weights: their norm tells nothing.
    inner = (layer.weight.grad * layer.weight.detach()).flatten(1).sum(1)
    assert float((inner / layer.weight.grad.flatten(1).norm(dim=1)).abs().max()) < 1e-2


def test_attention_is_by_cosines_over_all_positions():
    torch.manual_seed(2)
    layer = MPAttention(8, head_channels=4).eval()
    x = normal(2, 8, 3, 5)
    qkv = np.einsum("oi,bihw->bohw", _unit_rows(layer.qkv), x.numpy()).reshape(2, 3, 2, 4, 15)
    q, k, v = np.moveaxis(qkv / (1e-4 + np.sqrt((qkv**2).mean(3, keepdims=True))), 1, 0)
    scores = np.einsum("bhcq,bhck->bhqk", q, k) / 2
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    found = np.einsum("bhqk,bhck->bhcq", weights, v).reshape(2, 8, 3, 5)
    y = np.einsum("oi,bihw->bohw", _unit_rows(layer.out), found)
    expected = (0.7 * x.numpy() + 0.3 * y) / math.sqrt(0.58)
    np.testing.assert_allclose(layer(x).detach(), expected, atol=1e-4)
    with pytest.raises(ValueError, match="channels must be a multiple of 3, a head's, got 8"):
        MPAttention(8, head_channels=3)


def _unit_rows(layer: MPConv) -> np.ndarray:
    weight = layer.weight.detach().numpy()[:, :, 0, 0]
    return weight / np.linalg.norm(weight, axis=1, keepdims=True)
