"""One pair that is played again and again, each time with the next stamp: a camera of any rate, without a bag."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay.bag import StereoTopics
from stereo_dp_ros.replay.messages import (
    CAMERA_INFO,
    IMAGE,
    camera_info_message,
    image_message,
    rectified_cameras,
    typestore,
)

__all__ = ["RepeatedPair"]

_FIRST_STAMP_NS = 1_000_000_000_000
_STAMP_OFFSET = 4  # of a header that is a message's first field, behind the encapsulation


@dataclass(frozen=True)
class RepeatedPair:
    """A pair's topics as `BagReader` gives those of a bag.

    Attributes
    ----------
    left_rgb, right_rgb : uint8 (H, W, 3)
    names : of the topics
    pairs : how often it is played, at `rate_hz`
    """

    left_rgb: NDArray[np.uint8]
    right_rgb: NDArray[np.uint8]
    calibration: StereoCalibration
    names: StereoTopics
    rate_hz: float
    pairs: int

    def __enter__(self) -> RepeatedPair:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def topics(self) -> dict[str, str]:
        """Topic → type."""
        images = dict.fromkeys((self.names.left_image, self.names.right_image), IMAGE)
        return {**images, **dict.fromkeys((self.names.left_info, self.names.right_info), CAMERA_INFO)}

    def raw(self, topics: Sequence[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time in ns and serialized message of each: camera_info, then left, then right, pair by pair."""
        templates = {topic: data for topic, data in self._serialized().items() if topic in topics}
        for index in range(self.pairs):
            stamp_ns = _FIRST_STAMP_NS + round(index * 1e9 / self.rate_hz)
            stamp = struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000))
            for topic, data in templates.items():
                struct.pack_into("8s", data, _STAMP_OFFSET, stamp)
                yield topic, stamp_ns, bytes(data)

    def _serialized(self) -> dict[str, bytearray]:
        left, right = rectified_cameras(self.calibration)
        names = self.names
        messages = {
            names.left_info: camera_info_message(left, 0, "left_optical"),
            names.right_info: camera_info_message(right, 0, "left_optical"),
            names.left_image: image_message(self.left_rgb, "rgb8", 0, "left_optical"),
            names.right_image: image_message(self.right_rgb, "rgb8", 0, "left_optical"),
        }
        return {
            topic: bytearray(typestore().serialize_cdr(message, message.__msgtype__))
            for topic, message in messages.items()
        }
