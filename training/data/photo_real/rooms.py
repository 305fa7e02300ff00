"""Scenes indoors: a room, and a tabletop before a wall."""

from __future__ import annotations

import math

import bpy
import numpy as np

from training.data.photo_real.furniture import Furniture
from training.data.photo_real.materials import Looks
from training.data.photo_real.stage import Stage

__all__ = ["room", "tabletop"]

_WALL = 0.12  # m thick
_WARM = (1.0, 0.86, 0.7)
_DAYLIGHT = (0.85, 0.93, 1.0)


def room(stage: Stage, looks: Looks, rng: np.random.Generator) -> bpy.types.Object:
    """A furnished room with a window and a lamp; returns the left camera."""
    width, depth, height = (rng.uniform(*r) for r in ((3.4, 6.0), (3.6, 7.0), (2.4, 3.0)))
    things = Furniture(stage, looks, rng)
    window_left = bool(rng.random() < 0.5)
    _shell(stage, looks, rng, (width, depth, height), window_left)
    _along_the_wall(stage, things, rng, width, depth, height)
    _in_the_middle(stage, things, rng, width, depth)
    side = 1 if window_left else -1  # the wall without a window
    for y in rng.uniform(1.5, depth - 0.5, int(rng.integers(0, 3))):
        with stage.placed(side * (width / 2 - 0.01), float(y), rng.uniform(1.2, 1.6), -side * math.pi / 2):
            things.picture(rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.6))
    for _ in range(int(rng.integers(1, 3))):
        start, end = ((rng.uniform(-width / 2.2, width / 2.2), rng.uniform(1.2, depth - 0.3), 0.006) for _ in "ab")
        things.cable(start, end, 0.0)
    if rng.random() < 0.4:
        x, y = rng.uniform(-0.4, 0.4) * width, rng.uniform(0.4, 0.8) * depth
        stage.rod((x, y, height - 0.7), (x, y, height), 0.003, looks.plain())
        stage.lathe([(0.2, 0.0), (0.06, 0.2)], looks.shade(), at=(x, y, height - 0.9))
    at = (rng.uniform(-0.2, 0.2) * width, 0.15, rng.uniform(0.9, 1.6))
    return stage.camera(at, at[0] / depth + rng.uniform(-0.15, 0.15), rng.uniform(-0.3, -0.08))


def tabletop(stage: Stage, looks: Looks, rng: np.random.Generator) -> bpy.types.Object:
    """Many things on a table before a wall, near the camera; returns the left camera."""
    things = Furniture(stage, looks, rng)
    wide, deep = 3.6, rng.uniform(1.5, 2.6)
    stage.box((wide, deep, 0.04), looks.floor() if rng.random() < 0.5 else looks.wood(), at=(0, 0.35 + deep / 2, -0.04))
    back = 0.4 + deep * rng.uniform(0.75, 1.0)
    stage.box((8, 0.05, 3), looks.wall(), at=(0, back + 0.05, -0.6), bevel=0)
    if rng.random() < 0.4:
        with stage.placed(rng.uniform(-0.8, 0.8), back - 0.02, -0.05):
            things.curtain(rng.uniform(0.6, 1.8), 1.6)
    with stage.placed(rng.uniform(-0.5, 0.5), back, rng.uniform(0.1, 0.35)):
        things.picture(rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.5))
    with stage.placed(0, 0.75 + (back - 0.9) / 2):
        things.scatter(2.0, back - 0.95, int(rng.integers(14, 26)), size=(0.9, 1.7))
    if rng.random() < 0.6:
        with stage.placed(rng.uniform(-0.6, 0.6), back - 0.25, scale=0.5):
            (things.plant if rng.random() < 0.5 else things.rack)()
    if rng.random() < 0.5:
        with stage.placed(rng.uniform(-0.5, 0.5), back - 0.2):
            things.books(0.6, 0.3, 0.2)
    for _ in range(int(rng.integers(1, 4))):
        start = (rng.uniform(-1, 1), rng.uniform(0.8, back - 0.1), 0.004)
        end = (rng.uniform(-1, 1), rng.uniform(0.8, back - 0.1), 0.004)
        things.cable(start, end, 0.0)
    for _ in range(int(rng.integers(0, 3))):
        foot, lean = rng.uniform(-0.8, 0.8), rng.uniform(-0.4, 0.4)
        stage.rod((foot, back - 0.5, 0), (foot + lean, back - 0.02, 0.9), rng.uniform(0.003, 0.01), looks.wood())
    side = float(rng.choice([-1, 1]))
    stage.area_lamp((1.2, 1.2), rng.uniform(15, 40), _DAYLIGHT, at=(side * 1.8, -0.2, 1.6), turn=(0.7, 0, -side * 0.9))
    stage.area_lamp((0.3, 0.3), rng.uniform(8, 30), _WARM, at=(-side * 0.8, 0.6, 1.9), turn=(0.2, 0, side * 0.5))
    looks.sky(0.25)
    at = (rng.uniform(-0.15, 0.15), 0.0, rng.uniform(0.3, 0.6))
    return stage.camera(at, rng.uniform(-0.1, 0.1), -math.atan2(at[2] - 0.12, back * 0.75))


