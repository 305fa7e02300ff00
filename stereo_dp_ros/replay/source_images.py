"""The pairs that a bag's disparities were computed from, by stamp."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import CalibrationError
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.pairing import StereoPair, no_pairs, stereo_pairs
from stereo_dp_ros.replay.prepared_pairs import PairPreparation, PreparedPair
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["SourceImages"]

_KEPT_PAIRS = 32
_LATE_NS = 1_000_000_000  # a pair that has not come when one this much later has does not come any more


class SourceImages:
    """Reads a bag's pairs in order and forgets them once they lie well behind; raw ones come rectified.

    Attributes
    ----------
    calibration : the first pair's

    Raises
    ------
    StereoDpError
        The bag has no pair, or no camera_info that can be used.
    """

    def __init__(self, source: BagReader, topics: StereoTopics) -> None:
        self._prepare = PairPreparation(topics)
        self._stream = stereo_pairs(source, topics)
        self._kept: dict[int, StereoPair] = {}
        self._last: tuple[int, PreparedPair] | None = None
        first = self._read()
        if first is None:
            raise no_pairs(source, topics)
        try:
            self.calibration = self._prepare.calibration(first)
        except CalibrationError as error:
            raise CalibrationError(f"{source.path}: {error}") from None

    def frame_id(self, stamp: int) -> str | None:
        """Frame of the left image, None if there is no pair of this stamp."""
        pair = self._find(stamp)
        return None if pair is None else str(pair.left.header.frame_id)

    def calibration_of(self, stamp: int) -> StereoCalibration:
        """Geometry of the pair of this stamp, the first one's if there is none."""
        pair = self._find(stamp)
        return self.calibration if pair is None else self._prepare.calibration(pair)

    def left(self, stamp: int) -> NDArray[np.uint8] | None:
        """The left image, uint8 gray (H, W) or RGB (H, W, 3), None if there is no pair of this stamp."""
        prepared = self._prepared(stamp)
        return None if prepared is None else prepared.left

    def right(self, stamp: int) -> NDArray[np.uint8] | None:
        """The right image, as `left`."""
        prepared = self._prepared(stamp)
        return None if prepared is None else prepared.right

    def _prepared(self, stamp: int) -> PreparedPair | None:
        if self._last is None or self._last[0] != stamp:
            pair = self._find(stamp)
            if pair is None:
                return None
            self._last = (stamp, self._prepare(pair))
        return self._last[1]

    def _find(self, stamp: int) -> StereoPair | None:
        while stamp not in self._kept:
            if next(reversed(self._kept)) > stamp + _LATE_NS or self._read() is None:
                return None
        return self._kept[stamp]

    def _read(self) -> StereoPair | None:
        pair = next(self._stream, None)
        if pair is not None:
            self._kept[pair.stamp_ns] = pair
            if len(self._kept) > _KEPT_PAIRS:
                self._kept.pop(next(iter(self._kept)))
        return pair
