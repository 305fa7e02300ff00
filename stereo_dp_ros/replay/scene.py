"""A moving scene with exact disparity, drawn frame by frame: what the demo plays to the node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay import textures
from stereo_dp_ros.replay.render import Quad, Shadow, Sphere, Surface, render_disparity, render_image
from stereo_dp_ros.replay.textures import Texture

__all__ = ["COURTYARD_CALIBRATION", "Courtyard", "StereoFrame", "plane_scene"]

Vector = NDArray[np.float64]

COURTYARD_CALIBRATION = StereoCalibration(
    width_px=640,
    height_px=480,
    fx_px=520.0,
    fy_px=520.0,
    cx_left_px=319.5,
    cx_right_px=319.5,
    cy_px=239.5,
    baseline_m=0.12,
)
_GROUND_Y_M = 1.2  # the camera's height; y points down
_PITCH_RAD = np.deg2rad(9.0)  # the camera looks down by this much
_NOISE_LEVELS = 1.3  # standard deviation of a pixel's noise, in gray levels of 255


@dataclass(frozen=True)
class StereoFrame:
    """One rectified pair with its ground truth.

    Attributes
    ----------
    left, right : uint8 (H, W, 3) RGB.
    disparity_px : float32 (H, W), plain disparity of the left image, NaN where there is no ground truth.
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    disparity_px: NDArray[np.float32]


