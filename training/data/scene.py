"""What a scene is made of: pure data, drawn from a seed, rendered by `rasterizer`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from training.data.surface import Box, Surface

_RASTER_LIMIT = 2.0  # texels per px: two are what the densest lattice reads

__all__ = ["Layer", "Light", "Paint", "Reflection", "Scene", "Shadow", "Shape"]


@dataclass(frozen=True)
class Shape:
    """An outline in left-view pixels: the union of groups of contours (even-odd inside a group), or a bitmap.

    ``bitmap`` is uint8 (h, w) stretched over the layer's box, inside where >= 128.  Neither means everything.
    """

    groups: tuple[tuple[np.ndarray, ...], ...] = ()
    bitmap: np.ndarray | None = None

    def scaled(self, factor: float) -> Shape:
        """The outline in a picture ``factor`` times as large."""
        return replace(self, groups=tuple(tuple(np.asarray(c) * factor for c in group) for group in self.groups))


@dataclass(frozen=True)
class Light:
    """A distant lamp for diffuse shading: unit direction towards it (camera axes), share of ambient light.

    The focal length and principal point (px) turn disparity gradients into surface normals.
    """

    direction: tuple[float, float, float]
    ambient: float
    focal_px: float
    cx_px: float
    cy_px: float

    def on(self, surface: Surface, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Brightness of a surface at left-view positions, by Lambert's law.

        The tangent plane of 1/Z ~ d(x, y) has the normal (f d_x, f d_y, d - d_x x - d_y y).
        """
        u, v = x - surface.x0, y - surface.y0
        slope_x = surface.a + 2 * surface.p * u + surface.q * v
        slope_y = surface.b + surface.q * u + 2 * surface.r * v
        depth = surface.disparity(x, y) - slope_x * (x - self.cx_px) - slope_y * (y - self.cy_px)
        normal = np.broadcast_arrays(self.focal_px * slope_x, self.focal_px * slope_y, depth)
        length = np.sqrt(sum(part * part for part in normal)) + 1e-9
        towards = -sum(part * axis for part, axis in zip(normal, self.direction, strict=True)) / length
        return 1.15 * (self.ambient + (1 - self.ambient) * np.maximum(towards, 0.0))

    def scaled(self, factor: float) -> Light:
        """The light over a picture ``factor`` times as large."""
        return replace(self, focal_px=self.focal_px * factor, cx_px=self.cx_px * factor, cy_px=self.cy_px * factor)


@dataclass(frozen=True)
class Shadow:
    """An outline (left-view px) inside which a surface is darkened by ``depth`` (0..1), softened by ``blur_px``."""

    shape: Shape
    depth: float
    blur_px: float

    def scaled(self, factor: float) -> Shadow:
        """The shadow in a picture ``factor`` times as large."""
        return replace(self, shape=self.shape.scaled(factor), blur_px=self.blur_px * factor)


@dataclass(frozen=True)
class Paint:
    """The look of a surface.

    ``source`` names a photograph (index into the texture library, "photo:12"), a procedural pattern
    ("pattern:bricks") or "plain".  ``density`` is source pixels per left-view pixel; ``contrast`` scales the
    texture about its mean colour; ``colour`` RGB in 0..255 replaces (plain, pattern) or tints; ``shade`` is
    the strength of blotchy light; ``light`` adds diffuse shading by the surface's slope; ``perspective`` lays
    the texture on the plane as a camera of ``focal_px`` sees it in depth; ``whole`` shows the whole photograph
    over the layer's box, and ``frame`` the part that falls into that box when the whole covers the frame.
    """

    source: str
    seed: int
    density: float = 1.0
    angle_deg: float = 0.0
    contrast: float = 1.0
    colour: tuple[float, float, float] | None = None
    shade: float = 0.2
    perspective: bool = False
    focal_px: float = 600.0
    whole: bool = False
    frame: Box | None = None
    light: Light | None = None

    def scaled(self, factor: float) -> Paint:
        """The look in a picture ``factor`` times as large."""
        return replace(
            self,
            density=self.density / factor,
            focal_px=self.focal_px * factor,
            frame=None if self.frame is None else _scaled_box(self.frame, factor),
            light=None if self.light is None else self.light.scaled(factor),
        )


@dataclass(frozen=True)
class Layer:
    """One opaque piece of surface; where layers overlap the larger disparity is seen."""

    surface: Surface
    box: Box
    paint: Paint
    shape: Shape = field(default_factory=Shape)
    texels_per_px: float = 1.5
    shadows: tuple[Shadow, ...] = ()

    def scaled(self, factor: float) -> Layer:
        """The layer in a picture ``factor`` times as large; its raster keeps the texels that a lattice can show."""
        return replace(
            self,
            surface=self.surface.scaled(factor),
            box=_scaled_box(self.box, factor),
            paint=self.paint.scaled(factor),
            shape=self.shape.scaled(factor),
            texels_per_px=max(self.texels_per_px, min(self.texels_per_px / factor, _RASTER_LIMIT)),
            shadows=tuple(shadow.scaled(factor) for shadow in self.shadows),
        )

    def reflected_box(self, mirrored: Surface) -> Box:
        """The part of a mirrored surface that is seen in this layer by either view."""
        x0, y0, x1, y1 = self.box
        corners = self.surface.disparity(np.array([x0, x1]), np.array([[y0], [y1]]))
        # a point on the mirror at x shows the mirrored one at x in the left view, x - d + d' in the right one
        return x0 - max(0.0, float(corners.max()) - mirrored.c) - 1, y0, x1 + 1, y1


@dataclass(frozen=True)
class Reflection:
    """Something mirrored in a layer: its picture lies at ``surface`` and is blended over that layer only.

    The label stays the mirroring layer's own.
    """

    layer: int
    surface: Surface
    paint: Paint
    opacity: float

    def scaled(self, factor: float) -> Reflection:
        """The reflection in a picture ``factor`` times as large."""
        return replace(self, surface=self.surface.scaled(factor), paint=self.paint.scaled(factor))


@dataclass(frozen=True)
class Scene:
    """Layers over a rectified camera pair; ``vertical_*`` is the right camera's residual row error.

    A surface point on left row y appears on right row ``y - vertical_offset_px - vertical_scale * (y - H/2)``.
    ``right_gains`` are factors of the layers' brightness in the right view, none for the same light in both.
    """

    width_px: int
    height_px: int
    min_disparity_px: float
    max_disparity_px: float
    layers: tuple[Layer, ...]
    family: str
    reflections: tuple[Reflection, ...] = ()
    vertical_offset_px: float = 0.0
    vertical_scale: float = 0.0
    right_gains: tuple[float, ...] = ()

    def scaled(self, factor: float, width_px: int, height_px: int) -> Scene:
        """The scene in a picture ``factor`` times as large, cut to a size."""
        # the vertical error counts rows from the picture's middle, which the cut may move
        shift = self.vertical_scale * (height_px - factor * self.height_px) / 2
        return Scene(
            width_px,
            height_px,
            self.min_disparity_px * factor,
            self.max_disparity_px * factor,
            tuple(layer.scaled(factor) for layer in self.layers),
            self.family,
            tuple(item.scaled(factor) for item in self.reflections),
            vertical_offset_px=self.vertical_offset_px * factor + shift,
            vertical_scale=self.vertical_scale,
            right_gains=self.right_gains,
        )


def _scaled_box(box: Box, factor: float) -> Box:
    x0, y0, x1, y1 = box
    return x0 * factor, y0 * factor, x1 * factor, y1 * factor
