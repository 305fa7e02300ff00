"""Scenes outdoors: a yard or a path under the sky."""

from __future__ import annotations

import math

import bpy
import numpy as np

from training.data.photo_real.clutter import Builder
from training.data.photo_real.furniture import Furniture
from training.data.photo_real.materials import Looks
from training.data.photo_real.stage import Stage, grid_faces
from training.data.textures import smooth_noise

__all__ = ["ground"]

_FAR = 60.0  # m, where hills close the view


def ground(stage: Stage, looks: Looks, rng: np.random.Generator) -> bpy.types.Object:
    """Uneven ground with stones, fences, trees, poles and a front of a house; returns the left camera."""
    outdoors = _Outdoors(stage, looks, rng)
    outdoors.terrain()
    if rng.random() < 0.7:
        with stage.placed(rng.uniform(-6, 6), rng.uniform(9, 18), -0.3, rng.uniform(-0.5, 0.5)):
            outdoors.house()
    with stage.placed(rng.uniform(-1, 1), rng.uniform(3.5, 8), yaw=rng.uniform(-0.6, 0.6)):
        outdoors.fence()
    for _ in range(int(rng.integers(2, 6))):
        with stage.placed(*outdoors.somewhere(3.5, 25)):
            outdoors.tree()
    for _ in range(int(rng.integers(1, 4))):
        with stage.placed(*outdoors.somewhere(3, 14)):
            outdoors.pole()
    for _ in range(int(rng.integers(8, 20))):
        with stage.placed(*outdoors.somewhere(1.6, 12), scale=float(rng.choice([1.0, 2.0, 4.0]))):
            outdoors.rock()
    things = Furniture(stage, looks, rng)
    for maker in (things.table, things.chair, things.rack, things.plant):
        if rng.random() < 0.5:
            with stage.placed(*outdoors.somewhere(2, 6), yaw=rng.uniform(0, 6)):
                maker()
    with stage.placed(0, 3.2):
        things.scatter(3.5, 3.0, int(rng.integers(2, 6)), size=(1.0, 2.5))
    for _ in range(int(rng.integers(3, 8))):
        with stage.placed(*outdoors.somewhere(1.5, 7)):
            outdoors.grass()
    start, end = (rng.uniform(-9, -4), 9.0, 4.2), (rng.uniform(4, 9), rng.uniform(7, 14), 4.0)
    things.cable(start, end, 0.4)
    sun_height, sun_side = rng.uniform(0.35, 1.1), rng.uniform(0, 2 * math.pi)
    looks.sky(rng.uniform(0.15, 0.35), sun=(sun_height, sun_side))
    return stage.camera((0.0, 0.0, rng.uniform(0.8, 1.7)), 0.0, rng.uniform(-0.22, -0.06))


