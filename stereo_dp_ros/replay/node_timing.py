"""A node's timings beside those of the bare estimator, taken in one run on one machine.

Cameras and subscriber are processes of their own, as on a robot. The estimator alone is timed in this process right
before and right after, while the node waits. A machine may change its pace for seconds or minutes; so a trial is played
in several short rounds, and those between whose beginning and end the estimator changed its own do not count.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.timing import textured_pair
from stereo_dp_ros.replay.counts import count_pairs
from stereo_dp_ros.replay.live import run_live
from stereo_dp_ros.replay.looped_pairs import LoopedPairs
from stereo_dp_ros.replay.messages import DISPARITY, IMAGE
from stereo_dp_ros.replay.node_process import NodeProcess, node_command
from stereo_dp_ros.replay.runs import OUTPUTS, Run
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["ALL_OUTPUTS", "Goal", "NodeTimer", "Trial", "goals", "node_trials", "round_figures", "trial_figures"]

NAMESPACE = "/bench"
ALL_OUTPUTS = {**OUTPUTS, "disparity/color": IMAGE}
_TOPICS = StereoTopics(
    f"{NAMESPACE}/left/image_rect",
    f"{NAMESPACE}/right/image_rect",
    f"{NAMESPACE}/left/camera_info",
    f"{NAMESPACE}/right/camera_info",
)
_WARMUP_S = 2.0  # the first pair of a size compiles the network
_ROUND_S = 5.0
_STEADY = 1.1  # the estimator's median times before and after a round differ by less than this factor


@dataclass(frozen=True)
class Trial:
    """One load on the node.

    Attributes
    ----------
    size_px : (width, height) of the images
    outputs : that another process subscribes to, names → types
    rate_hz : of the cameras
    relative_rate : instead, as a multiple of what the estimator alone reaches
    """

    name: str
    size_px: tuple[int, int]
    outputs: Mapping[str, str]
    rate_hz: float | None = None
    relative_rate: float | None = None


def node_trials(size_px: tuple[int, int], large_px: tuple[int, int]) -> tuple[Trial, ...]:
    """The trials of which `goals` speaks."""
    alone = {"disparity": DISPARITY}
    return (
        Trial("all outputs", size_px, ALL_OUTPUTS, relative_rate=1.0),
        Trial("disparity alone", size_px, alone, relative_rate=1.0),
        Trial("unhurried", size_px, alone, relative_rate=0.5),
        Trial("large images", large_px, ALL_OUTPUTS, relative_rate=0.5),
        Trial("60 Hz", size_px, ALL_OUTPUTS, rate_hz=60.0),
    )


@dataclass(frozen=True)
class Goal:
    """A figure and its limit, lower or upper."""

    name: str
    value: float
    limit: float
    at_least: bool
    unit: str

    @property
    def met(self) -> bool:
        """Whether the value keeps the limit."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def goals(rows: Sequence[Mapping[str, Any]]) -> list[Goal]:
    """What the rows of `node_trials` are to be held to."""
    row = {row["trial"]: row for row in rows}
    limit_60_hz_ms = 2 * row["60 Hz"]["inference_p50_ms"] + 30
    open_counts = float(sum(not row["count_closes"] for row in rows))
    return [
        Goal("throughput, all outputs, of the estimator's", row["all outputs"]["rate_ratio"], 0.75, True, ""),
        Goal("throughput, disparity alone, of the estimator's", row["disparity alone"]["rate_ratio"], 0.9, True, ""),
        Goal("latency p50 minus inference", row["unhurried"]["latency_minus_inference_ms"], 8.0, False, "ms"),
        Goal("all but inference, large images", row["large images"]["node_minus_inference_ms"], 25.0, False, "ms"),
        Goal("largest age at 60 Hz", row["60 Hz"]["latency_max_ms"], limit_60_hz_ms, False, "ms"),
        Goal("trials whose count of pairs does not close", open_counts, 0.0, False, ""),
    ]