def _shell(stage: Stage, looks: Looks, rng: np.random.Generator, size: tuple[float, float, float], left: bool) -> None:
    """Floor, ceiling and walls from 1 m behind the camera on, with the window in a side wall, and the light."""
    width, depth, height = size
    wall, middle, length = looks.wall(), depth / 2 - 0.5, depth + 1
    stage.box((width + 1, length + 1, 0.1), looks.floor(), at=(0, middle, -0.1), bevel=0)
    stage.box((width + 1, length + 1, 0.1), looks.wall(), at=(0, middle, height), bevel=0)
    for y in (-1.0 - _WALL / 2, depth + _WALL / 2):
        stage.box((width + 1, _WALL, height), wall if rng.random() < 0.6 else looks.wall(), at=(0, y, 0), bevel=0)
    side = -1 if left else 1
    stage.box((_WALL, length, height), wall, at=(-side * (width + _WALL) / 2, middle, 0), bevel=0)
    skirting = looks.wood()
    stage.box((width, 0.015, 0.09), skirting, at=(0, depth - 0.0075, 0))
    stage.box((0.015, length, 0.09), skirting, at=(-side * (width / 2 - 0.0075), middle, 0))
    centre, wide, low, tall = (
        rng.uniform(*r) for r in ((0.45 * depth, 0.7 * depth), (1.0, 1.9), (0.6, 0.95), (1.0, 1.4))
    )
    with stage.placed(side * (width + _WALL) / 2, 0):
        near, far = centre - wide / 2, centre + wide / 2
        for size_y, y, size_z, z in (
            (near + 1, (near - 1) / 2, height, 0.0),
            (depth - far, (depth + far) / 2, height, 0.0),
            (wide, centre, low, 0.0),
            (wide, centre, height - low - tall, low + tall),
        ):
            stage.box((_WALL, size_y, size_z), wall, at=(0, y, z), bevel=0)
        frame = looks.plain()
        for y in np.linspace(near + 0.03, far - 0.03, int(rng.integers(3, 5))):
            stage.box((0.05, 0.05, tall), frame, at=(0, float(y), low))
        for z in (low, low + 0.65 * tall, low + tall - 0.05):
            stage.box((0.05, wide, 0.05), frame, at=(0, centre, z))
        with stage.placed(side * 1.5, centre + 3.0, -1.5, -side * math.pi / 2):
            stage.sheet(15.0, 7.0, looks.view_outside(rng.uniform(2, 6)), at=(0, 0, 0))
        turn = (0.0, side * (math.pi / 2 - 0.25), 0.0)
        stage.area_lamp(
            (tall, wide), rng.uniform(60, 220), _DAYLIGHT, at=(side * 0.1, centre, low + tall / 2), turn=turn
        )
    if rng.random() < 0.4:
        stage.sun(rng.uniform(4, 12), _WARM, turn=(0.35, side * rng.uniform(0.7, 1.0), 0.0))
    lamp = (rng.uniform(-0.2, 0.2) * width, rng.uniform(0.3, 0.6) * depth, height - 0.05)
    stage.area_lamp((0.8, 0.8), rng.uniform(10, 70), _WARM, at=lamp, turn=(0, 0, 0))
    looks.sky(0.15)


def _along_the_wall(
    stage: Stage, things: Furniture, rng: np.random.Generator, width: float, depth: float, height: float
) -> None:
    makers = [things.shelf, things.cabinet, things.sofa, things.radiator, things.plant, things.floor_lamp, things.rack]
    order, x = rng.permutation(len(makers)), -width / 2 + 0.6
    for i in order:
        if x > width / 2 - 0.4:
            break
        with stage.placed(x, depth - 0.45):
            makers[i]()
        x += rng.uniform(1.1, 1.7)
    if rng.random() < 0.6:
        with stage.placed(rng.uniform(-0.3, 0.3) * width, depth - 0.1, 0.05):
            things.curtain(rng.uniform(0.6, 1.2), height - 0.3)
    for _ in range(int(rng.integers(1, 4))):
        with stage.placed(rng.uniform(-0.4, 0.4) * width, depth - 0.002, rng.uniform(1.2, 1.7)):
            things.picture(rng.uniform(0.25, 0.9), rng.uniform(0.25, 0.7))


def _in_the_middle(stage: Stage, things: Furniture, rng: np.random.Generator, width: float, depth: float) -> None:
    with stage.placed(rng.uniform(-0.15, 0.15) * width, 0.55 * depth, yaw=rng.uniform(-0.4, 0.4)):
        if rng.random() < 0.6:
            stage.box((rng.uniform(1.4, 2.4), rng.uniform(1, 1.8), 0.012), things.looks.fabric(), at=(0, 0, 0))
        wide, deep, high = things.table()
        with stage.placed(0, 0, high):
            things.scatter(0.9 * wide, 0.8 * deep, int(rng.integers(4, 10)))
        for side in (-1, 1):
            if rng.random() < 0.7:
                with stage.placed(side * (wide / 2 + 0.15), 0, yaw=-side * math.pi / 2 + rng.uniform(-0.4, 0.4)):
                    things.chair()
    near = [things.chair, things.plant, things.rack, things.floor_lamp, things.clutter]
    for side in rng.choice([-1, 1], int(rng.integers(1, 3)), replace=False):
        x, y = float(side) * rng.uniform(0.45, 0.8), rng.uniform(1.1, 1.8)
        with stage.placed(x, y, yaw=rng.uniform(0, 6)):
            near[int(rng.integers(len(near)))]()
    with stage.placed(0, 0.5 * depth):
        things.scatter(0.8 * width, 0.7 * depth, int(rng.integers(4, 9)), size=(1.0, 2.2))
