"""One rectified stereo pair with its exact left disparity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["StereoSample"]


@dataclass(frozen=True)
class StereoSample:
    """A stereo pair with labels in the left view.

    Attributes
    ----------
    left, right
        uint8 (H, W, 3) RGB.
    disparity_px
        float32 (H, W), ``x_right = x_left - d``, taken at pixel centres.  Procedural scenes label every
        pixel, also where the match is hidden or lies outside the right view; files use NaN for unknown.
    occluded
        bool (H, W), True where the left pixel's surface point is not visible in the right view because
        something covers it there or because it falls outside the image.
    """

    left: np.ndarray
    right: np.ndarray
    disparity_px: np.ndarray
    occluded: np.ndarray
