"""What a run looks like at the moment, for TensorBoard."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stereo_dp_ros.core.images import colorize_disparity
from stereo_dp_ros.networks import StereoNetwork

__all__ = ["ERROR_SCALE_PX", "picture_row", "sample_picture"]

ERROR_SCALE_PX = 5.0
"""An error of this and more is red."""


def picture_row(
    left: NDArray[np.uint8], truth_px: NDArray[np.float32], predicted_px: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Left image, ground truth, prediction and their difference beside each other.

    Parameters
    ----------
    left
        (H, W, 3) RGB.
    truth_px, predicted_px
        (H, W); NaN is unknown and black. Both have the colours of the ground truth's range.

    Returns
    -------
    uint8 (H, 4 W, 3) RGB
    """
    known = truth_px[np.isfinite(truth_px)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    maps = [
        colorize_disparity(truth_px, low, high),
        colorize_disparity(predicted_px, low, high),
        colorize_disparity(np.abs(predicted_px - truth_px), 0.0, ERROR_SCALE_PX),
    ]
    return np.hstack([left, *(colour[..., ::-1] for colour in maps)])


@torch.no_grad()
def sample_picture(network: StereoNetwork, batch: dict[str, Tensor]) -> NDArray[np.uint8]:
    """`picture_row` of the first sample of a loader's batch, by a network in evaluation mode."""
    left, right = batch["left"][:1], batch["right"][:1]
    predicted = network(left.float(), right.float()).disparity[0, 0]
    truth = torch.where(batch["valid"][0, 0], batch["disparity"][0, 0], torch.nan)
    return picture_row(left[0].permute(1, 2, 0).cpu().numpy(), truth.cpu().numpy(), predicted.float().cpu().numpy())
