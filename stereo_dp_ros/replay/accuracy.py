"""What a run is held against: ground truth, proxies, and another method or an earlier report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from stereo_dp_ros.replay.compare import Comparison
from stereo_dp_ros.replay.depth_error import ConfidenceError, DepthError, Sparsification
from stereo_dp_ros.replay.ground_truth import GroundTruth
from stereo_dp_ros.replay.measures import Measure, Observer
from stereo_dp_ros.replay.proxies import Proxies

__all__ = ["Accuracy"]


class Accuracy:
    """Takes the frames of one run; use it as a context manager, so that ground truth is closed.

    Parameters
    ----------
    truth, comparison : None for none
    """

    def __init__(self, truth: GroundTruth | None = None, comparison: Comparison | None = None) -> None:
        self.truth = truth
        self._comparison = comparison
        self._measures: list[Measure] = [DepthError(), ConfidenceError(), Sparsification(), Proxies()]

    def __enter__(self) -> Accuracy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.truth is not None:
            self.truth.close()

    @property
    def observers(self) -> Sequence[Observer]:
        """Everything that has to see each frame."""
        return [*self._measures, *([] if self._comparison is None else [self._comparison])]

    def results(self, ours: Mapping[int, Mapping[str, float]]) -> dict[str, Any]:
        """What was found, as report.json holds it, null where there is nothing.

        Parameters
        ----------
        ours : the figures of each frame by stamp
        """
        return {
            "ground_truth": None if self.truth is None else self.truth.description,
            **{measure.name: measure.summary() for measure in self._measures},
            "comparison": None if self._comparison is None else self._comparison.against(ours),
        }
