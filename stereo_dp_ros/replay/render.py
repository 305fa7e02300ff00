"""Renders textured planes and spheres as a rectified pair sees them, with exact disparity.

For a plane the homogeneous coordinates (u/Z, v/Z, 1/Z) of what a pixel sees are affine in the pixel, so
disparity fx·B·(1/Z) − doffs is exact at every sub-pixel position. Colours are supersampled 2×2 and filtered
from mip-maps (trilinear); ground truth is the nearest surface at the very centre of each pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay.textures import Texture

__all__ = ["Quad", "Shadow", "Sphere", "Surface", "View", "render_disparity", "render_image"]

Vector = NDArray[np.float64]
_SUPERSAMPLING = 2
_LIGHT = np.array((-0.45, -0.80, -0.40)) / np.linalg.norm((-0.45, -0.80, -0.40))  # towards the light
_AMBIENT = 0.58
_NEAR_M = 0.05
_ANISOTROPY = 0.7  # how far a foreshortened footprint is taken by its long side (1) and not by its short one (0)


@dataclass(frozen=True)
class Quad:
    """A textured parallelogram: origin + s·across + t·down (m) has the texture coordinates (s, t) in 0…1."""

    origin: Vector
    across: Vector
    down: Vector
    texture: Texture
    lit: bool = True


@dataclass(frozen=True)
class Sphere:
    """A textured sphere; `rotation` (3, 3) turns its own axes (poles on y) into the frame of `centre` (m)."""

    centre: Vector
    radius_m: float
    texture: Texture
    rotation: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))


@dataclass(frozen=True)
class Shadow:
    """A soft dark ellipse on a plane that is drawn already; it darkens only that plane and has no depth."""

    origin: Vector
    across: Vector
    down: Vector
    strength: float


Surface = Quad | Sphere | Shadow


@dataclass(frozen=True)
class View:
    """Pixels of one camera as seen from the left camera's frame.

    Pixel (x, y) of the view has the ray ((x − cx)/fx, (y − cy)/fy, 1) and starts at (offset_m, 0, 0).
    """

    width_px: int
    height_px: int
    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float
    offset_m: float

    @classmethod
    def of(cls, calibration: StereoCalibration, side: str, scale: int = 1) -> View:
        """The `left` or `right` camera, with each pixel cut into scale × scale samples."""
        right = side == "right"
        cx_px = calibration.cx_right_px if right else calibration.cx_left_px
        return cls(
            width_px=calibration.width_px * scale,
            height_px=calibration.height_px * scale,
            fx_px=calibration.fx_px * scale,
            fy_px=calibration.fy_px * scale,
            cx_px=(cx_px + 0.5) * scale - 0.5,
            cy_px=(calibration.cy_px + 0.5) * scale - 0.5,
            offset_m=calibration.baseline_m if right else 0.0,
        )

    def rays(self, window: Window) -> tuple[Vector, Vector]:
        """The rays' x for the window's columns, (1, w), and y for its rows, (h, 1)."""
        columns = np.arange(window.x, window.x + window.width, dtype=np.float64)
        rows = np.arange(window.y, window.y + window.height, dtype=np.float64)
        return (columns[None] - self.cx_px) / self.fx_px, (rows[:, None] - self.cy_px) / self.fy_px


@dataclass(frozen=True)
class Window:
    """A rectangle of a view's pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


@dataclass(frozen=True)
class _Hit:
    """What the pixels of a window see of one surface: 1/Z (−1 = nothing), texture coordinates, light."""

    window: Window
    inverse_depth: NDArray[np.float32]
    s: NDArray[np.float32]
    t: NDArray[np.float32]
    shade: float | NDArray[np.float32]
    lod: NDArray[np.float32]
    border: int


