"""What must hold for every message that the node publishes: each function returns a problem in one line, or None."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.camera_info import delivered_projection, delivered_size
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.decoding import cloud_points, disparity_pixels, float_pixels
from stereo_dp_ros.replay.messages import stamp_ns

__all__ = ["check_camera_info", "check_cloud", "check_confidence", "check_depth", "check_disparity"]

_RELATIVE_TOLERANCE = 1e-5  # of Z: a few roundings of float32, 10 µm at 1 m


def check_disparity(disparity: Any, calibration: StereoCalibration, frame_id: str) -> str | None:
    """Size, frame, f, T, range and window; every pixel finite and either in range or below min_disparity."""
    image = disparity.image
    found = {
        "size": f"{image.width}x{image.height}",
        "encoding": image.encoding,
        "frame_id": disparity.header.frame_id,
        "f": np.float32(disparity.f),
        "T": np.float32(disparity.t),
        "stamp of its image": stamp_ns(image),
    }
    expected = {
        "size": f"{calibration.width_px}x{calibration.height_px}",
        "encoding": "32FC1",
        "frame_id": frame_id,
        "f": np.float32(calibration.fx_px),
        "T": np.float32(calibration.baseline_m),
        "stamp of its image": stamp_ns(disparity),
    }
    for name, value in expected.items():
        if found[name] != value:
            return f"{name} is {found[name]}, expected {value}"
    if not 0 < disparity.min_disparity < disparity.max_disparity:
        return (
            f"min_disparity is {disparity.min_disparity:g} and max_disparity {disparity.max_disparity:g}, "
            "expected 0 < min < max"
        )
    window = disparity.valid_window
    if not (0 < window.width <= image.width - window.x_offset and 0 < window.height <= image.height - window.y_offset):
        return (
            f"valid_window is {window.width}x{window.height} at ({window.x_offset}, {window.y_offset}), "
            f"expected a rectangle within {image.width}x{image.height}"
        )
    try:
        pixels = float_pixels(image)
    except DataError as error:
        return str(error)
    return _first(~np.isfinite(pixels), pixels, "pixels are not finite")


def check_depth(depth: Any, disparity: Any) -> str | None:
    """Stamp, frame and size of the disparity; Z = f·T / d at every pixel, NaN exactly where there is no answer."""
    problem = _compare_headers(depth, disparity)
    if problem is not None:
        return problem
    try:
        found_m = float_pixels(depth)
    except DataError as error:
        return str(error)
    if found_m.shape != (disparity.image.height, disparity.image.width):
        return f"size is {depth.width}x{depth.height}, expected {disparity.image.width}x{disparity.image.height}"
    return _compare_depth(found_m, _expected_depth_m(disparity))


def check_camera_info(info: Any, disparity: Any, calibration: StereoCalibration) -> str | None:
    """Stamp and frame of the disparity; size and P those of the rectified left image."""
    problem = _compare_headers(info, disparity)
    if problem is not None:
        return problem
    projection, (width, height) = delivered_projection(info), delivered_size(info)
    if (width, height) != (calibration.width_px, calibration.height_px):
        return f"is for {width}x{height}, expected {calibration.width_px}x{calibration.height_px}"
    expected = {
        "fx": (projection[0, 0], calibration.fx_px),
        "fy": (projection[1, 1], calibration.fy_px),
        "cx": (projection[0, 2], calibration.cx_left_px),
        "cy": (projection[1, 2], calibration.cy_px),
    }
    for name, (found_px, expected_px) in expected.items():
        if abs(found_px - expected_px) > _RELATIVE_TOLERANCE * abs(expected_px):
            return f"P has {name} = {found_px:.9g}, expected {expected_px:.9g}"
    return None


def check_cloud(cloud: Any, disparity: Any, calibration: StereoCalibration) -> str | None:
    """Organised as the disparity, in its frame and at its stamp; each point is its pixel's ray times f·T / d."""
    problem = _compare_headers(cloud, disparity)
    if problem is not None:
        return problem
    size, expected_size = (cloud.width, cloud.height), (disparity.image.width, disparity.image.height)
    if size != expected_size:
        return f"has {size[0]}x{size[1]} points, expected {expected_size[0]}x{expected_size[1]} (organised)"
    try:
        points = cloud_points(cloud)
    except DataError as error:
        return str(error)
    depth_m = _expected_depth_m(disparity)
    problem = _compare_depth(points[..., 2], depth_m)
    if problem is not None:
        return problem
    if cloud.is_dense and np.isnan(depth_m).any():
        return "is_dense is true though points are missing, expected false"
    height, width = depth_m.shape
    rays_x = (np.arange(width)[None] - calibration.cx_left_px) / calibration.fx_px
    rays_y = (np.arange(height)[:, None] - calibration.cy_px) / calibration.fy_px
    for axis, rays in ((0, rays_x), (1, rays_y)):
        expected_m = rays * depth_m
        off = ~(np.abs(points[..., axis] - expected_m) <= _RELATIVE_TOLERANCE * depth_m) & ~np.isnan(depth_m)
        off |= np.isnan(depth_m) & ~np.isnan(points[..., axis])
        problem = _first(off, points[..., axis], f"points have a wrong {'xy'[axis]}", expected_m)
        if problem is not None:
            return problem
    return None


def check_confidence(confidence: Any, disparity: Any) -> str | None:
    """Stamp, frame and size of the disparity; every value within 0…1."""
    problem = _compare_headers(confidence, disparity)
    if problem is not None:
        return problem
    try:
        values = float_pixels(confidence)
    except DataError as error:
        return str(error)
    if values.shape != (disparity.image.height, disparity.image.width):
        return (
            f"size is {confidence.width}x{confidence.height}, expected {disparity.image.width}x{disparity.image.height}"
        )
    return _first(~((values >= 0) & (values <= 1)), values, "values are outside 0…1")


def _expected_depth_m(disparity: Any) -> NDArray[np.float64]:
    pixels = disparity_pixels(disparity).astype(np.float64)
    return np.asarray(float(disparity.f) * float(disparity.t) / pixels, np.float64)


def _compare_headers(message: Any, disparity: Any) -> str | None:
    if stamp_ns(message) != stamp_ns(disparity):
        return f"stamp is {stamp_ns(message)}, expected {stamp_ns(disparity)}"
    if message.header.frame_id != disparity.header.frame_id:
        return f"frame_id is {message.header.frame_id!r}, expected {disparity.header.frame_id!r}"
    return None


def _compare_depth(found_m: NDArray[np.floating], expected_m: NDArray[np.float64]) -> str | None:
    unknown = np.isnan(expected_m)
    problem = _first(
        np.isnan(found_m) != unknown, found_m, "points are NaN where they should not be or not", expected_m
    )
    if problem is not None:
        return problem
    off = ~unknown & ~(np.abs(found_m - expected_m) <= _RELATIVE_TOLERANCE * expected_m)
    return _first(off, found_m, "depths differ from f·T/d", expected_m)


def _first(
    wrong: NDArray[np.bool_], found: NDArray[Any], complaint: str, expected: NDArray[Any] | None = None
) -> str | None:
    """How many are wrong, and the first of them."""
    if not wrong.any():
        return None
    v, u = (int(i) for i in np.argwhere(wrong)[0])
    line = f"{int(wrong.sum())} of {wrong.size} {complaint}, first at pixel ({u}, {v}): {found[v, u]:.7g}"
    return line if expected is None else f"{line}, expected {expected[v, u]:.7g}"
