"""One pair's maps as its messages show them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from stereo_dp_ros.core.maps import StereoMaps
from stereo_dp_ros.core.rectification import RectifiedWindow
from stereo_dp_ros.ros.camera import CameraPair
from stereo_dp_ros.ros.parameters import NodeParameters

__all__ = ["DISPARITY_STEP_PX", "StereoResult", "fill_into", "filled", "made"]

Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

DISPARITY_STEP_PX = 1.0 / 16.0  # delta_d, nominal: the resolution of OpenCV's matchers, which readers expect


@dataclass(frozen=True)
class StereoResult:
    """One pair's maps with all else that its messages are made of.

    An array is computed when a message first asks for it. A pixel has no answer where the estimator gave none, where
    a rectified image has no content, and where d + doffs is below `min_disparity_px`.

    Attributes
    ----------
    maps : those that `needed_maps` says
    range_px : largest disparity that was searched; the smallest is 0
    """

    maps: StereoMaps
    range_px: float
    cameras: CameraPair
    left_image: NDArray[np.uint8]
    header: Header
    parameters: NodeParameters
    window: RectifiedWindow | None

    @property
    def min_disparity_px(self) -> float:
        """Smallest disparity of the message: the searched range + doffs, but at least one step above 0.

        DisparityImage has no answer for a disparity of 0 or less (depth = f·T / disparity), so where the range reaches
        there the smallest positive step takes its place.
        """
        return max(self.cameras.calibration.doffs_px, DISPARITY_STEP_PX)

    @property
    def max_disparity_px(self) -> float:
        """Largest disparity of the message: the searched range + doffs."""
        return max(self.range_px + self.cameras.calibration.doffs_px, self.min_disparity_px)

    @cached_property
    def adjusted_px(self) -> Float32Array:
        """Disparity + doffs, float32 (H, W) in px; it says something where `answered` only."""
        doffs_px = self.cameras.calibration.doffs_px
        disparity_px = made(self.maps.disparity_px)
        return disparity_px + np.float32(doffs_px) if doffs_px else disparity_px

    @cached_property
    def answered(self) -> BoolArray:
        """Where there is an answer, bool (H, W)."""
        answered: BoolArray = self.adjusted_px >= np.float32(self.min_disparity_px)  # not so where NaN
        return answered if self.window is None else answered & self.window.mask

    @cached_property
    def depth_m(self) -> Float32Array:
        """Depth, float32 (H, W), NaN where unknown, beyond the depth limits or below the confidence threshold."""
        depth_m = made(self.maps.depth_m)
        parameters = self.parameters
        kept = self.answered
        if parameters.min_depth_m > 0.0:
            kept = kept & (depth_m >= np.float32(parameters.min_depth_m))
        if parameters.max_depth_m > 0.0:
            kept = kept & (depth_m <= np.float32(parameters.max_depth_m))
        if parameters.confidence_threshold > 0.0:
            kept = kept & (made(self.maps.confidence) >= np.float32(parameters.confidence_threshold))
        return filled(depth_m, kept, np.nan)


def made(values: Float32Array | None) -> Float32Array:
    """Return a map that the estimator was asked for."""
    if values is None:
        raise RuntimeError("the estimator was not asked for this map")
    return values


def filled(values: Float32Array, kept: BoolArray, fill: float) -> Float32Array:
    """Return `values` with `fill` where not `kept`; the same array where all are."""
    if kept.all():
        return values
    result = np.empty_like(values)
    fill_into(result, values, kept, fill)
    return result


def fill_into(target: NDArray[Any], values: Float32Array, kept: BoolArray, fill: float) -> None:
    """Set contiguous `target` to `values`, and to `fill` where not `kept`."""
    target.fill(fill)
    cv2.copyTo(values, kept.view(np.uint8), target)  # half of np.where's time
