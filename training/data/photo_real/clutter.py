"""Small things of a household, each standing on the ground of the stage's current frame."""

from __future__ import annotations

import math
from collections.abc import Callable

import bpy
import numpy as np

from training.data.photo_real.materials import Looks
from training.data.photo_real.stage import Stage, grid_faces

__all__ = ["Builder", "Clutter"]


class Builder:
    """What builders share: a stage, looks for things, and numbers to draw."""

    def __init__(self, stage: Stage, looks: Looks, rng: np.random.Generator) -> None:
        self.stage, self.looks, self.rng = stage, looks, rng

    def draw(self, *ranges: tuple[float, float]) -> tuple[float, ...]:
        """A number from each range."""
        return tuple(self.rng.uniform(*r) for r in ranges)

    def solid(self) -> bpy.types.Material:
        """What furniture is made of."""
        pick = self.rng.random()
        return self.looks.wood() if pick < 0.55 else self.looks.plain() if pick < 0.85 else self.looks.metal()


class Clutter(Builder):
    """Builds things of 5 to 30 cm, of random shape and look."""

    def scatter(self, width: float, depth: float, count: int, size: tuple[float, float] = (0.7, 1.4)) -> None:
        """Small things over a surface, a few centimetres apart."""
        taken: list[tuple[float, float]] = []
        for _ in range(8 * count):
            x, y = self.draw((-width / 2, width / 2), (-depth / 2, depth / 2))
            if len(taken) < count and all(math.hypot(x - u, y - v) > 0.13 for u, v in taken):
                taken.append((x, y))
                with self.stage.placed(x, y, yaw=self.draw((0, 2 * math.pi))[0], scale=self.draw(size)[0]):
                    self.clutter()

    def clutter(self) -> None:
        """One small thing, 5 to 30 cm."""
        makers: list[Callable[[], None]] = [
            self._carton, self._carton, self._vase, self._bottle, self._cup, self._toy, self._pile, self._ring,
            self._pencils, self._head,
        ]  # fmt: skip
        makers[int(self.rng.integers(len(makers)))]()

    def _carton(self) -> None:
        width, depth, height = self.draw((0.06, 0.2), (0.05, 0.15), (0.05, 0.28))
        self.stage.box((width, depth, height), self.looks.any_thing(), at=(0, 0, 0))

    def _vase(self) -> None:
        heights = np.linspace(0, self.draw((0.12, 0.32))[0], 14)
        radii = self.draw((0.03, 0.07))[0] * (
            1 + 0.45 * np.sin(self.rng.uniform(8, 22) * heights + self.rng.uniform(0, 6))
        )
        outside = [(float(r), float(z)) for r, z in zip(radii, heights, strict=True)]
        inside = [(max(r - 0.004, 0.002), max(z, 0.004)) for r, z in reversed(outside)]
        look = self.looks.glass() if self.rng.random() < 0.2 else self.looks.any_thing()
        self.stage.lathe([(1e-4, 0.0), *outside, *inside, (1e-4, 0.004)], look, at=(0, 0, 0))

    def _bottle(self) -> None:
        r, h = self.draw((0.025, 0.045), (0.16, 0.3))
        shape = [(1e-3, 0.0), (1.0, 0.0), (1.0, 0.6), (0.9, 0.66), (0.35, 0.8), (0.32, 1.0), (1e-3, 1.0)]
        profile = [(r * wide, h * high) for wide, high in shape]
        self.stage.lathe(profile, self.looks.glass() if self.rng.random() < 0.5 else self.looks.plain(), at=(0, 0, 0))
        if self.rng.random() < 0.6:
            label = [(1.01 * r, 0.2 * h), (1.01 * r, 0.48 * h)]
            self.stage.lathe(label, self.looks.patterned(0.08), at=(0, 0, 0))

    def _cup(self) -> None:
        r, h = self.draw((0.035, 0.05), (0.07, 0.12))
        look = self.looks.plain()
        profile = [(1e-4, 0), (0.8 * r, 0), (r, h), (0.93 * r, h), (0.75 * r, 0.006), (1e-4, 0.006)]
        self.stage.lathe(profile, look, at=(0, 0, 0))
        handle = [(r * 0.9, 0, 0.8 * h), (1.7 * r, 0, 0.75 * h), (1.6 * r, 0, 0.3 * h), (0.8 * r, 0, 0.2 * h)]
        self.stage.tube(handle, 0.004, look)

    def _toy(self) -> None:
        radius = self.draw((0.03, 0.1))[0]
        self.stage.ball(radius, self.looks.any_thing(), at=(0, 0, 0), squash=self.draw((0.7, 1.3))[0])

    def _pile(self) -> None:
        z = 0.0
        for _ in range(int(self.rng.integers(2, 6))):
            thick, width, depth = self.draw((0.012, 0.04), (0.13, 0.2), (0.18, 0.27))
            cover, turn = self.looks.patterned(0.2), (0.0, 0.0, self.draw((-0.3, 0.3))[0])
            self.stage.box((width, depth, thick), cover, at=(0, 0, z), turn=turn, bevel=0.002)
            z += thick

    def _ring(self) -> None:
        wide, thick = self.draw((0.05, 0.1), (0.012, 0.03))
        angles = np.linspace(0, 2 * np.pi, 25)
        profile = [(float(wide + thick * np.cos(a)), float(thick * (1 + np.sin(a)))) for a in angles]
        self.stage.lathe(profile, self.looks.any_thing(), at=(0, 0, 0))

    def _pencils(self) -> None:
        r = 0.035
        cup = [(1e-4, 0), (r, 0), (r, 0.1), (0.9 * r, 0.1), (0.9 * r, 0.004)]
        self.stage.lathe(cup, self.looks.plain(), at=(0, 0, 0))
        for _ in range(int(self.rng.integers(3, 8))):
            angle, lean = self.draw((0, 2 * math.pi), (0.1, 0.3))
            end = (0.18 * math.cos(angle) * lean, 0.18 * math.sin(angle) * lean, self.draw((0.15, 0.19))[0])
            self.stage.rod((0.0, 0.0, 0.006), end, self.draw((0.002, 0.004))[0], self.looks.plain())

    def _head(self) -> None:
        """A lump of smooth bumps, as a sculpture or a soft toy has."""
        polar, around = np.meshgrid(np.linspace(0, np.pi, 32), np.linspace(0, 2 * np.pi, 49), indexing="ij")
        directions = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
        radius = np.ones_like(polar)
        for _ in range(7):
            axis = self.rng.normal(size=3)
            axis /= np.linalg.norm(axis)
            dot = directions @ axis
            radius += self.rng.uniform(-0.25, 0.45) * np.exp(5 * (dot - 1))
        radius *= self.draw((0.05, 0.1))[0]
        vertices = directions * radius[..., None]
        vertices[..., 2] = vertices[..., 2].max() - vertices[..., 2]  # stands on what was its top
        self.stage.mesh(vertices.reshape(-1, 3), grid_faces(*polar.shape), self.looks.any_thing())
