"""What a scene is made of: pure data, drawn from a seed, rendered by `rasterizer`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.data.surface import Box, Surface

__all__ = ["Layer", "Paint", "Scene", "Shape"]


@dataclass(frozen=True)
class Shape:
    """An outline in left-view pixels: the union of groups of contours (even-odd inside a group), or a bitmap.

    ``bitmap`` is uint8 (h, w) stretched over the layer's box, inside where >= 128.  Neither means everything.
    """

    groups: tuple[tuple[np.ndarray, ...], ...] = ()
    bitmap: np.ndarray | None = None


@dataclass(frozen=True)
class Paint:
    """The look of a surface.

    ``source`` names a photograph (index into the texture library, "photo:12"), a procedural pattern
    ("pattern:bricks") or "plain".  ``density`` is source pixels per left-view pixel; ``contrast`` scales the
    texture about its mean colour; ``colour`` RGB in 0..255 replaces (plain, pattern) or tints; ``shade`` is
    the strength of smooth shading in 0..1; ``perspective`` lays the texture on the plane as seen in depth.
    """

    source: str
    seed: int
    density: float = 1.0
    angle_deg: float = 0.0
    contrast: float = 1.0
    colour: tuple[float, float, float] | None = None
    shade: float = 0.2
    perspective: bool = False
    whole: bool = False
    frame: Box | None = None


@dataclass(frozen=True)
class Layer:
    """One opaque piece of surface; where layers overlap the larger disparity is seen."""

    surface: Surface
    box: Box
    paint: Paint
    shape: Shape = field(default_factory=Shape)
    texels_per_px: float = 1.5


@dataclass(frozen=True)
class Scene:
    """Layers over a rectified camera pair; ``vertical_*`` is the right camera's residual row error.

    A surface point on left row y appears on right row ``y - vertical_offset_px - vertical_scale * (y - H/2)``.
    """

    width_px: int
    height_px: int
    min_disparity_px: float
    max_disparity_px: float
    layers: tuple[Layer, ...]
    family: str
    vertical_offset_px: float = 0.0
    vertical_scale: float = 0.0
