"""What an estimator returns for a pair."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["DisparityMap"]


@dataclass(frozen=True)
class DisparityMap:
    """Disparity and confidence of the left image's pixels, at that image's resolution.

    Attributes
    ----------
    disparity_px
        float32 (H, W), left-referenced and positive: x_right = x_left − d. NaN where there is no answer.
    confidence
        float32 (H, W) in 0…1, 0 where there is no answer.
    min_disparity_px, max_disparity_px
        The range that was searched, in pixels of this resolution.
    timing_ms
        Wall time of each stage: `preprocess`, `inference`, `postprocess`.
    """

    disparity_px: NDArray[np.float32]
    confidence: NDArray[np.float32]
    min_disparity_px: float
    max_disparity_px: float
    timing_ms: dict[str, float] = field(default_factory=dict)
