"""Correlation volumes and their packing, from operators that every exporter and TensorRT have."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["correlation_volume", "depth_to_space_3d", "normalize_channels", "space_to_depth_3d"]


def normalize_channels(x: Tensor, groups: int = 1, eps: float = 1e-6) -> Tensor:
    """Unit L2 norm over each of `groups` groups of channels; (N, C, H, W) to (N, groups, C // groups, H, W)."""
    n, c, h, w = x.shape
    x = x.reshape(n, groups, c // groups, h, w)
    return x * torch.rsqrt((x * x).sum(dim=2, keepdim=True) + eps)


def correlation_volume(left: Tensor, right: Tensor, bins: int) -> Tensor:
    """Inner products of left pixels with the right pixels on their row, 0 … bins-1 px to the left.

    Parameters
    ----------
    left, right
        (N, G, C, H, W) features in G groups.
    bins
        Number of disparities.

    Returns
    -------
    (N, G, bins, H, W), disparities descending: index i holds k = bins-1-i, the sum over C of
    left[..., x] * right[..., x - k]; 0 where x < k.

    Notes
    -----
    One matrix product per row gives all pairs of columns. In the product with the right features padded by
    bins-1 columns, entry (x, x + bins-1-k) is the wanted one: rows shifted against each other by one column, which
    reading the padded buffer with a row length greater by one undoes, so that no shift, gather or loop is needed.
    The order is descending because that is how the entries lie; turning them round costs time at every frame.
    """
    n, g, _, h, w = left.shape
    rows = left.permute(0, 1, 3, 4, 2)
    columns = functional.pad(right, (bins - 1, 0)).permute(0, 1, 3, 2, 4)
    pairs = torch.matmul(rows, columns).reshape(n, g, h, w * (w + bins - 1))
    skewed = functional.pad(pairs, (0, w)).reshape(n, g, h, w, w + bins)[..., :bins]
    return skewed.permute(0, 1, 4, 2, 3)


def space_to_depth_3d(x: Tensor) -> Tensor:
    """2×2×2 neighbourhoods into channels: (N, C, D, H, W) to (N, 8C, D/2, H/2, W/2)."""
    n, c, d, h, w = x.shape
    x = x.reshape(n, c, d // 2, 2, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return x.reshape(n, c * 8, d // 2, h // 2, w // 2)


def depth_to_space_3d(x: Tensor) -> Tensor:
    """Inverse of `space_to_depth_3d`: (N, 8C, D, H, W) to (N, C, 2D, 2H, 2W)."""
    n, c, d, h, w = x.shape
    x = x.reshape(n, c // 8, 2, 2, 2, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(n, c // 8, d * 2, h * 2, w * 2)
