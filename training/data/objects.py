"""Single-sheet things: cut-outs on slanted or bent surfaces, anywhere in the picture."""

from __future__ import annotations

import numpy as np

from training.data import shapes
from training.data.draft import Draft, log_uniform
from training.data.surface import Surface

__all__ = ["add_clutter", "add_object", "relief"]

_KINDS = {
    "blob": 0.25,
    "rectangle": 0.2,
    "polygon": 0.11,
    "frame": 0.07,
    "strokes": 0.11,
    "grille": 0.06,
    "foliage": 0.06,
    "ring": 0.07,
    "leaves": 0.07,
}
_SHEETS = {
    "blob": shapes.blob,
    "rectangle": shapes.rectangle,
    "polygon": shapes.polygon,
    "frame": shapes.frame,
    "foliage": shapes.foliage,
    "ring": shapes.ring,
}


def relief(draft: Draft, centre: tuple[float, float], size: tuple[float, float], disparity: float) -> Surface:
    """A surface through the centre: fronto-parallel, slanted, or bent."""
    rng = draft.rng
    # a plane inclined by t has the disparity gradient d tan(t) / f; a ball of radius R px bulges by d R / f
    per_px = disparity / draft.camera.focal_px
    tilt = per_px * np.tan(rng.normal(0, rng.choice([0.0, 0.3, 0.8], p=[0.25, 0.45, 0.3]), 2).clip(-1.3, 1.3))
    bend = np.zeros(3)
    if rng.random() < 0.45 and "bent" not in draft.without:
        bulge = -per_px * rng.choice([1.0, 1.0, -1.0]) * rng.gamma(2.0, 0.8)
        across, both, along = rng.uniform(0, 1), rng.normal(0, 0.3), rng.uniform(0, 1)
        bend = bulge * np.array([across / size[0], both / np.sqrt(size[0] * size[1]), along / size[1]])
    return Surface(disparity, tilt[0], tilt[1], bend[0], bend[1], bend[2], *centre)


def add_object(draft: Draft, centre: tuple[float, float], size: tuple[float, float], disparity: float) -> None:
    """One thing of a random kind."""
    rng = draft.rng
    kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
    if kind in ("strokes", "grille") and "thin" in draft.without:
        kind = "rectangle"
    if kind == "leaves":
        paint = draft.paint(plain=0.6)
        for shape in shapes.leaves(rng, centre, size):
            near = disparity * rng.uniform(0.9, 1.1)
            draft.add(relief(draft, centre, size, near), shapes.bounds(shape), paint, shape)
        return
    thin_px = log_uniform(rng, draft.detail, 5.0)
    if kind in _SHEETS:
        shape = _SHEETS[kind](rng, centre, size)
    elif kind == "strokes":
        shape = shapes.strokes(rng, centre, (size[0], size[1] * rng.uniform(1, 3)), thin_px)
    else:
        shape = shapes.grille(rng, centre, size, thin_px)
    plain = 0.6 if kind in ("strokes", "grille", "frame", "ring") else 0.35
    draft.add(relief(draft, centre, size, disparity), shapes.bounds(shape), draft.paint(plain=plain), shape)


def add_clutter(draft: Draft, count: int, depth: tuple[float, float], size_px: tuple[float, float]) -> None:
    """Things of log-uniform size anywhere, more of them far than near; ``depth`` is a part of the range.

    There are ``count`` of them times the scene's detail.
    """
    rng = draft.rng
    for _ in range(round(count * draft.detail)):
        near = rng.uniform(0, 1) ** 1.5
        disparity = draft.at(depth[0] + (depth[1] - depth[0]) * near)
        size = log_uniform(rng, *size_px) * np.exp(rng.normal(0, 0.3, 2)) * (0.6 + 0.8 * near)
        width, height = np.minimum(size, 0.8 * draft.width)
        centre = float(rng.uniform(0, draft.width + disparity)), float(rng.uniform(0, draft.height))
        add_object(draft, centre, (float(width), float(height)), float(disparity))
