"""Meshes and lamps of a scene in metres, z up, put where the current frame says."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import bpy
import numpy as np
from mathutils import Matrix, Vector

__all__ = ["Point", "Stage", "grid_faces"]

Point = tuple[float, float, float]
_SMOOTH_BELOW = math.radians(35)
_ROUND_STEPS = 40


class Stage:
    """The current Blender scene, emptied."""

    def __init__(self) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self._frame = Matrix()

    @contextlib.contextmanager
    def placed(self, x: float, y: float, z: float = 0.0, yaw: float = 0.0, scale: float = 1.0) -> Iterator[None]:
        """What is built inside stands at a point of the frame outside, turned about the vertical."""
        before = self._frame
        self._frame = before @ Matrix.Translation((x, y, z)) @ Matrix.Rotation(yaw, 4, "Z") @ Matrix.Scale(scale, 4)
        try:
            yield
        finally:
            self._frame = before

    def mesh(
        self,
        vertices: np.ndarray | Sequence[Point],
        faces: np.ndarray | Sequence[Sequence[int]],
        material: bpy.types.Material,
        *,
        at: Point = (0.0, 0.0, 0.0),
        turn: Point = (0.0, 0.0, 0.0),
        smooth: bool = True,
    ) -> bpy.types.Object:
        """A mesh of its own; edges sharper than 35 degrees stay sharp."""
        data = bpy.data.meshes.new("mesh")
        data.from_pydata(np.asarray(vertices).tolist(), [], [list(map(int, face)) for face in faces])
        data.materials.append(material)
        if smooth:
            data.shade_smooth()
            data.set_sharp_from_angle(angle=_SMOOTH_BELOW)
        return self._put(data, at, turn)

    def box(
        self, size: Point, material: bpy.types.Material, *, at: Point, turn: Point = (0, 0, 0), bevel: float = 0.004
    ) -> bpy.types.Object:
        """A box that stands on `at`, with edges rounded by `bevel` metres."""
        x, y, z = size[0] / 2, size[1] / 2, size[2]
        corners = [(sx * x, sy * y, h) for h in (0.0, z) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        faces = [(3, 2, 1, 0), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
        thing = self.mesh(corners, faces, material, at=at, turn=turn, smooth=False)
        width = min(bevel, 0.3 * min(size))
        if width > 0:
            rounding = thing.modifiers.new("bevel", "BEVEL")
            rounding.width, rounding.segments = width, 3 if width > 0.01 else 2
            thing.data.shade_smooth()
            thing.data.set_sharp_from_angle(angle=math.radians(50))
        return thing

    def lathe(
        self,
        profile: Sequence[tuple[float, float]],
        material: bpy.types.Material,
        *,
        at: Point,
        turn: Point = (0, 0, 0),
    ) -> bpy.types.Object:
        """A surface of revolution about its z axis through (radius, height) points."""
        angles = np.arange(_ROUND_STEPS) * (2 * np.pi / _ROUND_STEPS)
        rings = [np.stack([r * np.cos(angles), r * np.sin(angles), np.full_like(angles, z)], 1) for r, z in profile]
        here = np.arange(_ROUND_STEPS)
        there = np.roll(here, -1)
        faces = [
            np.stack([i * _ROUND_STEPS + here, i * _ROUND_STEPS + there, (i + 1) * _ROUND_STEPS + there,
                      (i + 1) * _ROUND_STEPS + here], 1)
            for i in range(len(profile) - 1)
        ]  # fmt: skip
        return self.mesh(np.concatenate(rings), np.concatenate(faces), material, at=at, turn=turn)

    def rod(self, start: Point, end: Point, radius: float, material: bpy.types.Material) -> bpy.types.Object:
        """A straight closed cylinder between two points."""
        axis = Vector(end) - Vector(start)
        turn = axis.to_track_quat("Z", "Y").to_euler()
        profile = [(1e-5, 0.0), (radius, 0.0), (radius, axis.length), (1e-5, axis.length)]
        return self.lathe(profile, material, at=start, turn=tuple(turn))

    def ball(self, radius: float, material: bpy.types.Material, *, at: Point, squash: float = 1.0) -> bpy.types.Object:
        """An ellipsoid that stands on `at`."""
        angles = np.linspace(1e-3, np.pi - 1e-3, 24)
        profile = [(float(radius * np.sin(a)), float(radius * squash * (1 - np.cos(a)))) for a in angles]
        return self.lathe(profile, material, at=at)

    def tube(self, points: Sequence[Point], radius: float, material: bpy.types.Material) -> bpy.types.Object:
        """A smooth cable through points."""
        curve = bpy.data.curves.new("tube", "CURVE")
        curve.dimensions, curve.bevel_depth, curve.bevel_resolution, curve.resolution_u = "3D", radius, 3, 10
        spline = curve.splines.new("NURBS")
        spline.points.add(len(points) - 1)
        for knot, point in zip(spline.points, points, strict=True):
            knot.co = (*point, 1.0)
        spline.use_endpoint_u, spline.order_u = True, min(4, len(points))
        curve.materials.append(material)
        return self._put(curve, (0, 0, 0), (0, 0, 0))

    def sheet(
        self, width: float, height: float, material: bpy.types.Material, *, at: Point, turn: Point = (0, 0, 0)
    ) -> bpy.types.Object:
        """An upright rectangle that faces -y, its lower edge's middle at `at`, with image coordinates from 0 to 1."""
        x = width / 2
        corners = [(-x, 0, 0), (x, 0, 0), (x, 0, height), (-x, 0, height)]
        thing = self.mesh(corners, [(0, 1, 2, 3)], material, at=at, turn=turn, smooth=False)
        thing.data.uv_layers.new().data.foreach_set("uv", [0, 0, 1, 0, 1, 1, 0, 1])
        return thing

    def area_lamp(self, size: tuple[float, float], watt: float, colour: Point, *, at: Point, turn: Point) -> None:
        """A luminous rectangle that no camera sees; it shines along its -z axis."""
        lamp = bpy.data.lights.new("area", "AREA")
        lamp.shape, (lamp.size, lamp.size_y), lamp.energy, lamp.color = "RECTANGLE", size, watt, colour
        self._put(lamp, at, turn).visible_camera = False

    def sun(self, strength: float, colour: Point, *, turn: Point) -> None:
        """Parallel light, half a degree wide."""
        lamp = bpy.data.lights.new("sun", "SUN")
        lamp.energy, lamp.color, lamp.angle = strength, colour, math.radians(0.53)
        self._put(lamp, (0, 0, 0), turn)

    def camera(self, at: Point, yaw: float, pitch: float) -> bpy.types.Object:
        """A camera that looks along +y, turned left by `yaw` and up by `pitch` radians."""
        return self._put(bpy.data.cameras.new("left"), at, (math.pi / 2 + pitch, 0.0, yaw))

    def _put(self, data: bpy.types.ID, at: Point, turn: Point) -> bpy.types.Object:
        thing = bpy.data.objects.new(data.name, data)
        rotation = (
            Matrix.Rotation(turn[2], 4, "Z") @ Matrix.Rotation(turn[1], 4, "Y") @ Matrix.Rotation(turn[0], 4, "X")
        )
        thing.matrix_world = self._frame @ Matrix.Translation(at) @ rotation
        bpy.context.scene.collection.objects.link(thing)
        return thing


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Quads (n, 4) between the vertices of a grid that are counted row by row."""
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    return np.stack([first, first + 1, first + columns + 1, first + columns], 1)
