"""Middlebury v3 (Scharstein et al., GCPR 2014), as MiddEval3's archives unpack."""

from __future__ import annotations

from pathlib import Path

from training.data.files import StereoFiles, require_files, require_folders

__all__ = ["find_middlebury"]

SIZES = ("trainingF", "trainingH", "trainingQ")
LAYOUT = "ROOT/trainingQ/Adirondack/{im0.png,im1.png,disp0GT.pfm,mask0nocc.png} (or trainingH, trainingF)"


def find_middlebury(root: Path, split: str = "train") -> list[StereoFiles]:
    """Every training scene at the largest size that there is; the set has no split, both names give all.

    Raises
    ------
    DataError
        Folders or files are missing; the message lists them.
    """
    size = next((name for name in SIZES if (root / name).is_dir()), SIZES[-1])
    require_folders(root, [size], LAYOUT)
    scenes = sorted(path for path in (root / size).iterdir() if path.is_dir())
    names = ("im0.png", "im1.png", "disp0GT.pfm", "mask0nocc.png")
    found = [StereoFiles(scene.name, *(scene / name for name in names)) for scene in scenes]
    require_files(root, found, LAYOUT)
    return found
