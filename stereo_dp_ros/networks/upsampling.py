"""Learned upsampling of a disparity map."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["convex_upsample", "neighbours_3x3"]


def neighbours_3x3(x: Tensor) -> Tensor:
    """The 3×3 neighbourhood of every pixel, borders replicated: (N, 1, H, W) to (N, 9, H, W), row by row."""
    x = torch.cat([x[:, :, :1], x, x[:, :, -1:]], dim=2)
    x = torch.cat([x[..., :1], x, x[..., -1:]], dim=3)
    ends = (-2, -1, None)
    return torch.cat([x[:, :, i : ends[i], j : ends[j]] for i in range(3) for j in range(3)], dim=1)


def convex_upsample(x: Tensor, weights: Tensor, factor: int) -> Tensor:
    """Each fine pixel as a weighted mean of the 3×3 coarse pixels around it (RAFT, Teed & Deng 2020).

    Parameters
    ----------
    x
        (N, 1, H, W) coarse map; its values are not rescaled.
    weights
        (N, 9, factor², H, W), summing to 1 over the nine.
    factor
        Ratio of the sizes.

    Returns
    -------
    (N, 1, H·factor, W·factor)
    """
    n, _, h, w = x.shape
    fine = (neighbours_3x3(x).unsqueeze(2) * weights).sum(dim=1)
    fine = fine.reshape(n, factor, factor, h, w).permute(0, 3, 1, 4, 2)
    return fine.reshape(n, 1, h * factor, w * factor)
