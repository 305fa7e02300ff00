"""Scores a recording of the node's outputs against the bag that was played to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.metrics import disparity_metrics, mean_metrics
from stereo_dp_ros.replay.bag import BagReader, StereoTopics
from stereo_dp_ros.replay.checks import check_camera_info, check_cloud, check_confidence, check_depth, check_disparity
from stereo_dp_ros.replay.counts import Check
from stereo_dp_ros.replay.decoding import (
    calibration_of,
    cloud_colors,
    cloud_points,
    color_pixels,
    disparity_pixels,
    float_pixels,
)
from stereo_dp_ros.replay.messages import raw_stamp_ns, stamp_ns
from stereo_dp_ros.replay.runs import OUTPUTS

__all__ = ["Evaluation", "FrameScore", "Sample", "evaluate"]

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
    """One published disparity; `metrics` as `disparity_metrics`, None without ground truth."""

    stamp_ns: int
    metrics: dict[str, float] | None
    density: float
    mean_confidence: float


@dataclass(frozen=True)
class Sample:
    """One frame to look at.

    Attributes
    ----------
    left : uint8 (H, W, 3) RGB
    disparity_px, ground_truth_px : float32 (H, W), plain disparity, NaN unknown; ground truth may be None
    confidence : float32 (H, W)
    points_m, point_colors : the cloud's float32 (H, W, 3), NaN invalid, and uint8 (H, W, 3) RGB; None without them
    """

    stamp_ns: int
    left: NDArray[np.uint8]
    disparity_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    ground_truth_px: NDArray[np.float32] | None
    points_m: NDArray[np.float32] | None
    point_colors: NDArray[np.uint8] | None


@dataclass
class Evaluation:
    """Scores of a recording.

    `metrics` is the mean over the frames, every frame counting the same, None without ground truth; `checks` has one
    entry for each output of the node.
    """

    calibration: StereoCalibration
    frames: list[FrameScore] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

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
) -> Evaluation:
    """Score every disparity in `recorded` and check every other output against the disparity of its stamp.

    Parameters
    ----------
    source : the bag that was played, with ground truth in `topics.ground_truth` if it has any
    recorded : the node's outputs, in `namespace`
    samples : frames to keep for pictures, spread evenly over the recording
    on_frame : called after each disparity

    Raises
    ------
    DataError
        A bag lacks a topic or is damaged; nothing was recorded.
    """
    names = {f"{namespace}/{name}": msgtype for name, msgtype in OUTPUTS.items()}
    recorded.require(names)
    stamps = [raw_stamp_ns(data) for _, _, data in recorded.raw([f"{namespace}/disparity"])]
    if not stamps:
        raise DataError(f"{recorded.path}: holds no disparity, expected one for each pair that was not dropped")
    chosen = {stamps[i] for i in np.linspace(0, len(stamps) - 1, samples + 2)[1:-1].round().astype(int)}
    inputs = _Inputs(source, topics)
    evaluation = Evaluation(inputs.calibration)
    problems: dict[str, list[str]] = {name: [] for name in OUTPUTS}
    counts = dict.fromkeys(OUTPUTS, 0)
    for stamp, outputs in _by_stamp(recorded, namespace):
        found = _check_frame(outputs, inputs, stamp)
        for name in outputs:
            counts[name] += 1
        for name, problem in found.items():
            if problem is not None:
                problems[name].append(f"{problem} (stamp {stamp})")
        if "disparity" in outputs:
            _score(evaluation, inputs, stamp, outputs, stamp in chosen)
            on_frame()
    evaluation.frames.sort(key=lambda frame: frame.stamp_ns)
    evaluation.checks += [_output_check(name, counts, problems[name]) for name in OUTPUTS]
    return evaluation


def _check_frame(outputs: Mapping[str, Any], inputs: _Inputs, stamp: int) -> dict[str, str | None]:
    """Problem or None of each output of one stamp."""
    disparity = outputs.get("disparity")
    if disparity is None:
        return dict.fromkeys(outputs, "there is no disparity of this stamp")
    frame_id = inputs.frame_id(stamp)
    if frame_id is None:
        return {"disparity": "no left image with this stamp was played"}
    found = {"disparity": check_disparity(disparity, inputs.calibration, frame_id)}
    if found["disparity"] is None:
        for name, check in _CHECKS.items():
            message = outputs.get(name)
            found[name] = "is missing" if message is None else check(message, disparity, inputs.calibration)
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


def _score(evaluation: Evaluation, inputs: _Inputs, stamp: int, outputs: Mapping[str, Any], is_sample: bool) -> None:
    """Add one frame's score, and the frame itself if it is a sample."""
    disparity_px = disparity_pixels(outputs["disparity"]) - np.float32(inputs.calibration.doffs_px)
    truth_px = inputs.ground_truth_px(stamp)
    confidence = np.full(disparity_px.shape, np.nan, np.float32)
    if "confidence" in outputs:
        confidence = float_pixels(outputs["confidence"])
    metrics = None if truth_px is None else disparity_metrics(disparity_px, truth_px)
    density = 100.0 * float(np.isfinite(disparity_px).mean())
    evaluation.frames.append(FrameScore(stamp, metrics, density, float(confidence.mean())))
    left = inputs.left_pixels(stamp) if is_sample else None
    if left is not None:
        cloud = outputs.get("points2")
        points_m = None if cloud is None else cloud_points(cloud)
        colored = cloud is not None and any(field.name == "rgb" for field in cloud.fields)
        colors = cloud_colors(cloud) if colored else None
        evaluation.samples.append(Sample(stamp, left, disparity_px, confidence, truth_px, points_m, colors))


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


