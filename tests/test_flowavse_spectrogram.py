"""The compressed spectrogram of FlowAVSE against one computed by hand, and its inverse."""

import numpy as np
import pytest
import torch

from baselines.flowavse.spectrogram import frames_of, spectrogram, waveform


def sound(length: int, seed: int = 0) -> np.ndarray:
    """Noise whose loudness and colour change, peak 1."""
    random = np.random.default_rng(seed)
    x = np.cumsum(random.standard_normal(length)) * 0.1 + random.standard_normal(length)
    x *= 0.01 + np.abs(np.sin(np.arange(length) / 700))
    return x / np.abs(x).max()


def by_hand(x: np.ndarray, exponent: float, factor: float) -> np.ndarray:
    """Frame by frame, from the definition of the Fourier transform: `[2, 256, T]`."""
    n = np.arange(510)
    window = np.sin(np.pi * n / 510) ** 2
    transform = np.exp(-2j * np.pi * np.outer(np.arange(256), n) / 510)
    padded = np.concatenate([x[255:0:-1], x, x[-2:-257:-1]])
    frames = [transform @ (padded[128 * k : 128 * k + 510] * window) for k in range(1 + len(x) // 128)]
    z = np.stack(frames, axis=1)
    z = factor * np.abs(z) ** exponent * np.exp(1j * np.angle(z))
    return np.stack([z.real, z.imag])


@pytest.mark.parametrize(("exponent", "factor"), [(0.5, 0.33), (1.0, 1.0), (0.3, 0.15)])
@pytest.mark.parametrize("length", [256, 1000, 1664])
def test_it_is_the_compressed_transform(length: int, exponent: float, factor: float) -> None:
    signals = np.stack([sound(length, seed) for seed in (0, 1)])
    found = spectrogram(torch.from_numpy(signals), exponent, factor)
    expected = np.stack([by_hand(x, exponent, factor) for x in signals])
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-10)


def test_it_is_compressed_as_the_official_code_does_by_default() -> None:
    np.testing.assert_allclose(
        spectrogram(torch.from_numpy(sound(900))[None])[0].numpy(), by_hand(sound(900), 0.5, 0.33), atol=1e-10
    )


@pytest.mark.parametrize(("exponent", "factor"), [(0.5, 0.33), (1.0, 1.0), (0.3, 0.15)])
@pytest.mark.parametrize("length", [256, 257, 383, 384, 1600, 1663, 16_000, 32_640, 32_767])
def test_the_inverse_is_exact(length: int, exponent: float, factor: float) -> None:
    x = torch.from_numpy(sound(length).astype(np.float32))[None]
    back = waveform(spectrogram(x, exponent, factor), length, exponent, factor)
    assert back.shape == x.shape and back.dtype == torch.float32
    assert float((back - x).abs().max()) < 3e-6


def test_the_clip_of_the_paper_has_256_frames_of_256_bins() -> None:
    assert spectrogram(torch.zeros(3, 32_640)).shape == (3, 2, 256, 256)


@pytest.mark.parametrize("length", [256, 1663, 1664, 1665, 5000])
def test_frames_are_counted_without_computing_them(length: int) -> None:
    assert frames_of(length) == spectrogram(torch.zeros(1, length)).shape[-1]


def test_silence_is_zero_there_and_back() -> None:
    x = torch.zeros(1, 2000)
    x[0, 1500:] = 0.5
    z = spectrogram(x)
    assert z.isfinite().all() and not z[..., :5].any()
    assert float((waveform(z, 2000) - x).abs().max()) < 1e-6
    assert not waveform(torch.zeros(1, 2, 256, 16), 2000).any()


def test_half_precision_comes_back_as_single() -> None:
    z = spectrogram(torch.from_numpy(sound(2000).astype(np.float32))[None])
    assert waveform(z.bfloat16(), 2000).dtype == torch.float32
