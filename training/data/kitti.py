"""KITTI 2012 (Geiger et al., CVPR 2012) and KITTI 2015 (Menze & Geiger, CVPR 2015), their `training` folders."""

from __future__ import annotations

from pathlib import Path

from training.data.files import StereoFiles, require_files, require_folders

__all__ = ["find_kitti2012", "find_kitti2015"]

VALIDATION_FRAMES = 40
"""The last frames of a year are kept for validation, as is usual for 2015."""


def find_kitti2012(root: Path, split: str = "train") -> list[StereoFiles]:
    """Pairs of the colour cameras; see `find_kitti2015`."""
    return _find(root, split, "colored_0", "colored_1", "disp_occ")


def find_kitti2015(root: Path, split: str = "train") -> list[StereoFiles]:
    """Pairs with ground truth, occluded pixels included: all but the last 40 frames ("train"), or those.

    Raises
    ------
    DataError
        Folders or files are missing; the message lists them.
    """
    return _find(root, split, "image_2", "image_3", "disp_occ_0")


def _find(root: Path, split: str, left: str, right: str, labels: str) -> list[StereoFiles]:
    layout = f"ROOT/training/{{{left},{right},{labels}}}/000000_10.png"
    folders = [f"training/{name}" for name in (left, right, labels)]
    require_folders(root, folders, layout)
    names = sorted(path.name for path in (root / folders[0]).glob("*_10.png"))
    cut = max(len(names) - VALIDATION_FRAMES, 1 if names else 0)
    chosen = names[:cut] if split == "train" else names[cut:]
    found = [
        StereoFiles(name.removesuffix("_10.png"), *(root / folder / name for folder in folders)) for name in chosen
    ]
    require_files(root, found, layout)
    return found
