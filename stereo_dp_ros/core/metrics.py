"""How far a disparity map is from ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import DataError

__all__ = ["METRIC_NAMES", "disparity_metrics", "mean_metrics"]

METRIC_NAMES = ("epe", "bad_1", "bad_2", "bad_3", "d1_all", "density")


def disparity_metrics(disparity_px: NDArray[np.float32], ground_truth_px: NDArray[np.float32]) -> dict[str, float]:
    """Errors over every pixel with ground truth.

    Parameters
    ----------
    disparity_px, ground_truth_px
        (H, W), plain disparity; NaN where there is no answer, or no ground truth.

    Returns
    -------
    metrics
        `epe`: mean absolute error in px over the answered pixels (NaN if none is). `bad_n`: percentage with
        an error above n px. `d1_all`: percentage with an error above 3 px and above 5 % of the true disparity
        (Menze & Geiger 2015). `density`: percentage answered. A pixel without an answer is bad at every n.

    Raises
    ------
    DataError
        The sizes differ, or no pixel has ground truth.
    """
    if disparity_px.shape != ground_truth_px.shape:
        raise DataError(
            f"disparity is {_size(disparity_px)} and ground truth {_size(ground_truth_px)}, expected the same size"
        )
    labelled = np.isfinite(ground_truth_px)
    if not labelled.any():
        raise DataError("no pixel has ground truth, expected at least one")
    truth = ground_truth_px[labelled].astype(np.float64)
    error = np.abs(disparity_px[labelled].astype(np.float64) - truth)
    answered = np.isfinite(error)
    error_or_inf = np.where(answered, error, np.inf)
    metrics = {"epe": float(error[answered].mean()) if answered.any() else float("nan")}
    for limit in (1, 2, 3):
        metrics[f"bad_{limit}"] = 100.0 * float((error_or_inf > limit).mean())
    metrics["d1_all"] = 100.0 * float(((error_or_inf > 3) & (error_or_inf > 0.05 * truth)).mean())
    metrics["density"] = 100.0 * float(answered.mean())
    return metrics


def mean_metrics(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over images, every image counting the same; all rows have the same metrics.

    An image without any answer has no EPE and does not count for it, as a pixel without one does not: `density` and
    `bad_n` tell of both.
    """
    collected = list(rows)
    if not collected:
        raise DataError("no images to average over, expected at least one")
    return {name: _mean([row[name] for row in collected]) for name in collected[0]}


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _size(array: NDArray[np.float32]) -> str:
    return "x".join(str(n) for n in reversed(array.shape))
