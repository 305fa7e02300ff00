"""What every stereo network returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["StereoOutput"]


class StereoOutput(NamedTuple):
    """Result of a forward pass on a pair of (N, 3, H, W) images; h = H/4, w = W/4, K bins."""

    disparity: Tensor
    """(N, 1, H, W) px."""
    confidence: Tensor
    """(N, 1, H, W) in 0…1; carries no gradient."""
    logits: Tensor
    """(N, K, h, w) before the softmax; entry k stands for a disparity of k · `bin_px` of the network."""
    disparity_coarse: Tensor
    """(N, 1, h, w) expectation of that distribution, in px of the full resolution."""
