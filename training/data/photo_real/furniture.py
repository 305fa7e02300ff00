"""Things of a household, each standing on the ground of the stage's current frame."""

from __future__ import annotations

import math

import bpy
import numpy as np

from training.data.photo_real.clutter import Clutter
from training.data.photo_real.stage import Point, grid_faces

__all__ = ["Furniture"]


class Furniture(Clutter):
    """Builds what stands in a room, and small things on it."""

    def table(self) -> tuple[float, float, float]:
        """A table; width, depth and height of its top."""
        width, depth, height = self.draw((0.7, 1.7), (0.6, 0.9), (0.45, 0.78))
        top, legs = self.solid(), self.solid()
        thick = self.draw((0.015, 0.05))[0]
        if self.rng.random() < 0.2:
            top = self.looks.glass()
        self.stage.box((width, depth, thick), top, at=(0, 0, height - thick), bevel=0.006)
        side = self.draw((0.012, 0.035))[0]
        for x in (-1, 1):
            for y in (-1, 1):
                foot = (x * (width / 2 - 0.07), y * (depth / 2 - 0.07), 0.0)
                self.stage.rod(foot, (foot[0], foot[1], height - thick), side, legs)
        return width, depth, height

    def chair(self) -> None:
        """Thin legs, a seat, and a back of bars or a board."""
        frame, seat = self.solid(), self.looks.fabric() if self.rng.random() < 0.5 else self.solid()
        height, width, radius = self.draw((0.42, 0.48), (0.38, 0.5), (0.009, 0.022))
        back = height + self.draw((0.35, 0.55))[0]
        half = width / 2 - 0.03
        self.stage.box((width, width, 0.04), seat, at=(0, 0, height - 0.04), bevel=0.012)
        for x in (-half, half):
            self.stage.rod((x, -half, 0), (x, -half, height), radius, frame)
            self.stage.rod((x, half, 0), (x, half + 0.05, back), radius, frame)
        self.stage.rod((-half, half + 0.05, back), (half, half + 0.05, back), radius, frame)
        if self.rng.random() < 0.7:
            for x in np.linspace(-half, half, int(self.rng.integers(4, 9)))[1:-1]:
                self.stage.rod((float(x), half, height), (float(x), half + 0.05, back), 0.6 * radius, frame)
        else:
            self.stage.box((2 * half, 0.02, 0.2), seat, at=(0, half + 0.04, back - 0.22))

    def shelf(self, width: float = 1.0) -> None:
        """Boards with books and things: repeats itself, with gaps."""
        height, depth = self.draw((1.0, 2.1), (0.24, 0.36))
        wood, count = self.solid(), int(self.rng.integers(3, 6))
        for x in (-width / 2, width / 2):
            self.stage.box((0.02, depth, height), wood, at=(x, 0, 0), bevel=0.002)
        if self.rng.random() < 0.6:
            self.stage.box((width, 0.01, height), wood, at=(0, depth / 2, 0), bevel=0)
        for z in np.linspace(0.03, height - 0.02, count + 1):
            self.stage.box((width, depth, 0.02), wood, at=(0, 0, float(z)), bevel=0.002)
            if z < height - 0.2 and self.rng.random() < 0.85:
                with self.stage.placed(0, 0, float(z) + 0.02):
                    self.books(width - 0.06, min(0.9 * (height / count), 0.32), depth)

    def books(self, width: float, height: float, depth: float) -> None:
        """A row of them, of few colours, one now and then aslant."""
        covers = [self.looks.plain() if self.rng.random() < 0.5 else self.looks.patterned(0.15) for _ in range(4)]
        x = -width / 2
        while x < width / 2 - 0.05:
            thick = self.draw((0.012, 0.05))[0]
            if self.rng.random() < 0.08:
                x += self.draw((0.05, 0.2))[0]
            elif self.rng.random() < 0.06 and x < width / 2 - 0.2:
                with self.stage.placed(x + 0.08, 0, scale=min(1.0, height / 0.3)):
                    self.clutter()
                x += 0.16
            else:
                tall = height * self.draw((0.6, 0.9))[0]
                cover = covers[int(self.rng.integers(len(covers)))]
                deep = depth * self.draw((0.5, 0.8))[0]
                lean = 0.15 if self.rng.random() < 0.05 else 0.0
                self.stage.box((thick, deep, tall), cover, at=(x + thick / 2, 0, 0), turn=(0, lean, 0), bevel=0.002)
                x += thick + 0.001

    def cabinet(self) -> None:
        """A chest of drawers with knobs."""
        width, depth, height = self.draw((0.6, 1.5), (0.35, 0.55), (0.5, 1.1))
        body, knob = self.solid(), self.looks.metal()
        self.stage.box((width, depth, height), body, at=(0, 0, 0.05), bevel=0.006)
        rows, columns = int(self.rng.integers(2, 5)), int(self.rng.integers(1, 4))
        for row in range(rows):
            for column in range(columns):
                w, h = width / columns, height / rows
                x, z = (column + 0.5) * w - width / 2, 0.05 + row * h
                self.stage.box((w - 0.012, 0.02, h - 0.012), body, at=(x, -depth / 2 - 0.008, z + 0.006), bevel=0.003)
                self.stage.rod((x, -depth / 2, z + h / 2), (x, -depth / 2 - 0.045, z + h / 2), 0.011, knob)
        with self.stage.placed(0, 0, height + 0.05):
            self.scatter(width * 0.9, depth * 0.6, int(self.rng.integers(1, 5)))

    def sofa(self) -> None:
        """Thick round cushions of one cloth."""
        width, cloth = self.draw((1.4, 2.1))[0], self.looks.fabric()
        self.stage.box((width, 0.85, 0.28), cloth, at=(0, 0, 0.1), bevel=0.05)
        self.stage.box((width, 0.22, 0.5), cloth, at=(0, 0.36, 0.34), turn=(-0.15, 0, 0), bevel=0.09)
        for x in (-width / 2, width / 2):
            self.stage.box((0.2, 0.85, 0.5), cloth, at=(x, 0, 0.1), bevel=0.08)
        for x in np.linspace(-width / 2, width / 2, 4)[1:-1]:
            self.stage.box((width / 2 - 0.15, 0.6, 0.16), cloth, at=(float(x) * 1.4, -0.08, 0.36), bevel=0.07)
        if self.rng.random() < 0.8:
            lean = (-0.5, 0.0, self.draw((-0.5, 0.5))[0])
            at = (self.draw((-0.5, 0.5))[0], 0.12, 0.5)
            self.stage.box((0.42, 0.14, 0.4), self.looks.fabric(), at=at, turn=lean, bevel=0.06)

    def floor_lamp(self) -> None:
        """A pole of a centimetre and a shade."""
        height, metal = self.draw((1.2, 1.7))[0], self.looks.metal()
        self.stage.lathe([(1e-4, 0.03), (0.13, 0.025), (0.14, 0.0)], metal, at=(0, 0, 0))
        self.stage.rod((0, 0, 0), (0, 0, height), self.draw((0.005, 0.012))[0], metal)
        top, bottom = self.draw((0.07, 0.15), (0.15, 0.24))
        self.stage.lathe([(bottom, 0.0), (top, 0.26)], self.looks.shade(), at=(0, 0, height - 0.05))

    def plant(self) -> None:
        """A pot with bent leaves on thin stems."""
        size = self.draw((0.5, 1.3))[0]
        pot = 0.12 + 0.06 * size
        profile = [(0.6, 0.0), (1.0, 1.6), (0.9, 1.6), (0.8, 1.3), (1e-3, 1.3)]
        self.stage.lathe([(pot * r, pot * z) for r, z in profile], self.looks.plain(), at=(0, 0, 0))
        leaf, stem = self.looks.leaf(), self.looks.leaf()
        for _ in range(int(self.rng.integers(12, 26))):
            angle, lean, length = self.draw((0, 2 * math.pi), (0.1, 1.0), (0.4, 1.0))
            reach = size * length
            tip = np.array([math.cos(angle) * math.sin(lean), math.sin(angle) * math.sin(lean), math.cos(lean)]) * reach
            start, end = np.array([0, 0, 1.3 * pot]), tip + [0, 0, 1.3 * pot]
            self.stage.rod(tuple(start), tuple(end), 0.004, stem)
            self._leaf(end, angle, lean, 0.25 * size * self.draw((0.5, 1.0))[0], leaf)

    def rack(self) -> None:
        """Thin upright bars at equal distances, a clothes horse or a balustrade."""
        width, height, gap = self.draw((0.6, 1.6), (0.7, 1.2), (0.05, 0.14))
        metal, radius = self.solid(), self.draw((0.003, 0.01))[0]
        for z in (0.08, height):
            self.stage.rod((-width / 2, 0, z), (width / 2, 0, z), 1.6 * radius, metal)
        for x in np.arange(-width / 2, width / 2 + 1e-6, gap):
            self.stage.rod((float(x), 0, 0.08), (float(x), 0, height), radius, metal)
        for x in (-width / 2, width / 2):
            self.stage.rod((x, -0.2, 0), (x, 0.2, 0), 1.6 * radius, metal)
            self.stage.rod((x, 0, 0), (x, 0, height), 1.6 * radius, metal)

    def cable(self, start: Point, end: Point, sag: float) -> None:
        """A cable of some millimetres that hangs, or lies in bends where `sag` is zero."""
        points = []
        for share in np.linspace(0, 1, 9):
            x, y, z = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            aside = self.rng.normal(0, 0.1, 2) if sag == 0 and 0 < share < 1 else np.zeros(2)
            points.append((float(x + aside[0]), float(y + aside[1]), float(z - 4 * sag * share * (1 - share))))
        tone = self.looks.plain()
        self.stage.tube(points, self.draw((0.002, 0.006))[0], tone)

    def curtain(self, width: float, height: float) -> None:
        """Folds of cloth."""
        folds, deep = width / self.draw((0.09, 0.2))[0], self.draw((0.02, 0.05))[0]
        x = np.linspace(-width / 2, width / 2, 240)
        z = np.linspace(0, height, 8)
        grid_x, grid_z = np.meshgrid(x, z)
        phase = 2 * np.pi * folds * (grid_x / width) + 0.6 * np.sin(3 * grid_x + self.rng.uniform(0, 6))
        y = deep * np.sin(phase) * (1 - 0.4 * grid_z / height)
        vertices = np.stack([grid_x, y, grid_z], -1).reshape(-1, 3)
        self.stage.mesh(vertices, grid_faces(*grid_x.shape), self.looks.fabric())

    def picture(self, width: float, height: float) -> None:
        """A framed print, a mirror now and then, on the plane y = 0."""
        frame = self.solid()
        inside = self.looks.mirror() if self.rng.random() < 0.12 else self.looks.print_()
        self.stage.sheet(width, height, inside, at=(0, -0.01, 0))
        border = self.draw((0.015, 0.05))[0]
        for z in (-border, height):
            self.stage.box((width + 2 * border, 0.025, border), frame, at=(0, -0.0125, z), bevel=0.003)
        for x in (-1, 1):
            self.stage.box((border, 0.025, height), frame, at=(x * (width + border) / 2, -0.0125, 0), bevel=0.003)

    def radiator(self) -> None:
        """Ribs, all alike."""
        white, count = self.looks.plain(), int(self.rng.integers(8, 18))
        for i in range(count):
            self.stage.box((0.045, 0.09, 0.6), white, at=((i - count / 2) * 0.06, 0, 0.12), bevel=0.02)

    def _leaf(self, at: np.ndarray, angle: float, lean: float, length: float, look: bpy.types.Material) -> None:
        along = np.linspace(0, 1, 7)
        wide = 0.3 * length * np.sin(np.pi * along**0.8)
        forward = np.array([math.cos(angle), math.sin(angle), 0.0])
        side = np.array([-forward[1], forward[0], 0.0])
        bend = np.cumsum(np.cos(lean + 1.4 * along)) / 7 * length
        run = np.cumsum(np.sin(lean + 1.4 * along)) / 7 * length
        middle = at + run[:, None] * forward + bend[:, None] * np.array([0, 0, 1.0])
        rows = [
            middle - wide[:, None] * side + [0, 0, 0.08 * length],
            middle,
            middle + wide[:, None] * side + [0, 0, 0.08 * length],
        ]
        self.stage.mesh(np.concatenate(rows), grid_faces(3, 7), look)
