"""Disparity ↔ depth → points, for a rectified pair.

All arrays are float32 with NaN for unknown. Formulas: Hartley & Zisserman, Multiple View Geometry, §9, for
cameras that differ by a translation along x; principal points may differ (doffs).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import CalibrationError

__all__ = ["depth_from_disparity", "disparity_from_depth", "pixel_rays", "points_from_depth"]

Float32Array = NDArray[np.float32]


def depth_from_disparity(disparity_px: Float32Array, calibration: StereoCalibration) -> Float32Array:
    """Depth along the optical axis, Z = fx·B / (d + doffs).

    Parameters
    ----------
    disparity_px
        (H, W), plain disparity, at the calibration's image size.

    Returns
    -------
    depth_m
        (H, W) float32; NaN where the disparity is NaN or d + doffs ≤ 0 (at or behind infinity).
    """
    _require_size(disparity_px, calibration)
    shifted_px = np.asarray(disparity_px, np.float32) + np.float32(calibration.doffs_px)
    with np.errstate(divide="ignore"):
        depth_m = np.float32(calibration.fx_px * calibration.baseline_m) / shifted_px
    not_ahead = shifted_px <= 0
    if not_ahead.any():  # seldom; selecting costs ten times as much as dividing
        depth_m[not_ahead] = np.nan
    return depth_m


def disparity_from_depth(depth_m: Float32Array, calibration: StereoCalibration) -> Float32Array:
    """Plain disparity d = fx·B / Z − doffs, (H, W) float32; NaN where depth is NaN or not positive."""
    _require_size(depth_m, calibration)
    depth = np.asarray(depth_m, np.float32).copy()
    depth[~(depth > 0)] = np.nan
    focal_baseline = np.float32(calibration.fx_px * calibration.baseline_m)
    return focal_baseline / depth - np.float32(calibration.doffs_px)


def pixel_rays(calibration: StereoCalibration) -> tuple[Float32Array, Float32Array]:
    """Rays of the left camera, float32: x/Z = (u − cx_left)/fx by column, (W,), and y/Z = (v − cy)/fy by row, (H,)."""
    columns, rows = np.arange(calibration.width_px), np.arange(calibration.height_px)
    rays_x = (columns - calibration.cx_left_px) / calibration.fx_px
    rays_y = (rows - calibration.cy_px) / calibration.fy_px
    return rays_x.astype(np.float32), rays_y.astype(np.float32)


def points_from_depth(depth_m: Float32Array, calibration: StereoCalibration) -> Float32Array:
    """Points in the left optical frame: x right, y down, z forward.

    Returns
    -------
    points_m
        (H, W, 3) float32: ((u − cx_left)·Z/fx, (v − cy)·Z/fy, Z); all three NaN where depth is NaN.
    """
    _require_size(depth_m, calibration)
    rays_x, rays_y = pixel_rays(calibration)
    points = np.empty((*depth_m.shape, 3), np.float32)
    np.multiply(depth_m, rays_x[None, :], out=points[..., 0])
    np.multiply(depth_m, rays_y[:, None], out=points[..., 1])
    points[..., 2] = depth_m
    return points


def _require_size(array: Float32Array, calibration: StereoCalibration) -> None:
    expected = (calibration.height_px, calibration.width_px)
    if array.shape != expected:
        found = "x".join(str(n) for n in reversed(array.shape))
        raise CalibrationError(
            f"array is {found}, expected {calibration.width_px}x{calibration.height_px} as in the calibration"
        )
