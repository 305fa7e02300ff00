"""What a pair of real cameras does to a clean pair of images; geometry and labels stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from training.data.textures import smooth_noise

__all__ = [
    "NOISE_BANK",
    "NUISANCES",
    "LIGHT_UNIT",
    "CameraResponse",
    "Nuisances",
    "apply_nuisances",
    "draw_nuisances",
    "noise_bank",
]

NUISANCES = (
    "exposure",
    "mismatch",
    "relighting",
    "shade",
    "vignette",
    "blur",
    "sharpening",
    "noise",
    "jpeg",
    "gray",
)
"""What can be left out: brightness and gamma of the pair, their difference between the views, ..."""

NOISE_BANK = 1 << 21
LIGHT_UNIT = 160
"""Value of the 8-bit light raster that leaves a pixel as it is."""


@dataclass(frozen=True)
class CameraResponse:
    """What one camera does, in this order.

    Attributes
    ----------
    light
        uint8, an eighth of the image's size: factors in units of `LIGHT_UNIT`; None for none.
    blur_px
        Standard deviation of the blur; none up to 1/4 px.
    gain, gamma, offset
        v -> 255 min(1, gain v / 255) ** gamma + offset; float64 (3,) gains of the channels, before the exposure.
    noise
        Standard deviation at middling brightness, in levels.
    noise_start
        Where in `noise_bank` its noise begins, row by row, channel by channel.
    jpeg_quality
        None for no compression.
    """

    light: np.ndarray | None
    blur_px: float
    gain: np.ndarray
    gamma: float
    offset: float
    noise: float
    noise_start: int
    jpeg_quality: int | None

    def table(self, exposure: float, gray: bool) -> np.ndarray:
        """The response curve: float32 levels (256, channels) of the 256 values."""
        levels = np.arange(256, dtype=np.float32)[:, None] / 255
        gain = exposure * (np.full(3, self.gain.mean()) if gray else self.gain)
        return (255 * np.clip(levels * gain, 0, 1) ** self.gamma + self.offset).astype(np.float32)

    def deviation(self) -> np.ndarray:
        """Standard deviation of the noise, float32 (256,), by value: it grows with the signal."""
        return self.noise * np.sqrt(0.4 + 1.2 * np.arange(256, dtype=np.float32) / 255)


@dataclass(frozen=True)
class Nuisances:
    """What a pair of cameras does; ``exposure`` is the brightness aimed at and how far (0..1) it gets there."""

    cameras: tuple[CameraResponse, CameraResponse]
    exposure: tuple[float, float]
    gray: bool
    sharpening: float

    def exposure_gain(self, brightness: float) -> float:
        """Gain of the automatic exposure for a pair of this mean level."""
        target, power = self.exposure
        return float((target / max(brightness, 8.0)) ** power)


def draw_nuisances(
    rng: np.random.Generator, width_px: int, height_px: int, without: frozenset[str] = frozenset()
) -> Nuisances | None:
    """One random pair of cameras, in a quarter of cases without colour; None for the few pairs that stay clean.

    ``without`` names `NUISANCES` to leave out.
    """
    if rng.random() < 0.04:
        return None
    target, power = float(rng.uniform(70, 150)), float(rng.uniform(0.2, 0.8))
    exposure = np.exp(rng.normal(0, 0.1)) * np.exp(rng.normal(0, 0.05, 3))
    gamma = np.exp(rng.normal(0, 0.18))
    blur = abs(rng.normal(0, 0.45)) if rng.random() < 0.6 else 0.0
    noise = np.exp(rng.uniform(np.log(0.5), np.log(6.0)))
    quality = int(rng.integers(50, 98)) if rng.random() < 0.3 else None
    # most rigs are matched, some are badly off
    mismatch = rng.choice([0.01, 0.06, 0.25], p=[0.45, 0.4, 0.15])
    gray = rng.random() < 0.25 and "gray" not in without
    relight = np.exp(rng.uniform(np.log(0.05), 0.0)) if rng.random() < 0.2 else 0.0
    shaded = rng.random() < 0.15 and "shade" not in without
    sharpening = float(rng.uniform(0.2, 1.2)) if rng.random() < 0.3 else 0.0
    if "exposure" in without:
        exposure, gamma, power = np.ones(3), 1.0, 0.0
    mismatch *= "mismatch" not in without
    relight *= "relighting" not in without
    cameras = []
    for _ in range(2):
        vignette = float(rng.uniform(0, 0.4)) if rng.random() < 0.3 and "vignette" not in without else 0.0
        light = _light(rng, width_px // 8, height_px // 8, relight, shaded, vignette)
        cameras.append(
            CameraResponse(
                light=light,
                blur_px=float(blur * np.exp(rng.normal(0, 0.2))) * ("blur" not in without),
                gain=exposure * np.exp(rng.normal(0, mismatch)) * np.exp(rng.normal(0, mismatch / 4, 3)),
                gamma=float(gamma * np.exp(rng.normal(0, mismatch / 2))),
                offset=float(rng.normal(0, 30 * mismatch)),
                noise=float(noise * np.exp(rng.normal(0, 0.2))) * ("noise" not in without),
                noise_start=int(rng.integers(NOISE_BANK)),
                jpeg_quality=None if "jpeg" in without else quality,
            )
        )
    return Nuisances((cameras[0], cameras[1]), (target, power), gray, sharpening * ("sharpening" not in without))


def apply_nuisances(left: np.ndarray, right: np.ndarray, nuisances: Nuisances) -> tuple[np.ndarray, np.ndarray]:
    """Two uint8 (H, W, 3) views through the cameras."""
    exposure = nuisances.exposure_gain(float(left[::8, ::8].mean()))
    views = []
    for view, camera in zip((left, right), nuisances.cameras, strict=True):
        if nuisances.gray:
            view = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if camera.light is not None:
            light = cv2.resize(camera.light, (view.shape[1], view.shape[0]))
            view = cv2.multiply(view, cv2.merge((light, light, light)), scale=1.0 / LIGHT_UNIT)
        if camera.blur_px > 0.25:
            view = cv2.GaussianBlur(view, (0, 0), camera.blur_px)
        if nuisances.sharpening:
            smooth = cv2.GaussianBlur(view, (0, 0), 1.0)
            view = cv2.addWeighted(view, 1 + nuisances.sharpening, smooth, -nuisances.sharpening, 0)
        views.append(_sensor(view, camera, exposure, nuisances.gray))
    return views[0], views[1]


def _light(
    rng: np.random.Generator, width: int, height: int, relight: float, shaded: bool, vignette: float
) -> np.ndarray | None:
    """Vignette and light that differs between the views, with lamps and soft-edged shadows where ``shaded``."""
    if vignette == 0 and relight == 0 and not shaded:
        return None
    field = np.ones((height, width), np.float32)
    if relight:
        field *= np.exp(relight * (smooth_noise(rng, int(rng.integers(2, 6)), width, height) - 0.5))
    if shaded:
        for _ in range(int(rng.integers(0, 4))):
            field *= _lamp(rng, width, height) if rng.random() < 0.3 else _soft_shadow(rng, width, height)
    if vignette:
        x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        field *= 1 - vignette * 0.5 * (x * x + y * y)
    return np.clip(field * LIGHT_UNIT, 0, 255).astype(np.uint8)


def _lamp(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Factors float32 (height, width) of a lamp in the picture: a bright pool around it, the rest exposed darker."""
    x = np.arange(width, dtype=np.float32)[None, :] - rng.uniform(0, width)
    y = np.arange(height, dtype=np.float32)[:, None] - rng.uniform(0, height)
    reach = rng.uniform(0.04, 0.25) * width
    pool = 1 / (1 + (x * x + y * y) / reach**2)
    dark = rng.uniform(0.35, 0.9)
    return (dark + (1.6 - dark) * pool).astype(np.float32)


