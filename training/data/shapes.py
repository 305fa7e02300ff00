"""Outlines of objects, in left-view pixels."""

from __future__ import annotations

import numpy as np

from training.data.scene import Shape
from training.data.surface import Box

__all__ = [
    "blob",
    "bounds",
    "foliage",
    "frame",
    "grille",
    "leaves",
    "polygon",
    "polyline",
    "quad",
    "rectangle",
    "ring",
    "strokes",
]

Rng = np.random.Generator


def bounds(shape: Shape) -> Box:
    """Bounding box of an outline given by contours, one pixel larger on every side."""
    points = np.concatenate([c for group in shape.groups for c in group])
    (x0, y0), (x1, y1) = points.min(0) - 1.0, points.max(0) + 1.0
    return float(x0), float(y0), float(x1), float(y1)


def _turned(points: np.ndarray, centre: tuple[float, float], angle: float) -> np.ndarray:
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]]) + centre


def blob(rng: Rng, centre: tuple[float, float], size: tuple[float, float]) -> Shape:
    """A smooth closed curve: an ellipse with a few harmonics."""
    t = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = np.ones_like(t)
    if rng.random() < 0.75:
        for harmonic in range(2, int(rng.integers(3, 8))):
            radius += rng.normal(0, 0.28 / harmonic) * np.cos(harmonic * t + rng.uniform(0, 2 * np.pi))
    points = np.clip(radius, 0.2, 2)[:, None] * np.stack([np.cos(t) * size[0] / 2, np.sin(t) * size[1] / 2], 1)
    return Shape(((_turned(points, centre, rng.uniform(-0.5, 0.5)),),))


def polygon(rng: Rng, centre: tuple[float, float], size: tuple[float, float]) -> Shape:
    """A star-shaped polygon with 3 to 9 corners."""
    t = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 10))))
    radius = rng.uniform(0.45, 1.0, len(t))
    points = radius[:, None] * np.stack([np.cos(t) * size[0] / 2, np.sin(t) * size[1] / 2], 1)
    return Shape(((points + centre,),))


def rectangle(rng: Rng, centre: tuple[float, float], size: tuple[float, float], tilt: float = 0.15) -> Shape:
    """A rectangle, mostly upright."""
    angle = rng.normal(0, tilt) if rng.random() < 0.6 else 0.0
    points = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(size) / 2
    return Shape(((_turned(points, centre, angle),),))


def quad(corners: list[tuple[float, float]]) -> Shape:
    """A polygon with the given corners."""
    return Shape(((np.array(corners, np.float64),),))


def frame(rng: Rng, centre: tuple[float, float], size: tuple[float, float]) -> Shape:
    """A rectangle with one to six rectangular windows: frames, shelves, chair backs."""
    outer = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.5
    columns, rows = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    bar = rng.uniform(0.04, 0.25)
    contours = [outer]
    for column in range(columns):
        for row in range(rows):
            cell = np.array([(column + 0.5) / columns - 0.5, (row + 0.5) / rows - 0.5])
            contours.append(outer * np.array([1 / columns, 1 / rows]) * (1 - bar) + cell * (1 - bar))
    angle = rng.normal(0, 0.1)
    return Shape((tuple(_turned(c * np.array(size), centre, angle) for c in contours),))


def _thick(line: np.ndarray, width: float) -> tuple[tuple[np.ndarray, ...], ...]:
    """A polyline as one quadrilateral per segment."""
    parts = []
    for start, end in zip(line[:-1], line[1:], strict=True):
        along = (end - start) / max(float(np.hypot(*(end - start))), 1e-6)
        side = np.array([-along[1], along[0]]) * width / 2
        reach = along * width * 0.25
        parts.append((np.array([start - reach + side, end + reach + side, end + reach - side, start - reach - side]),))
    return tuple(parts)


def polyline(line: np.ndarray, width_px: float) -> Shape:
    """A line (N, 2) of the given width."""
    return Shape(_thick(line, width_px))


