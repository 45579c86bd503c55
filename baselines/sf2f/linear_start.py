"""The linear map from embeddings to pictures that a decoder may start from, in closed form."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from baselines.sf2f.network import LinearStart, SF2FNetwork

RIDGE = 1e-3
"""Of the mean variance of an embedding's coordinates; the embedding has a few hundred, and examples are thousands."""


def reduced_rank_ridge(
    pairs: Iterable[tuple[Tensor, Tensor]], rank: int, gain: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Ridge regression whose matrix has at most `rank`: the best such fit to what the full regression predicts.

    Args:
        pairs: batches of inputs `[B, D]` and outputs `[B, P]`; memory grows with neither their number nor B.
        rank: at least 1.
        gain: differences from the mean output are multiplied by it.

    Returns:
        (codes `[rank, D]`, pictures `[P, rank]`, constant `[P]`): outputs are `pictures @ codes @ x + constant`, and
        every code has unit variance over the inputs, but for the ridge.
    """
    count, x_sum, y_sum, xx, xy = 0, None, None, None, None
    for x, y in pairs:
        x, y = x.double(), y.double()
        if xx is None:
            x_sum, y_sum = x.new_zeros(x.shape[1]), y.new_zeros(y.shape[1])
            xx, xy = x.new_zeros(x.shape[1], x.shape[1]), x.new_zeros(x.shape[1], y.shape[1])
        count += len(x)
        x_sum += x.sum(0)
        y_sum += y.sum(0)
        xx += x.T @ x
        xy += x.T @ y
    if xx is None:
        raise ValueError("expected at least one batch, got none")
    x_mean, y_mean = x_sum / count, y_sum / count
    covariance = xx / count - torch.outer(x_mean, x_mean)
    strengthened = covariance + RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)
    slope = torch.linalg.solve(strengthened, xy / count - torch.outer(x_mean, y_mean))
    # Predictions are X slope; their main directions are those of R slope, where R' R is the covariance.
    root = torch.linalg.cholesky(strengthened).T
    _, spread, directions = torch.linalg.svd(root @ slope, full_matrices=False)
    spread, directions = spread[:rank], directions[:rank]
    # where all pictures are alike there is nothing to divide by
    codes = (slope @ directions.T / spread.clamp(min=torch.finfo(spread.dtype).tiny)).T
    pictures = gain * directions.T * spread
    return codes, pictures, y_mean - pictures @ (codes @ x_mean)


def fit_linear_start(network: SF2FNetwork, pairs: Iterable[tuple[Tensor, Tensor]], gain: float = 1.0) -> None:
    """Fill the linear map, and let the decoder begin by adding nothing.

    Args:
        pairs: batches of embeddings `[B, D]` and pictures `[B, 3, S, S]` as the network makes them.
        gain: times which each picture differs from the mean picture as regression says. Regression draws what is
            certain, so its pictures differ less than people do; above 1 they differ as much.
    """
    start = network.linear_start
    assert isinstance(start, LinearStart)
    rank = len(start.components.weight)
    codes, pictures, constant = reduced_rank_ridge(((e, p.flatten(1)) for e, p in pairs), rank, gain)
    last = [m for m in network.decoder.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)][-1]
    with torch.no_grad():
        for parameter, values in (
            (start.components.weight, codes),
            (start.picture.weight, pictures),
            (start.picture.bias, constant),
        ):
            parameter.copy_(values)
        for parameter in last.parameters():
            parameter.zero_()
