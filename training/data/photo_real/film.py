"""From light to a photograph's 8 bits."""

from __future__ import annotations

import numpy as np

__all__ = ["auto_exposure", "develop"]

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


def auto_exposure(light: np.ndarray, key: float) -> float:
    """The factor that brings the geometric mean luminance of linear RGB (H, W, 3) to `key`; middle gray is 0.18."""
    luminance = np.maximum(light @ _LUMINANCE, 1e-4)
    return float(key / np.exp(np.log(luminance).mean()))


def develop(light: np.ndarray, exposure: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Linear RGB, float32 (H, W, 3), as a camera stores it: uint8 RGB.

    The curve is Narkowicz's fit of ACES (2015), then sRGB's transfer function; `noise` is the standard deviation of the
    sensor's noise at middling brightness in levels, which grows with the root of the signal.
    """
    x = np.maximum(light * exposure, 0).astype(np.float32)
    x = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    levels = 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    levels += noise * np.sqrt(0.25 + levels / 170) * rng.standard_normal(levels.shape, np.float32)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)
