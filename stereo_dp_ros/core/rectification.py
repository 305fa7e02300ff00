"""Rectification of raw pairs from K, D, R and P: maps from rectified pixels to raw ones, and where they lead."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import CalibrationError

__all__ = ["DISTORTION_MODELS", "CameraParameters", "RectifiedWindow", "Rectifier", "largest_rectangle"]

UInt8Array = NDArray[np.uint8]

# distortion model -> accepted numbers of coefficients
DISTORTION_MODELS: dict[str, tuple[int, ...]] = {
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
_ROUNDED_PX = 1 / 64  # fixed-point maps have steps of 1/32 px
_BLOCK_PX = 4  # the valid rectangle is found on blocks of this size, all of whose pixels are valid


@dataclass(frozen=True, eq=False)
class CameraParameters:
    """What a CameraInfo says of one camera: K (3, 3), distortion D, rotation R (3, 3), projection P (3, 4), in px."""

    width_px: int
    height_px: int
    k: NDArray[np.float64]
    d: NDArray[np.float64]
    r: NDArray[np.float64]
    p: NDArray[np.float64]
    distortion_model: str = "plumb_bob"


@dataclass(frozen=True)
class RectifiedWindow:
    """Where the rectified left image has content.

    `mask` is bool (H, W); `rectangle` (x, y, width, height) in px lies inside of it.
    """

    mask: NDArray[np.bool_]
    rectangle: tuple[int, int, int, int]


class Rectifier:
    """Rectifies the images of one pair of cameras; its maps are built once.

    Parameters
    ----------
    left, right : the cameras, at the size of the images
    names : what errors call them, such as the topics of their camera_info

    Attributes
    ----------
    window : where the rectified left image has content, and the right one has some in the same row

    Raises
    ------
    CalibrationError
        K, D or R cannot be used, the distortion model is unknown, or nothing of the images is left; names the camera.
    """

    def __init__(
        self, left: CameraParameters, right: CameraParameters, names: tuple[str, str] = ("left", "right")
    ) -> None:
        float_maps = [_float_maps(camera, name) for camera, name in zip((left, right), names, strict=True)]
        left_mask, right_mask = (_mask(*maps) for maps in float_maps)
        mask = left_mask & right_mask.any(axis=1, keepdims=True)  # a row without right content has no matches
        if not mask.any():
            raise CalibrationError(
                f"{', '.join(names)}: K, D, R and P rectify nothing of the images into the same rows, "
                "expected those of one calibration"
            )
        self._maps = [cv2.convertMaps(*maps, cv2.CV_16SC2) for maps in float_maps]
        self.window = RectifiedWindow(mask, largest_rectangle(mask))

    def __call__(self, left: UInt8Array, right: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
        """Both images rectified: uint8, shapes kept, black outside."""
        left, right = (
            np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR), np.uint8)
            for image, maps in zip((left, right), self._maps, strict=True)
        )
        return left, right


def _float_maps(camera: CameraParameters, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Source x and y, float32 (H, W) px, of every rectified pixel."""
    for matrix, values in (("K", camera.k), ("D", camera.d), ("R", camera.r)):
        if not np.isfinite(values).all():
            raise CalibrationError(f"{name}: {matrix} has a value that is not finite, expected numbers to rectify with")
    distortion = _distortion(camera, name)
    if camera.k[0, 0] <= 0 or camera.k[1, 1] <= 0:
        raise CalibrationError(
            f"{name}: K has focal length {camera.k[0, 0]:g}, {camera.k[1, 1]:g}, expected more than 0 to rectify"
        )
    if not np.allclose(camera.r @ camera.r.T, np.eye(3), atol=1e-3):
        raise CalibrationError(f"{name}: R is {camera.r.ravel().tolist()}, expected a rotation to rectify with")
    size = (camera.width_px, camera.height_px)
    build = (
        cv2.fisheye.initUndistortRectifyMap if camera.distortion_model == "equidistant" else cv2.initUndistortRectifyMap
    )
    map_x, map_y = build(camera.k, distortion, camera.r, camera.p[:, :3], size, cv2.CV_32FC1)
    return map_x, map_y


def _distortion(camera: CameraParameters, name: str) -> NDArray[np.float64]:
    if not camera.d.any() and camera.distortion_model in ("", *DISTORTION_MODELS):
        return np.zeros(4)
    if camera.distortion_model not in DISTORTION_MODELS:
        raise CalibrationError(
            f"{name}: distortion model is {camera.distortion_model!r}, expected one of {', '.join(DISTORTION_MODELS)}"
        )
    accepted = DISTORTION_MODELS[camera.distortion_model]
    if len(camera.d) not in accepted:
        raise CalibrationError(
            f"{name}: {camera.distortion_model} has {len(camera.d)} coefficients in D, "
            f"expected {' or '.join(map(str, accepted))}"
        )
    return camera.d


def _mask(map_x: NDArray[np.float32], map_y: NDArray[np.float32]) -> NDArray[np.bool_]:
    right, bottom = map_x.shape[1] - 1 + _ROUNDED_PX, map_x.shape[0] - 1 + _ROUNDED_PX
    inside: NDArray[np.bool_] = (map_x >= -_ROUNDED_PX) & (map_x <= right)
    inside &= (map_y >= -_ROUNDED_PX) & (map_y <= bottom)
    return inside


def largest_rectangle(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(x, y, width, height) in px of a largest rectangle of True in a bool (H, W) mask.

    Found on blocks of 4×4 px, so up to 3 px smaller on each side; a mask that is True everywhere gives all of it.
    """
    height, width = mask.shape
    if mask.all():
        return 0, 0, width, height
    rows, columns = height // _BLOCK_PX, width // _BLOCK_PX
    if rows == 0 or columns == 0:
        return 0, 0, 0, 0
    blocks = mask[: rows * _BLOCK_PX, : columns * _BLOCK_PX].reshape(rows, _BLOCK_PX, columns, _BLOCK_PX)
    x, y, block_width, block_height = _largest_in_blocks(np.asarray(blocks.all(axis=(1, 3))))
    return x * _BLOCK_PX, y * _BLOCK_PX, block_width * _BLOCK_PX, block_height * _BLOCK_PX


def _largest_in_blocks(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Largest rectangle in a histogram, row by row, with a stack of rising bars."""
    best = (0, 0, 0, 0)
    heights = np.zeros(mask.shape[1], np.int64)
    for bottom, row in enumerate(mask):
        heights = np.where(row, heights + 1, 0)
        stack: list[tuple[int, int]] = []  # (first column, height), heights rising
        for column, height in enumerate([*heights.tolist(), 0]):
            first = column
            while stack and stack[-1][1] >= height:
                first, bar = stack.pop()
                if bar * (column - first) > best[2] * best[3]:
                    best = (first, bottom - bar + 1, column - first, bar)
            stack.append((first, height))
    return best
