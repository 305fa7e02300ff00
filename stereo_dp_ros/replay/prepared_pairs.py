"""From the messages of a pair to what a network takes: pixels, rectified where they are raw, and their geometry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.camera_info import delivered_camera
from stereo_dp_ros.core.errors import CalibrationError, ImageError
from stereo_dp_ros.core.rectification import RectifiedWindow, Rectifier
from stereo_dp_ros.replay.decoding import calibration_of, image_pixels
from stereo_dp_ros.replay.pairing import StereoPair
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["PairPreparation", "PreparedPair"]


@dataclass(frozen=True, eq=False)
class PreparedPair:
    """Rectified images, uint8 gray (H, W) or RGB (H, W, 3), their geometry, and where the left one has content.

    `window` is None where the images came rectified.
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    calibration: StereoCalibration
    window: RectifiedWindow | None


class PairPreparation:
    """Decodes and rectifies pairs as the node does; keeps the geometry and the maps of the last camera_info."""

    def __init__(self, topics: StereoTopics) -> None:
        self._topics = topics
        self._key: object = None
        self._calibration: StereoCalibration | None = None
        self._rectifier: Rectifier | None = None

    def calibration(self, pair: StereoPair) -> StereoCalibration:
        """Geometry of the rectified pair; errors as for the whole pair."""
        key = (_content(pair.left_info), _content(pair.right_info))
        if self._calibration is None or self._key != key:
            self._calibration, self._rectifier = None, None
            names = (self._topics.left_info, self._topics.right_info)
            try:
                self._calibration = calibration_of(pair.left_info, pair.right_info)
            except CalibrationError as error:
                raise CalibrationError(f"{', '.join(names)}: {error}") from None
            if self._topics.is_raw:
                self._rectifier = Rectifier(delivered_camera(pair.left_info), delivered_camera(pair.right_info), names)
            self._key = key
        return self._calibration

    def __call__(self, pair: StereoPair) -> PreparedPair:
        """The pair as the network takes it.

        Raises
        ------
        StereoDpError
            An image cannot be decoded or is not of the other's, or of camera_info's, size; camera_info cannot be used.
            Names the topic.
        """
        left = image_pixels(pair.left, self._topics.left_image)
        right = image_pixels(pair.right, self._topics.right_image)
        calibration = self.calibration(pair)
        self._require_sizes(left, right, calibration)
        if self._rectifier is None:
            return PreparedPair(left, right, calibration, None)
        return PreparedPair(*self._rectifier(left, right), calibration, self._rectifier.window)

    def _require_sizes(self, left: NDArray[np.uint8], right: NDArray[np.uint8], calibration: StereoCalibration) -> None:
        found = f"{left.shape[1]}x{left.shape[0]}"
        expected = f"{calibration.width_px}x{calibration.height_px}"
        if found != expected:
            raise ImageError(f"{self._topics.left_image}: image is {found}, expected {expected} as in camera_info")
        if left.shape != right.shape:
            raise ImageError(
                f"{self._topics.right_image}: image is {_size_and_kind(right)}, "
                f"expected {_size_and_kind(left)} as the left one"
            )


def _size_and_kind(image: NDArray[np.uint8]) -> str:
    return f"{image.shape[1]}x{image.shape[0]} {'gray' if image.ndim == 2 else 'colour'}"


def _content(info: Any) -> tuple[Any, ...]:
    """All of a CameraInfo but its header."""
    roi = info.roi
    sizes = (info.width, info.height, info.binning_x, info.binning_y)
    region = (roi.x_offset, roi.y_offset, roi.width, roi.height)
    return (sizes, region, info.distortion_model, *(np.asarray(m).tobytes() for m in (info.d, info.k, info.r, info.p)))
