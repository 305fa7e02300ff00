"""Correlation volumes and their packing, from operators that every exporter and TensorRT have."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "by_parity",
    "correlation_volume",
    "depth_to_space_3d",
    "in_groups",
    "normalize_channels",
    "packed_volume",
]

BLOCKS = 4
"""Blocks of columns into which a row is cut; divides every width at 1/8, the sizes being multiples of 32."""


def in_groups(x: Tensor, groups: int) -> Tensor:
    """Channels in groups, and last: (N, C, H, W) to (N, groups, H, W, C // groups)."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, h, w, groups, c // groups).permute(0, 3, 1, 2, 4)


def by_parity(x: Tensor) -> Tensor:
    """Channels last, rows and columns by their parity: (N, C, H, W) to (N, 2, 2, H/2, W/2, C)."""
    n, c, h, w = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 2, 4, 1, 3, 5)


def normalize_channels(x: Tensor, eps: float = 1e-6) -> Tensor:
    """Unit L2 norm over the last axis."""
    return x * torch.rsqrt((x * x).sum(dim=x.ndim - 1, keepdim=True) + eps)


def correlation_volume(left: Tensor, right: Tensor, bins: int) -> Tensor:
    """Inner products of left pixels with the right pixels on their row, 0 … bins-1 px to the left.

    Parameters
    ----------
    left, right
        (N, G, H, W, C) features in G groups; W a multiple of `BLOCKS`.
    bins
        Number of disparities.

    Returns
    -------
    (N, G, H, W, bins), disparities descending: index i holds k = bins-1-i, the sum over C of
    left[..., x, :] * right[..., x - k, :]; 0 where x < k.

    Notes
    -----
    One matrix product for each block of a row gives all pairs of its columns with those that they can match. With the
    right features padded by bins-1 columns, entry (x, x + bins-1-k) is the wanted one: rows shifted against each other
    by one column, which reading the padded buffer with a row length greater by one undoes, so that no gather or loop
    over disparities is needed. Blocks, because most pairs of a whole row's columns are too far apart. The order is
    descending because that is how the entries lie; turning them round costs time at every frame.
    """
    n, g, h, w, c = left.shape
    block = w // BLOCKS
    reach = block + bins - 1
    padded = functional.pad(right, (0, 0, bins - 1, 0))
    columns = torch.stack([padded[:, :, :, i * block : i * block + reach] for i in range(BLOCKS)], dim=3)
    rows = left.reshape(n, g, h, BLOCKS, block, c)
    pairs = torch.matmul(rows, columns.transpose(4, 5)).reshape(n, g, h, BLOCKS, block * reach)
    skewed = functional.pad(pairs, (0, block)).reshape(n, g, h, BLOCKS, block, reach + 1)[..., :bins]
    return skewed.reshape(n, g, h, w, bins)


def packed_volume(left: Tensor, right: Tensor, bins: int) -> Tensor:
    """A correlation volume with its 2×2×2 neighbourhoods as channels.

    Takes features `by_parity`, (N, 2, 2, H/2, W/2, C), and returns (N, 8, H/2, W/2, bins/2); with the disparities
    brought before the rows, `depth_to_space_3d` would make the volume of the whole features from it. Nothing is packed
    but the features, which are small: a left pixel meets the right pixels of one parity only, at an even or at an odd
    distance.
    """
    n, _, _, h, w, c = left.shape
    even, odd = right[:, :, 0], right[:, :, 1]
    odd_before = functional.pad(odd[..., :-1, :], (0, 0, 1, 0))
    # What left pixels of even and of odd columns meet, each first at odd distances, as the disparities descend.
    matched = torch.stack([odd_before, even, even, odd], dim=2)
    twice = torch.stack([left[:, :, 0], left[:, :, 0], left[:, :, 1], left[:, :, 1]], dim=2)
    shape = (n, 8, h, w, c)
    return correlation_volume(twice.reshape(shape), matched.reshape(shape), bins // 2)


def depth_to_space_3d(x: Tensor) -> Tensor:
    """Channels (row, column, disparity) to 2×2×2 neighbourhoods: (N, 8, D, H, W) to (N, 1, 2D, 2H, 2W)."""
    n, _, d, h, w = x.shape
    x = x.reshape(n, 1, 2, 2, 2, d, h, w).permute(0, 1, 5, 4, 6, 2, 7, 3)
    return x.reshape(n, 1, d * 2, h * 2, w * 2)