@dataclass
class NodeTimer:
    """Runs trials, each on a node of its own.

    Parameters
    ----------
    estimator : what the node runs too
    parameters : of the node, which make it run just that
    seconds : length of a trial, beside the warm-up of each of its rounds
    log_folder : for the nodes' logs
    environment : variables for the processes that use ROS, such as a DDS profile
    on_pair : called after each pair that was published to a node
    """

    estimator: StereoEstimator
    parameters: Mapping[str, object]
    seconds: float
    log_folder: Path
    domain_id: int
    environment: Mapping[str, str] = field(default_factory=dict)
    on_pair: Callable[[], None] = lambda: None

    def run(self, trial: Trial) -> dict[str, Any]:
        """One row: the trial's figures beside the estimator's, see `trial_figures`.

        Raises
        ------
        StereoDpError
            The node does not work, or answered nothing after its warm-up.
        """
        rounds = max(1, round(self.seconds / _ROUND_S))
        return trial_figures([self._run_round(trial, self.seconds / rounds) for _ in range(rounds)])

    def _run_round(self, trial: Trial, seconds: float) -> dict[str, Any]:
        before_ms = self._time_alone(trial.size_px, seconds / 4)
        rate_hz = trial.rate_hz or 1e3 / float(np.mean(before_ms)) * (trial.relative_rate or 1.0)
        run = self._play(trial, rate_hz, seconds)
        return round_figures(trial, rate_hz, run, before_ms, self._time_alone(trial.size_px, seconds / 4))

    def _time_alone(self, size_px: tuple[int, int], seconds: float) -> list[float]:
        """Wall time in ms of each inference, for so long."""
        left, right = textured_pair(size_px)
        for _ in range(2):
            self.estimator.infer(left, right)
        times_ms: list[float] = []
        end_s = time.perf_counter() + seconds
        while not times_ms or time.perf_counter() < end_s:
            begin_s = time.perf_counter()
            self.estimator.infer(left, right)
            times_ms.append((time.perf_counter() - begin_s) * 1e3)
        return times_ms

    def _play(self, trial: Trial, rate_hz: float, seconds: float) -> Run:
        left, right = textured_pair(trial.size_px)
        pairs = max(2, round((seconds + _WARMUP_S) * rate_hz))
        source = LoopedPairs.of_images(left, right, _calibration(trial.size_px), _TOPICS, rate_hz, pairs)
        variables = {"ROS_LOG_DIR": str(self.log_folder / "ros"), **self.environment}
        environment = {**os.environ, **variables, "ROS_DOMAIN_ID": str(self.domain_id)}
        log_path = self.log_folder / f"{trial.name.replace(' ', '_')}.log"
        with NodeProcess(node_command(NAMESPACE, self.parameters), environment, log_path) as node:
            return run_live(
                source,
                _TOPICS,
                None,
                node,
                namespace=NAMESPACE,
                domain_id=self.domain_id,
                outputs=trial.outputs,
                environment=variables,
                on_progress=lambda _: self.on_pair(),
            )


def _calibration(size_px: tuple[int, int]) -> StereoCalibration:
    width, height = size_px
    return StereoCalibration(
        width_px=width,
        height_px=height,
        fx_px=0.8 * width,
        fy_px=0.8 * width,
        cx_left_px=width / 2,
        cx_right_px=width / 2,
        cy_px=height / 2,
        baseline_m=0.12,
    )


