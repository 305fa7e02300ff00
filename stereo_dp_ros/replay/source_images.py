"""The pairs that a bag's disparities were computed from, by stamp."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader, StereoTopics
from stereo_dp_ros.replay.decoding import calibration_of, image_pixels
from stereo_dp_ros.replay.messages import stamp_ns

__all__ = ["SourceImages"]

_KEPT_STAMPS = 32
_LATE_NS = 1_000_000_000  # an image that has not come when one this much later has does not come any more


class SourceImages:
    """Reads a bag's images in order and forgets them once they lie well behind.

    Attributes
    ----------
    calibration : the first pair's

    Raises
    ------
    DataError
        The bag has no camera_info.
    """

    def __init__(self, source: BagReader, topics: StereoTopics) -> None:
        self._topics = topics
        self._kept: dict[int, dict[str, Any]] = {}
        infos: dict[str, Any] = {}
        for topic, _, message in source.messages([topics.left_info, topics.right_info]):
            infos.setdefault(topic, message)
            if len(infos) == 2:
                break
        else:
            raise DataError(f"{source.path}: has no camera_info, expected {topics.left_info}, {topics.right_info}")
        self.calibration = calibration_of(infos[topics.left_info], infos[topics.right_info])
        self._stream = source.messages([topics.left_image, topics.right_image])

    def frame_id(self, stamp: int) -> str | None:
        """Frame of the left image, None if there is no image of this stamp."""
        image = self._find(stamp, self._topics.left_image)
        return None if image is None else str(image.header.frame_id)

    def left(self, stamp: int) -> NDArray[np.uint8] | None:
        """The left image, uint8 gray (H, W) or RGB (H, W, 3), None if there is none of this stamp."""
        image = self._find(stamp, self._topics.left_image)
        return None if image is None else image_pixels(image)

    def right(self, stamp: int) -> NDArray[np.uint8] | None:
        """The right image, as `left`."""
        image = self._find(stamp, self._topics.right_image)
        return None if image is None else image_pixels(image)

    def _find(self, stamp: int, topic: str) -> Any | None:
        while topic not in self._kept.get(stamp, {}):
            if self._kept and next(reversed(self._kept)) > stamp + _LATE_NS:
                return None
            item = next(self._stream, None)
            if item is None:
                return None
            self._kept.setdefault(stamp_ns(item[2]), {})[item[0]] = item[2]
            if len(self._kept) > _KEPT_STAMPS:
                self._kept.pop(next(iter(self._kept)))
        return self._kept[stamp][topic]
