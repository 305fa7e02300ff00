"""Layers to sprites: outline, texture, tint and shading baked once into an RGBA raster that both views sample."""

from __future__ import annotations

import cv2
import numpy as np

from training.data.rasterizer import Sprite
from training.data.scene import Layer, Paint, Shape
from training.data.textures import TextureLibrary, smooth_noise

__all__ = ["bake"]

_SUBPIXEL_BITS = 4
_SHARPER = 0.25  # added to the exact mip level before it is cut to a whole one
_SHADE_CELL = 8  # texels per value of the shading raster
_SHADE_ALONE = 90  # texels; smaller surfaces have no blotches
_SHADE_UNIT = 160  # value of the 8-bit shading raster that leaves a colour as it is


def bake(layer: Layer, library: TextureLibrary) -> Sprite:
    """The layer's sprite; the texture is low-pass filtered to the raster's resolution first."""
    x0, y0, x1, y1 = layer.box
    scale = layer.texels_per_px
    size = max(2, int(np.ceil((x1 - x0) * scale)) + 1), max(2, int(np.ceil((y1 - y0) * scale)) + 1)
    rng = np.random.default_rng(layer.paint.seed)
    rgb = _texture(layer, size, library, rng)
    rgb = _shade(rgb, layer, rng)
    alpha = _alpha(layer.shape, (x0, y0), scale, size)
    rgba = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
    cv2.insertChannel(alpha, rgba, 3)
    return Sprite(rgba, layer.surface, x0, y0, scale)


def _texture(layer: Layer, size: tuple[int, int], library: TextureLibrary, rng: np.random.Generator) -> np.ndarray:
    """The layer's colours before shading."""
    paint = layer.paint
    if paint.source == "plain":
        return cv2.merge([np.full((size[1], size[0]), int(c), np.uint8) for c in paint.colour or (128, 128, 128)])
    levels, table = library.load(paint.source, paint.seed)
    sample = _laid_in_depth if paint.perspective else _flat
    image = sample(levels, layer, size, rng)
    if table is not None:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    return _tone(image, paint, table)


def _tone(rgb: np.ndarray, paint: Paint, table: np.ndarray | None) -> np.ndarray:
    """Colours of a pattern's gray levels, then contrast about the mean colour, and tint."""
    if table is None:
        if paint.contrast == 1.0 and paint.colour is None:
            return rgb
        mean = np.array(cv2.mean(rgb[::4, ::4])[:3])
        target = mean if paint.colour is None else np.array(paint.colour)
        offset = target - paint.contrast * mean
        return cv2.add(cv2.convertScaleAbs(rgb, alpha=paint.contrast), (*offset, 0.0))
    mean = table.mean(0)
    target = mean if paint.colour is None else np.array(paint.colour)
    return cv2.LUT(rgb, np.clip(target + paint.contrast * (table - mean), 0, 255).astype(np.uint8)[None])


