"""OpenCV's semi-global matcher, as the reference that the networks are held against."""

from __future__ import annotations

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.preprocessing import require_pair

__all__ = ["SGBM_METHODS", "Sgbm", "fill_holes"]

SGBM_METHODS = ("sgbm", "sgbm-tuned")
_FIXED_POINT = 16.0


class Sgbm:
    """`sgbm`: colour, block 5, MODE_SGBM. `sgbm-tuned`: gray, block 3, preFilterCap 63, MODE_HH.

    Both: P1 = 8·c·block² and P2 = 32·c·block² for c channels, uniqueness 10, speckle 100/2, disp12MaxDiff 1
    (Hirschmüller 2008 for the method, OpenCV's documentation for the penalties). The images are extended to
    the left by their first column, since OpenCV leaves the first `num_disparities` columns unanswered.
    """

    def __init__(self, method: str = "sgbm", num_disparities: int = 192) -> None:
        if method not in SGBM_METHODS:
            raise StereoDpError(f"method is {method!r}, expected one of {', '.join(SGBM_METHODS)}")
        self.method = method
        self.num_disparities = num_disparities
        self._gray = method == "sgbm-tuned"

    def infer(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> DisparityMap:
        """Disparity of a uint8 pair, gray (H, W) or RGB (H, W, 3); NaN in holes, confidence 1 elsewhere."""
        require_pair(left, right)
        started = time.perf_counter()
        if self._gray and left.ndim == 3:
            left, right = (np.asarray(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), np.uint8) for i in (left, right))
        prepared = time.perf_counter()
        border = self.num_disparities
        extended = [cv2.copyMakeBorder(i, 0, 0, border, 0, cv2.BORDER_REPLICATE) for i in (left, right)]
        fixed = self._matcher(1 if left.ndim == 2 else 3).compute(*extended)[:, border:]
        matched = time.perf_counter()
        disparity_px = fixed.astype(np.float32) / np.float32(_FIXED_POINT)
        disparity_px[fixed < 0] = np.nan
        finished = time.perf_counter()
        return DisparityMap(
            disparity_px=disparity_px,
            confidence=np.isfinite(disparity_px).astype(np.float32),
            min_disparity_px=0.0,
            max_disparity_px=float(self.num_disparities - 1),
            timing_ms={
                "preprocess": (prepared - started) * 1e3,
                "inference": (matched - prepared) * 1e3,
                "postprocess": (finished - matched) * 1e3,
            },
        )

    def _matcher(self, channels: int) -> cv2.StereoSGBM:
        block = 3 if self._gray else 5
        return cv2.StereoSGBM_create(  # type: ignore[attr-defined,no-any-return]
            minDisparity=0,
            numDisparities=self.num_disparities,
            blockSize=block,
            P1=8 * channels * block**2,
            P2=32 * channels * block**2,
            disp12MaxDiff=1,
            preFilterCap=63 if self._gray else 0,
            uniquenessRatio=10,
            speckleWindowSize=100,
            speckleRange=2,
            mode=cv2.STEREO_SGBM_MODE_HH if self._gray else cv2.STEREO_SGBM_MODE_SGBM,
        )


def fill_holes(disparity_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each hole (NaN) takes the farther of its nearest known neighbours on its row; an empty row takes 0."""
    width = disparity_px.shape[1]
    known = np.isfinite(disparity_px)
    columns = np.broadcast_to(np.arange(width), disparity_px.shape)
    before = np.maximum.accumulate(np.where(known, columns, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, columns, width)[:, ::-1], axis=1)[:, ::-1]
    padded = np.pad(np.where(known, disparity_px, np.inf), ((0, 0), (1, 1)), constant_values=np.inf)
    filled = np.minimum(np.take_along_axis(padded, before + 1, axis=1), np.take_along_axis(padded, after + 1, axis=1))
    return np.where(np.isfinite(filled), filled, 0).astype(np.float32)