def render_image(surfaces: Sequence[Surface], calibration: StereoCalibration, side: str) -> NDArray[np.uint8]:
    """What the `left` or `right` camera sees, uint8 (H, W, 3) RGB, of surfaces in the left camera's frame."""
    view = View.of(calibration, side, _SUPERSAMPLING)
    image = np.zeros((view.height_px, view.width_px, 3), np.uint8)
    nearest = np.zeros((view.height_px, view.width_px), np.float32)
    for surface in surfaces:
        if isinstance(surface, Shadow):
            _darken(surface, view, image, nearest)
            continue
        hit = _hit(surface, view)
        if hit is None:
            continue
        visible = hit.inverse_depth > nearest[hit.window.slices]
        colour = _sample(surface.texture, hit)
        if surface.texture.has_coverage:
            visible &= colour[..., 3] > 127.5
            colour = colour[..., :3] * (np.float32(255) / np.maximum(colour[..., 3:], np.float32(1)))
        shade = np.asarray(hit.shade, np.float32)[..., None]
        shaded = np.clip(colour * shade + np.float32(0.5), 0, 255).astype(np.uint8)
        mask = visible.astype(np.uint8)
        cv2.copyTo(shaded, mask, image[hit.window.slices])
        np.copyto(nearest[hit.window.slices], hit.inverse_depth, where=visible)
    size = (calibration.width_px, calibration.height_px)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def render_disparity(surfaces: Sequence[Surface], calibration: StereoCalibration) -> NDArray[np.float32]:
    """Plain disparity of the left image at its pixel centres: float32 (H, W) px, NaN where no surface is."""
    view = View.of(calibration, "left")
    nearest = np.zeros((view.height_px, view.width_px), np.float32)
    for surface in surfaces:
        if isinstance(surface, Shadow):
            continue
        hit = _hit(surface, view)
        if hit is None:
            continue
        visible = hit.inverse_depth > nearest[hit.window.slices]
        if surface.texture.has_coverage:
            visible &= _sample(surface.texture, hit)[..., 3] > 127.5
        np.copyto(nearest[hit.window.slices], hit.inverse_depth, where=visible)
    nearest[nearest <= 0] = np.nan
    focal_baseline = np.float32(calibration.fx_px * calibration.baseline_m)
    return focal_baseline * nearest - np.float32(calibration.doffs_px)


def _hit(surface: Quad | Sphere, view: View) -> _Hit | None:
    return _hit_quad(surface, view) if isinstance(surface, Quad) else _hit_sphere(surface, view)


