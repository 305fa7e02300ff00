"""Figures that need no ground truth: proxies, which a wrong disparity can satisfy too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.rectification_check import measure_alignment
from stereo_dp_ros.replay.measures import Frame

__all__ = ["PROXY_NAMES", "PlaneFit", "Proxies", "dominant_plane", "photometric_error", "temporal_change_px"]

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

PROXY_NAMES = (
    "photometric_error",
    "temporal_change_px",
    "plane_residual_px",
    "plane_share",
    "row_offset_px",
    "confident",
)
_CONFIDENT = 0.5
_ROW_OFFSET_EVERY = 5  # frames; matching features takes longer than everything else here
_STILL_LEVELS = 4.0  # gray levels by which a still place may differ between frames, from noise
_TEXTURED_LEVELS = 8.0  # standard deviation in gray levels; where there is less, motion does not show
_WINDOW_PX = 7
_PLANE_BAND_PX = 1.0
_PLANE_POINTS = 4000
_PLANE_TRIALS = 256
_MIN_PIXELS = 100


class Proxies:
    """Proxies of each frame, and their means over the frames that have them.

    - `photometric_error`: gray levels of 255; see `photometric_error`
    - `temporal_change_px`: see `temporal_change_px`
    - `plane_residual_px`, `plane_share` (percent of the answered pixels): see `dominant_plane`
    - `row_offset_px`: median vertical distance of matching features, of each fifth frame (0 of a rectified pair)
    - `confident`: percent of pixels whose confidence is at least 0.5

    Keeps the last frame, for the change from it.
    """

    name = "proxies"

    def __init__(self) -> None:
        self._before: Frame | None = None
        self._frames = 0
        self._sums = dict.fromkeys(PROXY_NAMES, 0.0)
        self._counts = dict.fromkeys(PROXY_NAMES, 0)

    def add(self, frame: Frame) -> Mapping[str, float]:
        """Take a frame; returns those of the proxies that can be told of it."""
        figures: dict[str, float | None] = {}
        if frame.left is not None and frame.right is not None:
            figures["photometric_error"] = photometric_error(frame.left, frame.right, frame.disparity_px)
            if self._frames % _ROW_OFFSET_EVERY == 0:
                alignment = measure_alignment(frame.left, frame.right)
                figures["row_offset_px"] = None if alignment is None else alignment.row_offset_px
        if self._before is not None:
            figures["temporal_change_px"] = temporal_change_px(self._before, frame)
        plane = dominant_plane(frame.disparity_px)
        if plane is not None:
            figures["plane_residual_px"], figures["plane_share"] = plane.residual_px, plane.share
        if np.isfinite(frame.confidence).any():
            figures["confident"] = 100.0 * float((frame.confidence >= _CONFIDENT).mean())
        self._before = frame
        self._frames += 1
        known = {name: value for name, value in figures.items() if value is not None}
        for name, value in known.items():
            self._sums[name] += value
            self._counts[name] += 1
        return known

    def summary(self) -> dict[str, float] | None:
        """Mean of each proxy over the frames that have it, None without frames."""
        found = {name: self._sums[name] / count for name, count in self._counts.items() if count}
        return found or None


def photometric_error(left: UInt8Array, right: UInt8Array, disparity_px: Float32Array) -> float | None:
    """Mean |left − right moved by the disparity| in gray levels of 255; None with too few pixels to compare.

    Left out are pixels without an answer, those whose match lies outside of the right image, and those that the
    disparity itself hides behind nearer ones. A difference of exposure is taken out: the right image's mean and spread
    are made those of the left one, over the compared pixels.
    """
    gray_left, gray_right = _gray(left), _gray(right)
    height, width = disparity_px.shape
    columns = np.arange(width, dtype=np.float32)[None] - disparity_px
    compared = (columns >= 0) & (columns <= width - 1) & ~_hidden(disparity_px, columns)
    if np.count_nonzero(compared) < _MIN_PIXELS:
        return None
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], columns.shape)
    moved = cv2.remap(gray_right, np.where(compared, columns, 0), np.ascontiguousarray(rows), cv2.INTER_LINEAR)
    there, here = np.asarray(moved, np.float64)[compared], gray_left[compared].astype(np.float64)
    spread = there.std()
    gain = here.std() / spread if spread > 0 else 1.0
    return float(np.abs(here - here.mean() - gain * (there - there.mean())).mean())


def temporal_change_px(before: Frame, now: Frame) -> float | None:
    """Mean |change of disparity| in px where the image stood still between two frames.

    A place stands still if its gray levels differ by less than 4 on average over 7x7 pixels. Only textured places
    show motion: where fewer than half of them stand still the camera is taken to move, and there is no figure (None),
    as there is none where the sizes differ.
    """
    if before.left is None or now.left is None or before.left.shape != now.left.shape:
        return None
    gray_before, gray_now = _gray(before.left), _gray(now.left)
    window = (_WINDOW_PX, _WINDOW_PX)
    still = np.asarray(cv2.blur(cv2.absdiff(gray_before, gray_now), window)) < _STILL_LEVELS
    mean = np.asarray(cv2.blur(gray_now, window))
    variance = np.asarray(cv2.blur(gray_now * gray_now, window)) - mean * mean
    textured = variance > _TEXTURED_LEVELS**2
    if 2 * np.count_nonzero(still & textured) < np.count_nonzero(textured):
        return None
    change_px = np.abs(now.disparity_px - before.disparity_px)[still]
    change_px = change_px[np.isfinite(change_px)]
    return float(change_px.mean(dtype=np.float64)) if change_px.size else None


@dataclass(frozen=True)
class PlaneFit:
    """The plane d = a·x + b·y + c that most pixels lie on.

    `residual_px` is the root mean square distance from it of the pixels within 1 px of it, `share` their percentage of
    the answered pixels.
    """

    coefficients: tuple[float, float, float]
    residual_px: float
    share: float


def dominant_plane(disparity_px: Float32Array) -> PlaneFit | None:
    """The dominant plane by RANSAC (Fischler & Bolles 1981) and least squares; None with too few answered pixels.

    A plane in space is one in disparity too, so no calibration is needed. Pixels and trials are drawn the same way each
    time.
    """
    rows, columns = np.nonzero(np.isfinite(disparity_px))
    if len(rows) < _MIN_PIXELS:
        return None
    chance = np.random.default_rng(0)
    chosen = chance.choice(len(rows), min(_PLANE_POINTS, len(rows)), replace=False)
    points = np.stack((columns[chosen], rows[chosen], np.ones(len(chosen))), axis=1).astype(np.float64)
    values = disparity_px[rows[chosen], columns[chosen]].astype(np.float64)
    triples = chance.integers(0, len(values), (_PLANE_TRIALS, 3))
    corners = points[triples]
    usable = np.abs(np.linalg.det(corners)) > 1e-6 * disparity_px.size  # else they lie on one line
    if not usable.any():
        return None
    planes = np.linalg.solve(corners[usable], values[triples[usable]][..., None])[..., 0]
    supporters = (np.abs(points @ planes.T - values[:, None]) <= _PLANE_BAND_PX).sum(axis=0)
    plane = planes[int(np.argmax(supporters))]
    for _ in range(2):  # least squares over the supporters of the best, and over theirs
        near = np.abs(points @ plane - values) <= _PLANE_BAND_PX
        plane = np.linalg.lstsq(points[near], values[near], rcond=None)[0]
    distance = np.abs(points @ plane - values)
    near = distance <= _PLANE_BAND_PX
    a, b, c = (float(value) for value in plane)
    return PlaneFit((a, b, c), float(np.sqrt((distance[near] ** 2).mean())), 100.0 * float(near.mean()))


def _hidden(disparity_px: Float32Array, columns: Float32Array) -> NDArray[np.bool_]:
    """Pixels whose match in the right image is that of a pixel nearer by more than 1 px of disparity."""
    height, width = disparity_px.shape
    known = (columns >= 0) & (columns <= width - 1)
    place = np.zeros(disparity_px.shape, np.int64)
    place[known] = np.rint(columns[known]).astype(np.int64)
    place += np.arange(height)[:, None] * width
    nearest_px = np.full(height * width, -np.inf, np.float32)
    np.maximum.at(nearest_px, place[known], disparity_px[known])
    hidden = np.zeros(disparity_px.shape, np.bool_)
    hidden[known] = disparity_px[known] < nearest_px[place[known]] - 1.0
    return hidden


def _gray(image: UInt8Array) -> Float32Array:
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.asarray(gray, np.float32)
