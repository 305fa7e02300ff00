"""Scenes from seeds: which surfaces stand where and what they are painted with."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np

from training.data import shapes
from training.data.draft import Camera, Draft, log_uniform
from training.data.hard_cases import HARD_CASES
from training.data.lighting import add_reflections, cast_shadows
from training.data.objects import add_clutter, add_object, relief
from training.data.photo_warp import photo_layers
from training.data.scene import Paint, Scene
from training.data.solids import add_face, add_solid
from training.data.surface import Surface
from training.data.textures import TextureLibrary

__all__ = ["FAMILIES", "FEATURES", "compose", "draw_range"]

FAMILIES = {"photo": 0.28, "room": 0.40, "street": 0.14, "flying": 0.18}
"""Scene families and how often each is drawn."""

FEATURES = ("plain", "light", "bent", "thin", "shadows", "reflections", "sharp", *HARD_CASES)
"""What can be left out of scenes.

Surfaces without texture, diffuse shading, bent sheets, lines 1 to 5 px thin, shadows, reflections; "sharp" keeps
photographs from being enlarged; the rest is `hard_cases`'.
"""


def compose(
    seed: int,
    width_px: int,
    height_px: int,
    disparity_px: tuple[float, float],
    library: TextureLibrary,
    family: str | None = None,
    vertical_error_px: float = 0.5,
    without: frozenset[str] = frozenset(),
    detail: float = 1.0,
) -> Scene:
    """The scene of a seed, in a random family unless one is given; the range is `draw_range`'s.

    ``detail`` composes it on a canvas that many times as large and shows that reduced to the size asked for.
    ``without`` names `FAMILIES` and `FEATURES` to leave out.
    """
    rng = np.random.default_rng(seed)
    weights = np.array([0.0 if name in without else weight for name, weight in FAMILIES.items()])
    name = family or str(rng.choice(list(FAMILIES), p=weights / weights.sum()))
    low, high = draw_range(rng, name, (disparity_px[0] * detail, disparity_px[1] * detail))
    width, height = ceil(width_px * detail), ceil(height_px * detail)
    draft = Draft(rng, library, width, height, low, high, without, detail, seed)
    {"photo": _photo, "room": _room, "street": _street, "flying": _flying}[name](draft)
    for feature, change in HARD_CASES.items():
        if feature not in without:
            change(draft.aside(feature))
    if "shadows" not in without:
        cast_shadows(draft)
    if "reflections" not in without:
        add_reflections(draft)
    vertical = float(rng.random() < 0.5)
    scene = Scene(
        width,
        height,
        draft.low,
        draft.high,
        tuple(draft.layers),
        name,
        tuple(draft.reflections),
        vertical_offset_px=float(rng.normal(0, vertical_error_px * detail / 3)) * vertical,
        vertical_scale=float(rng.normal(0, vertical_error_px * detail / 3)) * vertical / (2 * height),
        right_gains=tuple(draft.right_gains),
    )
    return scene.scaled(1 / detail, width_px, height_px)


def draw_range(rng: np.random.Generator, family: str, disparity_px: tuple[float, float]) -> tuple[float, float]:
    """Smallest and largest disparity of a scene in px; the largest is log-uniform within ``disparity_px``.

    A third of the scenes (most streets) reach down to almost zero disparity; in the others the farthest surface
    keeps up to 0.7 of the largest one, as indoors.
    """
    high = log_uniform(rng, *disparity_px)
    open_air = rng.random() < (0.8 if family == "street" else 0.3)
    far = rng.uniform(0.0, 0.06) if open_air else rng.uniform(0.06, 0.7)
    return max(0.25, float(far) * high), high


def _photo(draft: Draft) -> None:
    """A photograph cut along its segments, with a few objects before it."""
    draft.layers.extend(photo_layers(draft))
    if draft.rng.random() < 0.6:
        add_clutter(draft, int(draft.rng.integers(1, 9)), (0.3, 1.0), (14, 0.5 * draft.width))


def _room(draft: Draft) -> None:
    """Walls, a floor, furniture on it, things on the wall and in the air."""
    rng = draft.rng
    pitch = float(rng.uniform(-0.05, 0.6))
    camera = draft.aimed(pitch, float(rng.normal(0, 0.03)))
    yaw = float(rng.normal(0, 0.25))
    wall = _wall(draft, camera, yaw)
    draft.add(wall, draft.full, draft.paint(plain=0.55, perspective=abs(yaw) > 0.2), fit=False)
    _wall_things(draft, wall)
    for side in (-1, 1):
        if rng.random() < 0.35:
            _side_wall(draft, camera, wall, side)
    floor = _floor(draft, camera, plain=0.45)
    if floor is not None:
        _markings(draft, camera, floor, yaw, int(rng.integers(0, 4)))
        _furnish(draft, camera, floor, yaw, int(rng.integers(3, 13)))
        _stand(draft, floor, int(rng.integers(0, 7)))
    add_clutter(draft, int(rng.integers(0, 13)), (0.05, 1.0), (10, 0.35 * draft.width))


def _street(draft: Draft) -> None:
    """A road with houses along it, sky or hills at the end, posts, vehicles and bushes."""
    rng = draft.rng
    camera = draft.aimed(float(rng.uniform(-0.1, 0.12)), float(rng.normal(0, 0.01)))
    photo = Paint(draft.textures.draw(rng, photo=True), int(rng.integers(2**31)), whole=True, shade=0.1)
    sky = Surface(draft.low).fitted(draft.full, draft.low, draft.high)
    draft.add(sky, draft.full, photo if rng.random() < 0.5 else draft.paint(plain=0.8), fit=False)
    add_clutter(draft, int(rng.integers(0, 6)), (0.0, 0.08), (60, 300))
    for side in (-1, 1):
        if rng.random() < 0.5:
            _side_wall(draft, camera, sky, side)
    road = _floor(draft, camera, plain=0.5)
    if road is not None:
        _markings(draft, camera, road, 0.0, int(rng.integers(0, 7)))
        _furnish(draft, camera, road, float(rng.normal(0, 0.1)), int(rng.integers(3, 13)))
        _stand(draft, road, int(rng.integers(2, 10)))
    add_clutter(draft, int(rng.integers(0, 6)), (0.03, 0.7), (14, 0.3 * draft.width))


def _flying(draft: Draft) -> None:
    """Many things in the air before a backdrop."""
    rng = draft.rng
    middle, size = (draft.width / 2, draft.height / 2), (draft.width, draft.height)
    draft.add(relief(draft, middle, size, draft.at(0.08)), draft.full, draft.paint(plain=0.25))
    add_clutter(draft, int(rng.integers(8, 32)), (0.03, 1.0), (14, 0.5 * draft.width))
    for _ in range(int(rng.integers(0, 8))):
        camera = draft.aimed(float(rng.uniform(-1.0, 1.0)), float(rng.uniform(-1.5, 1.5)))
        x, y = rng.uniform(0, draft.width + 0.5 * draft.high), rng.uniform(0, 1.2 * draft.height)
        _solid_at(draft, camera, float(x), float(y), draft.at(float(rng.uniform(0.05, 0.7))), rng.uniform(-3, 3))


# --- planes of a room


def _wall(draft: Draft, camera: Camera, yaw: float) -> Surface:
    """The far wall, its farthest point near the scene's smallest disparity."""
    normal = np.array([np.sin(yaw), 0.0, np.cos(yaw)])
    surface = camera.plane(normal, 1.0)
    corners = surface.disparity(np.array(draft.full[::2]), np.array(draft.full[1::2])[:, None])
    if corners.min() <= 0.2 * corners.max():
        return Surface(draft.low).fitted(draft.full, draft.low, draft.high)
    offset = corners.min() / (draft.low * draft.rng.uniform(1.0, 1.1))
    return camera.plane(normal, float(offset)).fitted(draft.full, draft.low, draft.high)


