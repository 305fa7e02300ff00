from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from real_files import put

from stereo_dp_ros.core.errors import DataError, StereoDpError
from stereo_dp_ros.core.images import read_disparity, read_image, write_disparity, write_image
from training.config import DataConfig
from training.data.eth3d import find_eth3d
from training.data.files import FileScenes, StereoFiles
from training.data.kitti import find_kitti2012, find_kitti2015
from training.data.middlebury import find_middlebury
from training.data.sceneflow import find_sceneflow
from training.errors import TrainingError
from training.sources import LaterScenes, build_scenes, held_out_pairs


def sceneflow(pair: Path, root: Path) -> None:
    for place in ("FlyingThings3D/{}/TRAIN/A/0000", "FlyingThings3D/{}/TEST/B/0001"):
        images, labels = root / place.format("frames_finalpass"), root / place.format("disparity")
        put(pair, images / "left/0006.png", images / "right/0006.png", labels / "left/0006.pfm")
    for place in ("Driving/{}/15mm_focallength/scene_backwards/fast", "Monkaa/{}/a_rain_of_stones_x2"):
        images, labels = root / place.format("frames_finalpass"), root / place.format("disparity")
        put(pair, images / "left/0001.png", images / "right/0001.png", labels / "left/0001.pfm")


def kitti(left: str, right: str, labels: str) -> Callable[[Path, Path], None]:
    def arrange(pair: Path, root: Path) -> None:
        put(pair, *(root / "training" / name / "000005_10.png" for name in (left, right, labels)))

    return arrange


def middlebury(pair: Path, root: Path) -> None:
    scene = root / "trainingQ" / pair.name
    put(pair, scene / "im0.png", scene / "im1.png", scene / "disp0GT.pfm", scene / "mask0nocc.png")


def eth3d(pair: Path, root: Path) -> None:
    images, labels = root / "two_view_training" / pair.name, root / "two_view_training_gt" / pair.name
    labels.mkdir(parents=True)
    put(pair, images / "im0.png", images / "im1.png", labels / "disp0GT.pfm", labels / "mask0nocc.png")


@pytest.mark.parametrize(
    ("folder", "arrange", "source", "names"),
    [
        (
            "sceneflow",
            sceneflow,
            "sceneflow",
            [
                "FlyingThings3D/TRAIN/A/0000/0006",
                "Driving/15mm_focallength/scene_backwards/fast/0001",
                "Monkaa/a_rain_of_stones_x2/0001",
            ],
        ),
        ("kitti2012/000027", kitti("colored_0", "colored_1", "disp_occ"), "kitti2012", ["000005"]),
        ("kitti2015/000005", kitti("image_2", "image_3", "disp_occ_0"), "kitti2015", ["000005"]),
        ("middlebury_q/Adirondack", middlebury, "middlebury", ["Adirondack"]),
        ("eth3d/playground", eth3d, "eth3d", ["playground"]),
    ],
)
def test_a_real_frame_in_the_published_layout_comes_back_exactly(
    data_folder: Path, tmp_path: Path, folder: str, arrange: Callable[[Path, Path], None], source: str, names: list[str]
) -> None:
    pair = data_folder / "pairs" / folder
    if folder == "sceneflow":
        pair = next(path for path in pair.iterdir() if path.is_dir())
    arrange(pair, tmp_path)
    scenes = build_scenes(DataConfig(source=source, root=str(tmp_path)))
    assert isinstance(scenes, FileScenes)
    assert [files.name for files in scenes.files] == names
    truth = torch.from_numpy(read_disparity(pair / "disp0.png"))
    left = torch.from_numpy(read_image(pair / "im0.png"))
    for index in range(len(names)):
        scene = scenes[index]
        expected = left.permute(2, 0, 1) if left.ndim == 3 else left.expand(3, -1, -1)
        assert torch.equal(scene["left"], expected)
        assert torch.equal(scene["valid"][0], torch.isfinite(truth))
        assert torch.equal(scene["disparity"][0], torch.nan_to_num(truth))
        assert scene["right"].dtype == torch.uint8 and scene["right"].shape == scene["left"].shape
    if source == "middlebury":
        seen = torch.from_numpy(read_image(pair / "nocc0.png") == 255)
        assert torch.equal(scenes[0]["occluded"][0], torch.isfinite(truth) & ~seen)
    if source == "sceneflow":
        (held_out,) = held_out_pairs(DataConfig(source=source, root=str(tmp_path)), 5)
        assert held_out.scene == "FlyingThings3D/TEST/B/0001/0006"
        assert held_out.images()[0].shape == (*truth.shape, 3)
        assert np.array_equal(held_out.ground_truth_px(), truth.numpy(), equal_nan=True)


