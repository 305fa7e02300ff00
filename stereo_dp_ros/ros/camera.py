"""The newest CameraInfo messages of both cameras, and the geometry of a pair of images from them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.camera_info import delivered_projection, delivered_size
from stereo_dp_ros.core.errors import CalibrationError

__all__ = ["SIDES", "CameraInfos", "CameraPair", "MissingCameraInfoError"]

_SIZES_KEPT = 8  # per side; more than a camera switches between
_NEGLIGIBLE_LEFT_TX = 1e-9
_LARGEST_BASELINE_M = 5.0  # more is a pair that was calibrated in millimetres, or no robot

SIDES = ("left", "right")


class MissingCameraInfoError(CalibrationError):
    """No camera_info has come yet on a topic."""


@dataclass(frozen=True)
class CameraPair:
    """The geometry of an image pair, and the messages it comes from.

    `key` changes whenever anything but the header of a message changes.
    """

    calibration: StereoCalibration
    left: CameraInfo
    right: CameraInfo
    key: tuple[Any, ...]

    @property
    def note(self) -> str:
        """What a user should know of this calibration, or an empty string."""
        left_tx, right_tx = float(self.left.p[3]), float(self.right.p[3])
        if abs(left_tx) <= _NEGLIGIBLE_LEFT_TX:
            return ""
        return (
            f"P[3] of the left camera is {left_tx:g}, not 0: the baseline is taken between the two cameras, "
            f"({left_tx:g} - {right_tx:g}) / {self.right.p[0]:g} = {self.calibration.baseline_m:.6g} m, and points "
            "are in the left camera's own optical frame"
        )

    @property
    def doubt(self) -> str:
        """What looks wrong with this calibration though it can be used, or an empty string."""
        if self.calibration.baseline_m <= _LARGEST_BASELINE_M:
            return ""
        return (
            f"the baseline is {self.calibration.baseline_m:.6g} m, expected metres, at most "
            f"{_LARGEST_BASELINE_M:g} of them (was the pair calibrated in millimetres?)"
        )


def _content_key(info: CameraInfo) -> tuple[Any, ...]:
    roi = info.roi
    return (
        (info.width, info.height, info.binning_x, info.binning_y),
        (roi.x_offset, roi.y_offset, roi.width, roi.height),
        info.distortion_model,
        tuple(info.d),
        tuple(info.k),
        tuple(info.r),
        tuple(info.p),
    )


class CameraInfos:
    """The newest camera_info of each image size, per side, and the geometry of a pair of them.

    Images and camera_info need not come together: a latched or slow camera_info serves every image of its size.
    Safe to call from several threads.
    """

    def __init__(self, left_topic: str, right_topic: str) -> None:
        self._topics = {"left": left_topic, "right": right_topic}
        self._infos: dict[str, OrderedDict[tuple[int, int], tuple[tuple[Any, ...], CameraInfo]]] = {
            side: OrderedDict() for side in SIDES
        }
        self._pair: CameraPair | None = None
        self._lock = threading.Lock()

    def store(self, side: str, info: CameraInfo) -> None:
        """Keep `info` as the newest of its size on `side` (``left`` or ``right``)."""
        size, keyed = delivered_size(info), (_content_key(info), info)
        with self._lock:
            infos = self._infos[side]
            infos[size] = keyed
            infos.move_to_end(size)
            while len(infos) > _SIZES_KEPT:
                infos.popitem(last=False)

    def clear(self) -> None:
        """Forget everything, as when the node is deactivated."""
        with self._lock:
            for infos in self._infos.values():
                infos.clear()
            self._pair = None

    def missing(self) -> list[str]:
        """Return the topics on which no camera_info has come."""
        return [self._topics[side] for side in SIDES if not self._infos[side]]

    def known(self, width_px: int, height_px: int) -> bool:
        """Whether a camera_info for images of this size has come on both sides."""
        with self._lock:
            return all((width_px, height_px) in infos for infos in self._infos.values())

    def pair(self, width_px: int, height_px: int) -> CameraPair:
        """Return the geometry of images of this size.

        Raises
        ------
        MissingCameraInfoError : nothing has come on a topic
        CalibrationError : no camera_info fits the image size, or the two are not those of a rectified pair
        """
        with self._lock:
            if missing := self.missing():
                raise MissingCameraInfoError(f"{', '.join(missing)}: nothing received, expected camera_info")
            (left_key, left), (right_key, right) = (self._of_size(side, width_px, height_px) for side in SIDES)
            key = (left_key, right_key)
            if self._pair is None or self._pair.key != key:
                self._pair = CameraPair(self._calibration(left, right, width_px, height_px), left, right, key)
            return self._pair

    def _of_size(self, side: str, width_px: int, height_px: int) -> tuple[tuple[Any, ...], CameraInfo]:
        found = self._infos[side].get((width_px, height_px))
        if found is None:
            sizes = ", ".join(f"{width}x{height}" for width, height in self._infos[side])
            raise CalibrationError(
                f"{self._topics[side]}: is for images of {sizes} (after roi and binning), "
                f"expected {width_px}x{height_px} as the images are"
            )
        return found

    def _calibration(self, left: CameraInfo, right: CameraInfo, width_px: int, height_px: int) -> StereoCalibration:
        for side, info in zip(SIDES, (left, right), strict=True):
            if not np.any(info.p):
                raise CalibrationError(
                    f"{self._topics[side]}: P is all zeros, expected a rectified projection (is the camera calibrated?)"
                )
        try:
            return StereoCalibration.from_projections(
                delivered_projection(left), delivered_projection(right), width_px, height_px
            )
        except CalibrationError as error:
            raise CalibrationError(f"{self._topics['left']}, {self._topics['right']}: {error}") from None
