"""One bag from playing to score: what the demo and the replay command do with each of theirs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.accuracy import Accuracy
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.counts import PairCount, count_pairs, latency
from stereo_dp_ros.replay.evaluation import evaluate
from stereo_dp_ros.replay.highest_rate import HighestRate, Trial, find_highest_rate, trial_of
from stereo_dp_ros.replay.live import run_live
from stereo_dp_ros.replay.looped_pairs import LoopedPairs
from stereo_dp_ros.replay.node_process import NodeProcess, node_command
from stereo_dp_ros.replay.offline import Estimator, run_offline
from stereo_dp_ros.replay.report import BagReport
from stereo_dp_ros.replay.runs import OUTPUTS, Run
from stereo_dp_ros.replay.stereo_topics import StereoTopics
from stereo_dp_ros.replay.truth_topics import TopicTruth

__all__ = ["NodeSetup", "Progress", "Session"]

_SIDES = ("left", "right")
_TRIAL_S = 4.0
_FEWEST_TRIAL_PAIRS = 60
_MOST_TRIAL_PAIRS = 1500


class Progress(Protocol):
    """Told what is being done, and after each frame of it."""

    def __call__(self, stage: str, frames: int = 0, more: int = 0) -> None:
        """`frames` more frames of `stage` are done; `more` are to be done that were not foreseen."""


@dataclass(frozen=True)
class NodeSetup:
    """How nodes are run for a session.

    Attributes
    ----------
    log_folder : for their output
    parameters : of the node
    domain_id : ROS domain to keep to
    environment : variables for the processes that use ROS, such as a DDS profile
    """

    log_folder: Path
    parameters: Mapping[str, object]
    domain_id: int
    environment: Mapping[str, str]

    @property
    def variables(self) -> dict[str, str]:
        """`environment`, with ROS' own logs in the log folder."""
        return {"ROS_LOG_DIR": str(self.log_folder / "ros"), **self.environment}