class _Inputs:
    """Left images and ground truth of a bag by stamp, read in order and forgotten once they lie well behind.

    Attributes
    ----------
    calibration : the first pair's
    """

    def __init__(self, source: BagReader, topics: StereoTopics) -> None:
        self._topics = topics
        self._kept: dict[int, dict[str, Any]] = {}
        infos: dict[str, Any] = {}
        for topic, _, message in source.messages([topics.left_info, topics.right_info]):
            infos.setdefault(topic, message)
            if len(infos) == 2:
                break
        else:
            raise DataError(f"{source.path}: has no camera_info, expected {topics.left_info}, {topics.right_info}")
        self.calibration = calibration_of(infos[topics.left_info], infos[topics.right_info])
        wanted: Collection[str] = [t for t in (topics.left_image, topics.ground_truth) if t is not None]
        self._stream = source.messages(wanted)

    def frame_id(self, stamp: int) -> str | None:
        """Frame of the left image, None if there is no image of this stamp."""
        image = self._find(stamp, self._topics.left_image)
        return None if image is None else str(image.header.frame_id)

    def left_pixels(self, stamp: int) -> NDArray[np.uint8] | None:
        """The left image as RGB."""
        image = self._find(stamp, self._topics.left_image)
        return None if image is None else color_pixels(image)

    def ground_truth_px(self, stamp: int) -> NDArray[np.float32] | None:
        """Plain disparity with NaN where there is no ground truth, None if there is none of this stamp."""
        if self._topics.ground_truth is None:
            return None
        truth = self._find(stamp, self._topics.ground_truth)
        return None if truth is None else disparity_pixels(truth) - np.float32(self.calibration.doffs_px)

    def _find(self, stamp: int, topic: str) -> Any | None:
        while topic not in self._kept.get(stamp, {}):
            if self._kept and next(reversed(self._kept)) > stamp + 1_000_000_000:
                return None
            item = next(self._stream, None)
            if item is None:
                return None
            self._kept.setdefault(stamp_ns(item[2]), {})[item[0]] = item[2]
            if len(self._kept) > 4 * _WAITING_FRAMES:
                self._kept.pop(next(iter(self._kept)))
        return self._kept[stamp][topic]
