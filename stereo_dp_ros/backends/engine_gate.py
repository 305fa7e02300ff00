"""The comparison that an engine must pass before it is trusted: against ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.images import read_image
from stereo_dp_ros.core.timing import textured_pair

__all__ = ["TOLERANCES", "Answer", "GateFigures", "Tolerance", "compare", "gate_pairs"]

_DATA = Path(__file__).resolve().parent / "data"
_FAR_PX = 1.0

Image = NDArray[np.uint8]
Answer = tuple[NDArray[np.float32], NDArray[np.float32]]
Infer = Callable[[Image, Image], Answer]


@dataclass(frozen=True)
class Tolerance:
    """Largest difference from the reference, over the pixels of one pair.

    Attributes
    ----------
    mean_px
        Mean of |Δ disparity|.
    far_percent
        Share of pixels whose disparity differs by more than 1 px. Where two depths fit a pixel alike, rounding
        decides between them; such pixels are few.
    confidence
        Mean of |Δ confidence|.
    """

    mean_px: float
    far_percent: float
    confidence: float


# fp16: see `docs/deployment.md` for the figures of the fp16 graph on a CPU that these leave room for.
TOLERANCES = {"fp32": Tolerance(0.01, 0.1, 0.001), "fp16": Tolerance(0.05, 0.5, 0.005)}


@dataclass(frozen=True)
class GateFigures:
    """The worst of all pairs."""

    pairs: int
    mean_px: float
    far_percent: float
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON types."""
        return asdict(self)


def gate_pairs(size: tuple[int, int], count: int = 3) -> Iterator[tuple[Image, Image]]:
    """The stored pair, scaled to (width, height), then `count` random textures, each at a disparity of its own."""
    left, right = (np.asarray(cv2.resize(read_image(_DATA / f"pair_{side}.png"), size)) for side in ("left", "right"))
    yield np.ascontiguousarray(left, np.uint8), np.ascontiguousarray(right, np.uint8)
    for index in range(count):
        yield textured_pair(size, disparity_px=7 + 17 * index, seed=index)


def compare(candidate: Infer, reference: Infer, size: tuple[int, int], tolerance: Tolerance) -> GateFigures:
    """Figures of the candidate's differences.

    Raises
    ------
    BackendError
        An answer is not finite, or a figure is beyond the tolerance; the message has the figures.
    """
    figures = []
    for index, (left, right) in enumerate(gate_pairs(size)):
        expected, found = reference(left, right), candidate(left, right)
        if not all(np.isfinite(array).all() for array in found):
            share = 100 * (1 - np.isfinite(found[0]).mean())
            raise BackendError(f"pair {index}: {share:.1f} % of the disparities are not finite")
        figures.append(_differences(found, expected))
    mean_px, far_percent, confidence = (max(column) for column in zip(*figures, strict=True))
    worst = GateFigures(len(figures), mean_px, far_percent, confidence)
    limits = asdict(tolerance)
    beyond = [name for name, limit in limits.items() if getattr(worst, name) > limit]
    if beyond:
        listed = ", ".join(f"{name} {getattr(worst, name):.4f} (at most {limits[name]:g})" for name in beyond)
        raise BackendError(f"differs from the reference: {listed}")
    return worst


def _differences(found: Answer, expected: Answer) -> tuple[float, float, float]:
    disparity = np.abs(found[0] - expected[0])
    confidence = np.abs(found[1] - expected[1])
    return float(disparity.mean()), float(100 * (disparity > _FAR_PX).mean()), float(confidence.mean())
