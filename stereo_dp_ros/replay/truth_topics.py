"""Ground truth from a topic of disparity or depth images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.geometry import disparity_from_depth
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.decoding import disparity_pixels, float_pixels, millimetre_pixels
from stereo_dp_ros.replay.ground_truth import SAME_STAMP_NS, require_image_size
from stereo_dp_ros.replay.matched_messages import MatchedMessages
from stereo_dp_ros.replay.messages import DISPARITY, IMAGE

__all__ = ["TopicTruth"]

Float32Array = NDArray[np.float32]


class TopicTruth:
    """A topic of DisparityImage, or of Image with disparity (32FC1, px) or depth (32FC1, m; 16UC1, mm).

    What an Image holds is told by its topic's name, which has "disp" or "depth" in it. A DisparityImage carries
    d + doffs, an Image the plain d; what is not finite or not above 0 is no ground truth.

    Parameters
    ----------
    path : the bag
    left_topic : the images that it belongs to
    tolerance_ns : how far apart stamps may be

    Raises
    ------
    DataError
        The topic is missing or of another type, its name does not tell what it holds, or its stamps never match.
    """

    def __init__(self, path: Path, topic: str, left_topic: str, tolerance_ns: int = SAME_STAMP_NS) -> None:
        with BagReader(path) as bag:
            kind = bag.topics.get(topic)
            if kind is None:
                raise DataError(f"{path}: has no {topic} for ground truth; it has {bag.describe()}")
        self._decode, self.description = _decoder(path, topic, kind)
        self._name = f"{path}: {topic}"
        self._messages = MatchedMessages(path, topic, left_topic, tolerance_ns)
        self.first_image_ns = self._messages.first_image_ns

    def disparity_px(self, stamp_ns: int, calibration: StereoCalibration) -> Float32Array | None:
        """See `GroundTruth`."""
        message = self._messages.find(stamp_ns)
        if message is None:
            return None
        try:
            return self._decode(message, calibration)
        except DataError as error:
            raise DataError(f"{self._name} at {stamp_ns}: {error}") from error

    def close(self) -> None:
        """Close the bag."""
        self._messages.close()


def _decoder(path: Path, topic: str, kind: str) -> tuple[Callable[[Any, StereoCalibration], Float32Array], str]:
    if kind == DISPARITY:
        return _from_disparity_image, f"disparity of {topic}"
    if kind != IMAGE:
        raise DataError(f"{path}: {topic} is {kind}, expected {DISPARITY} or {IMAGE} for ground truth")
    if "disp" in topic.lower():
        return _from_image_of_disparity, f"disparity of {topic}"
    if "depth" in topic.lower():
        return _from_image_of_depth, f"depth of {topic}"
    raise DataError(f"{path}: {topic} holds images of what?, expected 'disp' or 'depth' in the name of a ground truth")


def _from_disparity_image(message: Any, calibration: StereoCalibration) -> Float32Array:
    adjusted = disparity_pixels(message)
    require_image_size(adjusted, calibration)
    return adjusted - np.float32(calibration.doffs_px)


def _from_image_of_disparity(message: Any, calibration: StereoCalibration) -> Float32Array:
    pixels = float_pixels(message)
    require_image_size(pixels, calibration)
    return np.where(np.isfinite(pixels) & (pixels > 0), pixels, np.float32(np.nan))


def _from_image_of_depth(message: Any, calibration: StereoCalibration) -> Float32Array:
    depth_m = millimetre_pixels(message) if message.encoding in ("16UC1", "mono16") else float_pixels(message)
    require_image_size(depth_m, calibration)
    return disparity_from_depth(np.where(np.isfinite(depth_m), depth_m, np.float32(np.nan)), calibration)