class Courtyard:
    """A courtyard with moving crates, a ball, a pendulum, boards, poles, wires, a picket fence and shrubs.

    Everything follows from `seed` and the time, so two runs draw the same frames. Distances are 1 to 10 m.
    """

    def __init__(self, calibration: StereoCalibration = COURTYARD_CALIBRATION, seed: int = 7) -> None:
        self.calibration = calibration
        self.seed = seed

    def frames(self, count: int, rate_hz: float) -> Iterator[StereoFrame]:
        """`count` frames at `rate_hz`, drawn as they are asked for; the motion lasts as long as they do."""
        for index in range(count):
            yield self.frame(index / max(count - 1, 1), index / rate_hz)

    def frame(self, progress: float, time_s: float) -> StereoFrame:
        """The frame at `time_s`, with the camera at `progress` (0…1) of its way."""
        surfaces = _seen_from_camera(self._surfaces(time_s), progress)
        noise = np.random.default_rng((self.seed, round(time_s * 1e6)))
        left, right = (
            self._with_noise(render_image(surfaces, self.calibration, side), noise) for side in ("left", "right")
        )
        return StereoFrame(left, right, render_disparity(surfaces, self.calibration))

    @cached_property
    def _textures(self) -> dict[str, Texture]:
        seed = self.seed
        return {
            "ground": textures.ground(seed),
            "wall": textures.wall(seed + 1),
            "plaster": textures.plaster(seed + 2),
            "hedge": textures.hedge(seed + 3),
            "crate": textures.crate(seed + 4),
            "crate2": textures.crate(seed + 5),
            "red": textures.striped((206, 52, 44), seed + 6),
            "blue": textures.striped((48, 92, 176), seed + 7),
            "ball": textures.ball(seed + 8),
            "fence": textures.fence(seed + 9),
            "shrub": textures.foliage(seed + 10),
            "wire": textures.rope(seed + 11),
            "astronaut": textures.photo("astronaut", 14),
            "cat": textures.photo("chelsea", 12),
            "rocket": textures.photo("rocket", 14),
            "coffee": textures.photo("coffee", 12),
        }

    @cached_property
    def _noise(self) -> NDArray[np.float32]:
        """A field of noise from which each image takes a part."""
        shape = (self.calibration.height_px + 256, self.calibration.width_px + 256, 3)
        noise = np.random.default_rng(self.seed).standard_normal(shape)
        return (_NOISE_LEVELS * noise).astype(np.float32)

    def _with_noise(self, image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        y, x = rng.integers(0, 256, 2)
        height, width = image.shape[:2]
        noisy = image + self._noise[y : y + height, x : x + width] + np.float32(0.5)
        return np.clip(noisy, 0, 255).astype(np.uint8)

    def _surfaces(self, time_s: float) -> list[Surface]:
        """Everything at a time, in the world: x right, y down, z ahead; ground comes before its shadows."""
        return [*self._yard(), *self._standing(), *self._moving(time_s)]

    def _yard(self) -> list[Surface]:
        look = self._textures
        return [
            _quad((-9, _GROUND_Y_M, 1), (18, 0, 0), (0, 0, 11), look["ground"]),
            _quad((-4.6, -4.3, 10.2), (11, 0, -0.9), (0, 5.5, 0), look["wall"]),
            _quad((-3.3, -4.3, 2.2), (-0.9, 0, 8), (0, 5.5, 0), look["plaster"]),
            _quad((3.1, -0.35, 4.2), (1.6, 0, 5.4), (0.25, 1.55, 0), look["hedge"]),
            _quad((0.15, -1.75, 9.76), (2.0, 0, -0.1636), (0, 1.36, 0), look["rocket"]),
            _quad((-3.50, -1.25, 4.5), (-0.168, 0, 1.5), (0, 1.02, 0), look["coffee"]),
        ]

    def _standing(self) -> list[Surface]:
        look = self._textures
        surfaces: list[Surface] = [
            *_box((1.95, 5.6), 0.9, 0.35, look["crate2"]),
            *_box((1.80, 5.5), 0.55, 0.85, look["crate"], bottom_y=_GROUND_Y_M - 0.9),
            _quad((-2.5, 0.25, 6.8), (2.6, 0, 0.5), (0, 0.95, 0), look["fence"]),
            *_pole((-1.05, 3.1), 0.045, 1.75, look["red"]),
            *_pole((1.15, 3.9), 0.04, 1.9, look["blue"]),
            *_pole((2.05, 3.0), 0.035, 1.5, look["red"]),
            _strip((-3.4, -1.15, 3.6), (3.6, -0.55, 5.2), 0.014, look["wire"]),
            _strip((-3.4, -0.75, 4.4), (3.9, -0.85, 4.6), 0.010, look["wire"]),
        ]
        for angle in np.deg2rad((0, 60, 120)):
            along = 0.5 * np.array((np.cos(angle), 0, np.sin(angle)))
            centre = np.array((-2.05, _GROUND_Y_M - 1.0, 4.3))
            surfaces.append(Quad(centre - along, 2 * along, np.array((0, 1.02, 0.0)), look["shrub"]))
        return [*_shadow((-2.05, 4.3), 1.2, 0.5), *surfaces]

    def _moving(self, time_s: float) -> list[Surface]:
        look = self._textures
        turn = 0.5 + 0.55 * time_s
        crate_x = 0.35 + 0.45 * np.sin(0.8 * time_s)
        cat_x, cat_yaw = -1.15 + 0.5 * time_s, 0.35 * np.sin(1.1 * time_s)
        ball_x = 1.7 - 0.62 * time_s
        ball_z = 2.75 + 0.12 * time_s
        swing = 0.42 * np.sin(2.1 * time_s + 0.4)
        bob = np.array((0.72 + 0.9 * np.sin(swing), -1.1 + 0.9 * np.cos(swing), 1.65))
        board_z = 7.4 - 0.45 * time_s
        return [
            *_box((crate_x, 4.35), 0.62, turn, look["crate"]),
            *_board((cat_x, 5.3), (1.2, 0.8), cat_yaw, look["cat"]),
            *_board((-0.35, board_z), (0.9, 0.9), -0.25 + 0.2 * np.sin(0.9 * time_s), look["astronaut"]),
            *_shadow((ball_x, ball_z), 0.6, 0.75),
            Sphere(np.array((ball_x, _GROUND_Y_M - 0.24, ball_z)), 0.24, look["ball"], _roll(ball_x / 0.24)),
            _strip((0.72, -1.1, 1.65), tuple(bob), 0.008, look["wire"]),
            Sphere(bob, 0.11, look["ball"], _roll(1.3 + swing)),
        ]


def plane_scene(
    depth_m: float, calibration: StereoCalibration, *, slope: tuple[float, float] = (0.0, 0.0), seed: int = 1
) -> StereoFrame:
    """A textured plane that fills both images, without noise.

    The plane is Z = depth_m + slope_x·X + slope_y·Y in the left optical frame; by default it faces the
    cameras, so that every disparity is fx·B/depth_m − doffs.
    """
    rays = np.array([calibration.width_px / calibration.fx_px, calibration.height_px / calibration.fy_px])
    reach = 2.0 * depth_m * float(rays.max()) + 2.0 * calibration.baseline_m
    reach *= 1.0 + abs(calibration.cx_left_px + calibration.cx_right_px) / calibration.width_px
    across = 2.0 * reach * np.array((1.0, 0.0, slope[0]))
    down = 2.0 * reach * np.array((0.0, 1.0, slope[1]))
    texture = textures.noise(seed)
    surfaces = [Quad(np.array((0.0, 0.0, depth_m)) - across / 2 - down / 2, across, down, texture, lit=False)]
    left, right = (render_image(surfaces, calibration, side) for side in ("left", "right"))
    return StereoFrame(left, right, render_disparity(surfaces, calibration))


def _seen_from_camera(surfaces: list[Surface], progress: float) -> list[Surface]:
    """The surfaces in the frame of the left camera, which walks ahead and sways."""
    sway = np.sin(2 * np.pi * progress)
    eye = np.array((0.10 * sway, 0.015 * np.sin(8 * np.pi * progress), 0.55 * progress))
    yaw = np.deg2rad(2.0) * sway
    pitch = np.array(
        ((1, 0, 0), (0, np.cos(_PITCH_RAD), -np.sin(_PITCH_RAD)), (0, np.sin(_PITCH_RAD), np.cos(_PITCH_RAD)))
    )
    to_camera = pitch @ _yaw(yaw)
    moved: list[Surface] = []
    for surface in surfaces:
        if isinstance(surface, Sphere):
            centre = to_camera @ (surface.centre - eye)
            moved.append(Sphere(centre, surface.radius_m, surface.texture, to_camera @ surface.rotation))
            continue
        origin = to_camera @ (surface.origin - eye)
        across, down = to_camera @ surface.across, to_camera @ surface.down
        if isinstance(surface, Shadow):
            moved.append(Shadow(origin, across, down, surface.strength))
        else:
            moved.append(Quad(origin, across, down, surface.texture, surface.lit))
    return moved


def _quad(origin: tuple[float, ...], across: tuple[float, ...], down: tuple[float, ...], texture: Texture) -> Quad:
    return Quad(np.array(origin, float), np.array(across, float), np.array(down, float), texture)


def _shadow(centre_xz: tuple[float, float], size_m: float, strength: float) -> list[Surface]:
    """A soft shadow on the ground."""
    origin = np.array((centre_xz[0] - 0.6 * size_m, _GROUND_Y_M, centre_xz[1] - 0.6 * size_m))
    across, down = np.array((1.2 * size_m, 0, 0)), np.array((0, 0, 1.2 * size_m))
    return [Shadow(origin, across, down, strength)]


def _box(
    centre_xz: tuple[float, float],
    side_m: float,
    yaw_rad: float,
    texture: Texture,
    bottom_y: float = _GROUND_Y_M,
) -> list[Surface]:
    """A cube on the ground (or on another cube), turned about the vertical: four sides and its top."""
    turn = _yaw(yaw_rad)
    centre = np.array((centre_xz[0], bottom_y - side_m, centre_xz[1]))
    down = np.array((0, side_m, 0.0))
    faces: list[Surface] = []
    for quarter in range(4):
        side = turn @ _yaw(quarter * np.pi / 2)
        corner = centre + side @ np.array((-side_m / 2, 0, -side_m / 2))
        faces.append(Quad(corner, side @ np.array((side_m, 0, 0.0)), down, texture))
    back = centre + turn @ np.array((-side_m / 2, 0, side_m / 2))
    top = Quad(back, turn @ np.array((side_m, 0, 0.0)), turn @ np.array((0, 0, -side_m)), texture)
    shadow = _shadow(centre_xz, 2.0 * side_m, 0.7) if bottom_y == _GROUND_Y_M else []
    return [*shadow, *faces, top]


def _board(
    centre_xz: tuple[float, float], size_m: tuple[float, float], yaw_rad: float, texture: Texture
) -> list[Surface]:
    """A picture on a thin foot."""
    along = _yaw(yaw_rad) @ np.array((size_m[0], 0, 0.0))
    top_left = np.array((centre_xz[0], _GROUND_Y_M - 0.35 - size_m[1], centre_xz[1])) - along / 2
    foot = _pole(centre_xz, 0.05, 0.36, texture)
    return [*foot, Quad(top_left, along, np.array((0, size_m[1], 0.0)), texture)]


def _pole(foot_xz: tuple[float, float], width_m: float, height_m: float, texture: Texture) -> list[Surface]:
    """A thin flat pole on the ground that faces the camera's start."""
    x, z = foot_xz
    along = width_m * np.array((z, 0, -x)) / np.hypot(x, z)
    top = np.array((x, _GROUND_Y_M - height_m, z)) - along / 2
    return [*_shadow(foot_xz, 0.35, 0.5), Quad(top, along, np.array((0, height_m, 0.0)), texture)]


def _strip(start: tuple[float, ...], end: tuple[float, ...], width_m: float, texture: Texture) -> Quad:
    """A wire: a strip from start to end that faces the camera's start."""
    first, last = np.array(start, float), np.array(end, float)
    across = np.cross(last - first, (first + last) / 2)
    across *= width_m / np.linalg.norm(across)
    return Quad(first - across / 2, across, last - first, texture)


def _yaw(angle_rad: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return np.array(((cosine, 0, sine), (0, 1, 0), (-sine, 0, cosine)))


def _roll(angle_rad: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
    return np.array(((cosine, -sine, 0), (sine, cosine, 0), (0, 0, 1)))
