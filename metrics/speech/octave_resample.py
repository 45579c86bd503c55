"""Octave's `resample` as matrix products: the resampler that STOI is computed with.

Going from `rate` to `to` by p/q in lowest terms, output m is `sum_k h[m q - k p] x[k]` with a windowed sinc h (Octave's
signal package, resample.m; the window after Kaiser, as in Oppenheim and Schafer, "Discrete-Time Signal Processing"). h
meets the same inputs again after p outputs and q inputs, so rows of inputs that lie q apart, times one matrix, give p
outputs each.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

COLUMNS = 24
"""Outputs made by one product: wider spends more of it on zeros of the matrix. Of the widths from 10 to 64, 24 was the
fastest at every rate from 8 to 48 kHz, by a quarter or more; BLAS kernels of AVX-512 are made for it."""


class _Product(NamedTuple):
    column: int
    """The first output, within a period, to which it adds."""
    offset: int
    """The first input that it reads."""
    matrix: Tensor
    """`[inputs, outputs]`, at most a hop of inputs: then rows of the signal do not overlap and need no copy."""


class _Bank(NamedTuple):
    outputs: int
    """In a period."""
    hop: int
    """Inputs in a period."""
    margin: int
    """Zeros that the filter needs on either side of a signal."""
    reach: int
    """Inputs that the last product reads beyond the start of its period."""
    products: tuple[_Product, ...]


def octave_filter(up: int, down: int) -> np.ndarray:
    """The anti-aliasing filter at `up` times the input's rate, `[2 L + 1]`, its sum `up`.

    A Kaiser window (60 dB) over a sinc that ends at the lower of the two Nyquist frequencies, with a tenth of that as
    its roll-off. Octave leaves the sum within 1e-4 of `up`; pystoi makes it exact, and STOI is blind to gain.
    """
    rejection_db = 60.0
    cutoff = 1 / (2 * max(up, down))
    half = math.ceil((rejection_db - 8) / (28.714 * cutoff / 10))
    h = np.kaiser(2 * half + 1, 0.1102 * (rejection_db - 8.7)) * np.sinc(2 * cutoff * np.arange(-half, half + 1))
    return h * (up / h.sum())


@lru_cache(maxsize=16)
def _bank(rate: int, to: int, device: torch.device) -> _Bank:
    common = math.gcd(rate, to)
    up, down = to // common, rate // common
    h = octave_filter(up, down)
    half = len(h) // 2
    periods = -(-5 * COLUMNS // up)
    outputs, hop = up * periods, down * periods
    margin = half // up
    products = []
    reach = 0
    for first in range(0, outputs, COLUMNS):
        r = np.arange(first, min(first + COLUMNS, outputs))
        # Inputs that any of these outputs needs, counted from the start of the padded signal.
        low, high = -((half - first * down) // up) + margin, (half + int(r[-1]) * down) // up + 1 + margin
        for offset in range(low, high, hop):
            k = np.arange(offset, min(offset + hop, high))[:, None] - margin
            tap = half + r * down - k * up
            matrix = np.where((tap >= 0) & (tap < len(h)), h[np.clip(tap, 0, len(h) - 1)], 0.0)
            products.append(_Product(first, offset, torch.from_numpy(matrix).to(device)))
        reach = max(reach, high)
    return _Bank(outputs, hop, margin, reach, tuple(products))


def resampled_length(length: int, rate: int, to: int) -> int:
    """Samples that `length` samples become.

    >>> resampled_length(16001, 16_000, 10_000)
    10001
    """
    return -(-length * to // rate)


def octave_resample(x: Tensor, rate: int, to: int) -> Tensor:
    """Resample as Octave does, the delay of the filter taken out.

    Shape: `[..., T]`, any real dtype -> `[..., ceil(T to / rate)]`, float64, on the same device. Signals are taken to
    be zero outside. A stretch of exact zeros longer than the filter stays exactly zero.

    Raises:
        ValueError: a rate that is not above 0.
    """
    if rate <= 0 or to <= 0:
        raise ValueError(f"Expected rates above 0 Hz, got {rate} and {to}")
    if rate == to:
        return x.double()
    bank = _bank(rate, to, x.device)
    length = x.shape[-1]
    signals = x.reshape(math.prod(x.shape[:-1]), length)
    rows = -(-(length + 2 * bank.margin) // bank.hop)
    line = torch.zeros(len(signals) * rows * bank.hop + bank.reach, dtype=torch.float64, device=x.device)
    line[: len(signals) * rows * bank.hop].view(len(signals), -1)[:, bank.margin : bank.margin + length] = signals
    y = line.new_zeros(len(signals) * rows, bank.outputs)
    for column, offset, matrix in bank.products:
        inputs, outputs = matrix.shape
        windows = line.as_strided((len(y), inputs), (bank.hop, 1), offset)
        y[:, column : column + outputs].addmm_(windows, matrix)
    wanted = resampled_length(length, rate, to)
    return y.view(len(signals), -1)[:, :wanted].reshape(*x.shape[:-1], wanted)
