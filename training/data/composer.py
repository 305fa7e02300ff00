"""Scenes from seeds: which surfaces stand where and what they are painted with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from training.data import shapes
from training.data.photo_warp import photo_layers
from training.data.scene import Layer, Paint, Scene, Shape
from training.data.surface import Box, Surface
from training.data.textures import PATTERNS, TextureLibrary

__all__ = ["FAMILIES", "compose"]

FAMILIES = {"photo": 0.30, "room": 0.30, "street": 0.16, "flying": 0.24}
"""Scene families and how often each is drawn."""


@dataclass
class _Draft:
    """A scene being composed."""

    rng: np.random.Generator
    library: TextureLibrary
    width: int
    height: int
    low: float
    high: float
    layers: list[Layer] = field(default_factory=list)

    @property
    def focal(self) -> float:
        """Focal length in px of a camera with an ordinary angle of view."""
        return 0.9 * self.width

    @property
    def full(self) -> Box:
        """Everything that either view can see."""
        return -4.0, -4.0, self.width + self.high + 4.0, self.height + 4.0

    def at(self, depth: float) -> float:
        """Disparity at a fraction of the scene's range."""
        return self.low + depth * (self.high - self.low)

    def add(self, surface: Surface, box: Box, paint: Paint, shape: Shape | None = None, *, fit: bool = True) -> None:
        box = _clipped(box, self.full)
        if box[2] - box[0] < 2 or box[3] - box[1] < 2:
            return
        if fit:
            surface = surface.fitted(box, self.low, self.high)
        fine = shape is not None and (box[2] - box[0]) * (box[3] - box[1]) < 120 * 120
        self.layers.append(Layer(surface, box, paint, shape or Shape(), 2.0 if fine else 1.5))


def _clipped(box: Box, full: Box) -> Box:
    return max(box[0], full[0]), max(box[1], full[1]), min(box[2], full[2]), min(box[3], full[3])


def compose(
    seed: int, width_px: int, height_px: int, disparity_px: tuple[float, float], library: TextureLibrary,
    family: str | None = None, vertical_error_px: float = 0.5,
) -> Scene:
    """The scene of a seed.  Its largest disparity is drawn log-uniformly from ``disparity_px``.

    A third of the scenes reach down to almost zero disparity; in the others the farthest surface keeps up to
    0.7 of the largest one, as indoors.
    """
    rng = np.random.default_rng(seed)
    high = float(np.exp(rng.uniform(*np.log(disparity_px))))
    name = family or str(rng.choice(list(FAMILIES), p=list(FAMILIES.values())))
    far = rng.uniform(0.0, 0.06) if rng.random() < (0.8 if name == "street" else 0.3) else rng.uniform(0.06, 0.7)
    draft = _Draft(rng, library, width_px, height_px, max(0.25, far * high), high)
    {"photo": _photo, "room": _room, "street": _street, "flying": _flying}[name](draft)
    vertical = rng.random() < 0.5
    return Scene(
        width_px, height_px, draft.low, draft.high, tuple(draft.layers), name,
        vertical_offset_px=float(rng.normal(0, vertical_error_px / 3)) * vertical,
        vertical_scale=float(rng.normal(0, vertical_error_px / 3)) * vertical / (2 * height_px),
    )


# --- paints


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """Mostly muted colours, from dark to white."""
    value = rng.uniform(15, 245)
    spread = rng.choice([4.0, 18.0, 60.0], p=[0.4, 0.4, 0.2])
    r, g, b = np.clip(value + rng.normal(0, spread, 3), 4, 250)
    return float(r), float(g), float(b)


def _paint(draft: _Draft, *, plain: float = 0.3, perspective: bool = False) -> Paint:
    """A look: with probability ``plain`` almost or entirely without texture."""
    rng = draft.rng
    seed = int(rng.integers(2**31))
    shade = float(rng.choice([0.1, 0.3, 0.7, 1.2], p=[0.25, 0.4, 0.25, 0.1]))
    if rng.random() < plain:
        if rng.random() < 0.6:
            return Paint("plain", seed, colour=_colour(rng), shade=shade)
        return Paint(draft.library.draw(rng), seed, density=float(np.exp(rng.uniform(-0.7, 0.9))),
                     angle_deg=float(rng.uniform(0, 360)), contrast=float(np.exp(rng.uniform(np.log(0.03), np.log(0.35)))),
                     colour=_colour(rng), shade=shade, perspective=perspective)
    if rng.random() < 0.22:
        source = f"pattern:{PATTERNS[rng.integers(len(PATTERNS))]}"
    else:
        source = draft.library.draw(rng)
    angle = float(rng.choice([0, 90, 180, 270]) + (rng.normal(0, 12) if rng.random() < 0.6 else 0.0))
    return Paint(source, seed, density=float(np.exp(rng.uniform(-0.6, 1.0))), angle_deg=angle,
                 contrast=float(rng.uniform(0.5, 1.15)), shade=shade, perspective=perspective,
                 colour=_colour(rng) if rng.random() < 0.15 else None)


