"""A real pair's files under the names that a data set is published with."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from stereo_dp_ros.core.images import read_disparity, read_image, write_disparity, write_image


def put(pair: Path, left: Path, right: Path, labels: Path, mask: Path | None = None) -> None:
    """Copies of `pair`, labels as PNG or PFM by their suffix; `mask` is that of what both views see."""
    for path in (left, right, labels):
        path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(pair / "im0.png", left)
    shutil.copy(pair / "im1.png", right)
    if labels.suffix == ".png":
        shutil.copy(pair / "disp0.png", labels)
    else:
        write_disparity(labels, read_disparity(pair / "disp0.png"))
    if mask is not None:
        truth = read_disparity(pair / "disp0.png")
        seen = np.full(truth.shape, 255, np.uint8)
        if (pair / "nocc0.png").exists():
            seen = np.where(read_image(pair / "nocc0.png") == 255, 255, 128).astype(np.uint8)
        write_image(mask, np.where(np.isfinite(truth), seen, 0).astype(np.uint8))
