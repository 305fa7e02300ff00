"""Disparity surfaces that can be evaluated exactly from either view."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

__all__ = ["Box", "Surface"]

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in left-view pixels."""

MAX_SLOPE = 0.6
"""Largest |dd/dx| of a bent surface.  Below 1 the map left -> right is one to one, so it never hides itself."""


@dataclass(frozen=True)
class Surface:
    """``d(x, y) = c + a u + b v + p u^2 + q u v + r v^2`` px with ``u = x - x0``, ``v = y - y0`` (left view).

    A plane in space is a plane in disparity (p = q = r = 0); the quadratic terms bend it.
    """

    c: float
    a: float = 0.0
    b: float = 0.0
    p: float = 0.0
    q: float = 0.0
    r: float = 0.0
    x0: float = 0.0
    y0: float = 0.0

    def __post_init__(self) -> None:
        for item in fields(self):  # NumPy scalars would widen float32 arithmetic
            object.__setattr__(self, item.name, float(getattr(self, item.name)))

    @property
    def planar(self) -> bool:
        """Whether the surface is not bent."""
        return self.p == 0 and self.q == 0 and self.r == 0

    def disparity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Disparity in px at left-view positions (broadcast against each other)."""
        u, v = x - self.x0, y - self.y0
        if self.planar:
            return self.a * u + (self.b * v + self.c)
        return (self.p * u + (self.a + self.q * v)) * u + (self.c + self.b * v + self.r * v * v)

    def at(self, x: float, y: float) -> float:
        """Disparity in px at one left-view position."""
        u, v = x - self.x0, y - self.y0
        return self.c + self.a * u + self.b * v + self.p * u * u + self.q * u * v + self.r * v * v

    def left_x(self, x_right: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Left-view x of the surface point seen at (x_right, y) in the right view.

        Solves ``x - d(x, y) = x_right``, a quadratic in x, in the form that stays stable as p goes to 0.
        Beyond the fold of a curved surface, where there is no solution, the result lies beyond the fold too.
        """
        v = y - self.y0
        linear = 1.0 - self.a - self.q * v
        constant = x_right + (self.c + self.b * v + self.r * v * v - self.x0)
        if self.p == 0:
            return constant / linear + self.x0
        root = np.sqrt(np.maximum(linear * linear - (4.0 * self.p) * constant, 0.0))
        return 2.0 * constant / (linear + root) + self.x0

    def scaled(self, factor: float) -> Surface:
        """The surface in a picture ``factor`` times as large."""
        bend = {name: getattr(self, name) / factor for name in "pqr"}
        return replace(self, c=self.c * factor, x0=self.x0 * factor, y0=self.y0 * factor, **bend)

    def fitted(self, box: Box, low_px: float, high_px: float) -> Surface:
        """The nearest surface of the same form within [low, high] px and MAX_SLOPE over the box.

        Relief is scaled down where it is too strong, then the whole is shifted.
        """
        x = np.linspace(box[0], box[2], 13)[None, :]
        y = np.linspace(box[1], box[3], 13)[:, None]
        u, v = x - self.x0, y - self.y0
        slope = float(np.abs(self.a + 2 * self.p * u + self.q * v).max())
        d = self.disparity(x, y)
        relief = float(np.ptp(d))
        scale = min(1.0, MAX_SLOPE / max(slope, 1e-9), 0.98 * (high_px - low_px) / max(relief, 1e-9))
        shape = {name: getattr(self, name) * scale for name in "abpqr"}
        low, high = self.c + (float(d.min()) - self.c) * scale, self.c + (float(d.max()) - self.c) * scale
        margin = 0.01 * (high - low)
        shift = max(low_px + margin - low, 0.0) + min(high_px - margin - high, 0.0)
        return replace(self, c=self.c + shift, **shape)
