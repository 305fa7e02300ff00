"""Source images for surfaces: photographs from a folder, or procedural patterns."""

from __future__ import annotations

import csv
import hashlib
from collections import OrderedDict
from functools import cached_property, lru_cache
from pathlib import Path

import cv2
import numpy as np

from stereo_dp_ros.core.errors import DataError

__all__ = ["PATTERNS", "TextureLibrary", "smooth_noise"]

PATTERNS = ("fractal", "stripes", "checker", "bricks", "dots", "text", "grain", "weave", "streaks", "windows")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_PATTERN_SIZE = 384
_PATTERN_VARIANTS = 48  # of each pattern, before colouring
_CACHE_BYTES = 512 << 20
_PRODUCE = "GroceryStoreDataset"
_SURFACES = (
    "repeated",
    "patchwork",
    "ambientcg",
    "MaterialX",
    "gazebo_models",
    "Torque3D",
    "LIBERO",
    "aws-robo",
    "materials",
    "textures",
)


class TextureLibrary:
    """Photographs of a folder in name order, decoded on demand and kept in a cache of half a GiB.

    ``SOURCES.csv`` in the folder (columns file, repository, path), where present, tells photographs of scenes
    from flat surfaces and gives the many pictures of grocery produce less weight.  Raises `DataError` when the
    folder has no images.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._cache: OrderedDict[int, list[np.ndarray]] = OrderedDict()
        self._cached_bytes = 0
        self.files: list[Path] = []
        if folder is not None:
            self.files = sorted(p for p in folder.glob("*") if p.suffix.lower() in _SUFFIXES)
            if not self.files:
                raise DataError(f"texture folder {folder}: no {', '.join(_SUFFIXES)} files found")

    @property
    def _table(self) -> Path | None:
        table = self.folder / "SOURCES.csv" if self.folder else None
        return table if table and table.is_file() else None

    @cached_property
    def identity(self) -> str:
        """Text that is the same for the same files (names, sizes, sources), wherever the folder lies."""
        sources = self._table.read_bytes() if self._table else b""
        listing = repr([(path.name, path.stat().st_size) for path in self.files])
        return hashlib.sha256(listing.encode() + sources).hexdigest()[:16]

    @cached_property
    def _origins(self) -> list[str]:
        origins: dict[str, str] = {}
        if self._table:
            with self._table.open(newline="", encoding="utf-8") as stream:
                origins = {row["file"]: f"{row['repository']}/{row['path']}" for row in csv.DictReader(stream)}
        return [origins.get(path.name, "") for path in self.files]

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cumulative draw weights over all images, over photographs of scenes, and over flat surfaces."""
        every = np.array([0.25 if _PRODUCE in o else 1.0 for o in self._origins])
        flat = np.array([any(word in o for word in _SURFACES) for o in self._origins])
        photos = np.where(flat, 0.0, every)
        surfaces = np.where(flat, every, 0.0)
        whole, scenes, flats = (w if w.sum() else every for w in (every, photos, surfaces))
        return np.cumsum(whole) / whole.sum(), np.cumsum(scenes) / scenes.sum(), np.cumsum(flats) / flats.sum()

    def draw(self, rng: np.random.Generator, *, photo: bool = False, surface: bool = False) -> str:
        """A random source name; ``photo`` asks for a photograph of a scene, ``surface`` for one of a flat surface.

        Patterns where there is no folder.
        """
        if not self.files:
            return f"pattern:{PATTERNS[rng.integers(len(PATTERNS))]}"
        weights = self._weights[1 if photo else 2 if surface else 0]
        return f"photo:{np.searchsorted(weights, rng.random(), side='right')}"

    def load(self, source: str, seed: int) -> tuple[list[np.ndarray], np.ndarray | None]:
        """Mip levels of "photo:INDEX" or "pattern:NAME", each half as large as the last.

        A photograph is uint8 (H, W, 3) RGB.  A pattern is gray (H, W) with the uint8 (256, 3) colours of its
        levels; the seed varies both.
        """
        kind, _, name = source.partition(":")
        if kind == "pattern":
            return _pattern_field(name, seed % _PATTERN_VARIANTS), _colour_table(np.random.default_rng(seed))
        return self._photo(int(name)), None

    def _photo(self, index: int) -> list[np.ndarray]:
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        image = cv2.imread(str(self.files[index]), cv2.IMREAD_COLOR)
        if image is None:
            raise DataError(f"texture {self.files[index]}: not a readable image")
        levels = _mip_levels(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        self._cache[index] = levels
        self._cached_bytes += sum(level.nbytes for level in levels)
        while self._cached_bytes > _CACHE_BYTES:
            self._cached_bytes -= sum(level.nbytes for level in self._cache.popitem(last=False)[1])
        return levels


def _mip_levels(image: np.ndarray) -> list[np.ndarray]:
    levels = [image]
    while min(levels[-1].shape[:2]) >= 8:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    return levels


def smooth_noise(rng: np.random.Generator, cells: int, width: int, height: int) -> np.ndarray:
    """Smooth float32 field in about 0..1: random values on a coarse grid, cubic in between."""
    rows = max(2, round(cells * height / max(width, height)))
    columns = max(2, round(cells * width / max(width, height)))
    grid = rng.random((rows, columns), dtype=np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)


@lru_cache(maxsize=512)
def _pattern_field(name: str, variant: int) -> list[np.ndarray]:
    """Mip levels of a gray pattern, one of `PATTERNS`."""
    rng = np.random.default_rng((PATTERNS.index(name), variant))
    field = np.clip(_PATTERN_FIELDS[name](rng, _PATTERN_SIZE), 0.0, 1.0)
    return _mip_levels((field * 255).astype(np.uint8))


def _colour_table(rng: np.random.Generator) -> np.ndarray:
    """RGB of 256 gray levels, between two colours."""
    dark, bright = np.sort(rng.uniform(10, 245, (2, 3)), axis=0)
    if rng.random() < 0.5:  # close hues are commoner than clashing ones
        bright = np.clip(dark + rng.uniform(25, 140), 0, 250) + rng.uniform(-12, 12, 3)
    if rng.random() < 0.3:
        dark, bright = bright, dark
    return np.clip(dark + np.linspace(0, 1, 256)[:, None] * (bright - dark), 0, 255).astype(np.uint8)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size, dtype=np.float32)
    return axis[None, :], axis[:, None]


