"""Scores a recording of the node's outputs against the bag that was played to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.metrics import disparity_metrics, mean_metrics
from stereo_dp_ros.core.sparsification import CONFIDENCE_METRIC_NAMES, curve_metrics
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.checks import check_camera_info, check_cloud, check_confidence, check_depth, check_disparity
from stereo_dp_ros.replay.counts import Check
from stereo_dp_ros.replay.decoding import (
    disparity_pixels,
    float_pixels,
)
from stereo_dp_ros.replay.gallery import Gallery
from stereo_dp_ros.replay.ground_truth import GroundTruth
from stereo_dp_ros.replay.measures import Frame, Observer
from stereo_dp_ros.replay.messages import stamp_ns
from stereo_dp_ros.replay.runs import OUTPUTS
from stereo_dp_ros.replay.source_images import SourceImages
from stereo_dp_ros.replay.stereo_topics import StereoTopics
from stereo_dp_ros.replay.truth_topics import TopicTruth

__all__ = ["Evaluation", "FrameScore", "evaluate"]

# output → its check against the disparity of its stamp
_CHECKS: dict[str, Callable[[Any, Any, StereoCalibration], str | None]] = {
    "depth/image_rect": lambda message, disparity, _: check_depth(message, disparity),
    "depth/camera_info": check_camera_info,
    "confidence": lambda message, disparity, _: check_confidence(message, disparity),
    "points2": check_cloud,
}
_WAITING_FRAMES = 8  # outputs of one pair may be this many pairs apart in a recording


@dataclass(frozen=True)
class FrameScore:
    """One published disparity.

    `metrics` as `disparity_metrics` and `curve_metrics`, None without a pixel of ground truth (NaN of a confidence that
    was not published); `figures` are what observers had to say.
    """

    stamp_ns: int
    metrics: dict[str, float] | None
    density: float
    mean_confidence: float
    figures: dict[str, float] = field(default_factory=dict)


@dataclass
class Evaluation:
    """Scores of a recording.

    `metrics` is the mean over the frames, every frame counting the same, None without ground truth; `checks` has one
    entry for each output of the node.
    """

    calibration: StereoCalibration
    frames: list[FrameScore] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    gallery: Gallery = field(default_factory=Gallery)

    @property
    def metrics(self) -> dict[str, float] | None:
        """Mean over the frames with ground truth."""
        scored = [frame.metrics for frame in self.frames if frame.metrics is not None]
        return mean_metrics(scored) if scored else None


def evaluate(
    source: BagReader,
    recorded: BagReader,
    topics: StereoTopics,
    namespace: str,
    *,
    samples: int = 3,
    on_frame: Callable[[], object] = lambda: None,
    truth: GroundTruth | None = None,
    observers: Sequence[Observer] = (),
    stop: Callable[[], bool] = lambda: False,
) -> Evaluation:
    """Score every disparity in `recorded` and check every other output against the disparity of its stamp.

    Parameters
    ----------
    source : the bag that was played
    recorded : the node's outputs, in `namespace`
    samples : frames to keep for pictures, spread evenly over the recording
    on_frame : called after each disparity
    truth : ground truth; None takes the topic `topics.ground_truth`, if there is one
    observers : take each frame after the other; their figures go into its score
    stop : asked after each disparity; the rest is then left out

    Raises
    ------
    DataError
        A bag lacks a topic or is damaged; nothing was recorded; ground truth does not fit the images.
    """
    names = {f"{namespace}/{name}": msgtype for name, msgtype in OUTPUTS.items()}
    recorded.require(names)
    stamps = recorded.stamps_ns(f"{namespace}/disparity")
    if not stamps:
        raise DataError(f"{recorded.path}: holds no disparity, expected one for each pair that was not dropped")
    images = SourceImages(source, topics)
    evaluation = Evaluation(images.calibration, gallery=Gallery(stamps, samples))
    problems: dict[str, list[str]] = {name: [] for name in OUTPUTS}
    counts = dict.fromkeys(OUTPUTS, 0)
    with _opened(truth, source, topics) as opened:
        for stamp, outputs in _by_stamp(recorded, namespace):
            found = _check_frame(outputs, images, stamp)
            for name in outputs:
                counts[name] += 1
            for name, problem in found.items():
                if problem is not None:
                    problems[name].append(f"{problem} (stamp {stamp})")
            if "disparity" in outputs:
                frame = _frame(images, opened, stamp, outputs)
                figures = {name: value for observer in observers for name, value in observer.add(frame).items()}
                score = _score(frame, figures)
                evaluation.frames.append(score)
                evaluation.gallery.add(frame, outputs, score.metrics)
                on_frame()
                if stop():
                    break
    evaluation.frames.sort(key=lambda frame: frame.stamp_ns)
    evaluation.checks += [_output_check(name, counts, problems[name]) for name in OUTPUTS]
    return evaluation


@contextmanager
def _opened(truth: GroundTruth | None, source: BagReader, topics: StereoTopics) -> Iterator[GroundTruth | None]:
    """`truth`, else the topic of ground truth while it is needed, else None."""
    if truth is not None or topics.ground_truth is None:
        yield truth
    else:
        with closing(TopicTruth(source.path, topics.ground_truth, topics.left_image)) as topic_truth:
            yield topic_truth


def _check_frame(outputs: Mapping[str, Any], images: SourceImages, stamp: int) -> dict[str, str | None]:
    """Problem or None of each output of one stamp."""
    disparity = outputs.get("disparity")
    if disparity is None:
        return dict.fromkeys(outputs, "there is no disparity of this stamp")
    frame_id = images.frame_id(stamp)
    if frame_id is None:
        return {"disparity": "no left image with this stamp was played"}
    calibration = images.calibration_of(stamp)
    found = {"disparity": check_disparity(disparity, calibration, frame_id)}
    if found["disparity"] is None:
        for name, check in _CHECKS.items():
            message = outputs.get(name)
            found[name] = "is missing" if message is None else check(message, disparity, calibration)
    return found


def _output_check(name: str, counts: Mapping[str, int], problems: list[str]) -> Check:
    what = {
        "disparity": "fields, stamp and frame of every disparity",
        "depth/image_rect": "every depth is f·T/d of its disparity",
        "depth/camera_info": "every depth’s camera_info is that of the left camera",
        "confidence": "every confidence is within 0…1",
        "points2": "every cloud is the disparity it belongs to",
    }[name]
    if problems:
        return Check(what, False, f"{name}: {len(problems)} of {counts['disparity']} wrong; first: {problems[0]}")
    return Check(what, True, f"{counts[name]} messages")


def _frame(images: SourceImages, truth: GroundTruth | None, stamp: int, outputs: Mapping[str, Any]) -> Frame:
    """One frame's disparity with all that it is held against."""
    calibration = images.calibration_of(stamp)
    disparity_px = disparity_pixels(outputs["disparity"]) - np.float32(calibration.doffs_px)
    confidence = np.full(disparity_px.shape, np.nan, np.float32)
    if "confidence" in outputs:
        confidence = float_pixels(outputs["confidence"])
    truth_px = None if truth is None else truth.disparity_px(stamp, calibration)
    if truth_px is not None and not np.isfinite(truth_px).any():
        truth_px = None  # a depth camera's frame in which nothing came back
    return Frame(
        stamp_ns=stamp,
        calibration=calibration,
        read_images=lambda: (images.left(stamp), images.right(stamp)),
        disparity_px=disparity_px,
        confidence=confidence,
        ground_truth_px=truth_px,
    )


