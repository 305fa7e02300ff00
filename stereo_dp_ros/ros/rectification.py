"""Rectification of raw pairs from K, D, R and P, with maps built once per calibration."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo

from stereo_dp_ros.core.errors import CalibrationError
from stereo_dp_ros.ros.camera import CameraPair, delivered_intrinsics, delivered_projection, delivered_size

__all__ = ["Rectification", "RectifiedWindow", "largest_rectangle"]

UInt8Array = NDArray[np.uint8]

# distortion model -> accepted numbers of coefficients
_COEFFICIENTS: dict[str, tuple[int, ...]] = {
    "plumb_bob": (4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
_ROUNDED_PX = 1 / 64  # fixed-point maps have steps of 1/32 px
_BLOCK_PX = 4  # the valid rectangle is found on blocks of this size, all of whose pixels are valid


@dataclass(frozen=True)
class RectifiedWindow:
    """Where the rectified left image has content.

    `mask` is bool (H, W); `rectangle` (x, y, width, height) in px lies inside of it.
    """

    mask: NDArray[np.bool_]
    rectangle: tuple[int, int, int, int]


class Rectification:
    """Rectifies pairs; keeps the maps of the last calibration it saw."""

    def __init__(self, left_topic: str, right_topic: str) -> None:
        self._topics = (left_topic, right_topic)
        self._key: object = None
        self._maps: list[tuple[NDArray[np.int16], NDArray[np.uint16]]] = []
        self._window: RectifiedWindow | None = None

    def __call__(
        self, left: UInt8Array, right: UInt8Array, cameras: CameraPair
    ) -> tuple[UInt8Array, UInt8Array, RectifiedWindow]:
        """Return both images rectified (uint8, shapes kept, black outside) and the window that has content.

        Raises
        ------
        CalibrationError : K or R cannot be used, or the distortion model is unknown; names the topic
        """
        if self._window is None or self._key != cameras.key:
            self._build(cameras)
        assert self._window is not None
        left, right = (
            np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR), np.uint8)
            for image, maps in zip((left, right), self._maps, strict=True)
        )
        return left, right, self._window

    def _build(self, cameras: CameraPair) -> None:
        self._key, self._window = None, None
        infos = (cameras.left, cameras.right)
        float_maps = [_float_maps(info, topic) for info, topic in zip(infos, self._topics, strict=True)]
        left_mask, right_mask = (_mask(*maps) for maps in float_maps)
        mask = left_mask & right_mask.any(axis=1, keepdims=True)  # a row without right content has no matches
        self._maps = [cv2.convertMaps(*maps, cv2.CV_16SC2) for maps in float_maps]
        self._window = RectifiedWindow(mask, largest_rectangle(mask))
        self._key = cameras.key


def _float_maps(info: CameraInfo, topic: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return source x and y, float32 (H, W) px, of every rectified pixel."""
    distortion = _distortion(info, topic)
    intrinsics = delivered_intrinsics(info)
    rotation = np.array(info.r, np.float64).reshape(3, 3)
    if intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0:
        raise CalibrationError(
            f"{topic}: K has focal length {intrinsics[0, 0]:g}, {intrinsics[1, 1]:g}, expected more than 0 to rectify"
        )
    if not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3):
        raise CalibrationError(f"{topic}: R is {rotation.ravel().tolist()}, expected a rotation to rectify with")
    projection = delivered_projection(info)[:, :3]
    build = (
        cv2.fisheye.initUndistortRectifyMap if info.distortion_model == "equidistant" else cv2.initUndistortRectifyMap
    )
    map_x, map_y = build(intrinsics, distortion, rotation, projection, delivered_size(info), cv2.CV_32FC1)
    return map_x, map_y


def _distortion(info: CameraInfo, topic: str) -> NDArray[np.float64]:
    coefficients = np.array(info.d, np.float64)
    if not coefficients.any() and info.distortion_model in ("", *_COEFFICIENTS):
        return np.zeros(4)
    if info.distortion_model not in _COEFFICIENTS:
        raise CalibrationError(
            f"{topic}: distortion model is {info.distortion_model!r}, expected one of {', '.join(_COEFFICIENTS)}"
        )
    accepted = _COEFFICIENTS[info.distortion_model]
    if len(coefficients) not in accepted:
        raise CalibrationError(
            f"{topic}: {info.distortion_model} has {len(coefficients)} coefficients in D, "
            f"expected {' or '.join(map(str, accepted))}"
        )
    return coefficients


def _mask(map_x: NDArray[np.float32], map_y: NDArray[np.float32]) -> NDArray[np.bool_]:
    right, bottom = map_x.shape[1] - 1 + _ROUNDED_PX, map_x.shape[0] - 1 + _ROUNDED_PX
    inside: NDArray[np.bool_] = (map_x >= -_ROUNDED_PX) & (map_x <= right)
    inside &= (map_y >= -_ROUNDED_PX) & (map_y <= bottom)
    return inside


def largest_rectangle(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return (x, y, width, height) in px of a largest rectangle of True in a bool (H, W) mask.

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
