"""Confidence as a probability: fitted on scenes, so that of the pixels with confidence p a share p is right."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.pairs import PairFolder
from stereo_dp_ros.networks.regression import LEAST_ODDS
from training.errors import TrainingError

__all__ = ["RIGHT_WITHIN_PX", "calibration_error", "fit_calibration", "sampled"]

RIGHT_WITHIN_PX = 2.0
"""A pixel whose error is at most this, in the image's own pixels, is right."""
_PIXELS_A_PAIR = 20_000

Infer = Callable[[NDArray[np.uint8], NDArray[np.uint8]], DisparityMap]


def sampled(infer: Infer, pairs: Iterable[PairFolder]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidence, and whether the answer is right, at up to 20,000 pixels with ground truth of each pair; flat."""
    random = np.random.default_rng(0)
    confidences, rights = [], []
    for pair in pairs:
        answer, truth = infer(*pair.images()), pair.ground_truth_px()
        known = np.flatnonzero(np.isfinite(truth))
        chosen = random.choice(known, min(_PIXELS_A_PAIR, known.size), replace=False)
        confidences.append(answer.confidence.ravel()[chosen].astype(np.float64))
        rights.append(np.abs(answer.disparity_px.ravel()[chosen] - truth.ravel()[chosen]) <= RIGHT_WITHIN_PX)
    return np.concatenate(confidences), np.concatenate(rights)


def fit_calibration(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of `networks.regression.calibrated` with the greatest likelihood, by Newton's steps.

    Raises
    ------
    TrainingError
        There is none: all pixels are right or all wrong, or all have one confidence.
    """
    if right.all() or not right.any() or np.ptp(confidence) == 0.0:
        raise TrainingError(
            f"confidence cannot be calibrated: {100.0 * right.mean():g} % of the pixels are right, confidences are"
            f" {confidence.min():g} to {confidence.max():g}; expected some right, some wrong, and different confidences"
        )
    bounded = np.clip(confidence, LEAST_ODDS, 1.0 - LEAST_ODDS)
    inputs = np.stack([np.log(bounded / (1.0 - bounded)), np.ones_like(bounded)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(20):
        probability = 1.0 / (1.0 + np.exp(-inputs @ weights))
        curvature = (inputs * (probability * (1.0 - probability))[:, None]).T @ inputs
        weights = weights + np.linalg.solve(curvature, inputs.T @ (right - probability))
    return float(weights[0]), float(weights[1])


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Mean distance of confidence from the share that is right, over equal bins by their pixels (Guo et al. 2017)."""
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    apart = np.bincount(index, weights=confidence - right, minlength=bins)
    return float(np.abs(apart).sum() / confidence.size)