def _fractal(rng: np.random.Generator, size: int) -> np.ndarray:
    total = np.zeros((size, size), np.float32)
    gain, weight = rng.uniform(0.45, 0.95), 1.0
    for cells in (4, 9, 20, 44, 97, 213):
        total += weight * (smooth_noise(rng, cells, size, size) - 0.5)
        weight *= gain
    return 0.5 + total / (2.5 * total.std() + 1e-6)


def _grain(rng: np.random.Generator, size: int) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.random((size, size), dtype=np.float32), (0, 0), rng.uniform(0.6, 2.0))
    return 0.5 + (noise - 0.5) / (5 * noise.std() + 1e-6)


def _streaks(rng: np.random.Generator, size: int) -> np.ndarray:
    noise = rng.random((size, size), dtype=np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=rng.uniform(8, 40), sigmaY=rng.uniform(0.5, 1.5))
    return 0.5 + (noise - 0.5) / (4 * noise.std() + 1e-6)


def _stripes(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    wave = np.sin(x * (2 * np.pi / rng.uniform(5, 40)) + 0 * y)
    return 0.5 + 0.5 * np.clip(wave * rng.uniform(1, 6), -1, 1)


def _checker(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    period = rng.uniform(8, 60)
    wave = np.sin(x * (2 * np.pi / period)) * np.sin(y * (2 * np.pi / period / rng.choice([1.0, 1.0, 0.5])))
    return 0.5 + 0.5 * np.clip(wave * rng.uniform(2, 12), -1, 1)


def _bricks(rng: np.random.Generator, size: int) -> np.ndarray:
    """Tiles or bricks: per-tile tone, joints, and grain."""
    x, y = _grid(size)
    height = rng.uniform(10, 48)
    width = height * rng.choice([1.0, 2.0, 3.0])
    row = np.floor(y / height)
    shifted = x / width + row * rng.choice([0.0, 0.5])
    column = np.floor(shifted)
    joint = rng.uniform(0.8, 2.0)
    near_x = np.minimum(shifted - column, 1 - (shifted - column)) * width
    near_y = np.minimum(y / height - row, 1 - (y / height - row)) * height
    edge = np.clip(np.minimum(near_x, near_y) / joint, 0, 1)
    tones = rng.random(4096).astype(np.float32)
    tone = tones[(column * 71 + row * 131).astype(np.int64) % 4096]
    tile = 0.5 + rng.uniform(0, 0.5) * (tone - 0.5) + rng.uniform(0, 0.4) * (_fractal(rng, size) - 0.5)
    return edge * tile + (1 - edge) * rng.choice([0.05, 0.9])


def _dots(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    period = rng.uniform(8, 40)
    u, v = x % period - period / 2, y % period - period / 2
    return np.clip(period * rng.uniform(0.15, 0.4) - np.hypot(u, v), 0, 1)


def _weave(rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size)
    period = rng.uniform(4, 14)
    over = np.sin(x * (2 * np.pi / period)) * (np.floor(y / period) % 2 * 2 - 1)
    return 0.5 + 0.25 * over + 0.3 * (_grain(rng, size) - 0.5)


def _text(rng: np.random.Generator, size: int) -> np.ndarray:
    """Lines of strokes that look like print from afar."""
    page = np.full((size, size), 0.0, np.float32)
    y, letter = float(rng.uniform(4, 12)), float(rng.uniform(6, 26))
    while y < size:
        x = float(rng.uniform(2, 20))
        end = size - float(rng.uniform(0, size * 0.4))
        while x < end:
            wide = letter * float(rng.uniform(0.3, 0.7))
            if rng.random() < 0.16:
                x += wide
                continue
            points = (np.array([x, y]) + rng.random((int(rng.integers(3, 6)), 2)) * [wide, letter]).astype(np.int32)
            cv2.polylines(page, [points], False, 1.0, max(1, round(letter / 9)), cv2.LINE_AA)
            x += wide * 1.25
        y += letter * 1.6
        if rng.random() < 0.08:
            letter = float(rng.uniform(6, 40))
    return page


def _windows(rng: np.random.Generator, size: int) -> np.ndarray:
    """A front with rows of windows."""
    wall = 0.75 + rng.uniform(0, 0.3) * (_fractal(rng, size) - 0.5)
    width, height = rng.uniform(14, 60), rng.uniform(18, 70)
    inner_x, inner_y = width * rng.uniform(0.3, 0.7), height * rng.uniform(0.4, 0.75)
    for y in np.arange(rng.uniform(0, height), size - inner_y, height):
        for x in np.arange(rng.uniform(0, 4), size - inner_x, width):
            tone = rng.uniform(0.0, 0.45)
            corner, end = (int(x), int(y)), (int(x + inner_x), int(y + inner_y))
            cv2.rectangle(wall, corner, end, tone, cv2.FILLED, cv2.LINE_AA)
            cv2.rectangle(wall, corner, end, 1.0, 1, cv2.LINE_AA)
            middle = int(x + inner_x / 2)
            cv2.line(wall, (middle, corner[1]), (middle, end[1]), 0.9, 1, cv2.LINE_AA)
    return wall


_PATTERN_FIELDS = {
    "fractal": _fractal,
    "stripes": _stripes,
    "checker": _checker,
    "bricks": _bricks,
    "dots": _dots,
    "text": _text,
    "grain": _grain,
    "weave": _weave,
    "streaks": _streaks,
    "windows": _windows,
}
