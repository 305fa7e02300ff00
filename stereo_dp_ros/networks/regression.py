"""From a distribution over disparities to one disparity and its confidence."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LEAST_ODDS", "calibrated", "distribution_confidence", "local_expectation", "odds_to_mode"]

LEAST_ODDS = 1e-3
"""Confidences nearer to 0 or 1 than this are calibrated as if they were here; half precision still tells it from 0."""


def odds_to_mode(logits: Tensor) -> Tensor:
    """Each position's probability over that of the likeliest: (N, K, H, W) logits to 0…1, 1 at the mode.

    What is read off a distribution are ratios of its sums, so it need not sum to 1: a softmax's last pass is saved.
    """
    return torch.exp(logits - logits.amax(dim=1, keepdim=True))


def local_expectation(odds: Tensor, positions: Tensor, radius: float) -> Tensor:
    """Mean of the positions within `radius` of the mode, weighted by their probability.

    At an edge the distribution has a peak for each surface; the mean over all of it would lie between them, on neither.

    Parameters
    ----------
    odds
        (N, K, H, W), of `odds_to_mode`.
    positions
        (1, K, 1, 1), one apart.

    Returns
    -------
    (N, 1, H, W)
    """
    with torch.no_grad():
        # Nowhere empty, even if a runtime computes the two occurrences of the logits with different rounding.
        below_mode = (1.0 - odds) / odds.sum(dim=1, keepdim=True)
        at_mode = torch.clamp(1.0 - 1e4 * below_mode, 0.0, 1.0)
    mode = (at_mode * positions).sum(dim=1, keepdim=True) / at_mode.sum(dim=1, keepdim=True)
    near = torch.clamp(radius + 1.0 - (positions - mode).abs(), 0.0, 1.0) * odds
    return (near * positions).sum(dim=1, keepdim=True) / near.sum(dim=1, keepdim=True)


def distribution_confidence(odds: Tensor, positions: Tensor, estimate: Tensor) -> Tensor:
    """Probability near the estimate, in 0…1, (N, 1, H, W): whole within a quarter position, nothing beyond 2.

    It falls so slowly in between that a slanted surface has nearly one confidence wherever between two positions it
    is: a steeper fall draws stripes on it. `odds` are (N, K, H, W), in any scale.
    """
    rise = torch.clamp((2.0 - (positions - estimate).abs()) / 1.75, 0.0, 1.0)
    near = rise * rise * (3.0 - 2.0 * rise)
    return (odds * near).sum(dim=1, keepdim=True) / odds.sum(dim=1, keepdim=True)


def calibrated(confidence: Tensor, slope: float, offset: float) -> Tensor:
    """Confidence in 0…1 as a probability: its log-odds times `slope` plus `offset` (Platt 1999)."""
    bounded = torch.clamp(confidence, LEAST_ODDS, 1.0 - LEAST_ODDS)
    return torch.sigmoid(slope * (torch.log(bounded) - torch.log(1.0 - bounded)) + offset)
