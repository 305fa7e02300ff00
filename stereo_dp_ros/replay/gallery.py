"""Frames of a run to look at: some spread evenly over it, the best and the worst, and a strip of small ones."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.replay.decoding import cloud_colors, cloud_points
from stereo_dp_ros.replay.measures import Frame

__all__ = ["Gallery", "Sample", "StripFrame"]

_STRIP_FRAMES = 10
_STRIP_WIDTH_PX = 192


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


@dataclass(frozen=True)
class StripFrame:
    """A small picture of a frame, uint8 (h, w, 3) RGB, and its disparity (h, w), in px of the whole image."""

    stamp_ns: int
    left: NDArray[np.uint8]
    disparity_px: NDArray[np.float32]


class Gallery:
    """Takes frames one by one and keeps those to look at.

    Parameters
    ----------
    stamps : of all frames that will come, in order
    samples : how many to keep of those spread evenly

    Attributes
    ----------
    samples, strip : in the order they came
    best, worst : by EPE; by mean confidence where no frame has ground truth; None while all frames are alike
    """

    def __init__(self, stamps: Sequence[int] = (), samples: int = 0) -> None:
        self.samples: list[Sample] = []
        self.strip: list[StripFrame] = []
        self._sampled = _spread(stamps, samples)
        self._stripped = _spread(stamps, _STRIP_FRAMES)
        self._best: tuple[float, Sample] | None = None
        self._worst: tuple[float, Sample] | None = None
        self._by_epe = False

    def add(self, frame: Frame, outputs: Mapping[str, Any], metrics: Mapping[str, float] | None) -> None:
        """Take a frame with its messages by name, and its metrics, None without ground truth."""
        if frame.stamp_ns in self._stripped and frame.left is not None:
            self.strip.append(_small(frame))
        if metrics is not None and not self._by_epe:  # what came before was ranked by confidence
            self._by_epe, self._best, self._worst = True, None, None
        badness = metrics["epe"] if metrics is not None else -float(frame.confidence.mean())
        is_best = self._best is None or badness < self._best[0]
        is_worst = self._worst is None or badness > self._worst[0]
        ranked = self._by_epe == (metrics is not None) and math.isfinite(badness) and (is_best or is_worst)
        if not (ranked or frame.stamp_ns in self._sampled):
            return
        sample = _sample(frame, outputs)
        if sample is None:
            return
        if frame.stamp_ns in self._sampled:
            self.samples.append(sample)
        if ranked and is_best:
            self._best = (badness, sample)
        if ranked and is_worst:
            self._worst = (badness, sample)

    @property
    def best(self) -> Sample | None:
        """The best frame."""
        return self._best[1] if self._best and self._worst and self._best[0] < self._worst[0] else None

    @property
    def worst(self) -> Sample | None:
        """The worst frame."""
        return self._worst[1] if self._best and self._worst and self._best[0] < self._worst[0] else None


def _spread(stamps: Sequence[int], count: int) -> Collection[int]:
    """Stamps spread evenly, the ends left out."""
    if not stamps or not count:
        return frozenset()
    places = np.linspace(0, len(stamps) - 1, count + 2)[1:-1].round().astype(int)
    return frozenset(stamps[place] for place in places)


def _small(frame: Frame) -> StripFrame:
    left = _rgb(frame.left)
    width = min(_STRIP_WIDTH_PX, left.shape[1])
    size = (width, max(1, round(left.shape[0] * width / left.shape[1])))
    small = np.asarray(cv2.resize(left, size, interpolation=cv2.INTER_AREA), np.uint8)
    disparity = np.asarray(cv2.resize(frame.disparity_px, size, interpolation=cv2.INTER_NEAREST), np.float32)
    return StripFrame(frame.stamp_ns, small, disparity)


def _sample(frame: Frame, outputs: Mapping[str, Any]) -> Sample | None:
    """The frame to look at; None without its image."""
    if frame.left is None:
        return None
    cloud = outputs.get("points2")
    points_m = None if cloud is None else cloud_points(cloud).astype(np.float32, copy=False)
    colored = cloud is not None and any(field.name == "rgb" for field in cloud.fields)
    colors = cloud_colors(cloud) if colored else None
    left, truth_px = _rgb(frame.left), frame.ground_truth_px
    return Sample(frame.stamp_ns, left, frame.disparity_px, frame.confidence, truth_px, points_m, colors)


def _rgb(image: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    assert image is not None
    return image if image.ndim == 3 else np.dstack([image] * 3)