@dataclass(frozen=True)
class Session:
    """A bag to play, where to record, and what the report says of it.

    Attributes
    ----------
    namespace : of the node and its outputs, such as ``/stereo``
    pictured : frames to show
    bad_2_limit_percent : see `BagReport`
    stop : once it holds, what is under way ends early
    """

    name: str
    title: str
    description: str
    path: Path
    recorded_path: Path
    topics: StereoTopics
    namespace: str
    pictured: int = 3
    bad_2_limit_percent: float | None = None
    stop: Callable[[], bool] = lambda: False

    def play(self, setup: NodeSetup, progress: Progress, *, rate: float = 1.0) -> Run:
        """Play the bag over DDS to a node of its own; a `rate` of 1 is the bag's own speed.

        Raises
        ------
        StereoDpError
            The node does not work or answers nothing, or a bag cannot be read or written.
        """
        stage = f"playing {self.name}"
        with self._node(setup) as node:
            run = run_live(
                self.path,
                self.topics,
                self.recorded_path,
                node,
                namespace=self.namespace,
                domain_id=setup.domain_id,
                environment=setup.variables,
                rate=rate,
                on_progress=lambda _: progress(stage, 1),
                stop=self.stop,
            )
        if not run.received_ns:
            reasons = [f"{number} {cause}" for cause, number in count_pairs(run).dropped.items()]
            raise DataError(
                f"stereo_node answered 0 of {max(run.played)} pairs of {self.path.name} "
                f"({run.ended_early or ', '.join(reasons) or 'none dropped'}), see {node.log_path}"
            )
        return run

    def find_highest_rate(self, setup: NodeSetup, progress: Progress) -> HighestRate:
        """Play the bag's first pairs faster and faster, each rate to a node of its own; errors as `play`."""
        with BagReader(self.path) as source:
            first_hz = _rate_hz(source, self.topics.left_image)
        if first_hz is None:
            raise DataError(
                f"{self.path}: the times of {self.topics.left_image} tell no rate to search from, expected two images "
                "at least, each later than the one before"
            )

        def run_at(rate_hz: float) -> Trial | None:
            stage = f"trying {rate_hz:.3g} Hz"
            pairs = min(max(round(_TRIAL_S * rate_hz), _FEWEST_TRIAL_PAIRS), _MOST_TRIAL_PAIRS)
            progress(stage, more=pairs)
            with self._node(setup) as node:
                run = run_live(
                    LoopedPairs.of_bag(self.path, self.topics, rate_hz, pairs),
                    self.topics,
                    None,
                    node,
                    namespace=self.namespace,
                    domain_id=setup.domain_id,
                    outputs={"disparity": OUTPUTS["disparity"]},
                    environment=setup.variables,
                    on_progress=lambda _: progress(stage, 1),
                    stop=self.stop,
                )
            return None if run.interrupted else trial_of(run, rate_hz)

        return find_highest_rate(run_at, first_hz)

    def _node(self, setup: NodeSetup) -> NodeProcess:
        """A node that takes the bag's topics."""
        input_parameters = {
            "rectify": str(self.topics.is_raw).lower(),
            "image_transport": "compressed" if self.topics.is_compressed else "raw",
        }
        if self.topics.sync_tolerance_ns is not None:
            seconds = self.topics.sync_tolerance_ns * 1e-9
            input_parameters |= {"approximate_sync": "true", "sync_tolerance_s": repr(seconds)}
        command = node_command(self.namespace, {**setup.parameters, **input_parameters}, self._remappings())
        environment = {**os.environ, **setup.variables, "ROS_DOMAIN_ID": str(setup.domain_id)}
        return NodeProcess(command, environment, setup.log_folder / f"{self.name}.log")

    def infer(self, estimator: Estimator, progress: Progress) -> Run:
        """Run an estimator over the bag without ROS; errors as `run_offline`."""
        stage = f"inferring {self.name}"
        with BagReader(self.path) as source:
            return run_offline(
                source,
                self.topics,
                self.recorded_path,
                estimator,
                namespace=self.namespace,
                on_pair=lambda: progress(stage, 1),
                stop=self.stop,
            )

    def score(self, run: Run, count: PairCount, progress: Progress, accuracy: Accuracy | None = None) -> BagReport:
        """Score what was recorded; errors as `evaluate`.

        Parameters
        ----------
        accuracy : what to hold it against; None takes the bag's own ground truth, if it has any
        """
        if accuracy is None:
            with Accuracy(self._ground_truth()) as accuracy:
                return self.score(run, count, progress, accuracy)
        stage = f"scoring {self.name}"
        progress(stage)
        with BagReader(self.path) as source, BagReader(self.recorded_path) as recorded:
            evaluation = evaluate(
                source,
                recorded,
                self.topics,
                self.namespace,
                samples=self.pictured,
                on_frame=lambda: progress(stage, 1),
                truth=accuracy.truth,
                observers=accuracy.observers,
                stop=lambda: self.stop() and not run.interrupted,
            )
            rate_hz = _rate_hz(source, self.topics.left_image)
        run.interrupted = run.interrupted or self.stop()
        progress(stage, count.played - len(evaluation.frames))  # those that were not answered
        report = BagReport(
            name=self.name,
            title=self.title,
            description=self.description,
            path=self.path,
            recorded_path=self.recorded_path,
            rate_hz=rate_hz,
            run=run,
            count=count,
            latency=latency(run),
            evaluation=evaluation,
            bad_2_limit_percent=self.bad_2_limit_percent,
        )
        return replace(report, results=accuracy.results({row["stamp_ns"]: row for row in report.frame_rows()}))

    def _ground_truth(self) -> TopicTruth | None:
        topic = self.topics.ground_truth
        return None if topic is None else TopicTruth(self.path, topic, self.topics.left_image)

    def _remappings(self) -> dict[str, str]:
        """From the node's names to the bag's, where they differ."""
        image = "image_raw" if self.topics.is_raw else "image_rect"
        infos = (self.topics.left_info, self.topics.right_info)
        images = [topic.removesuffix("/compressed") for topic in (self.topics.left_image, self.topics.right_image)]
        wanted = {
            **{f"{side}/{image}": topic for side, topic in zip(_SIDES, images, strict=True)},
            **{f"{side}/camera_info": topic for side, topic in zip(_SIDES, infos, strict=True)},
        }
        return {name: topic for name, topic in wanted.items() if topic != f"{self.namespace}/{name}"}


def _rate_hz(bag: BagReader, topic: str) -> float | None:
    """Median rate of a topic by its times in the bag, as far as it can be read; None where they tell none."""
    times_ns: list[int] = []
    with suppress(DataError):  # which the run has told
        times_ns += (time_ns for _, time_ns, _ in bag.raw([topic]))
    if len(times_ns) < 2:
        return None
    step_ns = float(np.median(np.diff(times_ns)))
    return 1e9 / step_ns if step_ns > 0 else None
