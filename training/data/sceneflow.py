"""SceneFlow (Mayer et al., CVPR 2016): FlyingThings3D, Driving and Monkaa, as their archives unpack."""

from __future__ import annotations

from pathlib import Path

from training.data.files import StereoFiles, require_files, require_folders

__all__ = ["find_sceneflow"]

PARTS = ("FlyingThings3D", "Driving", "Monkaa")
IMAGES, DISPARITY = "frames_finalpass", "disparity"
LAYOUT = (
    "ROOT/FlyingThings3D/{frames_finalpass,disparity}/{TRAIN,TEST}/{A,B,C}/0000/{left,right}/0006.{png,pfm},"
    " ROOT/Driving/{…}/15mm_focallength/scene_backwards/fast/{left,right}/0001.{png,pfm}"
    " and ROOT/Monkaa/{…}/a_rain_of_stones_x2/{left,right}/0000.{png,pfm}"
)


def find_sceneflow(root: Path, split: str = "train") -> list[StereoFiles]:
    """Pairs of the split: "train" is FlyingThings3D's TRAIN with Driving and Monkaa, "validation" is its TEST.

    Raises
    ------
    DataError
        Folders or files are missing; the message lists them.
    """
    things = "TRAIN" if split == "train" else "TEST"
    folders = [f"FlyingThings3D/{kind}/{things}" for kind in (IMAGES, DISPARITY)]
    if split == "train":
        folders += [f"{part}/{kind}" for part in PARTS[1:] for kind in (IMAGES, DISPARITY)]
    require_folders(root, folders, LAYOUT)
    found = [_pair(root, left) for folder in folders[::2] for left in sorted((root / folder).glob("**/left/*.png"))]
    require_files(root, found, LAYOUT)
    return found


def _pair(root: Path, left: Path) -> StereoFiles:
    part, _, *place = left.relative_to(root).parts
    labels = root.joinpath(part, DISPARITY, *place).with_suffix(".pfm")
    right = left.parent.parent / "right" / left.name
    return StereoFiles("/".join([part, *place[:-2], left.stem]), left, right, labels)
