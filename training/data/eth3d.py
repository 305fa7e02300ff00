"""ETH3D's low-resolution two-view set (Schöps et al., CVPR 2017); gray."""

from __future__ import annotations

from pathlib import Path

from training.data.files import StereoFiles, require_files, require_folders

__all__ = ["find_eth3d"]

IMAGES, LABELS = "two_view_training", "two_view_training_gt"
LAYOUT = f"ROOT/{IMAGES}/delivery_area_1l/{{im0.png,im1.png}} and ROOT/{LABELS}/…/{{disp0GT.pfm,mask0nocc.png}}"


def find_eth3d(root: Path, split: str = "train") -> list[StereoFiles]:
    """Every training scene; the set has no split, both names give all.

    Raises
    ------
    DataError
        Folders or files are missing; the message lists them.
    """
    require_folders(root, [IMAGES, LABELS], LAYOUT)
    found = []
    for scene in sorted(path for path in (root / IMAGES).iterdir() if path.is_dir()):
        labels = root / LABELS / scene.name
        paths = (scene / "im0.png", scene / "im1.png", labels / "disp0GT.pfm", labels / "mask0nocc.png")
        found.append(StereoFiles(scene.name, *paths))
    require_files(root, found, LAYOUT)
    return found