def strokes(rng: Rng, centre: tuple[float, float], size: tuple[float, float], width_px: float) -> Shape:
    """Thin poles, wires and branches of about the given width."""
    groups: list[tuple[np.ndarray, ...]] = []
    kind = rng.integers(3)
    for _ in range(int(rng.integers(1, 7))):
        start = (rng.random(2) - 0.5) * size
        if kind == 0:  # upright poles
            line = np.array([[start[0], -size[1] / 2], [start[0] + rng.normal(0, 2), size[1] / 2]])
        elif kind == 1:  # straight, any direction
            line = np.array([start, (rng.random(2) - 0.5) * size])
        else:  # branches
            steps = np.cumsum(rng.normal(0, 1, (8, 2)) + rng.normal(0, 1.2, 2), axis=0)
            line = steps / (np.abs(steps).max() + 1e-6) * np.array(size) / 2
        groups.extend(_thick(line + centre, width_px * rng.uniform(0.7, 1.4)))
    return Shape(tuple(groups))


def grille(rng: Rng, centre: tuple[float, float], size: tuple[float, float], width_px: float) -> Shape:
    """Regular bars in one or two directions: fences, blinds, grids, railings."""
    period = width_px * rng.uniform(2.0, 7.0)
    angle = rng.choice([0.0, 0.0, rng.uniform(-0.8, 0.8)])
    groups: list[tuple[np.ndarray, ...]] = []
    mode = rng.integers(3)
    if mode != 1:
        for x in np.arange(-size[0] / 2, size[0] / 2, period):
            groups.extend(_thick(_turned(np.array([[x, -size[1] / 2], [x, size[1] / 2]]), centre, angle), width_px))
    if mode != 0:
        for y in np.arange(-size[1] / 2, size[1] / 2, period * rng.uniform(0.7, 3.0)):
            groups.extend(_thick(_turned(np.array([[-size[0] / 2, y], [size[0] / 2, y]]), centre, angle), width_px))
    if mode == 0:  # rails hold upright bars
        for y in (-0.4 * size[1], 0.4 * size[1]):
            groups.extend(_thick(_turned(np.array([[-size[0] / 2, y], [size[0] / 2, y]]), centre, angle), width_px))
    return Shape(tuple(groups))


def foliage(rng: Rng, centre: tuple[float, float], size: tuple[float, float]) -> Shape:
    """Many small leaves with gaps."""
    groups = []
    t = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    circle = np.stack([np.cos(t), np.sin(t)], 1)
    leaf = rng.uniform(3, 14)
    for _ in range(int(rng.integers(15, 70))):
        where = np.clip(rng.normal(0, 0.25, 2), -0.5, 0.5) * size + centre
        axes = leaf * rng.uniform(0.6, 1.4) * np.array([1.0, rng.uniform(0.15, 0.6)])
        groups.append((_turned(circle * axes, (float(where[0]), float(where[1])), rng.uniform(0, np.pi)),))
    return Shape(tuple(groups))


def ring(rng: Rng, centre: tuple[float, float], size: tuple[float, float]) -> Shape:
    """An ellipse with a hole, at times with spokes: wheels, handles, hoops."""
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    outer = np.stack([np.cos(t) * size[0] / 2, np.sin(t) * size[1] / 2], 1)
    groups: list[tuple[np.ndarray, ...]] = [(outer + centre, outer * rng.uniform(0.55, 0.93) + centre)]
    if rng.random() < 0.4:
        for angle in np.arange(0, np.pi, np.pi / rng.integers(2, 9)):
            tip = np.array([np.cos(angle) * size[0], np.sin(angle) * size[1]]) * 0.48
            groups.extend(_thick(np.array([-tip, tip]) + centre, max(1.0, 0.02 * size[0])))
    return Shape(tuple(groups))


def leaves(rng: Rng, centre: tuple[float, float], size: tuple[float, float]) -> list[Shape]:
    """Long tapering curved blades from one point, one shape each so that each can lie at its own depth."""
    blades = []
    t = np.linspace(0, 1, 14)
    for _ in range(int(rng.integers(4, 12))):
        angle = rng.uniform(-np.pi, 0) if rng.random() < 0.8 else rng.uniform(0, np.pi)
        bend = rng.normal(0, 0.6)
        length = rng.uniform(0.3, 0.7) * max(size)
        direction = angle + bend * t
        spine = np.cumsum(np.stack([np.cos(direction), np.sin(direction)], 1), 0) * length / len(t)
        normal = np.stack([-np.sin(direction), np.cos(direction)], 1)
        width = length * rng.uniform(0.02, 0.09) * (1 - t**2)[:, None]
        blades.append(Shape(((np.concatenate([spine + normal * width, (spine - normal * width)[::-1]]) + centre,),)))
    return blades