class _Outdoors(Builder):
    def somewhere(self, near: float, far: float) -> tuple[float, float]:
        """A point on the ground in view, nearer ones more often."""
        y = float(np.exp(self.rng.uniform(np.log(near), np.log(far))))
        return self.rng.uniform(-0.6, 0.6) * y, y

    def terrain(self) -> None:
        """Bumps of a few centimetres, and hills all around."""
        rng = self.rng
        x = np.sinh(np.linspace(-4.2, 4.2, 220))
        y = np.concatenate([[-8.0], np.expm1(np.linspace(0, np.log(_FAR + 40), 220)) - 1.0])
        grid_x, grid_y = np.meshgrid(3 * x, y)
        z = np.zeros_like(grid_x)
        for period, height in ((0.35, 0.008), (1.1, 0.025), (3.7, 0.06)):
            angle, phase = rng.uniform(0, np.pi, 3), rng.uniform(0, 6, 3)
            for a, p in zip(angle, phase, strict=True):
                z += height / 2 * np.sin((np.cos(a) * grid_x + np.sin(a) * grid_y) * 2 * np.pi / period + p)
        away = np.clip((np.hypot(grid_x, grid_y) - 0.5 * _FAR) / _FAR, 0, 1)
        z += away * (4 + 9 * smooth_noise(rng, 5, z.shape[1], z.shape[0])) * rng.uniform(0.6, 2)
        vertices = np.stack([grid_x, grid_y, z], -1).reshape(-1, 3)
        flat = self.rng.random()
        look = self.looks.floor() if flat < 0.5 else self.looks.stone() if flat < 0.8 else self.looks.bricks()
        self.stage.mesh(vertices, grid_faces(*grid_x.shape), look)

    def house(self) -> None:
        """A front with windows at equal distances."""
        floors, columns = int(self.rng.integers(1, 4)), int(self.rng.integers(3, 7))
        wide, tall = columns * 2.4, floors * 2.9
        self.stage.box(
            (wide, 5, tall + 0.6), self.looks.bricks() if self.rng.random() < 0.6 else self.looks.wall(), at=(0, 2.5, 0)
        )
        frame, pane, sill = self.looks.plain(), self.looks.mirror(), self.looks.stone()
        for floor in range(floors):
            for column in range(columns):
                with self.stage.placed((column - (columns - 1) / 2) * 2.4, -0.02, 1.1 + 2.9 * floor):
                    self.stage.box((1.0, 0.06, 1.4), pane, at=(0, 0.02, 0))
                    for x in (-0.5, 0.0, 0.5):
                        self.stage.box((0.06, 0.06, 1.4), frame, at=(x, -0.02, 0))
                    for z in (0.0, 0.9, 1.35):
                        self.stage.box((1.06, 0.06, 0.06), frame, at=(0, -0.02, z))
                    self.stage.box((1.3, 0.2, 0.06), sill, at=(0, -0.06, -0.06))

    def fence(self) -> None:
        """Slats or bars, all alike."""
        look = self.looks.wood() if self.rng.random() < 0.6 else self.looks.metal()
        bars, height = self.rng.random() < 0.5, self.rng.uniform(0.8, 1.5)
        thick, gap = (0.018, 0.12) if bars else (0.08, 0.13)
        length = self.rng.uniform(3, 7)
        for z in (0.2, height - 0.15):
            self.stage.box((length, 0.03, 0.05), look, at=(0, 0.03, z))
        for x in np.arange(-length / 2, length / 2, gap):
            self.stage.box((thick, 0.018, height), look, at=(float(x), 0, -0.05), bevel=0.002)

    def pole(self) -> None:
        """A thin post, sometimes with a sign."""
        metal, height = self.looks.metal(), self.rng.uniform(1.5, 5)
        self.stage.rod((0, 0, -0.2), (0, 0, height), self.rng.uniform(0.015, 0.06), metal)
        if self.rng.random() < 0.5:
            self.stage.sheet(
                0.6,
                0.6,
                self.looks.print_(),
                at=(0, -0.07, height - 0.7),
                turn=(0, 0, self.rng.uniform(-0.6, 0.6)),
            )

    def tree(self) -> None:
        """A trunk, bent branches and some thousand leaves."""
        height, radius = self.rng.uniform(1.8, 4), self.rng.uniform(0.06, 0.18)
        bark, leaf = self.looks.stone(0.3), self.looks.leaf()
        rings = [
            (radius * (1 + 0.5 * math.exp(-6 * t)) * (1 - 0.5 * t), height * t - 0.1) for t in np.linspace(0, 1, 9)
        ]
        self.stage.lathe(rings, bark, at=(0, 0, 0), turn=(self.rng.uniform(-0.1, 0.1), 0, 0))
        crown = self.rng.uniform(0.8, 1.8)
        tips = self.rng.normal(size=(9, 3)) * crown * 0.55 + [0, 0, height + 0.5 * crown]
        for x, y, z in tips.tolist():
            self.stage.tube([(0, 0, 0.75 * height), (0.4 * x, 0.4 * y, height), (x, y, z)], 0.02, bark)
        self._leaves(tips, crown * 0.45, 1800, 0.05, leaf)

    def rock(self) -> None:
        """A stone with facets worn round."""
        polar, around = np.meshgrid(np.linspace(0, np.pi, 22), np.linspace(0, 2 * np.pi, 33), indexing="ij")
        points = np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1)
        radius = np.full(polar.shape, 1.0)
        for normal in self.rng.normal(size=(9, 3)):
            reach = points @ (normal / np.linalg.norm(normal))
            cut = self.rng.uniform(0.6, 0.9)
            radius = np.where(reach > cut, np.minimum(radius, cut / np.maximum(reach, cut)), radius)
        size = self.rng.uniform(0.04, 0.12) * self.rng.uniform(0.6, 1.2, 3)
        self.stage.mesh(
            (points * radius[..., None] * size).reshape(-1, 3), grid_faces(*polar.shape), self.looks.stone(0.4)
        )

    def grass(self) -> None:
        """A tuft of blades."""
        count = 260
        root = np.concatenate([self.rng.normal(0, 0.14, (count, 2)), np.zeros((count, 1))], 1)
        lean = np.concatenate([self.rng.normal(0, 0.09, (count, 2)), self.rng.uniform(0.1, 0.3, (count, 1))], 1)
        side = self.rng.normal(0, 0.003, (count, 3)) * [1, 1, 0]
        vertices = np.stack([root - side, root + side, root + 0.6 * lean + side, root + lean * [1.6, 1.6, 1]], 1)
        self.stage.mesh(vertices.reshape(-1, 3), np.arange(4 * count).reshape(-1, 4), self.looks.leaf(), smooth=False)

    def _leaves(self, centres: np.ndarray, spread: float, count: int, size: float, look: bpy.types.Material) -> None:
        at = centres[self.rng.integers(len(centres), size=count)] + self.rng.normal(0, spread / 1.5, (count, 3))
        u, v = self.rng.normal(0, size / 1.5, (2, count, 3))
        vertices = np.stack([at - u, at - v, at + u, at + v], 1)
        self.stage.mesh(vertices.reshape(-1, 3), np.arange(4 * count).reshape(-1, 4), look, smooth=False)
