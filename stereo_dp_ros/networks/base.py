"""What every stereo network is and returns."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from stereo_dp_ros.networks.regression import calibrated

__all__ = ["StereoNetwork", "StereoOutput"]


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


class StereoNetwork(nn.Module):
    """Base of the networks: two (N, 3, H, W) float32 RGB images in 0…255 to a `StereoOutput`.

    Attributes
    ----------
    size_multiple
        H and W must be multiples of this.
    bin_px
        Pixels of full resolution per bin of the logits.
    bins
        Number of bins; the largest disparity that can be answered is bin_px · (bins - 1).
    config
        The frozen dataclass it was built from.
    calibration
        Slope and offset that make a probability of the confidence, if they were fitted (`regression.calibrated`).
    """

    size_multiple: int
    bin_px: float
    bins: int
    config: Any
    calibration: tuple[float, float] | None = None

    @property
    def max_disparity_px(self) -> float:
        """Largest disparity that the network can answer."""
        return self.bin_px * (self.bins - 1)

    def calibrated(self, confidence: Tensor) -> Tensor:
        """The confidence as a probability, where the network was calibrated."""
        return confidence if self.calibration is None else calibrated(confidence, *self.calibration)
