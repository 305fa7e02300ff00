"""Textures of the demo's scene: procedural, and photographs from scikit-image (CC0 or public domain).

Every texture is a mip-map: level 0 is the image, each further level is half as large, averaged over areas.
Colours are RGB uint8; a fourth channel, where there is one, is the coverage (0 or 255) and colours are
multiplied by it, so that averaging does not pull in the colour of what is cut out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Texture",
    "ball",
    "crate",
    "fence",
    "foliage",
    "ground",
    "hedge",
    "noise",
    "photo",
    "plaster",
    "rope",
    "striped",
    "wall",
]

Image = NDArray[np.uint8]
FloatImage = NDArray[np.floating]


@dataclass(frozen=True)
class Texture:
    """A mip-mapped image.

    Attributes
    ----------
    levels : uint8 (H_i, W_i, 3) RGB or (H_i, W_i, 4) RGBA premultiplied, finest first.
    """

    levels: tuple[Image, ...]

    @classmethod
    def from_image(cls, image: Image) -> Texture:
        """Build the levels of an RGB or straight-alpha RGBA image, down to a side of 4."""
        level = image
        if image.shape[2] == 4:
            alpha = image[..., 3:].astype(np.float32) / 255.0
            level = np.dstack([(image[..., :3] * alpha).astype(np.uint8), image[..., 3]])
        levels = [np.ascontiguousarray(level)]
        while min(level.shape[:2]) >= 8:
            size = (level.shape[1] // 2, level.shape[0] // 2)
            level = cv2.resize(level, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
            levels.append(level)
        return cls(tuple(levels))

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the finest level."""
        height, width = self.levels[0].shape[:2]
        return width, height

    @property
    def has_coverage(self) -> bool:
        """Whether parts of the image are cut out."""
        return self.levels[0].shape[2] == 4


def photo(name: str, border_px: int = 0) -> Texture:
    """A photograph of ``skimage.data`` (one that is inside its wheel), with a white border as of a print."""
    image = _load(name)
    if border_px:
        paper = (244, 242, 236)
        image = _bytes(cv2.copyMakeBorder(image, *(border_px,) * 4, cv2.BORDER_CONSTANT, value=paper))
    return Texture.from_image(_doubled(image))


