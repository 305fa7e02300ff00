"""Geometry of the image that a CameraInfo describes, binning and region of interest applied as in image_geometry.

An `info` here is any object with the fields of sensor_msgs/CameraInfo, from DDS or from a bag.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.rectification import CameraParameters

__all__ = ["delivered_camera", "delivered_projection", "delivered_size"]


def delivered_size(info: Any) -> tuple[int, int]:
    """Width and height in px, after roi and binning: a binning of 0 is 1, a roi without size the full resolution."""
    roi = info.roi
    width, height = (roi.width, roi.height) if roi.width and roi.height else (info.width, info.height)
    return int(width) // max(int(info.binning_x), 1), int(height) // max(int(info.binning_y), 1)


def delivered_projection(info: Any) -> NDArray[np.float64]:
    """P (3, 4) in px: moved by the roi, then scaled by the binning."""
    return _delivered(np.array(info.p, np.float64).reshape(3, 4), info)


def delivered_camera(info: Any) -> CameraParameters:
    """The raw camera as it delivers images, K and P as `delivered_projection`."""
    return CameraParameters(
        *delivered_size(info),
        k=_delivered(np.array(info.k, np.float64).reshape(3, 3), info),
        d=np.array(info.d, np.float64),
        r=np.array(info.r, np.float64).reshape(3, 3),
        p=delivered_projection(info),
        distortion_model=str(info.distortion_model),
    )


def _delivered(matrix: NDArray[np.float64], info: Any) -> NDArray[np.float64]:
    if matrix.any():  # an uncalibrated camera's zeros stay zeros
        matrix[0, 2] -= info.roi.x_offset
        matrix[1, 2] -= info.roi.y_offset
    matrix[0] /= max(int(info.binning_x), 1)
    matrix[1] /= max(int(info.binning_y), 1)
    return matrix
