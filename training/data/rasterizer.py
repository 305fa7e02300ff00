"""Two views of a scene, sampled from the same sprites, with exact disparity and occlusion.

A sprite is a painted layer: an RGBA raster fixed to left-view coordinates, whose alpha is its outline, and
the disparity surface that it lies on.  Either view is rendered by the inverse map from its sampling lattice to
the sprite, which is closed form (`Surface.left_x`), and a z-buffer in which the larger disparity wins.  Both
views interpolate the same raster, so neither is sharper.

NumPy and OpenCV do this about as fast as one core moves the memory (planes are a single affine warp, and only
an object's bounding box is touched), several times faster than torch's `grid_sample` on a CPU.  `torch_rasterizer`
renders the same sprites in batches on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import cv2
import numpy as np

from training.data.scene import Scene
from training.data.surface import Surface

__all__ = [
    "OCCLUDER_MARGIN_PX",
    "Lattice",
    "Sprite",
    "ViewBuffers",
    "Window",
    "blend_reflection",
    "brighten",
    "occlusion_mask",
    "render_view",
    "resolve",
    "sprite_window",
]

OCCLUDER_MARGIN_PX = 0.25
"""How much nearer than a surface something must be to count as hiding it."""


@dataclass(frozen=True)
class Sprite:
    """RGBA uint8 (h, w, 4); texel (i, j) lies at left-view (x0 + i / texels_per_px, y0 + j / texels_per_px)."""

    rgba: np.ndarray
    surface: Surface
    x0_px: float
    y0_px: float
    texels_per_px: float

    @property
    def x1_px(self) -> float:
        """Left-view column of the last texels."""
        return self.x0_px + (self.rgba.shape[1] - 1) / self.texels_per_px

    @property
    def y1_px(self) -> float:
        """Row of the last texels."""
        return self.y0_px + (self.rgba.shape[0] - 1) / self.texels_per_px


@dataclass(frozen=True)
class Lattice:
    """Sample positions of a view: one per pixel, or every half pixel with every pixel centre among them."""

    width_px: int
    height_px: int
    supersampling: int

    def __post_init__(self) -> None:
        if self.supersampling not in (1, 2):
            raise ValueError(f"supersampling is {self.supersampling}, expected 1 or 2")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of samples."""
        extra = self.supersampling - 1
        return self.supersampling * self.height_px + extra, self.supersampling * self.width_px + extra

    @property
    def offset(self) -> int:
        """Lattice index of pixel centre 0."""
        return self.supersampling - 1

    def centres(self, buffer: np.ndarray) -> np.ndarray:
        """The samples at pixel centres."""
        return buffer[self.offset :: self.supersampling, self.offset :: self.supersampling]


@dataclass(frozen=True)
class ViewBuffers:
    """Samples of one view on the lattice: RGBX uint8 (h, w, 4), disparity px float32, sprite index int16."""

    rgbx: np.ndarray
    disparity_px: np.ndarray
    index: np.ndarray


@dataclass(frozen=True)
class Window:
    """A rectangle of the lattice with its view coordinates; ``ys`` are left-view rows."""

    rows: slice
    cols: slice
    xs: np.ndarray
    ys: np.ndarray


def render_view(sprites: list[Sprite], scene: Scene, lattice: Lattice, *, right: bool) -> ViewBuffers:
    """Z-buffered samples of one view.  Index -1 and disparity -inf mark samples that nothing covers."""
    height, width = lattice.shape
    buffers = ViewBuffers(
        np.zeros((height, width, 4), np.uint8),
        np.full((height, width), -np.inf, np.float32),
        np.full((height, width), -1, np.int16),
    )

    def nearness(number: int) -> float:
        sprite = sprites[number]
        return sprite.surface.at((sprite.x0_px + sprite.x1_px) / 2, (sprite.y0_px + sprite.y1_px) / 2)

    # near to far, so that what is wholly hidden costs no texture
    for number in sorted(range(len(sprites)), key=nearness, reverse=True):
        sprite = sprites[number]
        window = sprite_window(sprite, scene, lattice, right=right)
        if window is not None:
            _draw(buffers, sprite, number, window, right)
    return buffers


