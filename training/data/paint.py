"""Layers to sprites: outline, texture, tint and shading baked once into an RGBA raster that both views sample."""

from __future__ import annotations

import cv2
import numpy as np

from training.data.rasterizer import Sprite
from training.data.scene import Layer, Light, Paint, Shape
from training.data.surface import Surface
from training.data.textures import TextureLibrary, smooth_noise

__all__ = ["bake"]

_SUBPIXEL_BITS = 4
_SHADE_CELL = 8  # texels per value of the shading raster
_SHADE_UNIT = 160  # value of the 8-bit shading raster that leaves a colour as it is


def bake(layer: Layer, library: TextureLibrary) -> Sprite:
    """The layer's sprite; the texture is low-pass filtered to the raster's resolution first."""
    x0, y0, x1, y1 = layer.box
    scale = layer.texels_per_px
    size = max(2, int(np.ceil((x1 - x0) * scale)) + 1), max(2, int(np.ceil((y1 - y0) * scale)) + 1)
    rng = np.random.default_rng(layer.paint.seed)
    rgb = _texture(layer, size, library, rng)
    rgb = _tone(rgb, layer.paint)
    rgb = _shade(rgb, layer, rng)
    alpha = _alpha(layer.shape, (x0, y0), scale, size)
    return Sprite(cv2.merge((*cv2.split(rgb), alpha)), layer.surface, x0, y0, scale)


def _texture(layer: Layer, size: tuple[int, int], library: TextureLibrary, rng: np.random.Generator) -> np.ndarray:
    paint, scale = layer.paint, layer.texels_per_px
    if paint.source == "plain":
        return np.full((size[1], size[0], 3), paint.colour or (128, 128, 128), np.uint8)
    source = library.load(paint.source, paint.seed)
    if paint.frame is not None:
        return _framed(source, layer, size)
    if paint.whole:
        return cv2.resize(source, size, interpolation=_filter_for(source.shape[1] / size[0]))
    if paint.perspective:
        return _laid_in_depth(source, layer, size, rng)
    step = paint.density / scale
    if step > 1.0:
        shrunk = max(2, round(source.shape[1] / step)), max(2, round(source.shape[0] / step))
        source, step = cv2.resize(source, shrunk, interpolation=cv2.INTER_AREA), 1.0
    angle = np.deg2rad(paint.angle_deg)
    start = rng.random(2) * (source.shape[1], source.shape[0])
    matrix = step * np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0]])
    matrix[:, 2] = start
    return cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REFLECT_101)


def _filter_for(step: float) -> int:
    return cv2.INTER_AREA if step > 1.0 else cv2.INTER_LINEAR


def _framed(source: np.ndarray, layer: Layer, size: tuple[int, int]) -> np.ndarray:
    """The part of a photograph that covers the layer's box when the whole photograph covers `paint.frame`."""
    assert layer.paint.frame is not None
    fx0, fy0, fx1, fy1 = layer.paint.frame
    step_x = source.shape[1] / (fx1 - fx0) / layer.texels_per_px
    step_y = source.shape[0] / (fy1 - fy0) / layer.texels_per_px
    scale = layer.texels_per_px
    matrix = np.array([[step_x, 0.0, (layer.box[0] - fx0) * scale * step_x],
                       [0.0, step_y, (layer.box[1] - fy0) * scale * step_y]])
    return cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                          borderMode=cv2.BORDER_REFLECT_101)


