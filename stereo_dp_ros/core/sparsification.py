"""How well a confidence tells wrong pixels from right ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import DataError

__all__ = [
    "CONFIDENCE_METRIC_NAMES",
    "confidence_metrics",
    "curve_metrics",
    "sparsification",
    "sparsification_curve",
]

CONFIDENCE_METRIC_NAMES = ("bad_2_at_80", "ause_bad_2")
_STEPS = 20
_BAD_PX = 2.0


def sparsification_curve(
    wrong: NDArray[np.bool_], order: NDArray[np.floating], steps: int = _STEPS
) -> NDArray[np.float64]:
    """Percentage of wrong pixels among those kept, as ever more of the lowest `order` are dropped.

    Parameters
    ----------
    wrong, order
        One entry a pixel, flat. Pixels of equal `order` are dropped in proportion: each counts with the share of
        wrong ones among its equals, so that the curve does not depend on their places in the image.
    steps
        Entry i of the curve is after dropping a share of i / steps.

    Returns
    -------
    curve
        float64 (steps,); entry 0 is the percentage over all pixels.
    """
    _, group, counts = np.unique(order, return_inverse=True, return_counts=True)
    share = np.bincount(group.ravel(), weights=wrong.ravel()) / counts
    ascending = np.repeat(share, counts)
    kept_wrong = np.cumsum(ascending[::-1])[::-1]
    first = (np.arange(steps) * wrong.size) // steps
    return 100.0 * kept_wrong[first] / (wrong.size - first)


def sparsification(
    disparity_px: NDArray[np.float32], confidence: NDArray[np.float32], ground_truth_px: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bad-2.0 as the least confident pixels are dropped, and as an oracle would drop them: the worst first.

    Parameters
    ----------
    disparity_px, confidence, ground_truth_px
        (H, W); every pixel with ground truth counts, one without an answer is bad.

    Returns
    -------
    curve, oracle
        float64 (20,) in percent; entry i is after dropping i · 5 % of the pixels (Ilg et al. 2018).

    Raises
    ------
    DataError
        No pixel has ground truth.
    """
    labelled = np.isfinite(ground_truth_px)
    if not labelled.any():
        raise DataError("no pixel has ground truth, expected at least one")
    error = np.abs(disparity_px[labelled].astype(np.float64) - ground_truth_px[labelled])
    wrong = ~(error <= _BAD_PX)  # no answer is wrong too
    return sparsification_curve(wrong, confidence[labelled]), sparsification_curve(wrong, -wrong.astype(np.float64))


def confidence_metrics(
    disparity_px: NDArray[np.float32], confidence: NDArray[np.float32], ground_truth_px: NDArray[np.float32]
) -> dict[str, float]:
    """Figures of `sparsification`, whose errors it raises.

    Returns
    -------
    metrics
        `bad_2_at_80`: bad-2.0 in percent once the least confident fifth is dropped. `ause_bad_2`: mean distance in
        percentage points of the curve from the oracle's, 0 at best.
    """
    return curve_metrics(*sparsification(disparity_px, confidence, ground_truth_px))


def curve_metrics(curve: NDArray[np.float64], oracle: NDArray[np.float64]) -> dict[str, float]:
    """`confidence_metrics` from the curves of `sparsification`."""
    return {"bad_2_at_80": float(curve[_STEPS // 5]), "ause_bad_2": float((curve - oracle).mean())}
