"""What is measured of each frame beside the metrics: one small interface for all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.sparsification import sparsification

__all__ = ["Frame", "Measure", "Observer", "RunningMean"]


@dataclass(frozen=True)
class Frame:
    """One rectified pair and the disparity that was published for it.

    Attributes
    ----------
    read_images : left and right image, uint8 (H, W) gray or (H, W, 3) RGB; None where the bag lacks one of this stamp
    disparity_px : float32 (H, W), plain disparity, NaN unknown
    confidence : float32 (H, W) in 0…1, NaN where it was not published
    ground_truth_px : float32 (H, W), plain disparity, NaN where there is none; None without any
    """

    stamp_ns: int
    calibration: StereoCalibration
    read_images: Callable[[], tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]]
    disparity_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    ground_truth_px: NDArray[np.float32] | None

    @property
    def left(self) -> NDArray[np.uint8] | None:
        """The left image, decoded when it is first asked for."""
        return self._images[0]

    @property
    def right(self) -> NDArray[np.uint8] | None:
        """The right image, as `left`."""
        return self._images[1]

    @cached_property
    def sparsification(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """See `sparsification` in core; None without ground truth or confidence."""
        if self.ground_truth_px is None or np.isnan(self.confidence).any():
            return None
        return sparsification(self.disparity_px, self.confidence, self.ground_truth_px)

    @cached_property
    def _images(self) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
        return self.read_images()


class Observer(Protocol):
    """Takes frames one by one, in order, and keeps no more of them than it needs for the next."""

    def add(self, frame: Frame) -> Mapping[str, float]:
        """Take a frame; returns the figures that are its own, which the report lists with the frame."""
        ...


class Measure(Observer, Protocol):
    """An observer that sums up.

    Attributes
    ----------
    name : its part of report.json
    """

    name: str

    def summary(self) -> Any:
        """Figures over all frames, as JSON has them; None if there are none."""
        ...


class RunningMean:
    """Mean of each of several figures over frames, leaving out those that are not finite."""

    def __init__(self, size: int) -> None:
        self._sum, self._count = np.zeros(size), np.zeros(size, np.int64)

    def add(self, values: NDArray[np.floating]) -> None:
        """Take one frame's figures, (size,)."""
        known = np.isfinite(values)
        self._sum[known] += values[known]
        self._count += known

    @property
    def frames(self) -> int:
        """Frames that had a figure."""
        return int(self._count.max(initial=0))

    @property
    def mean(self) -> list[float]:
        """The means, NaN where no frame had the figure."""
        known = self._count > 0
        return [float(value) for value in np.where(known, self._sum / np.maximum(self._count, 1), np.nan)]
