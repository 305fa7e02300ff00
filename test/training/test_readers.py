"""Readers of published data sets, on folders made up in their layouts and on real frames where those are present."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from stereo_dp_ros.core.errors import DataError, ImageError  # noqa: E402
from stereo_dp_ros.core.images import read_disparity, write_disparity, write_image  # noqa: E402
from training.data import StereoPairs  # noqa: E402
from training.data.readers import (  # noqa: E402
    find_eth3d,
    find_kitti2012,
    find_kitti2015,
    find_middlebury,
    find_sceneflow,
    read_pair,
)

PAIRS = Path(os.environ.get("STEREO_DP_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "pairs"
LEFT = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
RIGHT = LEFT + 100
TRUTH = np.array([[1.5, np.nan, 3, 4, 5]] * 4, np.float32)
SEEN = np.array([[1.5, np.nan, np.nan, 4, 5]] * 4, np.float32)


def _image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def _truth(path: Path, disparity: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_disparity(path, disparity)


def _sceneflow(root: Path) -> None:
    for name, folder in (
        ("FlyingThings3D", "TRAIN/A/0000"), ("FlyingThings3D", "TEST/A/0000"),
        ("Driving", "15mm_focallength/scene_backwards/fast"), ("Monkaa", "eating_x2"),
    ):
        _image(root / name / "frames_finalpass" / folder / "left" / "0006.png", LEFT)
        _image(root / name / "frames_finalpass" / folder / "right" / "0006.png", RIGHT)
        _truth(root / name / "disparity" / folder / "left" / "0006.pfm", TRUTH)


def _kitti(root: Path, names: tuple[str, str, str, str]) -> None:
    _image(root / "training" / names[0] / "000000_10.png", LEFT)
    _image(root / "training" / names[0] / "000000_11.png", LEFT)  # the next frame has no ground truth
    _image(root / "training" / names[1] / "000000_10.png", RIGHT)
    _truth(root / "training" / names[2] / "000000_10.png", TRUTH)
    _truth(root / "training" / names[3] / "000000_10.png", SEEN)


def _scenes(images: Path, truth: Path) -> None:
    _image(images / "Piano" / "im0.png", LEFT)
    _image(images / "Piano" / "im1.png", RIGHT)
    _truth(truth / "Piano" / "disp0GT.pfm", TRUTH)
    _image(truth / "Piano" / "mask0nocc.png", np.where(np.isfinite(SEEN), 255, 128).astype(np.uint8))


def test_sceneflow(tmp_path: Path) -> None:
    _sceneflow(tmp_path)
    pairs = find_sceneflow(tmp_path)
    assert [p.left.relative_to(tmp_path).parts[0] for p in pairs] == ["FlyingThings3D", "Driving", "Monkaa"]
    assert len(find_sceneflow(tmp_path, sets=("FlyingThings3D",), split="TEST")) == 1
    sample = read_pair(pairs[0])
    np.testing.assert_array_equal(sample.left, LEFT)
    np.testing.assert_array_equal(sample.right, RIGHT)
    np.testing.assert_array_equal(sample.disparity_px, TRUTH)
    assert not sample.occluded.any()


@pytest.mark.parametrize("case", ["kitti2012", "kitti2012 gray", "kitti2015", "middlebury", "eth3d"])
def test_sets_that_tell_what_is_occluded(tmp_path: Path, case: str) -> None:
    if case == "middlebury":
        _scenes(tmp_path / "trainingQ", tmp_path / "trainingQ")
        pairs = find_middlebury(tmp_path)
    elif case == "eth3d":
        _scenes(tmp_path / "two_view_training", tmp_path / "two_view_training_gt")
        pairs = find_eth3d(tmp_path)
    elif case == "kitti2015":
        _kitti(tmp_path, ("image_2", "image_3", "disp_occ_0", "disp_noc_0"))
        pairs = find_kitti2015(tmp_path)
    else:
        gray = case.endswith("gray")
        names = ("image_0", "image_1") if gray else ("colored_0", "colored_1")
        _kitti(tmp_path, (*names, "disp_occ", "disp_noc"))
        pairs = find_kitti2012(tmp_path, colour=not gray)
    assert len(pairs) == 1
    sample = read_pair(pairs[0])
    np.testing.assert_array_equal(sample.disparity_px, TRUTH)
    np.testing.assert_array_equal(sample.occluded, [[False, False, True, False, False]] * 4)
    tensors = StereoPairs(pairs)[0]
    assert tensors["valid"].sum() == 16 and tensors["left"].shape == (3, 4, 5)


def test_missing_folders_are_listed_with_the_layout(tmp_path: Path) -> None:
    (tmp_path / "training" / "image_2").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        find_kitti2015(tmp_path)
    message = str(caught.value)
    for name in ("image_3", "disp_occ_0", "disp_noc_0", "expected training/{image_2,image_3,"):
        assert name in message
    assert f"{tmp_path}/training/image_2," not in message


def test_missing_files_are_listed(tmp_path: Path) -> None:
    _sceneflow(tmp_path)
    gone = tmp_path / "Monkaa" / "disparity" / "eating_x2" / "left" / "0006.pfm"
    gone.unlink()
    with pytest.raises(DataError, match=r"missing .*eating_x2/left/0006\.pfm; expected SET/frames_finalpass"):
        find_sceneflow(tmp_path)


def test_empty_set_says_so(tmp_path: Path) -> None:
    (tmp_path / "trainingQ").mkdir()
    with pytest.raises(DataError, match="no pairs found; expected trainingQ/SCENE"):
        find_middlebury(tmp_path)


def test_corrupt_and_unequal_files_are_named(tmp_path: Path) -> None:
    _scenes(tmp_path / "trainingQ", tmp_path / "trainingQ")
    scene = tmp_path / "trainingQ" / "Piano"
    pairs = find_middlebury(tmp_path)
    write_image(scene / "im1.png", RIGHT[:, :3])
    with pytest.raises(DataError, match=r"im1\.png: is 3x4, expected 5x4"):
        read_pair(pairs[0])
    (scene / "im0.png").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"im0\.png"):
        read_pair(pairs[0])


@pytest.mark.skipif(not PAIRS.is_dir(), reason=f"no real pairs in {PAIRS} (set STEREO_DP_DATA)")
def test_real_frames_in_published_layouts(tmp_path: Path) -> None:
    """A KITTI 2012, a KITTI 2015 and a FlyingThings3D frame: warping the right view fits better than not warping."""
    finders = {}
    (kitti12,) = [d for d in (PAIRS / "kitti2012").iterdir() if d.name == "000027"]
    (kitti15,) = (PAIRS / "kitti2015").iterdir()
    (flying,) = (PAIRS / "sceneflow").iterdir()
    for source, names, noc in (
        (kitti12, ("colored_0", "colored_1", "disp_occ", "disp_noc"), True),
        (kitti15, ("image_2", "image_3", "disp_occ_0", "disp_noc_0"), False),
    ):
        root = tmp_path / source.parent.name
        for name, file in zip(names, ("im0.png", "im1.png", "disp0.png", "disp0.png"), strict=True):
            (root / "training" / name).mkdir(parents=True)
            shutil.copy(source / file, root / "training" / name / "000000_10.png")
        if noc:
            truth = read_disparity(source / "disp0.png")
            truth[cv2.imread(str(source / "nocc0.png"), cv2.IMREAD_GRAYSCALE) != 255] = np.nan
            write_disparity(root / "training" / "disp_noc" / "000000_10.png", truth)
        finders[source] = find_kitti2012(root) if noc else find_kitti2015(root)
    root = tmp_path / "sceneflow"
    left = root / "FlyingThings3D" / "frames_finalpass" / "TRAIN" / "A" / "0000" / "left"
    for folder, file in ((left, "im0.png"), (left.parent / "right", "im1.png")):
        folder.mkdir(parents=True)
        shutil.copy(flying / file, folder / "0006.png")
    _truth(
        root / "FlyingThings3D" / "disparity" / "TRAIN" / "A" / "0000" / "left" / "0006.pfm",
        read_disparity(flying / "disp0.png"),
    )
    finders[flying] = find_sceneflow(root, sets=("FlyingThings3D",))
    for source, pairs in finders.items():
        sample = read_pair(pairs[0])
        np.testing.assert_array_equal(sample.disparity_px, read_disparity(source / "disp0.png"))
        assert _residual(sample) < 0.5 * _residual(sample, shift=False), source


def _residual(sample, shift: bool = True) -> float:
    known = np.isfinite(sample.disparity_px) & ~sample.occluded
    height, width = known.shape
    x = np.arange(width, dtype=np.float32)[None, :] - (np.nan_to_num(sample.disparity_px) if shift else 0)
    y = np.arange(height, dtype=np.float32)[:, None]
    warped = cv2.remap(sample.right, *map(np.ascontiguousarray, np.broadcast_arrays(x.astype(np.float32), y)), 1)
    difference = np.abs(warped.astype(float) - sample.left).mean(2)
    return float(np.median(difference[known & (x >= 0)]))
