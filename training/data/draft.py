"""A scene being composed: its camera, light, palette, and the layers put in so far."""

from __future__ import annotations

from collections import Counter
from copy import copy
from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np

from training.data.scene import Layer, Light, Paint, Reflection, Shape
from training.data.surface import Box, Surface
from training.data.textures import PATTERNS, TextureLibrary

__all__ = ["Camera", "Draft", "log_uniform"]

_COPLANAR_STEP_PX = 5e-4  # far above the rounding of float32, far below what can be seen


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


@dataclass(frozen=True)
class Camera:
    """The left camera of the pair, at the world's origin (x right, y down, z ahead before rotation).

    ``reach`` is focal length times baseline, px times world units: d = reach / Z.  ``rotation`` takes world
    directions to camera directions.
    """

    focal_px: float
    cx_px: float
    cy_px: float
    reach: float
    rotation: np.ndarray

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points (N, 3) to left-view positions (N, 2) px and disparities (N,) px; d <= 0 is behind."""
        local = points @ self.rotation.T
        inverse = 1.0 / np.where(np.abs(local[:, 2]) < 1e-9, 1e-9, local[:, 2])
        position = local[:, :2] * inverse[:, None] * self.focal_px + (self.cx_px, self.cy_px)
        return position, self.reach * inverse

    def unproject(self, x: float, y: float, disparity: float) -> np.ndarray:
        """The world point (3,) seen at a left-view position."""
        ray = np.array([(x - self.cx_px) / self.focal_px, (y - self.cy_px) / self.focal_px, 1.0])
        return self.rotation.T @ (ray * (self.reach / disparity))

    def plane(self, normal: np.ndarray, offset: float) -> Surface:
        """The disparity plane of the world plane ``normal . P = offset``."""
        a, b, c = self.rotation @ normal * (self.reach / offset)
        return Surface(c, a / self.focal_px, b / self.focal_px, x0=self.cx_px, y0=self.cy_px)


@dataclass
class Draft:
    """A scene being composed; ``low`` and ``high`` bound its disparities in px.

    ``detail`` is how much larger it is composed than shown: there are as many times more things in it.
    """

    rng: np.random.Generator
    textures: TextureLibrary
    width: int
    height: int
    low: float
    high: float
    without: frozenset[str] = frozenset()
    detail: float = 1.0
    seed: int = 0
    layers: list[Layer] = field(default_factory=list)
    reflections: list[Reflection] = field(default_factory=list)
    right_gains: list[float] = field(default_factory=list)
    _planes: Counter[tuple[float, float, float]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        rng = self.rng
        self.camera = self.aimed(0.0)
        direction = np.array([rng.normal(0, 0.7), -abs(rng.normal(0.6, 0.4)), -rng.uniform(0.2, 1.0)])
        x, y, z = direction / np.linalg.norm(direction)
        self.light: Light | None = Light(
            (float(x), float(y), float(z)),
            float(rng.uniform(0.35, 0.9)),
            self.camera.focal_px,
            self.camera.cx_px,
            self.camera.cy_px,
        )
        if "light" in self.without:
            self.light = None
        self.palette = [_colour(rng) for _ in range(int(rng.integers(3, 9)))]

    def aimed(self, pitch: float, roll: float = 0.0) -> Camera:
        """A camera looking down by ``pitch`` radians; its near limit, where d = high, is at Z = 1."""
        cos, sin = np.cos(pitch), np.sin(pitch)
        down = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        cos, sin = np.cos(roll), np.sin(roll)
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        focal = self.width * log_uniform(self.rng, 0.65, 1.6)
        return Camera(focal, self.width / 2, self.height / 2, self.high, turn @ down)

    def aside(self, name: str) -> Draft:
        """The same draft with random numbers of its own, so that leaving a feature out changes no other."""
        other = copy(self)
        other.rng = np.random.default_rng((self.seed, crc32(name.encode())))
        return other

    @property
    def full(self) -> Box:
        """Everything that either view can see."""
        return -4.0, -4.0, self.width + self.high + 4.0, self.height + 4.0

    def at(self, depth: float) -> float:
        """Disparity at a fraction of the scene's range."""
        return self.low + depth * (self.high - self.low)

    def add(
        self,
        surface: Surface,
        box: Box,
        paint: Paint,
        shape: Shape | None = None,
        *,
        fit: bool = True,
        finer: float = 1.0,
    ) -> None:
        """Put a layer in, cut to what can be seen.

        ``fit`` brings its disparities into the scene's range; ``finer`` multiplies the raster's resolution.
        """
        full = self.full
        x0, y0, x1, y1 = box
        box = float(max(x0, full[0])), float(max(y0, full[1])), float(min(x1, full[2])), float(min(y1, full[3]))
        if box[2] - box[0] < 2 or box[3] - box[1] < 2:
            return
        if fit:
            surface = surface.fitted(box, self.low, self.high)
        surface = self._apart(surface)
        area = (box[2] - box[0]) * (box[3] - box[1])
        # finer where outlines matter more than the cost of the raster
        texels_per_px = 2.0 if area < 120 * 120 else 1.25 if area > 0.4 * self.width * self.height else 1.5
        self.layers.append(Layer(surface, box, paint, shape or Shape(), texels_per_px * finer))

    def _apart(self, surface: Surface) -> Surface:
        """The surface, just before those put into the same plane earlier: rounding must not choose what is seen."""
        plane = round(surface.at(0, 0), 3), round(surface.a, 6), round(surface.b, 6)
        self._planes[plane] += 1
        return replace(surface, c=surface.c + _COPLANAR_STEP_PX * (self._planes[plane] - 1))

    def colour(self) -> tuple[float, float, float]:
        """A colour near one of the scene's palette."""
        base = np.array(self.palette[self.rng.integers(len(self.palette))])
        r, g, b = np.clip(base * self.rng.uniform(0.8, 1.2) + self.rng.normal(0, 6, 3), 4, 250)
        return float(r), float(g), float(b)

    def paint(self, *, plain: float = 0.3, perspective: bool = False) -> Paint:
        """A look: with probability ``plain`` almost or entirely without texture."""
        rng = self.rng
        seed = int(rng.integers(2**31))
        shade = float(rng.choice([0.05, 0.2, 0.5, 1.0], p=[0.35, 0.35, 0.2, 0.1]))
        if rng.random() < plain and "plain" not in self.without:
            if rng.random() < 0.6:
                return Paint("plain", seed, colour=self.colour(), shade=shade, light=self.light)
            return Paint(
                self.textures.draw(rng),
                seed,
                density=log_uniform(rng, 0.5, 2.5),
                angle_deg=float(rng.uniform(0, 360)),
                contrast=log_uniform(rng, 0.03, 0.35),
                colour=self.colour(),
                shade=shade,
                perspective=perspective,
                light=self.light,
            )
        pattern = f"pattern:{PATTERNS[rng.integers(len(PATTERNS))]}"
        source = pattern if rng.random() < 0.2 else self.textures.draw(rng)
        angle = float(rng.choice([0, 90, 180, 270]) + (rng.normal(0, 12) if rng.random() < 0.6 else 0.0))
        return Paint(
            source,
            seed,
            density=log_uniform(rng, 0.55 if "sharp" in self.without else 0.9, 2.7),
            angle_deg=angle,
            contrast=float(rng.uniform(0.5, 1.15)),
            shade=shade,
            perspective=perspective,
            colour=self.colour() if rng.random() < 0.2 else None,
            light=self.light,
        )


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """Mostly muted colours, from dark to white."""
    value = rng.uniform(15, 245)
    spread = rng.choice([4.0, 18.0, 60.0], p=[0.45, 0.42, 0.13])
    r, g, b = np.clip(value + rng.normal(0, spread, 3), 4, 250)
    return float(r), float(g), float(b)