# --- objects


def _relief(draft: _Draft, centre: tuple[float, float], size: tuple[float, float], disparity: float) -> Surface:
    """A surface through the centre: fronto-parallel, slanted, or bent."""
    rng = draft.rng
    # a plane inclined by t has the disparity gradient d tan(t) / f; a ball of radius R px bulges by d R / f
    per_px = disparity / draft.focal
    tilt = per_px * np.tan(rng.normal(0, rng.choice([0.0, 0.3, 0.8], p=[0.25, 0.45, 0.3]), 2).clip(-1.3, 1.3))
    bend = np.zeros(3)
    if rng.random() < 0.45:
        bulge = -per_px * rng.choice([1.0, 1.0, -1.0]) * rng.gamma(2.0, 0.6)
        bend = bulge * np.array([rng.uniform(0, 1) / size[0], rng.normal(0, 0.3) / np.sqrt(size[0] * size[1]),
                                 rng.uniform(0, 1) / size[1]])
    return Surface(disparity, float(tilt[0]), float(tilt[1]), *map(float, bend), x0=centre[0], y0=centre[1])


def _object(draft: _Draft, centre: tuple[float, float], size: tuple[float, float], disparity: float) -> None:
    """One thing of a random kind."""
    rng = draft.rng
    kind = rng.choice(
        ["blob", "rectangle", "polygon", "frame", "strokes", "grille", "foliage", "crate"],
        p=[0.24, 0.22, 0.13, 0.07, 0.11, 0.05, 0.06, 0.12],
    )
    if kind == "crate":
        _crate(draft, centre, size, disparity)
        return
    thin = float(np.exp(rng.uniform(np.log(1.0), np.log(5.0))))
    make = {
        "blob": shapes.blob, "rectangle": shapes.rectangle, "polygon": shapes.polygon, "frame": shapes.frame,
        "foliage": shapes.foliage,
    }
    if kind in make:
        shape = make[kind](rng, centre, size)
    elif kind == "strokes":
        shape = shapes.strokes(rng, centre, (size[0], size[1] * rng.uniform(1, 3)), thin)
    else:
        shape = shapes.grille(rng, centre, size, thin)
    plain = 0.55 if kind in ("strokes", "grille", "frame") else 0.3
    draft.add(_relief(draft, centre, size, disparity), shapes.bounds(shape), _paint(draft, plain=plain), shape)


def _crate(draft: _Draft, centre: tuple[float, float], size: tuple[float, float], disparity: float) -> None:
    """A box seen at an angle: two upright faces that meet in the nearest edge, and a lid if seen from above."""
    rng = draft.rng
    split = rng.uniform(0.2, 0.8)
    left, right = centre[0] - size[0] / 2, centre[0] + size[0] / 2
    edge = left + split * size[0]
    drop = disparity * rng.uniform(0.05, 0.3, 2)
    horizon = draft.height * rng.uniform(-0.2, 0.8)
    top, bottom = centre[1] - size[1] / 2, centre[1] + size[1] / 2

    def receding(y: float, d: float) -> float:
        return horizon + (y - horizon) * d / disparity

    corners = {}
    for name, x, d in (("l", left, disparity - drop[0]), ("e", edge, disparity), ("r", right, disparity - drop[1])):
        corners[name] = (x, receding(top, d)), (x, receding(bottom, d))
    slopes = drop[0] / (edge - left), -drop[1] / (right - edge)
    if max(abs(s) for s in slopes) > 0.55 or disparity - drop.max() < draft.low:
        shape = shapes.rectangle(rng, centre, size)
        draft.add(_relief(draft, centre, size, disparity), shapes.bounds(shape), _paint(draft), shape)
        return
    paint = _paint(draft)
    for name, slope in (("l", slopes[0]), ("r", slopes[1])):
        shape = shapes.quad([corners[name][0], corners["e"][0], corners["e"][1], corners[name][1]])
        face = Surface(disparity, float(slope), x0=float(edge), y0=float(centre[1]))
        draft.add(face, shapes.bounds(shape), paint if rng.random() < 0.5 else _paint(draft), shape, fit=False)
    if top > horizon:
        _lid(draft, corners, edge, disparity, drop, top)


