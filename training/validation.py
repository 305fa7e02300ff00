"""Procedural scenes that are never trained on, as pairs to score."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.pairs import PairFolder
from training.data.dataset import VALIDATION_SEED
from training.data.procedural import SceneConfig, render_sample
from training.data.sample import StereoSample

__all__ = ["ProceduralPair", "validation_pairs"]

VALIDATION_CONFIG = SceneConfig(width_px=640, height_px=384, max_disparity_px=(16.0, 160.0), texture_dir=None)
"""Painted without photographs, so that the scenes behind a manifest's figures are the same on every machine."""


@lru_cache(maxsize=1)
def _render(seed: int, config: SceneConfig) -> StereoSample:
    return render_sample(seed, config)


@dataclass(frozen=True)
class ProceduralPair(PairFolder):
    """A scene of the generator where a folder is expected; rendered when it is asked for."""

    seed: int
    config: SceneConfig = VALIDATION_CONFIG

    def images(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Left and right, uint8 (H, W, 3) RGB."""
        sample = _render(self.seed, self.config)
        return sample.left, sample.right

    def ground_truth_px(self) -> NDArray[np.float32]:
        """Left disparity, float32 (H, W) in px; every pixel has one."""
        return np.asarray(_render(self.seed, self.config).disparity_px, np.float32)


def validation_pairs(count: int, config: SceneConfig = VALIDATION_CONFIG) -> list[PairFolder]:
    """The first `count` validation scenes, set `procedural`; by default 640×384."""
    seeds = range(VALIDATION_SEED, VALIDATION_SEED + count)
    return [ProceduralPair("procedural", str(seed), Path(f"seed {seed}"), seed, config) for seed in seeds]