def _plane_coordinates(
    quad: Quad | Shadow, view: View, window: Window
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """1/Z and the texture coordinates s and t of the quad's plane at the window's pixels."""
    eye = np.array((view.offset_m, 0.0, 0.0))
    to_plane = np.linalg.inv(np.stack([quad.across, quad.down, quad.origin - eye], axis=1))
    rays_x, rays_y = view.rays(window)
    s_over_z, t_over_z, inverse_depth = (
        (row[0] * rays_x + (row[1] * rays_y + row[2])).astype(np.float32) for row in to_plane
    )
    depth = 1.0 / np.where(inverse_depth > 1e-6, inverse_depth, np.float32(1e-6))
    return inverse_depth, s_over_z * depth, t_over_z * depth


def _hit_quad(quad: Quad, view: View) -> _Hit | None:
    corners = [quad.origin + s * quad.across + t * quad.down for s in (0, 1) for t in (0, 1)]
    window = _window(np.array(corners), view)
    normal = np.cross(quad.across, quad.down)
    area = float(np.linalg.norm(normal))
    if window is None or abs(float(normal @ (quad.origin - (view.offset_m, 0, 0)))) < 1e-9 * area:
        return None
    normal /= area
    inverse_depth, s, t = _plane_coordinates(quad, view, window)
    inside = (inverse_depth > 1e-6) & (s >= 0) & (s < 1) & (t >= 0) & (t < 1)
    if not inside.any():
        return None
    rays_x, rays_y = (ray.astype(np.float32) for ray in view.rays(window))
    facing = np.abs(np.float32(normal[0]) * rays_x + (np.float32(normal[1]) * rays_y + np.float32(normal[2])))
    width_px, height_px = quad.texture.size_px
    texels_per_m = np.sqrt(width_px * height_px / area)
    footprint_m = 1.0 / (view.fx_px * np.maximum(inverse_depth, 1e-3))
    lod = np.log2(texels_per_m * footprint_m) - _ANISOTROPY * np.log2(np.maximum(facing, 0.02))
    towards_eye = normal if float(normal @ quad.origin) < 0 else -normal
    shade = _lit(towards_eye @ _LIGHT) if quad.lit else 1.0
    border = cv2.BORDER_CONSTANT if quad.texture.has_coverage else cv2.BORDER_REPLICATE
    return _Hit(
        window,
        np.where(inside, inverse_depth, np.float32(-1.0)),
        s,
        t,
        float(shade),
        lod.astype(np.float32),
        border,
    )


def _hit_sphere(sphere: Sphere, view: View) -> _Hit | None:
    centre = sphere.centre - (view.offset_m, 0.0, 0.0)
    box = sphere.centre + sphere.radius_m * np.array(list(product((-1, 1), repeat=3)))
    window = _window(box, view)
    if window is None:
        return None
    rays_x, rays_y = view.rays(window)
    squared = rays_x**2 + rays_y**2 + 1.0
    along = rays_x * centre[0] + (rays_y * centre[1] + centre[2])
    discriminant = along**2 - squared * (centre @ centre - sphere.radius_m**2)
    inside = discriminant > 0
    if not inside.any():
        return None
    depth = (along - np.sqrt(np.maximum(discriminant, 0))) / squared
    normal = np.stack([depth * rays_x - centre[0], depth * rays_y - centre[1], depth - centre[2]], axis=-1)
    normal = (normal / sphere.radius_m).astype(np.float32)
    own = normal @ sphere.rotation.astype(np.float32)
    s = np.arctan2(own[..., 0], -own[..., 2]) / np.float32(2 * np.pi) + np.float32(0.5)
    t = np.arccos(np.clip(own[..., 1], -1, 1)) / np.float32(np.pi)
    facing = np.maximum(-(normal[..., 0] * rays_x + normal[..., 1] * rays_y + normal[..., 2]), 0.05)
    texels_per_m = sphere.texture.size_px[0] / (2 * np.pi * sphere.radius_m)
    lod = np.log2(texels_per_m * depth / view.fx_px) - _ANISOTROPY * np.log2(facing)
    inverse_depth = np.where(inside, 1.0 / np.maximum(depth, 1e-6), -1.0).astype(np.float32)
    shade = _lit(normal @ _LIGHT.astype(np.float32)).astype(np.float32)
    return _Hit(window, inverse_depth, s, t, shade, lod.astype(np.float32), cv2.BORDER_WRAP)


def _window(corners: Vector, view: View) -> Window | None:
    """The pixels around the projections of corners; the whole view when one is behind the camera."""
    depth = corners[:, 2]
    if depth.max() < _NEAR_M:
        return None
    if depth.min() < _NEAR_M:
        return Window(0, 0, view.width_px, view.height_px)
    x = view.fx_px * (corners[:, 0] - view.offset_m) / depth + view.cx_px
    y = view.fy_px * corners[:, 1] / depth + view.cy_px
    left, top = max(int(np.floor(x.min())), 0), max(int(np.floor(y.min())), 0)
    right = min(int(np.ceil(x.max())) + 1, view.width_px)
    bottom = min(int(np.ceil(y.max())) + 1, view.height_px)
    if right <= left or bottom <= top:
        return None
    return Window(left, top, right - left, bottom - top)


def _lit(cosine: NDArray[np.floating] | float) -> NDArray[np.floating]:
    """Brightness of a matt surface whose normal has this cosine to the light."""
    return np.asarray(_AMBIENT + (1.12 - _AMBIENT) * np.maximum(cosine, 0.0))


def _sample(texture: Texture, hit: _Hit) -> NDArray[np.float32]:
    """Trilinear texture colours, float32 (h, w, channels) in 0…255; only valid where the surface was hit."""
    seen = hit.inverse_depth > 0
    last = len(texture.levels) - 1
    lod = np.clip(hit.lod, 0, last)
    colour = np.zeros((*seen.shape, texture.levels[0].shape[2]), np.float32)
    levels = lod[seen]
    for level in range(int(levels.min()), min(int(np.ceil(levels.max())), last) + 1):
        weight = np.maximum(1.0 - np.abs(lod - level), 0.0, dtype=np.float32)
        for part in _parts(seen & (weight > 0)):
            colour[part] += weight[part][..., None] * _bilinear(texture.levels[level], hit, part)
    return colour


def _parts(mask: NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
    """The bounding rectangle of the mask, if it has a pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size:
        yield slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _bilinear(level: NDArray[np.uint8], hit: _Hit, part: tuple[slice, slice]) -> NDArray[np.uint8]:
    height, width = level.shape[:2]
    x = hit.s[part] * np.float32(width) - np.float32(0.5)
    y = hit.t[part] * np.float32(height) - np.float32(0.5)
    return np.asarray(cv2.remap(level, x, y, cv2.INTER_LINEAR, borderMode=hit.border), np.uint8)


def _darken(shadow: Shadow, view: View, image: NDArray[np.uint8], nearest: NDArray[np.float32]) -> None:
    """Multiply the pixels of the plane under a shadow by 1 − strength, falling off to the ellipse's rim."""
    corners = [shadow.origin + s * shadow.across + t * shadow.down for s in (0, 1) for t in (0, 1)]
    window = _window(np.array(corners), view)
    if window is None:
        return
    inverse_depth, s, t = _plane_coordinates(shadow, view, window)
    on_plane = np.abs(inverse_depth - nearest[window.slices]) < 1e-4
    radius_squared = np.minimum((2 * s - 1) ** 2 + (2 * t - 1) ** 2, 1.0)
    dimmed = 1.0 - shadow.strength * np.where(on_plane, (1.0 - radius_squared) ** 1.5, 0.0)
    part = image[window.slices]
    part[...] = (part * dimmed[..., None] + 0.5).astype(np.uint8)