def _lid(draft: _Draft, corners: dict, edge: float, disparity: float, drop: np.ndarray, top: float) -> None:
    """The top face: the plane through the two upper edges, as a parallelogram in space."""
    (xl, yl), (xr, yr), (xe, ye) = corners["l"][0], corners["r"][0], corners["e"][0]
    near = np.array([[xl, yl, 1.0], [xr, yr, 1.0], [xe, ye, 1.0]])
    if abs(np.linalg.det(near)) < 1.0:
        return
    a, b, c = np.linalg.solve(near, [disparity - drop[0], disparity - drop[1], disparity])
    # depths add up along a parallelogram: the far corner is left + right - edge in space
    inverse = 1 / (disparity - drop[0]) + 1 / (disparity - drop[1]) - 1 / disparity
    far = 1 / inverse
    x = far * (xl / (disparity - drop[0]) + xr / (disparity - drop[1]) - xe / disparity)
    y = far * (yl / (disparity - drop[0]) + yr / (disparity - drop[1]) - ye / disparity)
    if abs(a) > 0.55 or far < draft.low:
        return
    shape = shapes.quad([(xl, yl), (xe, ye), (xr, yr), (float(x), float(y))])
    draft.add(Surface(float(c), float(a), float(b)), shapes.bounds(shape), _paint(draft), shape, fit=False)


def _clutter(draft: _Draft, count: int, depth: tuple[float, float] = (0.02, 1.0), floor: float = 0.0) -> None:
    """Objects of log-uniform size anywhere; more of them far than near."""
    rng = draft.rng
    for _ in range(count):
        near = rng.uniform(0, 1) ** 1.5
        disparity = draft.at(depth[0] + (depth[1] - depth[0]) * near)
        size = np.exp(rng.uniform(np.log(14), np.log(0.55 * draft.width))) * np.exp(rng.normal(0, 0.3, 2))
        size = np.minimum(size * (0.6 + 0.8 * near), 0.8 * draft.width)
        centre = float(rng.uniform(0, draft.width + disparity)), float(rng.uniform(floor, 1.0) * draft.height)
        _object(draft, centre, (float(size[0]), float(size[1])), float(disparity))


# --- families


def _photo(draft: _Draft) -> None:
    """A photograph cut along its segments, with a few objects before it."""
    draft.layers.extend(photo_layers(draft.rng, draft.library, draft.full, draft.low, draft.high, draft.width))
    if draft.rng.random() < 0.6:
        _clutter(draft, int(draft.rng.integers(1, 9)), (0.3, 1.0))


def _wall(draft: _Draft, depth: float) -> Surface:
    """A far wall, sometimes turned about the vertical."""
    rng = draft.rng
    turn = rng.normal(0, 0.3) * draft.low / draft.width if rng.random() < 0.6 else 0.0
    return Surface(draft.at(depth), float(turn), 0.0, x0=draft.width / 2, y0=draft.height / 2)


def _room(draft: _Draft) -> None:
    """Walls, a floor or table, shelves and posters on the wall, things standing about."""
    rng = draft.rng
    wall_depth = float(rng.uniform(0.0, 0.25))
    back = _wall(draft, wall_depth).fitted(draft.full, draft.low, draft.high)
    draft.add(back, draft.full, _paint(draft, plain=0.55), fit=False)
    for _ in range(int(rng.integers(0, 5))):  # flat things on the wall
        size = float(rng.uniform(30, 220)), float(rng.uniform(20, 160))
        centre = float(rng.uniform(0, draft.width + draft.low)), float(rng.uniform(0, 0.7) * draft.height)
        shape = shapes.rectangle(rng, centre, size, 0.02)
        stuck = Surface(back.c + float(rng.uniform(0.02, 0.6)), back.a, back.b, x0=back.x0, y0=back.y0)
        draft.add(stuck, shapes.bounds(shape), _paint(draft, plain=0.2), shape)
    for side in (-1, 1):
        if rng.random() < 0.4:
            _side_wall(draft, back, side)
    floor = None
    if rng.random() < 0.75:
        floor = _ground(draft, wall_depth, float(rng.uniform(0.3, 0.8)), plain=0.45)
    if rng.random() < 0.15:
        _ceiling(draft, back)
    if floor is not None:
        _standing(draft, floor, int(rng.integers(2, 10)))
    _clutter(draft, int(rng.integers(6, 26)), (0.1, 1.0))


