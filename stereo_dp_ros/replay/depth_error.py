"""Errors by range and by confidence, where there is ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.geometry import depth_from_disparity
from stereo_dp_ros.replay.measures import Frame, RunningMean

__all__ = ["RANGE_EDGES_M", "ConfidenceError", "DepthError", "Sparsification"]

RANGE_EDGES_M = (0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 40.0, 80.0, float("inf"))
_BAD_PX = 2.0
_DECILES = 10
_NONE: Mapping[str, float] = {}


class DepthError:
    """Error of depth by true range: pixels of all frames together, in bins of their true depth.

    Of each bin that has pixels: `pixels` with ground truth, `density` in percent of them answered, and over those
    answered `mean_abs_m`, `bias_m` (mean of depth − true depth), `rmse_m`, `mean_relative` in percent of the true depth
    and `epe`, the mean |d − true d| in px.

    Parameters
    ----------
    edges_m : rising limits of the bins, the lower one included
    """

    name = "depth_error"

    def __init__(self, edges_m: Sequence[float] = RANGE_EDGES_M) -> None:
        self._edges_m = np.asarray(edges_m, np.float64)
        bins = len(self._edges_m) - 1
        self._truths, self._answered = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
        self._sums = np.zeros((5, bins))  # of |e|, e, e², |e| / true depth, |d − true d|

    def add(self, frame: Frame) -> Mapping[str, float]:
        """Take a frame; it has no figures of its own."""
        if frame.ground_truth_px is None:
            return _NONE
        truth_m = depth_from_disparity(frame.ground_truth_px, frame.calibration)
        found_m = depth_from_disparity(frame.disparity_px, frame.calibration)
        labelled = np.isfinite(truth_m)
        truth, found = truth_m[labelled].astype(np.float64), found_m[labelled].astype(np.float64)
        error_px = np.abs(frame.disparity_px - frame.ground_truth_px)[labelled].astype(np.float64)
        place = np.searchsorted(self._edges_m, truth, side="right") - 1
        inside = (place >= 0) & (place < len(self._truths))
        self._truths += np.bincount(place[inside], minlength=len(self._truths))
        answered = inside & np.isfinite(found)
        place, truth, error_px = place[answered], truth[answered], error_px[answered]
        error_m = found[answered] - truth
        self._answered += np.bincount(place, minlength=len(self._truths))
        terms = (np.abs(error_m), error_m, error_m**2, np.abs(error_m) / truth, error_px)
        for total, term in zip(self._sums, terms, strict=True):
            total += np.bincount(place, weights=term, minlength=len(total))
        return _NONE

    def summary(self) -> list[dict[str, Any]] | None:
        """One row a bin, None without ground truth; `to_m` of the last bin is null."""
        if not self._truths.any():
            return None
        rows = []
        for index, truths in enumerate(self._truths):
            if truths:
                answered = int(self._answered[index])
                absolute, bias, square, relative, error_px = self._sums[:, index] / (answered or np.nan)
                rows.append(
                    {
                        "from_m": float(self._edges_m[index]),
                        "to_m": float(self._edges_m[index + 1]),
                        "pixels": int(truths),
                        "density": 100.0 * answered / int(truths),
                        "mean_abs_m": float(absolute),
                        "bias_m": float(bias),
                        "rmse_m": float(np.sqrt(square)),
                        "mean_relative": 100.0 * float(relative),
                        "epe": float(error_px),
                    }
                )
        return rows


class ConfidenceError:
    """Error by confidence: in each frame the pixels with ground truth in ten parts of one size, least confident first.

    Pixels of equal confidence share their errors, wherever they lie. The figures of a part are means over the frames:
    `confidence`, `epe` in px over the answered pixels, `bad_2` in percent.
    """

    name = "confidence_error"

    def __init__(self) -> None:
        self._means = RunningMean(3 * _DECILES)

    def add(self, frame: Frame) -> Mapping[str, float]:
        """Take a frame; it has no figures of its own."""
        truth_px = frame.ground_truth_px
        if truth_px is None or not np.isfinite(frame.confidence).any():
            return _NONE
        labelled = np.isfinite(truth_px)
        confidence = frame.confidence[labelled].astype(np.float64)
        error_px = np.abs(frame.disparity_px - truth_px)[labelled].astype(np.float64)
        answered = np.isfinite(error_px)
        columns = np.stack((confidence, np.where(answered, error_px, 0.0), answered, ~(error_px <= _BAD_PX)))
        ranked = _ranked(confidence, columns)
        limits = np.arange(_DECILES + 1) * confidence.size // _DECILES
        sums = np.diff(np.concatenate((np.zeros((4, 1)), np.cumsum(ranked, axis=1)), axis=1)[:, limits], axis=1)
        sizes = np.diff(limits).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):  # a part without (answered) pixels has no figure
            figures = (sums[0] / sizes, sums[1] / sums[2], 100.0 * sums[3] / sizes)
        self._means.add(np.concatenate(figures))
        return _NONE

    def summary(self) -> list[dict[str, float]] | None:
        """Ten rows, None without ground truth or confidence."""
        if not self._means.frames:
            return None
        figures = np.reshape(self._means.mean, (3, _DECILES))
        names = ("confidence", "epe", "bad_2")
        return [dict(zip(names, map(float, column), strict=True)) for column in figures.T]


class Sparsification:
    """Bad-2.0 as the least confident pixels are dropped, mean over the frames; see `sparsification` in core."""

    name = "sparsification"

    def __init__(self) -> None:
        self._curve: RunningMean | None = None
        self._oracle: RunningMean | None = None

    def add(self, frame: Frame) -> Mapping[str, float]:
        """Take a frame; its own figures are with its metrics."""
        if frame.sparsification is not None:
            curve, oracle = frame.sparsification
            self._curve = self._curve or RunningMean(len(curve))
            self._oracle = self._oracle or RunningMean(len(oracle))
            self._curve.add(curve)
            self._oracle.add(oracle)
        return _NONE

    def summary(self) -> dict[str, list[float]] | None:
        """Percentages of pixels dropped and of bad ones among the rest, by confidence and by an oracle."""
        if self._curve is None or self._oracle is None:
            return None
        curve, oracle = self._curve.mean, self._oracle.mean
        return {
            "dropped": [100.0 * index / len(curve) for index in range(len(curve))],
            "bad_2": curve,
            "bad_2_oracle": oracle,
        }


def _ranked(order: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns (C, N) by rising `order`, where equals each have the mean over them."""
    _, group, counts = np.unique(order, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(group.ravel(), weights=column) / counts for column in columns])
    return np.repeat(means, counts, axis=1)
