"""Things built of flat faces in space: boxes, furniture, houses, signs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.data import shapes
from training.data.draft import Camera, Draft, log_uniform
from training.data.scene import Paint
from training.data.surface import Surface

__all__ = ["SOLIDS", "add_cuboid", "add_face", "add_post", "add_solid"]

SOLIDS = {
    "cuboid": 0.22,
    "table": 0.11,
    "chair": 0.13,
    "shelf": 0.13,
    "sign": 0.07,
    "stack": 0.08,
    "can": 0.11,
    "ball": 0.05,
    "car": 0.05,
    "tree": 0.05,
}
"""Kinds of solids and how often each is drawn."""

_FACES = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-1.0, 0.0) for z in (-0.5, 0.5)])
_AXES = ((0, -1), (0, 1), (1, -1), (1, 1), (2, -1), (2, 1))  # outward normals of the faces: axis, sign
_MIN_SIZE_PX = 3.0
_MIN_ASPECT = 0.04  # of 1 - a: how nearly edge-on to the right camera a face may be


def _turn(yaw: float) -> np.ndarray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def add_face(draft: Draft, camera: Camera, corners: np.ndarray, paint: Paint) -> None:
    """A planar polygon (N, 3) in world coordinates; left out where either camera would see it edge-on."""
    position, disparity = camera.project(corners)
    normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
    _add_projected(draft, camera, position, disparity, normal, float(normal @ corners[0]), paint)


def _add_projected(
    draft: Draft,
    camera: Camera,
    position: np.ndarray,
    disparity: np.ndarray,
    normal: np.ndarray,
    offset: float,
    paint: Paint,
) -> None:
    low, high = float(disparity.min()), float(disparity.max())
    (x0, y0), (x1, y1) = position.min(0).tolist(), position.max(0).tolist()
    full = draft.full
    if low < 0.5 * draft.low or high > draft.high or abs(offset) < 1e-9:
        return
    if x1 < full[0] or x0 > full[2] or y1 < full[1] or y0 > full[3]:
        return
    surface = camera.plane(normal, offset)
    steep = float(np.hypot(surface.a, surface.b))
    # an outline is exact to about half a texel, over which a steep face must not leave the scene's range
    if abs(1.0 - surface.a) < _MIN_ASPECT or steep > 4.0 or high + 0.5 * steep > draft.high:
        return
    shape = shapes.quad([(float(x), float(y)) for x, y in position])
    perspective = (x1 - x0) * (y1 - y0) > 100 * 100 and high > 1.25 * low
    box = x0 - 1, y0 - 1, x1 + 1, y1 + 1
    draft.add(surface, box, replace(paint, perspective=perspective), shape, fit=False, finer=max(1.0, steep))


def add_cuboid(
    draft: Draft,
    camera: Camera,
    foot: np.ndarray,
    size: tuple[float, float, float],
    yaw: float,
    paint: Paint,
    other: Paint | None = None,
) -> None:
    """A box standing with the middle of its base at ``foot``; ``other`` paints every second pair of faces."""
    turn = _turn(yaw)
    corners = _CORNERS * np.array(size) @ turn.T + foot
    position, disparity = camera.project(corners)
    if disparity.min() <= 0 or disparity.max() > draft.high or np.ptp(position, axis=0).max() < _MIN_SIZE_PX:
        return
    baseline = camera.reach / camera.focal_px
    eyes = np.array([[0.0, 0.0, 0.0], camera.rotation[0] * baseline])
    for number, face in enumerate(_FACES):
        normal = turn[:, _AXES[number][0]] * _AXES[number][1]
        offset = float(normal @ corners[face[0]])
        if (eyes @ normal > offset).any():
            chosen = other if other is not None and number // 2 == 1 else paint
            _add_projected(draft, camera, position[face], disparity[face], normal, offset, chosen)


def add_post(draft: Draft, camera: Camera, start: np.ndarray, end: np.ndarray, width: float, paint: Paint) -> None:
    """A thin bar as a strip that faces the camera."""
    side = np.cross(end - start, (start + end) / 2)
    side *= width / 2 / max(float(np.linalg.norm(side)), 1e-9)
    add_face(draft, camera, np.array([start - side, start + side, end + side, end - side]), paint)


def add_solid(draft: Draft, camera: Camera, foot: np.ndarray, size: float, yaw: float, kind: str | None = None) -> None:
    """A random thing about ``size`` world units large standing at ``foot``."""
    rng = draft.rng
    kind = kind or str(rng.choice(list(SOLIDS), p=list(SOLIDS.values())))
    if kind in _ROUND:
        _ROUND[kind](draft, camera, foot, size)
    else:
        _ANGULAR[kind](draft, camera, foot, size, yaw)


def _cuboid(draft: Draft, camera: Camera, foot: np.ndarray, size: float, yaw: float) -> None:
    w, h, d = size * np.exp(draft.rng.normal(-0.3, 0.4, 3))
    other = draft.paint() if draft.rng.random() < 0.4 else None
    add_cuboid(draft, camera, foot, (w, h, d), yaw, draft.paint(plain=0.35), other)


def _stack(draft: Draft, camera: Camera, foot: np.ndarray, size: float, yaw: float) -> None:
    """Boxes on each other."""
    base = foot.copy()
    for _ in range(int(draft.rng.integers(2, 6))):
        w, h, d = size * np.array([0.6, 0.2, 0.5]) * np.exp(draft.rng.normal(0, 0.25, 3))
        add_cuboid(draft, camera, base, (w, h, d), yaw + draft.rng.normal(0, 0.2), draft.paint(), draft.paint())
        base = base - (0.0, h, 0.0)


def _place(foot: np.ndarray, yaw: float, x: float, y: float, z: float) -> np.ndarray:
    return foot + _turn(yaw) @ np.array([x, y, z])


def _legs(
    draft: Draft,
    camera: Camera,
    foot: np.ndarray,
    yaw: float,
    size: tuple[float, float, float],
    paint: Paint,
    width: float,
) -> None:
    w, h, d = size
    for x in (-0.46 * w, 0.46 * w):
        for z in (-0.46 * d, 0.46 * d):
            add_post(draft, camera, _place(foot, yaw, x, 0, z), _place(foot, yaw, x, -h, z), width, paint)


def _table(draft: Draft, camera: Camera, foot: np.ndarray, size: float, yaw: float) -> None:
    rng = draft.rng
    w, d, h = size * rng.uniform(0.8, 1.6), size * rng.uniform(0.6, 1.1), size * rng.uniform(0.4, 0.7)
    paint = draft.paint(plain=0.5)
    thick = h * rng.uniform(0.04, 0.15)
    _legs(draft, camera, foot, yaw, (w, h, d), replace(paint, perspective=False), h * rng.uniform(0.04, 0.1))
    add_cuboid(draft, camera, foot - (0, h, 0), (w, thick, d), yaw, paint)
    for _ in range(int(rng.integers(0, 7))):
        spot = _place(foot - (0, h + thick, 0), yaw, rng.uniform(-0.45, 0.45) * w, 0, rng.uniform(-0.45, 0.45) * d)
        item = size * log_uniform(rng, 0.06, 0.3)
        add_cuboid(draft, camera, spot, tuple(item * rng.uniform(0.4, 1.2, 3)), rng.uniform(0, 3), draft.paint())


def _chair(draft: Draft, camera: Camera, foot: np.ndarray, size: float, yaw: float) -> None:
    rng = draft.rng
    paint = draft.paint(plain=0.6)
    w, h, d = size * rng.uniform(0.45, 0.6), size * 0.5, size * rng.uniform(0.45, 0.6)
    bar = size * rng.uniform(0.02, 0.05)
    _legs(draft, camera, foot, yaw, (w, h, d), paint, bar)
    add_cuboid(draft, camera, foot - (0, h, 0), (w, bar, d), yaw, paint)
    for x in np.linspace(-0.46 * w, 0.46 * w, int(rng.integers(2, 6))):
        add_post(draft, camera, _place(foot, yaw, x, -h, 0.46 * d), _place(foot, yaw, x, -size, 0.5 * d), bar, paint)
    for y in np.linspace(-size, -0.75 * size, int(rng.integers(1, 4))):
        left, right = (_place(foot, yaw, x, y, 0.48 * d) for x in (-0.48 * w, 0.48 * w))
        add_post(draft, camera, left, right, bar * rng.uniform(1, 3), paint)


def _shelf(draft: Draft, camera: Camera, foot: np.ndarray, size: float, yaw: float) -> None:
    rng = draft.rng
    w, h, d = size * rng.uniform(0.5, 1.4), size * rng.uniform(0.7, 1.4), size * rng.uniform(0.15, 0.4)
    board = size * rng.uniform(0.015, 0.04)
    paint = draft.paint(plain=0.6)
    if rng.random() < 0.6:
        back = [_place(foot, yaw, x, y, d / 2) for x, y in ((-w / 2, 0), (w / 2, 0), (w / 2, -h), (-w / 2, -h))]
        add_face(draft, camera, np.array(back), draft.paint(plain=0.7))
    for x in (-w / 2, w / 2):
        add_cuboid(draft, camera, _place(foot, yaw, x, 0, 0), (board, h, d), yaw, paint)
    levels = int(rng.integers(2, 6))
    for level in range(levels):
        base = _place(foot, yaw, 0, -h * level / (levels - 1), 0)
        add_cuboid(draft, camera, base + (0, board, 0), (w, board, d), yaw, paint)
        if level == levels - 1 and rng.random() < 0.5:
            continue
        x = -0.48 * w
        while x < 0.4 * w:
            item = np.array([h / levels * rng.uniform(0.1, 0.8), h / levels * rng.uniform(0.3, 0.85), d * 0.8])
            if rng.random() < 0.75:
                spot = base + _turn(yaw) @ np.array([x + item[0] / 2, 0, d * rng.uniform(-0.1, 0.1)])
                add_cuboid(draft, camera, spot, tuple(item), yaw + rng.normal(0, 0.05), draft.paint(plain=0.2))
            x += item[0] * rng.uniform(1.02, 1.5)


def _sign(draft: Draft, camera: Camera, foot: np.ndarray, size: float, yaw: float) -> None:
    """A board on a pole: signs, lamps, screens."""
    rng = draft.rng
    pole = size * rng.uniform(0.4, 1.6)
    add_post(draft, camera, foot, foot - (0, pole, 0), size * rng.uniform(0.015, 0.08), draft.paint(plain=0.8))
    w, h = size * rng.uniform(0.2, 0.8), size * rng.uniform(0.2, 0.6)
    add_cuboid(draft, camera, foot - (0, pole, 0), (w, h, 0.05 * size), yaw, draft.paint(plain=0.2))


def _can(draft: Draft, camera: Camera, foot: np.ndarray, size: float) -> None:
    """An upright round body, straight or tapering: cans, pots, trunks, columns, lampshades."""
    rng = draft.rng
    height, radius = size * rng.uniform(0.4, 1.3), size * log_uniform(rng, 0.03, 0.4)
    taper = rng.choice([1.0, 1.0, rng.uniform(0.4, 1.3)])
    ends, disparity = camera.project(np.array([foot, foot - (0, height, 0)]))
    if disparity.min() < draft.low or disparity.max() > 0.95 * draft.high or abs(ends[0, 1] - ends[1, 1]) < 4:
        return
    scale = camera.focal_px / camera.reach * disparity  # px per world unit at the foot and at the top
    half = np.array([radius, radius * taper]) * scale
    drop = abs(float(camera.rotation[2, 1]))  # how far the round ends are seen from above
    t = np.linspace(0, np.pi, 20)
    bottom = ends[0] + half[0] * np.stack([np.cos(t), drop * np.sin(t)], 1)
    top = ends[1] + half[1] * np.stack([np.cos(t), drop * np.sin(t)], 1)[::-1]
    shape = shapes.quad([(float(x), float(y)) for x, y in np.concatenate([bottom, top])])
    middle, across = disparity.mean(), half.mean()
    bulge = _bulge(float(middle), radius * float(scale.mean()) / camera.focal_px)
    rise = (disparity[1] - disparity[0]) / (ends[1, 1] - ends[0, 1])
    body = Surface(middle + bulge, 0.0, rise, -bulge / across**2, x0=ends[:, 0].mean(), y0=ends[:, 1].mean())
    paint = draft.paint(plain=0.45)
    draft.add(body, shapes.bounds(shape), paint, shape)
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    rim = foot - (0, height, 0) + radius * taper * np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1)
    add_face(draft, camera, rim, draft.paint(plain=0.6))


def _bulge(disparity: float, angle: float) -> float:
    """How much nearer in px the front of a round body is than its axis; ``angle`` is radius over distance."""
    return disparity * angle / max(1.0 - angle, 0.3)


def _ball(draft: Draft, camera: Camera, foot: np.ndarray, size: float) -> None:
    rng = draft.rng
    radius = size * log_uniform(rng, 0.1, 0.45)
    (centre,), (disparity,) = camera.project((foot - (0, radius, 0))[None])
    if not draft.low < disparity < 0.9 * draft.high:
        return
    across = radius * camera.focal_px * disparity / camera.reach
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    shape = shapes.quad([(float(x), float(y)) for x, y in centre + across * np.stack([np.cos(t), np.sin(t)], 1)])
    bulge = _bulge(float(disparity), across / camera.focal_px)
    bend = -bulge / across**2
    surface = Surface(disparity + bulge, 0.0, 0.0, bend, 0.0, bend, *centre)
    draft.add(surface, shapes.bounds(shape), draft.paint(plain=0.45), shape)


def _tree(draft: Draft, camera: Camera, foot: np.ndarray, size: float) -> None:
    """A trunk under clumps of leaves."""
    rng = draft.rng
    height = size * rng.uniform(0.8, 1.6)
    add_post(draft, camera, foot, foot - (0, height, 0), size * rng.uniform(0.03, 0.12), draft.paint(plain=0.3))
    paint = draft.paint(plain=0.25)
    for _ in range(int(rng.integers(2, 6))):
        spot = foot - (0, height, 0) + rng.normal(0, 0.25, 3) * size
        (centre,), (disparity,) = camera.project(spot[None])
        if not draft.low < disparity < 0.95 * draft.high:
            continue
        across = size * rng.uniform(0.4, 1.0) * camera.focal_px * disparity / camera.reach
        make = shapes.foliage if rng.random() < 0.6 else shapes.blob
        shape = make(rng, (float(centre[0]), float(centre[1])), (float(across), float(across)))
        bend = -_bulge(float(disparity), 0.5 * across / camera.focal_px) / across**2
        surface = Surface(disparity, rng.normal(0, 0.1), rng.normal(0, 0.1), bend, 0.0, bend, *centre)
        draft.add(surface, shapes.bounds(shape), paint, shape)


def _car(draft: Draft, camera: Camera, foot: np.ndarray, size: float, yaw: float) -> None:
    """A body on wheels with a cabin of another look."""
    rng = draft.rng
    length, width = size * rng.uniform(1.2, 1.8), size * rng.uniform(0.55, 0.75)
    body, cabin, wheel = size * rng.uniform(0.22, 0.3), size * rng.uniform(0.2, 0.5), size * rng.uniform(0.1, 0.14)
    paint, glass = draft.paint(plain=0.8), draft.paint(plain=0.5)
    lift = np.array([0.0, 0.7 * wheel, 0.0])
    add_cuboid(draft, camera, foot - lift, (width, body, length), yaw, paint)
    roof = _place(foot - lift, yaw, 0, -body, rng.uniform(-0.12, 0.12) * length)
    add_cuboid(draft, camera, roof, (0.9 * width, cabin, rng.uniform(0.45, 0.8) * length), yaw, glass)
    turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    rim = wheel * np.stack([0 * turn, np.sin(turn), np.cos(turn)], 1)
    tyre = draft.paint(plain=1.0)
    for side in (-0.51, 0.51):
        for along in (-0.32, 0.32):
            middle = _place(foot, yaw, side * width, -wheel, along * length)
            add_face(draft, camera, middle + rim @ _turn(yaw).T, tyre)


_ROUND = {"can": _can, "ball": _ball, "tree": _tree}
_ANGULAR = {
    "cuboid": _cuboid,
    "table": _table,
    "chair": _chair,
    "shelf": _shelf,
    "sign": _sign,
    "stack": _stack,
    "car": _car,
}