def _side_wall(draft: _Draft, back: Surface, side: int) -> None:
    rng = draft.rng
    slope = side * min(0.5, float(rng.uniform(0.2, 1.0)) * (draft.high - back.c) / (0.4 * draft.width))
    corner = draft.width * (0.5 + side * rng.uniform(0.1, 0.5)) + (draft.low if side > 0 else 0)
    surface = Surface(back.c, slope, x0=float(corner), y0=draft.height / 2)
    reach = 0.97 * (draft.high - back.c) / abs(slope)  # beyond, it would be nearer than the scene's range
    box = (corner - reach, draft.full[1], corner, draft.full[3])
    if side > 0:
        box = (corner, draft.full[1], corner + reach, draft.full[3])
    draft.add(surface, box, _paint(draft, plain=0.5, perspective=rng.random() < 0.7), fit=False)


def _ground(draft: _Draft, far: float, horizon: float, plain: float) -> Surface:
    """A floor, table or road from a depth at a row (fraction of the height) to near at the bottom row."""
    rng = draft.rng
    start = horizon * draft.height
    near = draft.at(float(rng.uniform(0.55, 1.0)))
    low = draft.at(far)
    roll = rng.normal(0, 0.03) * (near - low) / draft.width
    surface = Surface(low, float(roll), (near - low) / (draft.height - start), x0=draft.width / 2, y0=start)
    box = (draft.full[0], start - 2, draft.full[2], draft.full[3])
    surface = surface.fitted(box, draft.low, draft.high)
    draft.add(surface, box, _paint(draft, plain=plain, perspective=rng.random() < 0.8), fit=False)
    return surface


def _ceiling(draft: _Draft, back: Surface) -> None:
    rng = draft.rng
    end = draft.height * float(rng.uniform(0.1, 0.3))
    surface = Surface(back.c, 0.0, -(draft.at(float(rng.uniform(0.2, 0.6))) - back.c) / end, x0=0.0, y0=end)
    box = (draft.full[0], draft.full[1], draft.full[2], end + 2)
    draft.add(surface, box, _paint(draft, plain=0.7, perspective=True))


def _standing(draft: _Draft, floor: Surface, count: int) -> None:
    """Objects whose foot is on the floor."""
    rng = draft.rng
    for _ in range(count):
        foot = float(rng.uniform(floor.y0 + 4, draft.height + 30))
        x = float(rng.uniform(0, draft.width + draft.high * 0.5))
        disparity = float(np.clip(floor.disparity(np.float64(x), np.float64(foot)), draft.low, draft.high))
        tall = np.exp(rng.uniform(np.log(0.08), np.log(0.7))) * draft.height * (0.4 + disparity / draft.high)
        wide = tall * np.exp(rng.normal(-0.2, 0.6))
        _object(draft, (x, foot - tall / 2), (float(wide), float(tall)), disparity)


def _street(draft: _Draft) -> None:
    """A road with fronts along it, sky or hills at the end, posts, vehicles and bushes."""
    rng = draft.rng
    horizon = float(rng.uniform(0.3, 0.6))
    end = rng.uniform(0.0, 0.08)
    photo = Paint(draft.library.draw(rng, photo=True), int(rng.integers(2**31)), whole=True, shade=0.1)
    draft.add(_wall(draft, end), draft.full, photo if rng.random() < 0.6 else _paint(draft, plain=0.7))
    road = _ground(draft, float(end), horizon, plain=0.4)
    back = Surface(draft.at(float(end)))
    for side in (-1, 1):
        if rng.random() < 0.6:
            _side_wall(draft, back, side)
        for _ in range(int(rng.integers(0, 5))):  # fronts facing the road
            depth = draft.at(float(rng.uniform(0.02, 0.5)))
            x = draft.width * (0.5 + side * rng.uniform(0.12, 0.6))
            size = float(rng.uniform(40, 260)), float(rng.uniform(50, 260))
            centre = float(x), horizon * draft.height - size[1] * float(rng.uniform(0.1, 0.5)) + 20
            _crate(draft, centre, size, depth)
    _standing(draft, road, int(rng.integers(3, 16)))
    _clutter(draft, int(rng.integers(0, 8)), (0.05, 0.8))


def _flying(draft: _Draft) -> None:
    """Many things in the air before one or two backdrops."""
    rng = draft.rng
    draft.add(_relief(draft, (draft.width / 2, draft.height / 2), (draft.width, draft.height), draft.at(0.08)),
              draft.full, _paint(draft, plain=0.25))
    _clutter(draft, int(rng.integers(12, 46)), (0.03, 1.0))
