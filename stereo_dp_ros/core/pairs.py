"""Folders of rectified pairs with ground truth: `PAIRS/<set>/<scene>/{im0,im1,disp0}.png` and `calib.txt`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import read_disparity, read_image

__all__ = ["PairFolder", "find_pairs"]

_IMAGES = ("im0.png", "im1.png")
_GROUND_TRUTH = ("disp0.png", "disp0.pfm")


@dataclass(frozen=True)
class PairFolder:
    """One scene's folder."""

    set_name: str
    scene: str
    path: Path

    def images(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Left and right, uint8 gray (H, W) or RGB (H, W, 3)."""
        return read_image(self.path / _IMAGES[0]), read_image(self.path / _IMAGES[1])

    def ground_truth_px(self) -> NDArray[np.float32]:
        """Left disparity, float32 (H, W) in px, NaN where there is none."""
        for name in _GROUND_TRUTH:
            if (self.path / name).is_file():
                return read_disparity(self.path / name)
        raise _lacks_ground_truth(self.path)


def find_pairs(root: str | Path) -> list[PairFolder]:
    """Every scene under `root`, a folder of sets, one set or one scene; sorted by set and scene.

    Raises
    ------
    DataError
        There is no such folder or no scene in it, or a scene lacks a file.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, expected PAIRS/<set>/<scene>/im0.png")
    scenes = sorted(path.parent.resolve() for path in folder.rglob(_IMAGES[0]))
    if not scenes:
        raise DataError(f"{folder}: holds no im0.png, expected PAIRS/<set>/<scene>/im0.png")
    for scene in scenes:
        if not (scene / _IMAGES[1]).is_file():
            raise DataError(f"{scene}: lacks im1.png, expected the right image beside im0.png")
        if not any((scene / name).is_file() for name in _GROUND_TRUTH):
            raise _lacks_ground_truth(scene)
    return [PairFolder(scene.parent.name, scene.name, scene) for scene in scenes]


def _lacks_ground_truth(scene: Path) -> DataError:
    return DataError(f"{scene}: lacks {' or '.join(_GROUND_TRUTH)}, expected ground truth beside im0.png")