def wall(seed: int) -> Texture:
    """A brick wall: every brick has its own tone, mortar is lighter and the whole is stained by weather."""
    rng = np.random.default_rng(seed)
    height, width, course_px, brick_px, mortar_px = 1024, 2048, 32, 88, 4
    image = np.full((height, width, 3), (178, 170, 158), np.float32)
    for course in range(height // course_px):
        top = course * course_px
        for left in range(-brick_px * (course % 2) // 2, width, brick_px):
            tone = np.array((168, 92, 68)) * rng.uniform(0.72, 1.18) + rng.normal(0, 8, 3)
            jitter = int(rng.integers(-2, 3))
            columns = slice(max(left + mortar_px + jitter, 0), max(left + brick_px + jitter, 0))
            image[top + mortar_px : top + course_px, columns] = tone
    grain = _octaves((height, width), (2, 4, 10), rng)
    return Texture.from_image(_stained(_clipped(image * (1.0 + 0.13 * grain[..., None])), None, 0.13, seed))


def ground(seed: int) -> Texture:
    """Gravel, laid out of overlapping turned pieces so that it does not repeat, and stained."""
    return Texture.from_image(_stained(_quilted("gravel", 2048, 2048, seed), (172, 160, 142), 0.12, seed))


def hedge(seed: int) -> Texture:
    """Grass seen as the side of a hedge."""
    return Texture.from_image(_stained(_quilted("grass", 1024, 2048, seed), (96, 132, 70), 0.15, seed))


def plaster(seed: int) -> Texture:
    """Weathered plaster: blotches over grain, with cracks and bare patches."""
    rng = np.random.default_rng(seed)
    shape = (1024, 2048)
    image = np.full((*shape, 3), (206, 194, 172), np.float32)
    bare = _octaves(shape, (20, 50, 120), rng) > 1.1
    image[bare] = (150, 128, 110)
    image *= 1.0 + 0.10 * _octaves(shape, (3, 8, 20, 60), rng)[..., None]
    cracked = _clipped(image)
    for _ in range(90):
        start = rng.uniform((0, 0), (2048, 1024))
        steps = np.cumsum(rng.normal(0, 14, (14, 2)) + rng.normal(0, 8, 2), axis=0)
        points = np.round(start + steps).astype(np.int32)[None]
        cv2.polylines(cracked, [points], False, (rng.uniform(60, 120),) * 3, 1 + int(rng.integers(3)), cv2.LINE_AA)
    return Texture.from_image(_stained(cracked, None, 0.12, seed))


def crate(seed: int) -> Texture:
    """One side of a wooden crate: planks with grain, a frame, nails and a printed label."""
    rng = np.random.default_rng(seed)
    side_px, planks = 512, 6
    image = np.zeros((side_px, side_px, 3), np.float32)
    grain = cv2.resize(_octaves((side_px, side_px), (1, 3, 9), rng)[:, :32], (side_px, side_px))
    for plank in range(planks):
        rows = slice(plank * side_px // planks, (plank + 1) * side_px // planks)
        tone = rng.uniform(0.8, 1.1) * np.array((196, 148, 96), np.float32)
        image[rows] = tone * (1.0 + 0.22 * np.roll(grain, int(rng.integers(512)), axis=1)[rows, :, None])
        image[rows.start : rows.start + 4] *= 0.35
    frame = (1.0 + 0.22 * grain.T[..., None]) * np.array((170, 122, 74), np.float32)
    for edge in (np.s_[:, :56], np.s_[:, -56:], np.s_[:56], np.s_[-56:]):
        image[edge] = frame[edge]
    cv2.rectangle(image, (56, 56), (455, 455), (60, 42, 26), 4)
    for x in (28, 484):
        for y in range(28, side_px, 114):
            cv2.circle(image, (x, y), 6, (50, 46, 44), -1, cv2.LINE_AA)
    cv2.rectangle(image, (150, 190), (362, 330), (232, 228, 216), -1)
    for row, text in enumerate(("LEFT", "RIGHT", f"No {rng.integers(100, 999)}")):
        cv2.putText(image, text, (166, 228 + 42 * row), cv2.FONT_HERSHEY_DUPLEX, 1.2, (40, 38, 44), 2, cv2.LINE_AA)
    return Texture.from_image(_clipped(image))


def striped(colour: tuple[int, int, int], seed: int) -> Texture:
    """A surveyor's pole or a ball: coloured and white bands of uneven width with scuffs."""
    rng = np.random.default_rng(seed)
    image = np.empty((1024, 128, 3), np.uint8)
    edges = np.concatenate([[0], np.cumsum(rng.uniform(50, 110, 24)).astype(int)])
    for band, (top, bottom) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        image[top:bottom] = colour if band % 2 else (238, 236, 230)
    scuffs = _octaves((1024, 128), (2, 6, 20), rng)
    return Texture.from_image(_clipped(image * (1.0 + 0.16 * scuffs[..., None])))


def ball(seed: int) -> Texture:
    """A painted ball: six coloured gores with splashes, to be wrapped around a sphere."""
    rng = np.random.default_rng(seed)
    colours = ((226, 74, 62), (246, 240, 226), (46, 108, 190), (250, 196, 60), (246, 240, 226), (52, 150, 96))
    image = np.repeat(np.array(colours, np.uint8)[None], 512, axis=0)
    image = _bytes(cv2.resize(image, (1024, 512), interpolation=cv2.INTER_NEAREST))
    for _ in range(260):
        centre = tuple(int(v) for v in rng.uniform((0, 0), (1024, 512)))
        tone = tuple(float(v) for v in rng.uniform(20, 250, 3))
        cv2.ellipse(
            image,
            centre,
            (int(rng.integers(4, 22)), int(rng.integers(3, 12))),
            rng.uniform(0, 180),
            0,
            360,
            tone,
            -1,
            cv2.LINE_AA,
        )
    grain = _octaves((512, 1024), (2, 6, 30), rng)
    return Texture.from_image(_clipped(image * (1.0 + 0.10 * grain[..., None])))


def rope(seed: int) -> Texture:
    """A dark twisted rope, long side down."""
    rng = np.random.default_rng(seed)
    tone = 66 + 26 * _octaves((2048, 16), (3, 9, 40), rng)
    return Texture.from_image(_clipped(tone[..., None] * np.array((1.0, 0.92, 0.8), np.float32)))


def fence(seed: int) -> Texture:
    """A picket fence: uneven thin pickets and two rails; the rest is cut out."""
    rng = np.random.default_rng(seed)
    height, width = 512, 1024
    coverage = np.zeros((height, width), np.uint8)
    x = 6.0
    while x < width - 24:
        picket = rng.uniform(9, 20)
        top = int(rng.uniform(6, 70))
        coverage[top:, int(x) : int(x + picket)] = 255
        x += picket + rng.uniform(26, 62)
    coverage[120:146] = 255
    coverage[380:406] = 255
    wood = cv2.resize(_octaves((height, width), (1, 3, 9), rng)[:64], (width, height))
    colour = np.array((206, 198, 186), np.float32) * (1.0 + 0.3 * wood[..., None])
    return Texture.from_image(np.dstack([_clipped(colour), coverage]))


def foliage(seed: int) -> Texture:
    """Leaves on twigs; the rest is cut out."""
    rng = np.random.default_rng(seed)
    side_px = 512
    image = np.zeros((side_px, side_px, 4), np.uint8)
    for _ in range(26):
        tip = rng.uniform((40, 20), (472, 400))
        cv2.line(image, (256, 511), tuple(int(v) for v in tip), (92, 70, 44, 255), 4)
    for _ in range(420):
        radius, angle = 225 * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        centre = (int(256 + radius * np.cos(angle)), int(240 + 0.95 * radius * np.sin(angle)))
        green = rng.uniform(0.45, 1.15) * np.array((96, 156, 58)) + rng.uniform(-10, 18, 3)
        axes = (int(rng.integers(10, 22)), int(rng.integers(4, 9)))
        cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, (*np.clip(green, 0, 255), 255), -1)
    return Texture.from_image(image)


def noise(seed: int, side_px: int = 1024) -> Texture:
    """Coloured noise in four octaves: unambiguous texture at every scale, for tests."""
    rng = np.random.default_rng(seed)
    channels = [_octaves((side_px, side_px), (2, 4, 9, 25), rng) for _ in range(3)]
    return Texture.from_image(_clipped(128 + 60 * np.dstack(channels)))


def _load(name: str) -> Image:
    """A photograph of skimage.data as uint8 RGB."""
    import skimage.data  # imported late: only the demo and tests draw scenes

    image = np.asarray(getattr(skimage.data, name)(), np.uint8)
    return np.dstack([image] * 3) if image.ndim == 2 else image[..., :3]


def _doubled(image: Image) -> Image:
    """Twice the size by bicubic interpolation, so that bilinear sampling nearby does not show texels."""
    return _bytes(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))


def _quilted(name: str, height: int, width: int, seed: int) -> Image:
    """A large surface from a small photograph: overlapping copies, turned at random, with soft rims."""
    rng = np.random.default_rng(seed)
    piece = _load(name)
    side = piece.shape[0]
    rim = np.minimum(np.arange(side), np.arange(side)[::-1]).astype(np.float32)
    soft = np.clip(rim / (0.22 * side), 0.0, 1.0)
    weight = (np.outer(soft, soft) ** 3 + 1e-6)[..., None]
    total = np.zeros((height + 2 * side, width + 2 * side, 3), np.float32)
    weights = np.zeros((*total.shape[:2], 1), np.float32)
    stride = int(0.72 * side)
    for y in range(0, height + side, stride):
        for x in range(0, width + side, stride):
            turned = np.rot90(piece, int(rng.integers(4)))[:: 1 - 2 * int(rng.integers(2))]
            part = np.s_[y : y + side, x : x + side]
            total[part] += weight * turned
            weights[part] += weight
    part = np.s_[side // 2 : side // 2 + height, side // 2 : side // 2 + width]
    return _clipped(total[part] / weights[part])


def _stained(image: Image, tint: tuple[int, int, int] | None, strength: float, seed: int) -> Image:
    """The image with slow changes of brightness and a little of colour, tinted so that its mean is `tint`."""
    rng = np.random.default_rng(seed)
    slow = strength * np.dstack([_octaves(image.shape[:2], (60, 130, 260), rng)] * 3)
    slow += 0.03 * np.dstack([_octaves(image.shape[:2], (90, 200), rng) for _ in range(3)])
    colour = image.astype(np.float32)
    if tint is not None:
        colour *= np.array(tint, np.float32) / max(float(image.mean()), 1.0)
    return _clipped(colour * (1.0 + slow))


def _bytes(image: object) -> Image:
    return np.asarray(image, np.uint8)


def _clipped(image: FloatImage) -> Image:
    return np.clip(image, 0, 255).astype(np.uint8)


def _octaves(shape: tuple[int, int], scales_px: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise of zero mean and unit deviation, the sum of a grid of each spacing in `scales_px`."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    for scale in scales_px:
        grid = rng.standard_normal((height // scale + 3, width // scale + 3)).astype(np.float32)
        octave = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        total += octave / octave.std()
    return np.asarray((total - total.mean()) / total.std(), np.float32)
