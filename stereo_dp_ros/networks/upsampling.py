"""Learned upsampling of a disparity map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["convex_upsample", "depth_to_space", "neighbours_3x3", "surface_upsample", "total_weight", "weighted_sum"]


def neighbours_3x3(x: Tensor) -> Tensor:
    """The 3×3 neighbourhood of every pixel, borders replicated: (N, 1, H, W) to (N, 9, H, W), row by row."""
    x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], dim=2)
    x = torch.cat([x[..., :1], x, x[..., -1:]], dim=3)
    ends = (-2, -1, None)
    return torch.cat([x[:, :, i : ends[i], j : ends[j]] for i in range(3) for j in range(3)], dim=1)


def convex_upsample(x: Tensor, weights: Sequence[Tensor], factor: int) -> Tensor:
    """Each fine pixel as a weighted mean of the 3×3 coarse pixels around it (RAFT, Teed & Deng 2020).

    Parameters
    ----------
    x
        (N, 1, H, W) coarse map; its values are not rescaled.
    weights
        Of the nine neighbours, row by row, (N, factor², H, W) each, not negative; only their ratios count.
    factor
        Ratio of the sizes.

    Returns
    -------
    (N, 1, H·factor, W·factor)
    """
    return depth_to_space(weighted_sum(neighbours_3x3(x), weights) / total_weight(weights), factor)


def surface_upsample(x: Tensor, weights: Sequence[Tensor], factor: int, gap: float) -> Tensor:
    """As `convex_upsample`, but at an edge the mean is over one of the two surfaces, since between them there is none.

    Where the nine neighbours span more than `gap`, those above the middle of their range are the front surface and the
    others the one behind; the surface with the larger sum of weights gives the answer.
    """
    around = neighbours_3x3(x)
    highest, lowest = around.amax(dim=1, keepdim=True), -(-around).amax(dim=1, keepdim=True)
    front = _above(around - (highest + lowest) / 2) * _above(highest - lowest - gap)
    total = weighted_sum(around, weights)
    front_total = weighted_sum(front * around, weights)
    weight = total_weight(weights)
    front_weight = weighted_sum(front, weights)
    in_front = _above(front_weight / weight - 0.5)
    chosen_total = total - front_total + in_front * (2 * front_total - total)
    chosen_weight = weight - front_weight + in_front * (2 * front_weight - weight)
    return depth_to_space(chosen_total / chosen_weight, factor)


def weighted_sum(x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Over K maps (N, K, H, W) with a weight (N, C, H, W) each, to (N, C, H, W).

    Term by term, which a compiler makes one pass over the weights, instead of a product that is written and summed.
    """
    total = x[:, 0:1] * weights[0]
    for k in range(1, len(weights)):
        total = total + x[:, k : k + 1] * weights[k]
    return total


def total_weight(weights: Sequence[Tensor]) -> Tensor:
    """Sum of the weights, (N, C, H, W)."""
    total = weights[0]
    for weight in weights[1:]:
        total = total + weight
    return total


def _above(x: Tensor) -> Tensor:
    """1 where x > 0, else 0; a step, from operators that every exporter has."""
    return torch.clamp(x * 1e6, 0.0, 1.0)


def depth_to_space(x: Tensor, factor: int) -> Tensor:
    """Channels to neighbourhoods: (N, factor², H, W) to (N, 1, H·factor, W·factor)."""
    n, _, h, w = x.shape
    x = x.reshape(n, factor, factor, h, w).permute(0, 3, 1, 4, 2)
    return x.reshape(n, 1, h * factor, w * factor)
