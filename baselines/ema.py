"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ExponentialAverage:
    """Follows modules: average <- decay * average + (1 - decay) * weight, after each step.

    Early averages would hold mostly the random start, so step t, counted from 1, uses min(decay, (1 + t) / (10 + t)).
    So does torch_ema, which the official code of FlowAVSE and AVDiffuSS trains with. It follows parameters alone: the
    statistics of normalisation are those of the last step.

    Args:
        statistics: average these too, along with the weights that they belong to; integers are copied.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float, statistics: bool = False) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.modules = modules
        self.decay = decay
        self.statistics = statistics
        self.steps = 0
        self.average = {name: tensor.detach().clone() for name, tensor in self._tensors()}

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, tensor in self._tensors():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the modules' place for the length of a `with` block."""
        kept = {name: tensor.detach().clone() for name, tensor in self._tensors()}
        self._write(self.average)
        try:
            yield
        finally:
            self._write(kept)

    def state(self) -> dict[str, object]:
        return {"steps": self.steps, "average": self.average}

    def restore(self, state: Mapping[str, object]) -> None:
        self.steps = int(state["steps"])  # type: ignore[call-overload]
        saved = state["average"]
        assert isinstance(saved, dict)
        for name, tensor in self.average.items():
            tensor.copy_(saved[name])

    @torch.no_grad()
    def _write(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self._tensors():
            tensor.copy_(values[name])

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for key, module in self.modules.items():
            yield from ((f"{key}.{name}", tensor) for name, tensor in module.named_parameters())
            if self.statistics:
                yield from ((f"{key}.{name}", tensor) for name, tensor in module.named_buffers())
