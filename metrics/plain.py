"""Torch as it is before anybody has set anything: a number must not depend on who asks for it.

A training loop runs its metrics under autocast, with gradients, with another default dtype or device, or with products
of float32 in fewer bits. All of these would reach into what a metric computes. So whatever computes with torch in this
package does it under `plain()`, and networks are made under `fresh()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

# Where torch multiplies float32 in fewer bits if it is told to.
_PRODUCTS = (
    *(("cuda", "matmul"), ("cudnn", "conv"), ("cudnn", "rnn")),
    *(("mkldnn", "matmul"), ("mkldnn", "conv"), ("mkldnn", "rnn")),
)


@contextmanager
def plain() -> Iterator[None]:
    """No gradients, no autocast, float32 and the CPU where nothing else is said, float32 products in float32.

    What the caller had set is back afterwards. Also a decorator.

    >>> with torch.autocast("cpu", torch.bfloat16), plain():
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.float32
    """
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.get_default_dtype() != torch.float32:
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.float32)
        # Convolutions that are chosen by a race round differently from run to run.
        stack.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
        torch.backends.cudnn.benchmark = False
        stack.enter_context(_full_products())
        yield


@contextmanager
def fresh() -> Iterator[None]:
    """`plain()` for making a network: its parameters can be trained later, and the random numbers stay the caller's."""
    with torch.inference_mode(False), plain(), torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def _full_products() -> Iterator[None]:
    if not hasattr(torch.backends, "fp32_precision"):  # torch before 2.9
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
                yield
        finally:
            torch.set_float32_matmul_precision(before)
        return
    products = [getattr(getattr(torch.backends, backend), product) for backend, product in _PRODUCTS]
    before = [product.fp32_precision for product in products]
    for product in products:
        product.fp32_precision = "ieee"
    try:
        yield
    finally:
        for product, precision in zip(products, before, strict=True):
            product.fp32_precision = precision
