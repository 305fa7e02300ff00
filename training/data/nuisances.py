"""What a pair of real cameras does to a clean pair of images; geometry and labels stay as they are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from training.data.textures import smooth_noise

__all__ = ["NUISANCES", "apply_nuisances"]

NUISANCES = ("exposure", "mismatch", "relighting", "shade", "vignette", "blur", "sharpening", "noise", "jpeg", "gray")
"""What can be left out: brightness and gamma of the pair, their difference between the views, ..."""


_NOISE_BANK = 1 << 21
_UNIT = 160  # value of the 8-bit light raster that leaves a pixel as it is


@dataclass(frozen=True)
class _Camera:
    """One camera's response; the pair shares most of it."""

    gain: np.ndarray  # (3,) per channel
    gamma: float
    offset: float
    vignette: float
    blur_px: float
    noise: float
    jpeg_quality: int | None


def apply_nuisances(
    left: np.ndarray, right: np.ndarray, rng: np.random.Generator, without: frozenset[str] = frozenset()
) -> tuple[np.ndarray, np.ndarray]:
    """Two uint8 (H, W, 3) views through one random pair of cameras, and in a quarter of cases without colour.

    ``without`` names `NUISANCES` to leave out.
    """
    if rng.random() < 0.04:  # some pairs are clean
        return left, right
    cameras = _camera_pair(rng, float(left[::8, ::8].mean()), without)
    if rng.random() < 0.25 and "gray" not in without:
        left, right = (cv2.cvtColor(cv2.cvtColor(v, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for v in (left, right))
        gray = True
    else:
        gray = False
    relight = np.exp(rng.uniform(np.log(0.05), 0.0)) if rng.random() < 0.2 else 0.0
    relight *= "relighting" not in without
    shaded = rng.random() < 0.15
    shaded &= "shade" not in without
    sharpening = float(rng.uniform(0.2, 1.2)) if rng.random() < 0.3 else 0.0
    sharpening *= "sharpening" not in without
    views = []
    for view, camera in zip((left, right), cameras, strict=True):
        view = _light(view, camera, relight, shaded, rng)
        if camera.blur_px > 0.25:
            view = cv2.GaussianBlur(view, (0, 0), camera.blur_px)
        if sharpening:
            view = cv2.addWeighted(view, 1 + sharpening, cv2.GaussianBlur(view, (0, 0), 1.0), -sharpening, 0)
        views.append(_sensor(view, camera, gray, rng))
    return views[0], views[1]


def _camera_pair(rng: np.random.Generator, brightness: float, without: frozenset[str]) -> list[_Camera]:
    # automatic exposure gets part of the way to a middling picture
    exposure = (rng.uniform(70, 150) / max(brightness, 8.0)) ** rng.uniform(0.2, 0.8) * np.exp(rng.normal(0, 0.1))
    exposure = exposure * np.exp(rng.normal(0, 0.05, 3))
    gamma = np.exp(rng.normal(0, 0.18))
    blur = abs(rng.normal(0, 0.45)) if rng.random() < 0.6 else 0.0
    noise = np.exp(rng.uniform(np.log(0.5), np.log(6.0)))
    quality = int(rng.integers(50, 98)) if rng.random() < 0.3 else None
    # most rigs are matched, some are badly off
    mismatch = rng.choice([0.01, 0.06, 0.25], p=[0.45, 0.4, 0.15])
    if "exposure" in without:
        exposure, gamma = np.ones(3), 1.0
    mismatch *= "mismatch" not in without
    blur *= "blur" not in without
    noise *= "noise" not in without
    quality = None if "jpeg" in without else quality
    return [
        _Camera(
            gain=exposure * np.exp(rng.normal(0, mismatch)) * np.exp(rng.normal(0, mismatch / 4, 3)),
            gamma=float(gamma * np.exp(rng.normal(0, mismatch / 2))),
            offset=float(rng.normal(0, 30 * mismatch)),
            vignette=float(rng.uniform(0, 0.4)) if rng.random() < 0.3 and "vignette" not in without else 0.0,
            blur_px=float(blur * np.exp(rng.normal(0, 0.2))),
            noise=float(noise * np.exp(rng.normal(0, 0.2))),
            jpeg_quality=quality,
        )
        for _ in range(2)
    ]


def _light(view: np.ndarray, camera: _Camera, relight: float, shaded: bool, rng: np.random.Generator) -> np.ndarray:
    """Vignette and light that differs between the views, with soft-edged shadows where ``shaded``."""
    if camera.vignette == 0 and relight == 0 and not shaded:
        return view
    height, width = view.shape[:2]
    small = width // 8, height // 8
    field = np.ones(small[::-1], np.float32)
    if relight:
        field *= np.exp(relight * (smooth_noise(rng, int(rng.integers(2, 6)), *small) - 0.5))
    if shaded:
        for _ in range(int(rng.integers(0, 4))):
            field *= _soft_shadow(rng, *small)
    if camera.vignette:
        x = np.linspace(-1, 1, small[0], dtype=np.float32)[None, :]
        y = np.linspace(-1, 1, small[1], dtype=np.float32)[:, None]
        field *= 1 - camera.vignette * 0.5 * (x * x + y * y)
    field8 = cv2.resize(np.clip(field * _UNIT, 0, 255).astype(np.uint8), (width, height))
    return cv2.multiply(view, cv2.merge((field8, field8, field8)), scale=1.0 / _UNIT)


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


def _sensor(view: np.ndarray, camera: _Camera, gray: bool, rng: np.random.Generator) -> np.ndarray:
    """Response curve, noise that grows with the signal, compression."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gain = np.full(3, camera.gain.mean()) if gray else camera.gain
    table = 255 * np.clip(levels * gain, 0, 1) ** camera.gamma + camera.offset
    view = cv2.LUT(view, np.clip(np.rint(table), 0, 255).astype(np.uint8)[None])
    deviation = camera.noise * np.sqrt(0.4 + 1.2 * np.arange(256, dtype=np.float32) / 255)
    seen = view[..., 0] if gray else view
    noise = cv2.multiply(_normal(seen.shape, rng), cv2.LUT(seen, deviation))
    view = cv2.add(view, cv2.merge((noise, noise, noise)) if gray else noise, dtype=cv2.CV_8U)
    if camera.jpeg_quality is not None:
        encoded = cv2.imencode(".jpg", view, [cv2.IMWRITE_JPEG_QUALITY, camera.jpeg_quality])[1]
        view = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    return view


@lru_cache(maxsize=1)
def _noise_bank() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(_NOISE_BANK, dtype=np.float32)


def _normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Standard normal noise: a random stretch of a fixed bank, which costs nothing beside drawing it anew."""
    size = int(np.prod(shape))
    bank = _noise_bank()
    if size >= _NOISE_BANK:
        bank = np.tile(bank, size // _NOISE_BANK + 2)
    start = int(rng.integers(len(bank) - size))
    return bank[start : start + size].reshape(shape)