def _side_wall(draft: Draft, camera: Camera, back: Surface, side: int) -> None:
    """A wall that comes towards the camera on one side."""
    angle = draft.rng.uniform(0.0, 0.5)
    normal = np.array([side * np.cos(angle), 0.0, side * np.sin(angle) * draft.rng.choice([-1, 1])])
    surface = camera.plane(normal, 1.0)
    corners = surface.disparity(np.array(draft.full[::2]), np.array(draft.full[1::2])[:, None])
    if corners.max() <= 0:
        return
    near = max(draft.at(float(draft.rng.uniform(0.2, 0.97))), back.c)
    surface = camera.plane(normal, float(corners.max() / near))
    if abs(surface.a) > 0.55:
        return
    draft.add(surface, _seen_before(draft, surface, back), draft.paint(plain=0.5, perspective=True), fit=False)


def _floor(draft: Draft, camera: Camera, plain: float) -> Surface | None:
    """The plane below the camera; None where the view shows none of it."""
    normal = np.array([0.0, 1.0, 0.0])
    surface = camera.plane(normal, 1.0)
    corners = surface.disparity(np.array(draft.full[::2]), np.array(draft.full[1::2])[:, None])
    if corners.max() <= 0:
        return None
    near = draft.at(float(draft.rng.uniform(0.5, 0.98)))
    surface = camera.plane(normal, float(corners.max() / near))
    box = _seen_before(draft, surface, Surface(draft.low))
    draft.add(surface, box, draft.paint(plain=plain, perspective=True), fit=False)
    return surface