def sprite_window(sprite: Sprite, scene: Scene, lattice: Lattice, *, right: bool) -> Window | None:
    """The lattice rectangle that the sprite can touch."""
    x_low, x_high, y_low, y_high = sprite.x0_px, sprite.x1_px, sprite.y0_px, sprite.y1_px
    scale, centre = 1.0, 0.0
    if right:
        rows = (y_low, y_high) if sprite.surface.planar else np.linspace(y_low, y_high, 17).tolist()
        ends = [x - sprite.surface.at(x, y) for x in (x_low, x_high) for y in rows]
        x_low, x_high = min(ends) - 1.0, max(ends) + 1.0
        # y_left = y_right + offset + s (y_left - H/2), solved for y_left = scale * y_right + centre
        scale = 1.0 / (1.0 - scene.vertical_scale)
        centre = scale * (scene.vertical_offset_px - scene.vertical_scale * scene.height_px / 2)
    ss, first = lattice.supersampling, lattice.offset
    height, width = lattice.shape
    i0, i1 = max(0, ceil(x_low * ss + first)), min(width - 1, floor(x_high * ss + first))
    j0 = max(0, ceil((y_low - centre) / scale * ss + first))
    j1 = min(height - 1, floor((y_high - centre) / scale * ss + first))
    if i1 <= i0 or j1 <= j0:
        return None
    xs = (np.arange(i0, i1 + 1) - first) / ss
    ys = (np.arange(j0, j1 + 1) - first) / ss * scale + centre
    return Window(slice(j0, j1 + 1), slice(i0, i1 + 1), xs, ys)


def _draw(buffers: ViewBuffers, sprite: Sprite, number: int, window: Window, right: bool) -> None:
    disparity, x_left = _geometry(sprite.surface, window, right)
    area = (window.rows, window.cols)
    shown = cv2.compare(disparity, buffers.disparity_px[area], cv2.CMP_GT)
    if cv2.countNonZero(shown) == 0:
        return
    colour = _colour(sprite, window, x_left, right)
    cv2.bitwise_and(shown, cv2.compare(cv2.extractChannel(colour, 3), 127, cv2.CMP_GT), dst=shown)
    cv2.copyTo(colour, shown, buffers.rgbx[area])
    cv2.copyTo(disparity, shown, buffers.disparity_px[area])
    cv2.copyTo(np.full(shown.shape, number, np.int16), shown, buffers.index[area])  # faster than a boolean index