def _score(frame: Frame, figures: dict[str, float]) -> FrameScore:
    metrics = None
    if frame.ground_truth_px is not None:
        metrics = disparity_metrics(frame.disparity_px, frame.ground_truth_px)
        curves = frame.sparsification
        metrics |= dict.fromkeys(CONFIDENCE_METRIC_NAMES, math.nan) if curves is None else curve_metrics(*curves)
    density = 100.0 * float(np.isfinite(frame.disparity_px).mean())
    return FrameScore(frame.stamp_ns, metrics, density, float(frame.confidence.mean()), figures)


def _by_stamp(recorded: BagReader, namespace: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Outputs by stamp: as soon as all of them are there, or when much later ones have come."""
    waiting: dict[int, dict[str, Any]] = {}
    for topic, _, message in recorded.messages([f"{namespace}/{name}" for name in OUTPUTS]):
        stamp = stamp_ns(message)
        outputs = waiting.setdefault(stamp, {})
        outputs[topic[len(namespace) + 1 :]] = message
        if len(outputs) == len(OUTPUTS):
            yield stamp, waiting.pop(stamp)
        elif len(waiting) > _WAITING_FRAMES:
            oldest = next(iter(waiting))
            yield oldest, waiting.pop(oldest)
    yield from waiting.items()
