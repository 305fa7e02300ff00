"""Shadows and reflections between the surfaces of a finished draft."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.data.draft import Draft, log_uniform
from training.data.scene import Layer, Reflection, Shadow, Shape
from training.data.surface import Surface

__all__ = ["add_reflections", "cast_shadows"]


def cast_shadows(draft: Draft) -> None:
    """Soft shadows of things on the large surfaces behind them, fixed to those surfaces."""
    rng = draft.rng
    if rng.random() < 0.4:
        return
    area = draft.width * draft.height
    large = [
        n
        for n, item in enumerate(draft.layers)
        if _area(item) > 0.3 * area and not item.shape.groups and item.shape.bitmap is None
    ]
    depth, blur = float(rng.uniform(0.2, 0.75)), log_uniform(rng, 1.0, 16.0)
    direction = -np.array(draft.light.direction[:2]) if draft.light is not None else np.array([0.0, 1.0])
    casters = [item for item in draft.layers if item.shape.groups and _area(item) > 300]
    for number in large:
        layer = draft.layers[number]
        shadows = []
        for caster in casters:
            x, y = (caster.box[0] + caster.box[2]) / 2, (caster.box[1] + caster.box[3]) / 2
            gap = caster.surface.at(x, y) - layer.surface.at(x, y)
            if gap > 0 and rng.random() < 0.7:
                shift = direction * np.clip(gap / draft.high, 0.02, 0.3) * 0.6 * draft.height
                moved = Shape(tuple(tuple(c + shift for c in group) for group in caster.shape.groups))
                shadows.append(Shadow(moved, depth, blur))
        draft.layers[number] = replace(layer, shadows=tuple(shadows[:24]))


def _area(layer: Layer) -> float:
    return (layer.box[2] - layer.box[0]) * (layer.box[3] - layer.box[1])


def add_reflections(draft: Draft) -> None:
    """Some surfaces reflect something that lies behind them; they keep their own label."""
    rng = draft.rng
    if rng.random() > 0.25:
        return
    for _ in range(int(rng.integers(1, 4))):
        number = int(rng.integers(len(draft.layers)))
        layer = draft.layers[number]
        if _area(layer) < 2500:
            continue
        x, y = (layer.box[0] + layer.box[2]) / 2, (layer.box[1] + layer.box[3]) / 2
        behind = max(0.3, layer.surface.at(x, y) * float(rng.uniform(0.2, 0.9)))
        paint = replace(draft.paint(plain=0.0), light=None)
        draft.reflections.append(Reflection(number, Surface(behind), paint, float(rng.uniform(0.08, 0.4))))
