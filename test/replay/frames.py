"""Frames to measure, without a bag."""

from __future__ import annotations

import numpy as np

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay.measures import Frame


def calibration(width_px: int, height_px: int) -> StereoCalibration:
    """f·B = 40·0.125 = 5 px·m, no doffs."""
    return StereoCalibration(width_px, height_px, 40.0, 40.0, width_px / 2, width_px / 2, height_px / 2, 0.125)


def frame(
    disparity_px: np.ndarray,
    *,
    truth_px: np.ndarray | None = None,
    confidence: np.ndarray | float = 1.0,
    left: np.ndarray | None = None,
    right: np.ndarray | None = None,
    stamp_ns: int = 0,
) -> Frame:
    """A frame of arrays that are cast to what they have to be."""
    disparity = np.asarray(disparity_px, np.float32)
    return Frame(
        stamp_ns=stamp_ns,
        calibration=calibration(disparity.shape[1], disparity.shape[0]),
        read_images=lambda: (left, right),
        disparity_px=disparity,
        confidence=np.broadcast_to(np.asarray(confidence, np.float32), disparity.shape),
        ground_truth_px=None if truth_px is None else np.asarray(truth_px, np.float32),
    )