def _geometry(surface: Surface, window: Window, right: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Disparity on the window's samples, and for bent surfaces seen from the right their left-view x."""
    x, y = window.xs.astype(np.float32)[None, :], window.ys.astype(np.float32)[:, None]
    if not right:
        return np.ascontiguousarray(surface.disparity(x, y)), None
    if surface.planar:
        gain, shear, shift = _right_to_left(surface)
        along = ((gain - 1.0) * window.xs + shift).astype(np.float32)
        return along[None, :] + (shear * window.ys).astype(np.float32)[:, None], None
    x_left = surface.left_x(x, y)
    return x_left - x, x_left


def _right_to_left(surface: Surface) -> tuple[float, float, float]:
    """For a plane, (gain, shear, shift) of x_left = gain x_right + shear y + shift."""
    gain = 1.0 / (1.0 - surface.a)
    return gain, surface.b * gain, (surface.c - surface.b * surface.y0 - surface.a * surface.x0) * gain


def _colour(sprite: Sprite, window: Window, x_left: np.ndarray | None, right: bool) -> np.ndarray:
    """The sprite's RGBA on the window's samples."""
    if x_left is None:
        return _affine(sprite, window, *(_right_to_left(sprite.surface) if right else (1.0, 0.0, 0.0)))
    scale = np.float32(sprite.texels_per_px)
    map_y = ((window.ys - sprite.y0_px) * sprite.texels_per_px).astype(np.float32)
    return cv2.remap(
        sprite.rgba,
        (x_left - np.float32(sprite.x0_px)) * scale,
        np.repeat(map_y[:, None], x_left.shape[1], 1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )


def _affine(sprite: Sprite, window: Window, gain: float, shear: float, shift: float) -> np.ndarray:
    """Sprite sampled at x_left = gain * x + shear * y + shift."""
    scale = sprite.texels_per_px
    xs, ys = window.xs, window.ys
    step_x, step_y = xs[1] - xs[0], ys[1] - ys[0]
    origin = gain * xs[0] + shear * ys[0] + shift - sprite.x0_px
    matrix = scale * np.array([[gain * step_x, shear * step_y, origin], [0.0, step_y, ys[0] - sprite.y0_px]])
    return cv2.warpAffine(
        sprite.rgba,
        matrix,
        (len(xs), len(ys)),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )


def blend_reflection(
    buffers: ViewBuffers, sprite: Sprite, layer: int, opacity: float, scene: Scene, lattice: Lattice, *, right: bool
) -> None:
    """Mix the sprite, at its own disparity, into the samples that show a layer; labels stay the layer's."""
    window = sprite_window(sprite, scene, lattice, right=right)
    if window is None:
        return
    colour = _colour(sprite, window, _geometry(sprite.surface, window, right)[1], right)
    area = (window.rows, window.cols)
    mirror = cv2.bitwise_and(
        cv2.compare(buffers.index[area], layer, cv2.CMP_EQ), cv2.compare(cv2.extractChannel(colour, 3), 127, cv2.CMP_GT)
    )
    mixed = cv2.addWeighted(buffers.rgbx[area], 1.0 - opacity, colour, opacity, 0.0)
    cv2.copyTo(mixed, mirror, buffers.rgbx[area])


def brighten(buffers: ViewBuffers, gains: tuple[float, ...]) -> None:
    """Multiply the samples of each layer by its gain."""
    gain = np.append(np.asarray(gains, np.float32), 1.0)[buffers.index]  # -1, uncovered, is the last
    cv2.multiply(buffers.rgbx, cv2.merge([gain] * 4), dst=buffers.rgbx, dtype=cv2.CV_8U)


def resolve(buffer: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Pixels from samples: a [1 2 1]/4 filter either way, so that edges mix, then the pixel centres."""
    if lattice.supersampling == 2:
        buffer = cv2.GaussianBlur(buffer, (3, 3), 0)
    return np.ascontiguousarray(lattice.centres(buffer))


def occlusion_mask(
    left: ViewBuffers, right: ViewBuffers, lattice: Lattice, scene: Scene, *, of_right: bool = False
) -> np.ndarray:
    """True where a left pixel's match shows another surface in front of it, or lies outside the right view.

    A face so steep that the right view sees its back (dd/dx > 1) is hidden too.  ``of_right`` asks the same of the
    right view's pixels.

    The other view is read at its nearest sample: at half-pixel sampling a silhouette is exact to 1/4 px.  A
    surface less than 1/4 px nearer does not count: that is a crease, or a sheet lying on another.
    """
    view, other = (right, left) if of_right else (left, right)
    disparity, index = lattice.centres(view.disparity_px), lattice.centres(view.index)
    ss, (height, width) = lattice.supersampling, lattice.shape
    y = np.arange(scene.height_px, dtype=np.float32)[:, None]
    x = np.arange(scene.width_px, dtype=np.float32)[None, :]
    offset, scale = scene.vertical_offset_px, scene.vertical_scale
    if of_right:
        x_other, y_other = x + disparity, (y + offset - scale * scene.height_px / 2) / (1 - scale)
    else:
        x_other, y_other = x - disparity, y - offset - scale * (y - scene.height_px / 2)
    column = np.clip(np.rint(x_other * ss).astype(np.int32) + lattice.offset, 0, width - 1)
    row = np.clip(np.rint(y_other * ss).astype(np.int32) + lattice.offset, 0, height - 1)
    at = row * width + column
    covered = other.disparity_px.ravel().take(at) > disparity + OCCLUDER_MARGIN_PX
    covered &= other.index.ravel().take(at) != index
    outside = (x_other < -0.5) | (x_other > scene.width_px - 0.5)
    turned = np.array([layer.surface.a > 1 for layer in scene.layers])
    return outside | covered | turned[index]