def small_pair(folder: Path, width: int = 16) -> StereoFiles:
    folder.mkdir(parents=True, exist_ok=True)
    image = np.arange(8 * width * 3, dtype=np.uint8).reshape(8, width, 3)
    write_image(folder / "l.png", image)
    write_image(folder / "r.png", image)
    write_disparity(folder / "d.pfm", np.full((8, width), 3.5, np.float32))
    return StereoFiles(folder.name, folder / "l.png", folder / "r.png", folder / "d.pfm")


def test_epochs_visit_every_pair_once_in_orders_of_their_own(tmp_path: Path) -> None:
    files = [small_pair(tmp_path / str(i), 16 + i) for i in range(6)]
    scenes = FileScenes(files, seed=1)
    epochs = [[scenes[6 * epoch + i]["left"].shape[-1] - 16 for i in range(6)] for epoch in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3, 4, 5]] * 3
    assert epochs[0] != epochs[1]
    assert [FileScenes(files, seed=1)[7]["left"].shape, LaterScenes(scenes, 6)[1]["left"].shape] == [
        scenes[7]["left"].shape
    ] * 2


@pytest.mark.parametrize("name", ["l.png", "r.png", "d.pfm"])
def test_a_corrupt_file_is_named(tmp_path: Path, name: str) -> None:
    files = small_pair(tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:20])
    with pytest.raises(StereoDpError, match=name):
        files.read()


def test_labels_of_another_size_are_named(tmp_path: Path) -> None:
    files = small_pair(tmp_path)
    write_disparity(tmp_path / "d.pfm", np.zeros((8, 12), np.float32))
    with pytest.raises(DataError, match=r"d\.pfm: is 12x8, expected the left image's 16x8"):
        files.read()


@pytest.mark.parametrize(
    ("find", "said"),
    [
        (
            find_sceneflow,
            r"lacks the folders FlyingThings3D/frames_finalpass/TRAIN, FlyingThings3D/disparity/TRAIN,"
            r" Driving/frames_finalpass, Driving/disparity, Monkaa/frames_finalpass, Monkaa/disparity; expected ROOT/",
        ),
        (find_kitti2012, r"lacks the folders training/colored_0, training/colored_1, training/disp_occ; expected ROOT"),
        (find_kitti2015, r"lacks the folders training/image_2, training/image_3, training/disp_occ_0; expected ROOT"),
        (find_middlebury, r"lacks the folders trainingQ; expected ROOT/trainingQ/Adirondack"),
        (find_eth3d, r"lacks the folders two_view_training, two_view_training_gt; expected ROOT/two_view"),
    ],
)
def test_every_missing_folder_is_listed_with_the_layout(
    tmp_path: Path, find: Callable[[Path], list[StereoFiles]], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        find(tmp_path)
    with pytest.raises(DataError, match="nowhere: no such folder, expected ROOT"):
        find(tmp_path / "nowhere")


def test_missing_files_are_listed(tmp_path: Path) -> None:
    for name in ("image_2", "image_3", "disp_occ_0"):
        (tmp_path / "training" / name).mkdir(parents=True)
    with pytest.raises(DataError, match="holds no pair"):
        find_kitti2015(tmp_path)
    for frame in range(4):
        (tmp_path / f"training/image_2/{frame:06d}_10.png").touch()
    (tmp_path / "training/image_3/000000_10.png").touch()
    (tmp_path / "training/disp_occ_0/000000_10.png").touch()
    for frame in range(4, 44):  # the last 40 are for validation
        (tmp_path / f"training/image_2/{frame:06d}_10.png").touch()
    lacking = r"lacks training/image_3/000001_10\.png, training/disp_occ_0/000001_10\.png, .* and 1 more; expected"
    with pytest.raises(DataError, match=lacking):
        find_kitti2015(tmp_path)


def test_an_unknown_source_lists_those_there_are() -> None:
    with pytest.raises(TrainingError, match=r"'kitti'; expected one of procedural, sceneflow, kitti2012, kitti2015"):
        build_scenes(DataConfig(source="kitti"))