def _seen_before(draft: Draft, surface: Surface, back: Surface) -> tuple[float, float, float, float]:
    """The part of the picture where a plane may be nearer than the back wall."""
    x0, y0, x1, y1 = draft.full
    xs, ys = np.linspace(x0, x1, 41), np.linspace(y0, y1, 41)
    nearer = surface.disparity(xs[None, :], ys[:, None]) > back.disparity(xs[None, :], ys[:, None]) - 1.0
    columns, rows = np.nonzero(nearer.any(0))[0], np.nonzero(nearer.any(1))[0]
    if len(columns) == 0:
        return x0, y0, x0, y0
    return xs[max(columns[0] - 1, 0)], ys[max(rows[0] - 1, 0)], xs[min(columns[-1] + 1, 40)], ys[min(rows[-1] + 1, 40)]


def _wall_things(draft: Draft, wall: Surface) -> None:
    """Pictures and boards on the wall, small clutter close before it."""
    rng = draft.rng
    for _ in range(int(rng.integers(0, 7))):
        size = log_uniform(rng, 20, 0.35 * draft.width), log_uniform(rng, 15, 0.5 * draft.height)
        centre = float(rng.uniform(0, draft.width + draft.low)), float(rng.uniform(0, 0.8) * draft.height)
        shape = shapes.rectangle(rng, centre, size, 0.02)
        stuck = replace(wall, c=wall.c + float(rng.uniform(0.02, 0.6)))
        draft.add(stuck, shapes.bounds(shape), draft.paint(plain=0.2), shape)
    if rng.random() < 0.5:
        add_clutter(draft, int(rng.integers(3, 14)), (0.0, 0.15), (8, 90))


# --- things on the ground


def _foot(draft: Draft, floor: Surface) -> tuple[float, float, float] | None:
    """A random visible spot of the floor: x, y, disparity."""
    for _ in range(8):
        x = float(draft.rng.uniform(-20, draft.width + 0.6 * draft.high))
        y = float(draft.rng.uniform(0, 1.15 * draft.height))
        disparity = floor.at(x, y)
        if 1.05 * draft.low < disparity < 0.85 * draft.high:
            return x, y, disparity
    return None


def _furnish(draft: Draft, camera: Camera, floor: Surface, yaw: float, count: int) -> None:
    for _ in range(round(count * draft.detail)):
        spot = _foot(draft, floor)
        if spot is not None:
            turn = yaw if draft.rng.random() < 0.5 else draft.rng.uniform(-3, 3)
            _solid_at(draft, camera, *spot, turn)


def _markings(draft: Draft, camera: Camera, floor: Surface, yaw: float, count: int) -> None:
    """Flat things on the floor: rugs, lines, papers, covers."""
    rng = draft.rng
    for _ in range(count):
        spot = _foot(draft, floor)
        if spot is None:
            continue
        x, y, disparity = spot
        middle = camera.unproject(x, y, disparity)
        unit = camera.reach / disparity / camera.focal_px
        across, along = (log_uniform(rng, 8, 0.5 * draft.width) * unit for _ in range(2))
        turn = yaw + (0.0 if rng.random() < 0.7 else float(rng.uniform(-2, 2)))
        cos, sin = np.cos(turn), np.sin(turn)
        corners = np.array([[-across, 0, -along], [across, 0, -along], [across, 0, along], [-across, 0, along]]) / 2
        corners = corners @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) + middle * (1 - 1e-3)
        add_face(draft, camera, corners, draft.paint(plain=0.35))


def _solid_at(draft: Draft, camera: Camera, x: float, y: float, disparity: float, yaw: float) -> None:
    size_px = log_uniform(draft.rng, 25, 0.45 * draft.width)
    size = size_px / camera.focal_px * camera.reach / disparity
    add_solid(draft, camera, camera.unproject(x, y, disparity), size, yaw)


def _stand(draft: Draft, floor: Surface, count: int) -> None:
    """Sheets whose foot is on the floor."""
    rng = draft.rng
    for _ in range(round(count * draft.detail)):
        spot = _foot(draft, floor)
        if spot is None:
            continue
        x, y, disparity = spot
        tall = log_uniform(rng, 0.08, 0.7) * draft.height * (0.4 + disparity / draft.high)
        wide = tall * np.exp(rng.normal(-0.2, 0.6))
        add_object(draft, (x, y - tall / 2), (float(wide), float(tall)), disparity)
