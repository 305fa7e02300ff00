"""What real pairs have and composed scenes lack by themselves: each a feature that scenes can be drawn without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.data import shapes
from training.data.draft import Draft, log_uniform
from training.data.objects import add_object, relief
from training.data.scene import Light, Paint
from training.data.surface import Surface

__all__ = ["HARD_CASES", "add_blank_surfaces", "add_left_border", "add_sticks", "light_differently"]


def add_blank_surfaces(draft: Draft) -> None:
    """Walls, backdrops and boards without texture: their disparity is known from their borders alone."""
    rng = draft.rng
    if rng.random() > 0.25:
        return
    area = draft.width * draft.height
    for number, layer in enumerate(draft.layers):
        x0, y0, x1, y1 = layer.box
        if (x1 - x0) * (y1 - y0) > 0.1 * area and layer.shape.bitmap is None and rng.random() < 0.8:
            draft.layers[number] = replace(layer, paint=_blank(draft))
    for _ in range(int(rng.integers(0, 4))):
        size = draft.width * float(rng.uniform(0.2, 0.7)), draft.height * float(rng.uniform(0.3, 1.0))
        centre = float(rng.uniform(0, draft.width + draft.low)), float(rng.uniform(0, 1) * draft.height)
        shape = shapes.rectangle(rng, centre, size, 0.03)
        disparity = draft.at(float(rng.uniform(0.03, 0.6)))
        draft.add(relief(draft, centre, size, disparity), shapes.bounds(shape), _blank(draft), shape)


def _blank(draft: Draft) -> Paint:
    """One colour under faint or no gradients of light."""
    rng = draft.rng
    shade = float(rng.choice([0.0, 0.05, 0.15, 0.4]))
    light = draft.light if rng.random() < 0.7 else None
    return Paint("plain", int(rng.integers(2**31)), colour=draft.colour(), shade=shade, light=light)


def add_sticks(draft: Draft) -> None:
    """Rods, pens and cables 1 to 6 px thin before the rest, strewn or fanning out from a holder."""
    rng = draft.rng
    if rng.random() > 0.3:
        return
    bundle = rng.random() < 0.5
    foot = np.array([rng.uniform(0, draft.width + 0.5 * draft.high), rng.uniform(0.4, 1.1) * draft.height])
    depth = float(rng.uniform(0.3, 0.95))
    thick = log_uniform(rng, 1.0, 4.0) * draft.detail
    for _ in range(int(rng.integers(3, 14))):
        length = log_uniform(rng, 0.15, 0.6 if bundle else 1.3) * draft.height
        angle = float(rng.normal(-np.pi / 2, 0.4)) if rng.random() < 0.7 else float(rng.uniform(-np.pi, np.pi))
        if not bundle:
            foot = np.array([rng.uniform(0, draft.width + 0.5 * draft.high), rng.uniform(-0.2, 1.2) * draft.height])
            depth = float(rng.uniform(0.15, 1.0))
        along = np.array([np.cos(angle), np.sin(angle)])
        t = np.linspace(0, 1, 2 if rng.random() < 0.7 else 14)
        sag = rng.normal(0, 0.15) * length * (4 * t * (1 - t))
        line = foot + t[:, None] * along * length + sag[:, None] * (-along[1], along[0])
        shape = shapes.polyline(line, thick * float(rng.uniform(0.6, 1.5)))
        disparity = draft.at(depth) * float(rng.uniform(0.97, 1.0))
        # towards or away from the camera by up to a quarter over its length
        slope = along * disparity * float(np.clip(rng.normal(0, 0.12), -0.25, 0.25)) / length
        surface = Surface(disparity, float(slope[0]), float(slope[1]), x0=float(foot[0]), y0=float(foot[1]))
        paint = replace(draft.paint(plain=0.75), perspective=False)
        draft.add(surface, shapes.bounds(shape), paint, shape, finer=1.3)


def add_left_border(draft: Draft) -> None:
    """Near things across the left border, where the right view sees nothing of the surfaces."""
    rng = draft.rng
    if rng.random() > 0.3:
        return
    for _ in range(int(rng.integers(1, 4))):
        disparity = draft.at(float(rng.uniform(0.4, 0.98)))
        size = log_uniform(rng, 0.05, 0.5) * draft.width, log_uniform(rng, 0.2, 1.3) * draft.height
        centre = float(rng.uniform(-0.3, 1.2)) * disparity, float(rng.uniform(0.1, 1.0)) * draft.height
        add_object(draft, centre, size, disparity)


def light_differently(draft: Draft) -> None:
    """Another lamp while the right view was taken: every surface's brightness changes by its own factor."""
    rng = draft.rng
    if draft.light is None or rng.random() > 0.12:
        return
    direction = rng.normal(0, 1, 3) * (1.0, 0.6, 0.3) - (0.0, 0.3, 0.6)
    x, y, z = (float(part) for part in direction / np.linalg.norm(direction))
    light = replace(draft.light, direction=(x, y, z), ambient=float(rng.uniform(0.1, 0.6)))
    exposure = float(np.exp(rng.normal(0, 0.15)))
    draft.right_gains[:] = [
        exposure * _brighter(layer.surface, layer.box, draft.light, light) for layer in draft.layers
    ]


def _brighter(surface: Surface, box: tuple[float, float, float, float], old: Light, new: Light) -> float:
    x, y = np.array([(box[0] + box[2]) / 2]), np.array([(box[1] + box[3]) / 2])
    return float(np.clip(new.on(surface, x, y) / old.on(surface, x, y), 0.25, 2.5)[0])


HARD_CASES = {
    "blank": add_blank_surfaces,
    "sticks": add_sticks,
    "left border": add_left_border,
    "lamp": light_differently,
}
"""Features by name, in the order in which they change a draft; the last one looks at all layers."""
