"""Runs an estimator over a bag, as fast as it goes, and writes what the node would publish: no ROS needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import DataError, StereoDpError
from stereo_dp_ros.core.geometry import depth_from_disparity, points_from_depth
from stereo_dp_ros.replay.bag import BagReader, BagWriter, StereoTopics
from stereo_dp_ros.replay.counts import PairCount
from stereo_dp_ros.replay.decoding import calibration_of, color_pixels, image_pixels
from stereo_dp_ros.replay.messages import cloud_message, disparity_message, image_message, stamp_ns
from stereo_dp_ros.replay.runs import OUTPUTS, Run

__all__ = ["Estimator", "count_offline", "run_offline"]

_WAITING_IMAGES = 30  # per side; an image whose partner has not come by then is unmatched
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
) -> Run:
    """Write disparity, depth, confidence and points of every pair of rectified images into a bag.

    Returns
    -------
    run : with the times at which each pair's work began and ended in place of its publishing and receiving. Ctrl-C
        ends the run early, with what was done until then.

    Raises
    ------
    StereoDpError
        A pair cannot be used (names its stamp), there is none, or a bag cannot be read or written; what was written
        stays readable.
    """
    if topics.is_raw:
        raise DataError(f"{source.path}: {topics.left_image} is raw, expected image_rect in offline mode (or use live)")
    run = Run(diagnostics=_description(estimator))
    with BagWriter(recorded_path, overwrite=True) as bag:
        try:
            for left, right, infos in _pairs(source, topics):
                stamp = stamp_ns(left)
                started_ns = time.monotonic_ns()
                try:
                    found, outputs = _outputs(left, right, infos, estimator)
                except StereoDpError as error:
                    raise type(error)(f"{source.path}: pair of stamp {stamp}: {error}") from error
                run.published_ns[stamp], run.received_ns[stamp] = started_ns, time.monotonic_ns()
                if found.timing_ms:
                    run.infer_ms[stamp] = sum(found.timing_ms.values())
                for name, message in outputs.items():
                    bag.write(f"{namespace}/{name}", message, stamp)
                on_pair()
        except KeyboardInterrupt:
            run.interrupted = True
    if not run.published_ns and not run.interrupted:
        raise DataError(f"{source.path}: no two images of {topics.left_image} and {topics.right_image} have one stamp")
    run.counts = dict.fromkeys((f"{namespace}/{name}" for name in OUTPUTS), len(run.received_ns))
    return run


def count_offline(run: Run, source: BagReader, topics: StereoTopics) -> PairCount:
    """What became of the images of a bag: each pair was answered, the rest had no partner."""
    images = max(source.counts[topics.left_image], source.counts[topics.right_image])
    answered = len(run.published_ns)
    played = answered if run.interrupted else images
    return PairCount(played, answered, {}, unmatched=played - answered, lost=0, recorded=len(run.received_ns))


def _description(estimator: Any) -> dict[str, str]:
    """What the node's diagnostics would say of the estimator."""
    backend, model = getattr(estimator, "backend", None), getattr(estimator, "model", None)
    values = {} if model is None else {"model": model.name}
    if backend is not None:
        values |= {"backend": backend.name, "precision": backend.precision, "device": backend.device}
    return values


def _pairs(source: BagReader, topics: StereoTopics) -> Iterator[tuple[Any, Any, tuple[Any, Any]]]:
    """Left and right image of one stamp, with the newest camera_info of each side."""
    infos: dict[str, Any] = {}
    waiting: dict[str, dict[int, Any]] = {topics.left_image: {}, topics.right_image: {}}
    other = {topics.left_image: topics.right_image, topics.right_image: topics.left_image}
    early: list[tuple[Any, Any]] = []  # pairs that came before the first camera_info
    for topic, _, message in source.messages(topics.inputs):
        if topic not in waiting:
            infos[topic] = message
        else:
            stamp = stamp_ns(message)
            partner = waiting[other[topic]].pop(stamp, None)
            if partner is None:
                waiting[topic][stamp] = message
                if len(waiting[topic]) > _WAITING_IMAGES:
                    waiting[topic].pop(next(iter(waiting[topic])))
            else:
                early.append((message, partner) if topic == topics.left_image else (partner, message))
        if len(infos) == 2:
            both = (infos[topics.left_info], infos[topics.right_info])
            yield from ((left, right, both) for left, right in early)
            early.clear()
        elif len(early) > _WAITING_IMAGES:
            missing = ", ".join(sorted({topics.left_info, topics.right_info} - set(infos)))
            raise DataError(f"{source.path}: {len(early)} pairs came and no {missing}, expected camera_info")


def _outputs(
    left: Any, right: Any, infos: tuple[Any, Any], estimator: Estimator
) -> tuple[DisparityMap, dict[str, Any]]:
    """What is found in a pair, and the node's messages of it."""
    left_pixels, right_pixels = image_pixels(left), image_pixels(right)
    calibration = calibration_of(*infos)
    size = (left_pixels.shape[1], left_pixels.shape[0])
    if size != (calibration.width_px, calibration.height_px):
        raise DataError(
            f"image is {size[0]}x{size[1]}, expected {calibration.width_px}x{calibration.height_px} as in camera_info"
        )
    found = estimator.infer(left_pixels, right_pixels)
    stamp, frame_id = stamp_ns(left), str(left.header.frame_id)
    lowest_px = max(found.min_disparity_px + calibration.doffs_px, _DISPARITY_STEP_PX)
    highest_px = max(found.max_disparity_px + calibration.doffs_px, lowest_px)
    disparity = disparity_message(
        found.disparity_px,
        calibration,
        stamp,
        frame_id,
        range_px=(lowest_px, highest_px),
        delta_px=_DISPARITY_STEP_PX,
    )
    answered = found.disparity_px + np.float32(calibration.doffs_px) >= np.float32(lowest_px)
    depth_m = _depth_m(found, answered, calibration)
    confidence = np.where(answered, found.confidence, np.float32(0.0))
    points_m = points_from_depth(depth_m, calibration)
    return found, {
        "disparity": disparity,
        "depth/image_rect": image_message(depth_m, "32FC1", stamp, frame_id),
        "depth/camera_info": replace(infos[0], header=left.header),
        "confidence": image_message(confidence, "32FC1", stamp, frame_id),
        "points2": cloud_message(points_m, color_pixels(left), stamp, frame_id),
    }


def _depth_m(found: DisparityMap, answered: NDArray[np.bool_], calibration: StereoCalibration) -> NDArray[np.float32]:
    return depth_from_disparity(np.where(answered, found.disparity_px, np.float32(np.nan)), calibration)
