"""SceneFlow, KITTI, Middlebury and ETH3D in the folder layouts they are published in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import read_disparity, read_image
from training.data.sample import StereoSample

__all__ = [
    "PairFiles",
    "find_eth3d",
    "find_kitti2012",
    "find_kitti2015",
    "find_middlebury",
    "find_sceneflow",
    "read_pair",
]

SCENEFLOW_SETS = ("FlyingThings3D", "Driving", "Monkaa")
_LISTED = 5  # missing files named in an error


@dataclass(frozen=True)
class PairFiles:
    """The files of one pair.

    ``disparity`` has ground truth for every pixel that has any; ``visible``, where there is one, is a disparity
    map (KITTI's noc) or a mask (255 = seen by both cameras, Middlebury and ETH3D).
    """

    left: Path
    right: Path
    disparity: Path
    visible: Path | None = None


def find_sceneflow(
    root: Path, *, sets: tuple[str, ...] = SCENEFLOW_SETS, image_pass: str = "finalpass", split: str = "TRAIN"
) -> list[PairFiles]:
    """SceneFlow pairs below ``root/SET``: ``frames_PASS/.../left|right/NNNN.png``, ``disparity/.../left/NNNN.pfm``.

    ``image_pass`` is "finalpass" or "cleanpass"; ``split`` (FlyingThings3D only) is "TRAIN" or "TEST".
    Raises `DataError` that lists what is missing.
    """
    pairs = []
    layout = f"SET/frames_{image_pass}/**/left/NNNN.png, .../right/NNNN.png and SET/disparity/**/left/NNNN.pfm"
    for name in sets:
        frames, truth = root / name / f"frames_{image_pass}", root / name / "disparity"
        _require_folders([frames, truth], layout)
        where = f"{split}/**/left/*.png" if name == "FlyingThings3D" else "**/left/*.png"
        for left in sorted(frames.glob(where)):
            within = left.relative_to(frames)
            right = left.parent.parent / "right" / left.name
            pairs.append(PairFiles(left, right, (truth / within).with_suffix(".pfm")))
    return _complete(pairs, root, layout)


def find_kitti2012(root: Path, *, colour: bool = True) -> list[PairFiles]:
    """KITTI 2012: ``training/colored_0|1`` (or ``image_0|1``), ``disp_occ``, ``disp_noc``."""
    left, right = ("colored_0", "colored_1") if colour else ("image_0", "image_1")
    return _find_kitti(root, left, right, "disp_occ", "disp_noc")


def find_kitti2015(root: Path) -> list[PairFiles]:
    """KITTI 2015: ``training/image_2|3``, ``disp_occ_0``, ``disp_noc_0``."""
    return _find_kitti(root, "image_2", "image_3", "disp_occ_0", "disp_noc_0")


def _find_kitti(root: Path, left: str, right: str, truth: str, visible: str) -> list[PairFiles]:
    layout = f"training/{{{left},{right},{truth},{visible}}}/NNNNNN_10.png"
    training = root / "training"
    _require_folders([training / name for name in (left, right, truth, visible)], layout)
    pairs = [
        PairFiles(image, training / right / image.name, training / truth / image.name, training / visible / image.name)
        for image in sorted((training / left).glob("*_10.png"))
    ]
    return _complete(pairs, root, layout)


def find_middlebury(root: Path, *, resolution: str = "Q") -> list[PairFiles]:
    """Middlebury v3: ``trainingQ|H|F/SCENE/im0.png, im1.png, disp0GT.pfm, mask0nocc.png``."""
    folder = root / f"training{resolution}"
    return _find_scenes(root, folder, folder, f"training{resolution}/SCENE/{{im0,im1,mask0nocc}}.png, disp0GT.pfm")


def find_eth3d(root: Path) -> list[PairFiles]:
    """ETH3D two-view: ``two_view_training/SCENE/im0|1.png``, ``two_view_training_gt/SCENE/`` as in Middlebury."""
    layout = "two_view_training/SCENE/im0.png, im1.png and two_view_training_gt/SCENE/disp0GT.pfm, mask0nocc.png"
    return _find_scenes(root, root / "two_view_training", root / "two_view_training_gt", layout)


def _find_scenes(root: Path, images: Path, truth: Path, layout: str) -> list[PairFiles]:
    _require_folders([images, truth], layout)
    pairs = []
    for scene in sorted(p for p in images.iterdir() if p.is_dir()):
        known = truth / scene.name
        pairs.append(
            PairFiles(scene / "im0.png", scene / "im1.png", known / "disp0GT.pfm", known / "mask0nocc.png")
        )
    return _complete(pairs, root, layout)


def _require_folders(folders: list[Path], layout: str) -> None:
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise DataError(f"missing folders {', '.join(missing)}; expected {layout}")


def _complete(pairs: list[PairFiles], root: Path, layout: str) -> list[PairFiles]:
    if not pairs:
        raise DataError(f"{root}: no pairs found; expected {layout}")
    wanted = [f for pair in pairs for f in (pair.left, pair.right, pair.disparity, pair.visible) if f is not None]
    missing = [str(file) for file in wanted if not file.is_file()]
    if missing:
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise DataError(f"missing {', '.join(missing[:_LISTED])}{more}; expected {layout}")
    return pairs


def read_pair(files: PairFiles) -> StereoSample:
    """The pair as a sample; disparity NaN where there is no ground truth.

    ``occluded`` is True where ground truth exists but is marked as not seen by the right camera, and False
    everywhere for sets that do not tell.  Raises `DataError` or `ImageError` naming the file that does not fit.
    """
    left, right = (_rgb(path) for path in (files.left, files.right))
    disparity = read_disparity(files.disparity)
    for path, shape in ((files.right, right.shape[:2]), (files.disparity, disparity.shape)):
        if shape != left.shape[:2]:
            expected = f"{left.shape[1]}x{left.shape[0]} as {files.left}"
            raise DataError(f"{path}: is {shape[1]}x{shape[0]}, expected {expected}")
    known = np.isfinite(disparity)
    occluded = np.zeros(known.shape, bool)
    if files.visible is not None:
        occluded = known & ~_visible(files.visible, known.shape)
    return StereoSample(left, right, disparity, occluded)


def _rgb(path: Path) -> np.ndarray:
    image = read_image(path)
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _visible(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    if path.name.startswith("mask"):
        mask = read_image(path)
        seen = (mask if mask.ndim == 2 else mask[..., 0]) == 255
    else:
        seen = np.isfinite(read_disparity(path))
    if seen.shape != shape:
        raise DataError(f"{path}: is {seen.shape[1]}x{seen.shape[0]}, expected {shape[1]}x{shape[0]}")
    return seen
