"""From a distribution over disparities to one disparity and its confidence."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["distribution_confidence", "local_expectation"]


def local_expectation(probability: Tensor, positions: Tensor, radius: float) -> Tensor:
    """Mean of the positions within `radius` of the mode, weighted by their probability.

    At an edge the distribution has a peak for each surface; the mean over all of it would lie between them, on neither.

    Parameters
    ----------
    probability
        (N, K, H, W), summing to 1 over K.
    positions
        (1, K, 1, 1), one apart.

    Returns
    -------
    (N, 1, H, W)
    """
    at_mode = (probability >= probability.amax(dim=1, keepdim=True)).to(probability.dtype)
    mode = (at_mode * positions).sum(dim=1, keepdim=True) / at_mode.sum(dim=1, keepdim=True)
    near = torch.clamp(radius + 1.0 - (positions - mode).abs(), 0.0, 1.0) * probability
    return (near * positions).sum(dim=1, keepdim=True) / near.sum(dim=1, keepdim=True)


def distribution_confidence(probability: Tensor, positions: Tensor, estimate: Tensor) -> Tensor:
    """Probability within two positions of the estimate, weighted by nearness: in 0…1, (N, 1, H, W)."""
    near = functional.relu(1.0 - 0.5 * (positions - estimate).abs())
    return (probability * near).sum(dim=1, keepdim=True)
