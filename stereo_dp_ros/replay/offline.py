"""Runs an estimator over a bag, as fast as it goes, and writes what the node would publish: no ROS needed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.geometry import depth_from_disparity, points_from_depth
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.counts import PairCount
from stereo_dp_ros.replay.messages import cloud_message, disparity_message, image_message
from stereo_dp_ros.replay.pairing import StereoPair, no_pairs, stereo_pairs
from stereo_dp_ros.replay.prepared_pairs import PairPreparation, PreparedPair
from stereo_dp_ros.replay.runs import OUTPUTS, Run
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["Estimator", "count_offline", "run_offline"]

_DISPARITY_STEP_PX = 1.0 / 16.0  # the smallest disparity of a message, and its nominal resolution, as in the node


class Estimator(Protocol):
    """What is needed of `StereoEstimator`."""

    def infer(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> DisparityMap:
        """Disparity of the left image's pixels."""
        ...


def run_offline(
    source: BagReader,
    topics: StereoTopics,
    recorded_path: Path,
    estimator: Estimator,
    *,
    namespace: str,
    on_pair: Callable[[], object] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Write disparity, depth, confidence and points of every pair into a bag; raw images are rectified.

    Returns
    -------
    run : with the times at which each pair's work began and ended in place of its publishing and receiving. `stop`,
        asked after each pair, or Ctrl-C ends it early, with what was done until then; so does a pair that cannot be
        used or a damaged bag, which `error` then tells.

    Raises
    ------
    StereoDpError
        There is no pair, the first one cannot be used (names its stamp), or a bag cannot be read or written.
    """
    run = Run(diagnostics=_description(estimator))
    prepare = PairPreparation(topics)
    with BagWriter(recorded_path, overwrite=True) as bag:
        try:
            for pair in stereo_pairs(source, topics):
                stamp = pair.stamp_ns
                started_ns = time.monotonic_ns()
                try:
                    prepared = prepare(pair)
                    found = estimator.infer(prepared.left, prepared.right)
                    outputs = _outputs(pair, prepared, found)
                except StereoDpError as error:
                    raise type(error)(f"{source.path}: pair of stamp {stamp}: {error}") from error
                ended_ns = time.monotonic_ns()
                for name, message in outputs.items():
                    bag.write(f"{namespace}/{name}", message, stamp)
                run.repeated += stamp in run.received_ns
                run.published_ns.setdefault(stamp, started_ns)
                run.received_ns.setdefault(stamp, ended_ns)
                if found.timing_ms:
                    run.infer_ms[stamp] = sum(found.timing_ms.values())
                on_pair()
                if stop():
                    run.interrupted = True
                    break
        except KeyboardInterrupt:
            run.interrupted = True
        except StereoDpError as error:
            if not run.published_ns:
                raise
            run.error = str(error)
    if not run.published_ns and not run.interrupted:
        raise no_pairs(source, topics)
    run.counts = dict.fromkeys((f"{namespace}/{name}" for name in OUTPUTS), len(run.received_ns) + run.repeated)
    return run


def count_offline(run: Run, source: BagReader, topics: StereoTopics) -> PairCount:
    """What became of the images of a bag: each pair was answered, the rest had no partner."""
    images = max(source.counts[topics.left_image], source.counts[topics.right_image])
    answered = len(run.received_ns) + run.repeated
    played = answered if run.ended_early else images
    return PairCount(played, answered, {}, unmatched=played - answered, lost=0, recorded=answered)


def _description(estimator: Any) -> dict[str, str]:
    """What the node's diagnostics would say of the estimator."""
    backend, model = getattr(estimator, "backend", None), getattr(estimator, "model", None)
    values = {} if model is None else {"model": model.name}
    if backend is not None:
        values |= {"backend": backend.name, "precision": backend.precision, "device": backend.device}
    return values


def _outputs(pair: StereoPair, prepared: PreparedPair, found: DisparityMap) -> dict[str, Any]:
    """The node's messages for a pair."""
    calibration = prepared.calibration
    stamp, frame_id = pair.stamp_ns, str(pair.left.header.frame_id)
    lowest_px = max(found.min_disparity_px + calibration.doffs_px, _DISPARITY_STEP_PX)
    highest_px = max(found.max_disparity_px + calibration.doffs_px, lowest_px)
    answered = found.disparity_px + np.float32(calibration.doffs_px) >= np.float32(lowest_px)
    if prepared.window is not None:
        answered &= prepared.window.mask
    answered_px = np.where(answered, found.disparity_px, np.float32(np.nan))
    depth_m = depth_from_disparity(answered_px, calibration)
    return {
        "disparity": disparity_message(
            answered_px,
            calibration,
            stamp,
            frame_id,
            range_px=(lowest_px, highest_px),
            delta_px=_DISPARITY_STEP_PX,
            valid_window=None if prepared.window is None else prepared.window.rectangle,
        ),
        "depth/image_rect": image_message(depth_m, "32FC1", stamp, frame_id),
        "depth/camera_info": replace(pair.left_info, header=pair.left.header),
        "confidence": image_message(np.where(answered, found.confidence, np.float32(0.0)), "32FC1", stamp, frame_id),
        "points2": cloud_message(points_from_depth(depth_m, calibration), _colors(prepared.left), stamp, frame_id),
    }


def _colors(left: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(left, cv2.COLOR_GRAY2RGB), np.uint8) if left.ndim == 2 else left
