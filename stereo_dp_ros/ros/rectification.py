"""Rectification of raw pairs from their camera_info, with maps built once per calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.camera_info import delivered_camera
from stereo_dp_ros.core.rectification import RectifiedWindow, Rectifier
from stereo_dp_ros.ros.camera import CameraPair

__all__ = ["Rectification"]

UInt8Array = NDArray[np.uint8]


class Rectification:
    """Rectifies pairs; keeps the maps of the last calibration it saw."""

    def __init__(self, left_topic: str, right_topic: str) -> None:
        self._topics = (left_topic, right_topic)
        self._key: object = None
        self._rectifier: Rectifier | None = None

    def __call__(
        self, left: UInt8Array, right: UInt8Array, cameras: CameraPair
    ) -> tuple[UInt8Array, UInt8Array, RectifiedWindow]:
        """Return both images rectified (uint8, shapes kept, black outside) and the window that has content.

        Raises
        ------
        CalibrationError : K, D or R cannot be used, the distortion model is unknown, or nothing is left of the images;
            names the topic
        """
        rectifier = self.prepare(cameras)
        left, right = rectifier(left, right)
        return left, right, rectifier.window

    def prepare(self, cameras: CameraPair) -> Rectifier:
        """Return what rectifies the images of `cameras`, with its maps built; raises as a call does."""
        if self._rectifier is None or self._key != cameras.key:
            self._key, self._rectifier = None, None
            self._rectifier = Rectifier(delivered_camera(cameras.left), delivered_camera(cameras.right), self._topics)
            self._key = cameras.key
        return self._rectifier