def _flat(levels: list[np.ndarray], layer: Layer, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Texture parallel to the picture, or a photograph over a frame."""
    paint, scale = layer.paint, layer.texels_per_px
    matrix = np.zeros((2, 3))  # texel to source pixel
    if paint.frame is not None or paint.whole:
        x0, y0, x1, y1 = paint.frame or layer.box
        height, width = levels[0].shape[:2]
        matrix[0] = np.array([1, 0, (layer.box[0] - x0) * scale]) * (width / (x1 - x0) / scale)
        matrix[1] = np.array([0, 1, (layer.box[1] - y0) * scale]) * (height / (y1 - y0) / scale)
    else:
        step, angle = paint.density / scale, np.deg2rad(paint.angle_deg)
        matrix[:, :2] = step * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        # the middle of the layer shows a random spot that keeps the layer inside the picture where it fits
        room = np.array(levels[0].shape[1::-1]) - np.abs(matrix[:, :2]) @ size
        spot = np.array(levels[0].shape[1::-1]) / 2 + rng.uniform(-0.5, 0.5, 2) * np.maximum(room, 40)
        matrix[:, 2] = spot - matrix[:, :2] @ (np.array(size) / 2)
    level = _level(float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))), len(levels))
    return cv2.warpAffine(
        levels[level],
        _at_level(matrix, level),
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _level(step: float, count: int) -> int:
    """The mip level for a step of source pixels per texel, rather too sharp: both views see the same raster."""
    return int(np.clip(np.floor(np.log2(max(step, 1.0)) + _SHARPER), 0, count - 1))


def _at_level(matrix: np.ndarray, level: int) -> np.ndarray:
    """A map to source pixels as a map to a mip level's pixels (pixel centres at integers)."""
    scaled = matrix.copy()
    factor = 0.5**level
    scaled[:2] = matrix[:2] * factor
    scaled[:2, -1] += (0.5 * factor - 0.5) * (1.0 if len(matrix) == 2 else matrix[2, -1])
    if len(matrix) == 3:
        scaled[:2, :2] += (0.5 * factor - 0.5) * matrix[2, :2]
    return scaled


def _laid_in_depth(
    levels: list[np.ndarray], layer: Layer, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Texture fixed to a plane in space: a homography, since depth is 1 / disparity and that is affine."""
    surface, scale, unit = layer.surface, layer.texels_per_px, layer.paint.density
    focal = layer.paint.focal_px
    x0, y0, x1, y1 = layer.box
    corners = surface.disparity(np.array([x0, x1]), np.array([[y0], [y1]]))
    near = float(corners.max())
    row = np.array([surface.a, surface.b, surface.c - surface.a * surface.x0 - surface.b * surface.y0])
    floor_like = abs(surface.b) >= abs(surface.a)
    slope = surface.b if floor_like else surface.a
    # disparity can be varied in two ways over the source: across the plane and along its depth
    across = np.array([1.0, 0.0, -(x0 + x1) / 2]) if floor_like else np.array([0.0, 1.0, -(y0 + y1) / 2])
    start = rng.uniform(0, max(levels[0].shape), 2)
    matrix = np.stack([unit * near * across + start[0] * row, unit * near * focal * np.eye(3)[2] + start[1] * row, row])
    matrix = matrix @ np.array([[1 / scale, 0, x0], [0, 1 / scale, y0], [0, 0, 1]])

    # geometric mean of the two directions' densities, in source pixels per texel
    cells = max(2, size[0] // 8), max(2, size[1] // 8)
    disparity = surface.disparity(np.linspace(x0, x1, cells[0])[None, :], np.linspace(y0, y1, cells[1])[:, None])
    depth = near / np.maximum(disparity, 0.02 * near)
    density = unit / scale * depth * np.sqrt(np.maximum(focal * abs(slope) / near * depth, 1.0))
    level_map = np.clip(np.floor(np.log2(np.maximum(density, 1.0)) + _SHARPER), 0, len(levels) - 1).astype(np.uint8)
    level_map = cv2.resize(level_map, size, interpolation=cv2.INTER_NEAREST)
    result = np.zeros((size[1], size[0], *levels[0].shape[2:]), np.uint8)
    for level in range(int(level_map.min()), int(level_map.max()) + 1):
        mask = cv2.compare(level_map, level, cv2.CMP_EQ)
        x, y, width, height = cv2.boundingRect(mask)
        if width == 0:
            continue
        moved = _at_level(matrix, level) @ np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])
        part = cv2.warpPerspective(
            levels[level],
            moved,
            (width, height),
            borderMode=cv2.BORDER_REFLECT_101,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        area = slice(y, y + height), slice(x, x + width)
        cv2.copyTo(part, mask[area], result[area])
    return result


def _shade(rgb: np.ndarray, layer: Layer, rng: np.random.Generator) -> np.ndarray:
    """Light on the surface, the same in both views: diffuse by slope, blotches, shadows."""
    paint = layer.paint
    if paint.light is None and paint.shade <= 0 and not layer.shadows:
        return rgb
    height, width = rgb.shape[:2]
    blotchy = paint.shade > 0 and min(height, width) > 3 * _SHADE_CELL and max(height, width) > _SHADE_ALONE
    even = 1.0
    if paint.light is not None and layer.surface.planar:
        x0, y0 = layer.surface.x0, layer.surface.y0  # anywhere: a plane has one normal
        even = float(paint.light.on(layer.surface, np.array([x0]), np.array([y0]))[0])
        if not blotchy and not layer.shadows:
            return cv2.convertScaleAbs(rgb, alpha=even)
    small = max(2, width // _SHADE_CELL), max(2, height // _SHADE_CELL)
    x0, y0 = layer.box[:2]
    x = np.linspace(x0, x0 + (width - 1) / layer.texels_per_px, small[0])[None, :]
    y = np.linspace(y0, y0 + (height - 1) / layer.texels_per_px, small[1])[:, None]
    field = np.full(small[::-1], even)
    if paint.light is not None and not layer.surface.planar:
        field *= paint.light.on(layer.surface, x, y)
    if blotchy:
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
