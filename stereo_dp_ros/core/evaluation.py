"""Scores of a method over folders of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.metrics import disparity_metrics, mean_metrics
from stereo_dp_ros.core.pairs import PairFolder
from stereo_dp_ros.core.sgbm import fill_holes
from stereo_dp_ros.core.sparsification import confidence_metrics

__all__ = ["SceneScore", "score_pairs", "set_rows"]

Method = Callable[[NDArray[np.uint8], NDArray[np.uint8]], DisparityMap]
Show = Callable[[PairFolder, NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], DisparityMap], None]


@dataclass(frozen=True)
class SceneScore:
    """One scene's metrics and the time of one warm inference.

    See `disparity_metrics` and, for methods that are not filled, `confidence_metrics`.
    """

    set_name: str
    scene: str
    metrics: dict[str, float]
    ms: float

    def row(self) -> dict[str, Any]:
        """The scene as a row of a report."""
        return {"set": self.set_name, "scene": self.scene, **self.metrics, "ms": self.ms}


def score_pairs(
    method: Method, pairs: Iterable[PairFolder], *, fill: bool = False, show: Show | None = None
) -> Iterator[SceneScore]:
    """Score `method` on each pair.

    Parameters
    ----------
    fill
        Fill holes before scoring, for methods that leave some; density then still counts what was answered.
    show
        Called with each pair, its images and ground truth, and the answer.

    Raises
    ------
    StereoDpError
        A scene cannot be read or scored; the message names its folder.
    """
    warm_shape: tuple[int, ...] = ()
    for pair in pairs:
        try:
            left, right = pair.images()
            truth = pair.ground_truth_px()
            if left.shape != warm_shape:  # the first pair of a size may compile or allocate
                method(left, right)
                warm_shape = left.shape
            answer = method(left, right)
            metrics = disparity_metrics(answer.disparity_px, truth)
            if fill:
                filled = disparity_metrics(fill_holes(answer.disparity_px), truth)
                metrics = {**filled, "density": metrics["density"]}
            else:
                metrics.update(confidence_metrics(answer.disparity_px, answer.confidence, truth))
            if show is not None:
                show(pair, left, right, truth, answer)
        except StereoDpError as error:
            text = str(error)
            raise type(error)(text if str(pair.path) in text else f"{pair.path}: {text}") from error
        yield SceneScore(pair.set_name, pair.scene, metrics, sum(answer.timing_ms.values()))


def set_rows(scores: Iterable[SceneScore]) -> list[dict[str, Any]]:
    """The mean of each set, every image counting the same, in the order in which the sets come."""
    by_set: dict[str, list[SceneScore]] = {}
    for score in scores:
        by_set.setdefault(score.set_name, []).append(score)
    return [
        {
            "name": name,
            "scenes": len(members),
            **mean_metrics(member.metrics for member in members),
            "ms": float(np.mean([member.ms for member in members])),
        }
        for name, members in by_set.items()
    ]