def _soft_shadow(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Factors float32 (height, width) of a shadow with a straight or round soft edge."""
    x = np.arange(width, dtype=np.float32)[None, :] - rng.uniform(0, width)
    y = np.arange(height, dtype=np.float32)[:, None] - rng.uniform(0, height)
    angle = rng.uniform(0, 2 * np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    inside = (
        along if rng.random() < 0.5 else rng.uniform(0.1, 0.5) * width - np.hypot(along, across * rng.uniform(1, 4))
    )
    softness = np.exp(rng.uniform(np.log(0.5), np.log(8.0)))
    covered = 0.5 + 0.5 * np.tanh(inside / softness)
    return (1 - rng.uniform(0.1, 0.7) * covered).astype(np.float32)


def _sensor(view: np.ndarray, camera: CameraResponse, exposure: float, gray: bool) -> np.ndarray:
    """Response curve, noise, compression."""
    view = cv2.LUT(view, np.clip(np.rint(camera.table(exposure, gray)), 0, 255).astype(np.uint8)[None])
    seen = view[..., 0] if gray else view
    noise = cv2.multiply(_normal(seen.shape, camera.noise_start), cv2.LUT(seen, camera.deviation()))
    view = cv2.add(view, cv2.merge((noise, noise, noise)) if gray else noise, dtype=cv2.CV_8U)
    if camera.jpeg_quality is not None:
        bgr = cv2.cvtColor(view, cv2.COLOR_RGB2BGR)
        encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality])[1]
        view = cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return view


@lru_cache(maxsize=1)
def noise_bank() -> np.ndarray:
    """Standard normal noise, float32 (`NOISE_BANK`,): a stretch of it costs nothing beside drawing it anew."""
    return np.random.default_rng(0).standard_normal(NOISE_BANK, dtype=np.float32)


def _normal(shape: tuple[int, ...], start: int) -> np.ndarray:
    """The bank from ``start`` on, around and around."""
    size = int(np.prod(shape))
    bank = noise_bank()
    turns = [bank[start : start + size], *[bank] * (size // NOISE_BANK + 1)]
    return (turns[0] if len(turns[0]) == size else np.concatenate(turns)[:size]).reshape(shape)