def _laid_in_depth(source: np.ndarray, layer: Layer, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Texture fixed to the plane in space: coordinates across and along it, from depth = 1 / disparity."""
    surface, scale = layer.surface, layer.texels_per_px
    x = layer.box[0] + np.arange(size[0], dtype=np.float32)[None, :] / scale
    y = layer.box[1] + np.arange(size[1], dtype=np.float32)[:, None] / scale
    disparity = np.maximum(surface.disparity(x, y), 0.3)
    near = float(disparity.max())
    depth = near / disparity
    unit = layer.paint.density
    focal = 600.0
    floor_like = abs(surface.b) >= abs(surface.a)
    across, slope = (x - float(x.mean()), surface.b) if floor_like else (y - float(y.mean()), surface.a)
    u = (unit * across) * depth
    v = (unit * focal) * depth
    # geometric mean of the two directions' densities, in source pixels per texel
    density = unit / scale * depth * np.sqrt(np.maximum((focal * abs(slope) / near) * depth, 1.0))
    level = np.clip(np.rint(np.log2(np.maximum(density, 1.0))), 0, 5).astype(np.uint8)
    start = rng.random(2, dtype=np.float32) * np.float32(max(source.shape))
    result = np.empty((size[1], size[0], 3), np.uint8)
    for number in range(int(level.max()) + 1):
        rows, columns = np.nonzero((level == number).any(1))[0], np.nonzero((level == number).any(0))[0]
        if len(rows):
            area = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            factor = np.float32(0.5**number)
            part = cv2.remap(source, (u[area] + start[0]) * factor, (v[area] + start[1]) * factor,
                             cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
            cv2.copyTo(part, cv2.compare(level[area], number, cv2.CMP_EQ), result[area])
        source = cv2.resize(source, (max(1, source.shape[1] // 2), max(1, source.shape[0] // 2)),
                            interpolation=cv2.INTER_AREA)
    return result


def _tone(rgb: np.ndarray, paint: Paint) -> np.ndarray:
    """Contrast about the mean colour, and tint."""
    if paint.source == "plain" or (paint.contrast == 1.0 and paint.colour is None):
        return rgb
    mean = np.array(cv2.mean(rgb)[:3])
    target = mean if paint.colour is None else np.array(paint.colour)
    levels = np.arange(256, dtype=np.float32)[:, None]
    table = target + paint.contrast * (levels - mean)
    return cv2.LUT(rgb, np.clip(table, 0, 255).astype(np.uint8)[None])


def _shade(rgb: np.ndarray, layer: Layer, rng: np.random.Generator) -> np.ndarray:
    """Light on the surface, the same in both views: diffuse by slope, blotches, shadows."""
    paint = layer.paint
    if paint.light is None and paint.shade <= 0 and not layer.shadows:
        return rgb
    height, width = rgb.shape[:2]
    small = max(2, width // _SHADE_CELL), max(2, height // _SHADE_CELL)
    x0, y0 = layer.box[:2]
    x = np.linspace(x0, x0 + (width - 1) / layer.texels_per_px, small[0])[None, :]
    y = np.linspace(y0, y0 + (height - 1) / layer.texels_per_px, small[1])[:, None]
    field = np.ones(small[::-1])
    if paint.light is not None:
        field *= _diffuse(layer.surface, paint.light, x, y)
    if paint.shade > 0 and min(small) > 3:
        ramp = rng.normal(0, 0.5) * (x - x.mean()) / np.ptp(x) + rng.normal(0, 0.5) * (y - y.mean()) / np.ptp(y)
        blotches = rng.choice([0.3, 1.0]) * (smooth_noise(rng, int(rng.integers(2, 7)), *small) - 0.5)
        field *= np.exp(paint.shade * (ramp + blotches))
    for shadow in layer.shadows:
        cell = _SHADE_CELL / layer.texels_per_px
        mask = _alpha(shadow.shape, (x0, y0), 1 / cell, small).astype(np.float32)
        field *= 1 - shadow.depth / 255 * cv2.GaussianBlur(mask, (0, 0), max(shadow.blur_px / cell, 0.3))
    field = np.clip(_SHADE_UNIT * field, 0, 255).astype(np.uint8)
    field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(rgb, cv2.merge((field, field, field)), scale=1.0 / _SHADE_UNIT)


def _diffuse(surface: Surface, light: Light, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Lambert's law.  The tangent plane of 1/Z ~ d(x, y) has the normal (f d_x, f d_y, d - d_x x - d_y y)."""
    u, v = x - surface.x0, y - surface.y0
    slope_x = surface.a + 2 * surface.p * u + surface.q * v
    slope_y = surface.b + surface.q * u + 2 * surface.r * v
    depth = surface.disparity(x, y) - slope_x * (x - light.cx_px) - slope_y * (y - light.cy_px)
    normal = np.broadcast_arrays(light.focal_px * slope_x, light.focal_px * slope_y, depth)
    length = np.sqrt(sum(part * part for part in normal)) + 1e-9
    towards = -sum(part * axis for part, axis in zip(normal, light.direction, strict=True)) / length
    return 1.15 * (light.ambient + (1 - light.ambient) * np.maximum(towards, 0.0))


def _alpha(shape: Shape, origin: tuple[float, float], scale: float, size: tuple[int, int]) -> np.ndarray:
    """Outline as an antialiased raster, inside where >= 128."""
    if shape.bitmap is not None:
        return cv2.resize(shape.bitmap, size, interpolation=cv2.INTER_LINEAR)
    if not shape.groups:
        return np.full((size[1], size[0]), 255, np.uint8)
    alpha = np.zeros((size[1], size[0]), np.uint8)
    unit = scale * (1 << _SUBPIXEL_BITS)
    for contours in shape.groups:
        points = [np.rint((np.asarray(c) - origin) * unit).astype(np.int32) for c in contours]
        cv2.fillPoly(alpha, points, 255, cv2.LINE_AA, _SUBPIXEL_BITS)
    return alpha
