"""Photo-real pairs in files, in the layout of the package's evaluation: ROOT/photo_real/000007/im0.png and so on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import write_disparity, write_image
from training.data.files import StereoFiles, require_files
from training.data.sample import StereoSample

__all__ = ["HELD_OUT", "SET_NAME", "find_photo_real", "is_written", "scene_folder", "write_scene"]

SET_NAME = "photo_real"
HELD_OUT = 5
"""Scenes whose number leaves HELD_OUT - 1 when divided by this are for validation: 4, 9, 14, ..."""
LAYOUT = f"ROOT/{SET_NAME}/000000/{{im0,im1,disp0,nocc0}}.png (python -m training.data.photo_real ROOT)"
_SEEN_BY_BOTH, _SEEN_BY_LEFT = 255, 128
_LAST_WRITTEN = "calib.txt"


def scene_folder(root: Path, number: int) -> Path:
    """Where a scene is kept."""
    return root / SET_NAME / f"{number:06d}"


def is_written(root: Path, number: int) -> bool:
    """Whether a scene is there as a whole."""
    return (scene_folder(root, number) / _LAST_WRITTEN).is_file()


def write_scene(root: Path, number: int, sample: StereoSample, focal_px: float, baseline_m: float) -> Path:
    """Write a scene and return its folder.

    ``nocc0.png`` is 255 where both views see the point, 128 where the left one alone does, 0 without a label (sky).
    ``calib.txt`` has Middlebury's keys; the principal point is the image's centre.
    """
    folder = scene_folder(root, number)
    folder.mkdir(parents=True, exist_ok=True)
    seen = np.where(sample.occluded, _SEEN_BY_LEFT, _SEEN_BY_BOTH)
    seen[np.isnan(sample.disparity_px)] = 0
    write_image(folder / "im0.png", sample.left)
    write_image(folder / "im1.png", sample.right)
    write_disparity(folder / "disp0.png", sample.disparity_px)
    write_image(folder / "nocc0.png", seen.astype(np.uint8))
    height, width = sample.disparity_px.shape
    camera = f"[{focal_px:.6f} 0 {(width - 1) / 2}; 0 {focal_px:.6f} {(height - 1) / 2}; 0 0 1]"
    lines = [f"cam0={camera}", f"cam1={camera}", "doffs=0", f"baseline={1000 * baseline_m:.6f}"]
    lines += [f"width={width}", f"height={height}", f"ndisp={int(np.nanmax(sample.disparity_px)) + 1}"]
    (folder / _LAST_WRITTEN).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def find_photo_real(root: Path, split: str = "train") -> list[StereoFiles]:
    """Pairs of the split: a scene's number alone says whether it is held out, however many are rendered.

    Raises
    ------
    DataError
        There is no scene, its folder is no number, or files are missing; the message lists them.
    """
    folder = root / SET_NAME
    if not folder.is_dir():
        raise DataError(f"{root}: lacks the folder {SET_NAME}, expected {LAYOUT}")
    found = []
    for scene in sorted(path for path in folder.iterdir() if path.is_dir()):
        if not scene.name.isdecimal():
            raise DataError(f"{scene}: is no scene's number, expected {LAYOUT}")
        if (int(scene.name) % HELD_OUT == HELD_OUT - 1) == (split == "validation"):
            found.append(StereoFiles(scene.name, *(scene / f"{name}.png" for name in ("im0", "im1", "disp0", "nocc0"))))
    require_files(root, found, LAYOUT)
    return found
