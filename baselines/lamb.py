"""The LAMB optimiser (You et al. 2020, Algorithm 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lamb(torch.optim.Optimizer):
    """Adam whose step of each tensor is as long as the tensor itself, times the learning rate.

    With r = m / (sqrt(v) + eps) + weight_decay * x, the moments m and v corrected for their start, a step is
    x <- x - lr * (|x| / |r|) * r. The ratio is 1 where either norm is 0, so that a tensor of zeros can leave zero.

    Args:
        params: tensors or groups, as torch's optimisers take them.
        lr: above 0.
        betas: of the moving averages m of gradients and v of their squares.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; tensors without a gradient stay."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, x: Tensor, group: dict[str, Any]) -> None:
        state = self.state[x]
        if not state:
            state["step"] = 0
            state["mean"], state["square"] = torch.zeros_like(x), torch.zeros_like(x)
        state["step"] += 1
        first, second = group["betas"]
        state["mean"].lerp_(x.grad, 1 - first)
        state["square"].mul_(second).addcmul_(x.grad, x.grad, value=1 - second)
        mean = state["mean"] / (1 - first ** state["step"])
        square = state["square"] / (1 - second ** state["step"])
        step = mean / (square.sqrt() + group["eps"]) + group["weight_decay"] * x
        long, short = x.norm(), step.norm()
        ratio = torch.where((long > 0) & (short > 0), long / short, torch.ones_like(long))
        x.sub_(group["lr"] * ratio * step)