def trial_figures(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A trial's figures from those of its rounds.

    Medians over the steady rounds, over all where none was, and of `latency_max_ms` the largest among them; of the
    pairs the sum over all rounds, and the count closes if it did in each.
    """
    steady = [figures for figures in rounds if figures["steady"]]
    timed = steady or rounds
    row = {
        key: float(np.median([figures[key] for figures in timed])) if isinstance(value, float) else value
        for key, value in timed[0].items()
        if key != "steady"
    }
    row["latency_max_ms"] = max(figures["latency_max_ms"] for figures in timed)
    for key in ("pairs_played", "pairs_published", "pairs_unmatched"):
        row[key] = sum(figures[key] for figures in rounds)
    dropped = sum((Counter(figures["pairs_dropped"]) for figures in rounds), Counter())
    return {
        **row,
        "pairs_dropped": dict(dropped),
        "count_closes": all(figures["count_closes"] for figures in rounds),
        "rounds": len(rounds),
        "steady_rounds": len(steady),
    }


def round_figures(
    trial: Trial, rate_hz: float, run: Run, before_ms: Sequence[float], after_ms: Sequence[float]
) -> dict[str, Any]:
    """A round's figures; those of times leave out the warm-up.

    It is steady if the estimator alone took as long after it as before.
    """
    alone_ms = [*before_ms, *after_ms]
    medians_ms = sorted(float(np.median(times_ms)) for times_ms in (before_ms, after_ms))
    count = count_pairs(run)
    begin_ns = min(run.published_ns.values()) + int(_WARMUP_S * 1e9)
    stamps = [stamp for stamp in sorted(run.received_ns) if run.published_ns.get(stamp, 0) > begin_ns]
    if len(stamps) < 2:
        raise DataError(
            f"{trial.name}: the node answered {len(stamps)} of {count.played} pairs after its warm-up, expected 2 "
            "or more (give more seconds)"
        )
    latency_ms = [(run.received_ns[stamp] - run.published_ns[stamp]) * 1e-6 for stamp in stamps]
    last_ms = [(run.completed_ns[stamp] - run.published_ns[stamp]) * 1e-6 for stamp in stamps]
    span_s = (run.received_ns[stamps[-1]] - run.received_ns[stamps[0]]) * 1e-9
    output_hz = (len(stamps) - 1) / span_s
    alone_hz = 1e3 / float(np.mean(alone_ms))
    inference_ms = _stage_p50_ms(run, "estimate/inference")
    node_ms = _stage_p50_ms(run, "total")
    latency_p50_ms, latency_p99_ms = (float(value) for value in np.percentile(latency_ms, (50, 99)))
    return {
        "trial": trial.name,
        "size": f"{trial.size_px[0]}x{trial.size_px[1]}",
        "outputs": list(trial.outputs),
        "input_hz": rate_hz,
        "output_hz": output_hz,
        "estimator_hz": alone_hz,
        "rate_ratio": output_hz / alone_hz,
        "estimator_median_ms": float(np.median(alone_ms)),
        "inference_p50_ms": inference_ms,
        "estimate_p50_ms": _stage_p50_ms(run, "estimate"),
        "node_p50_ms": node_ms,
        "node_minus_inference_ms": node_ms - inference_ms,
        "latency_p50_ms": latency_p50_ms,
        "latency_p99_ms": latency_p99_ms,
        "latency_max_ms": max(latency_ms),
        "latency_minus_inference_ms": latency_p50_ms - inference_ms,
        "last_output_p50_ms": float(np.median(last_ms)),
        "node_cpu_percent": run.cpu_percent,
        "node_peak_memory_mb": run.memory_mb,
        "pairs_played": count.played,
        "pairs_published": count.published,
        "pairs_dropped": count.dropped,
        "pairs_unmatched": count.unmatched,
        "count_closes": count.closes,
        "steady": medians_ms[1] < _STEADY * medians_ms[0],
    }


def _stage_p50_ms(run: Run, stage: str) -> float:
    """The node's own p50 of a stage, over its last pairs."""
    text = run.diagnostics.get(f"{stage} p50 / p99 (ms)")
    if text is None:
        raise DataError(f"the node's diagnostics have no '{stage} p50 / p99 (ms)', expected its duration")
    return float(str(text).partition(" / ")[0])
