"""A photograph as left view: its segments become pieces of surface at their own depths."""

from __future__ import annotations

import cv2
import numpy as np

from training.data.draft import Draft, log_uniform
from training.data.paint import bake
from training.data.scene import Layer, Paint, Shape
from training.data.surface import Box, Surface

__all__ = ["photo_layers", "segment"]

_CELL_PX = 2.0  # left-view pixels per label
_MIN_LABELS = 12


def segment(rgb: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Labels int32 (H, W), 0..count-1, of regions grown from random seeds that meet at the picture's edges."""
    smooth = cv2.GaussianBlur(rgb, (0, 0), 1.2)
    markers = np.zeros(rgb.shape[:2], np.int32)
    rows, columns = rng.integers(1, rgb.shape[0] - 1, count), rng.integers(1, rgb.shape[1] - 1, count)
    markers[rows, columns] = np.arange(1, count + 1)
    labels = cv2.watershed(smooth, markers)
    # lines between regions (-1) and the picture's border take a neighbour's label
    grown = cv2.dilate(labels.astype(np.float32), np.ones((5, 5))).astype(np.int32)
    return np.where(labels > 0, labels, np.maximum(grown, 1)) - 1


def photo_layers(draft: Draft) -> list[Layer]:
    """Layers that together show one photograph, before a backdrop painted with another one.

    Regions are nested: coarse groups share a plane, fine segments follow it or step away from it, so depth is
    continuous across many picture edges and jumps at others.  Disparity tends to grow towards the bottom.
    """
    rng, library, full, low_px, high_px = draft.rng, draft.textures, draft.full, draft.low, draft.high
    source, seed = library.draw(rng, photo=True), int(rng.integers(2**31))
    shape = library.load(source, seed)[0][0].shape
    frame = _frame(rng, shape, full)
    if "sharp" not in draft.without:
        frame = _reduced(draft.aside("sharp").rng, shape, frame)
    photo = Paint(source, seed, frame=frame, shade=0.0)
    small = bake(Layer(Surface(low_px), full, photo, texels_per_px=1 / _CELL_PX), library).rgba[..., :3].copy()
    fine = segment(small, round(log_uniform(rng, 12, 90) * draft.detail), rng)
    coarse = segment(small, int(rng.integers(2, 9)), rng)
    relief = _group_surfaces(rng, int(coarse.max()) + 1, full, low_px, high_px)
    backdrop = Surface(low_px + 0.05 * (high_px - low_px)).fitted(full, low_px, high_px)
    behind = Paint(library.draw(rng), int(rng.integers(2**31)), density=1.0, shade=0.3)
    layers = [Layer(backdrop, full, behind)]
    loose = rng.uniform(0.1, 0.7)
    for label in range(int(fine.max()) + 1):
        inside = fine == label
        if int(inside.sum()) < _MIN_LABELS:
            continue
        group = int(np.bincount(coarse[inside]).argmax())
        box, bitmap = _cut(inside, full)
        surface = relief[group]
        if rng.random() < loose:
            surface = _stepped(rng, surface, box, high_px - low_px)
        layers.append(Layer(surface.fitted(box, low_px, high_px), box, photo, Shape(bitmap=bitmap)))
    return layers


def _frame(rng: np.random.Generator, shape: tuple[int, ...], full: Box) -> Box:
    """Where the whole photograph would lie: it covers the picture in nearly its own proportions, maybe mirrored."""
    width, height = full[2] - full[0], full[3] - full[1]
    zoom = rng.uniform(1.0, 1.4)
    frame_width = width * zoom
    frame_height = max(height, frame_width * shape[0] / shape[1] * rng.uniform(0.8, 1.2))
    x0 = full[0] - rng.uniform(0, frame_width - width)
    y0 = full[1] - rng.uniform(0, frame_height - height)
    x1 = x0 + frame_width
    if rng.random() < 0.5:
        x0, x1 = x1, x0
    return float(x0), float(y0), float(x1), float(y0 + frame_height)


def _reduced(rng: np.random.Generator, shape: tuple[int, ...], frame: Box) -> Box:
    """The frame made so small that the photograph is not enlarged; beyond it the photograph goes on mirrored."""
    x0, y0, x1, y1 = frame
    enlarged = abs(x1 - x0) / shape[1]
    factor = min(1.0, 1.0 / (enlarged * log_uniform(rng, 0.8, 2.0)))
    x, y = x0 + rng.uniform(0, 1 - factor) * (x1 - x0), y0 + rng.uniform(0, 1 - factor) * (y1 - y0)
    return float(x), float(y), float(x + factor * (x1 - x0)), float(y + factor * (y1 - y0))


def _group_surfaces(rng: np.random.Generator, count: int, full: Box, low: float, high: float) -> list[Surface]:
    centre_x, centre_y = (full[0] + full[2]) / 2, (full[1] + full[3]) / 2
    width, height = full[2] - full[0], full[3] - full[1]
    rise = rng.uniform(0.0, 0.9) if rng.random() < 0.6 else 0.0
    surfaces = []
    for _ in range(count):
        middle = low + (high - low) * rng.beta(1.2, 1.8)
        tilt = (high - low) * np.array([rng.normal(0, 0.25) / width, (rise + rng.normal(0, 0.15)) / height])
        bend = (high - low) * rng.normal(0, 0.3, 3) / np.array([width**2, width * height, height**2])
        bend *= rng.random() < 0.5
        surfaces.append(Surface(middle, tilt[0], tilt[1], bend[0], bend[1], bend[2], centre_x, centre_y))
    return surfaces


def _stepped(rng: np.random.Generator, base: Surface, box: Box, span: float) -> Surface:
    """A plane of its own near the group's depth at the segment's middle."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    here = base.at(x, y)
    size = max(box[2] - box[0], box[3] - box[1])
    tilt = rng.normal(0, 0.15, 2) * here / size
    return Surface(here + float(rng.normal(0, 0.18) * span), float(tilt[0]), float(tilt[1]), x0=x, y0=y)


def _cut(inside: np.ndarray, full: Box) -> tuple[Box, np.ndarray]:
    """Box and soft outline of one segment, a little larger than it so that neighbours leave no seam."""
    x, y, w, h = cv2.boundingRect(inside.view(np.uint8))
    pad = 3
    y0, y1 = max(0, y - pad), min(inside.shape[0], y + h + pad)
    x0, x1 = max(0, x - pad), min(inside.shape[1], x + w + pad)
    part = inside[y0:y1, x0:x1].astype(np.uint8) * 255
    soft = cv2.GaussianBlur(cv2.dilate(part, np.ones((3, 3), np.uint8)), (0, 0), 1.2)
    step_x = (full[2] - full[0]) / inside.shape[1]
    step_y = (full[3] - full[1]) / inside.shape[0]
    box = (full[0] + x0 * step_x, full[1] + y0 * step_y, full[0] + x1 * step_x, full[1] + y1 * step_y)
    return box, soft
