"""Folders in each layout become bags with the right stamps, pixels and camera_info."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.images import write_disparity, write_image
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.decoding import calibration_of, color_pixels, disparity_pixels
from stereo_dp_ros.replay.layouts import LayoutOptions, read_layout
from stereo_dp_ros.replay.make_bag import make_bag
from stereo_dp_ros.replay.messages import stamp_ns
from stereo_dp_ros.replay.stereo_topics import find_stereo_topics

MIDDLEBURY = "cam0=[50 0 10; 0 50 7; 0 0 1]\ncam1=[50 0 12; 0 50 7; 0 0 1]\nbaseline=200\nwidth=20\nheight=14\n"
KITTI = """P0: 50 0 10 0 0 50 7 0 0 0 1 0
P1: 50 0 10 -10 0 50 7 0 0 0 1 0
P2: 52 0 10 2 0 52 7 0 0 0 1 0
P3: 52 0 10 -11 0 52 7 0 0 0 1 0
"""
SENSOR = """%YAML:1.0
T_BS:
  cols: 4
  rows: 4
  data: [1.0, 0.0, 0.0, {x}, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
resolution: [20, 14]
camera_model: {model}
intrinsics: [50.0, 50.0, 10.0, 7.0]
distortion_model: radial-tangential
distortion_coefficients: [0.0, 0.0, 0.0, 0.0]
"""


def _image(path: Path, value: int, gray: bool = False) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (np.arange(20 * 14 * 3) % 97 + value).astype(np.uint8).reshape(14, 20, 3)
    pixels = pixels[..., 0] if gray else pixels
    write_image(path, pixels)
    return pixels


def _read(path: Path) -> tuple[Any, list[tuple[int, Any]], list[tuple[int, Any]], Any]:
    """Topics, left and right images with their stamps, and the calibration."""
    with BagReader(path) as bag:
        (topics,) = find_stereo_topics(bag)
        read = list(bag.messages())
    by_topic = {
        topic: [(stamp_ns(m), m) for t, _, m in read if t == topic] for topic in {topic for topic, _, _ in read}
    }
    infos = [by_topic[topic][0][1] for topic in (topics.left_info, topics.right_info)]
    return topics, by_topic[topics.left_image], by_topic[topics.right_image], calibration_of(*infos)


def _make(source: Path, layout: str, bag: Path, **options: Any) -> None:
    make_bag(read_layout(source, layout, LayoutOptions(**options)), bag)


def test_images_with_stamps_in_their_names(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for index, seconds in enumerate(("1409179944.012", "1409179944.145", "1409179944.279")):
        _image(source / f"cam_0_{seconds}.png", index)
        if index != 1:
            pixels = _image(source / f"cam_1_{seconds}.png", 50 + index)
    (source / "calib.txt").write_text(MIDDLEBURY)
    _make(source, "images", tmp_path / "bag", left="cam_0_*", right="cam_1_*")
    topics, left, right, calibration = _read(tmp_path / "bag")
    assert topics.left_image == "/stereo/left/image_rect"
    assert [stamp for stamp, _ in left] == [1_409_179_944_012_000_000, 1_409_179_944_279_000_000]
    assert [stamp for stamp, _ in right] == [stamp for stamp, _ in left]
    np.testing.assert_array_equal(color_pixels(right[1][1]), pixels)
    assert (calibration.fx_px, calibration.doffs_px, calibration.baseline_m) == (50, 2, pytest.approx(0.2))


def test_images_without_stamps_go_by_rate_and_order(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for index in range(3):
        _image(source / f"left/frame{index}.png", index, gray=True)
        _image(source / f"right/other{index}.png", index, gray=True)
    calib = tmp_path / "kitti.txt"
    calib.write_text(KITTI)
    _make(source, "images", tmp_path / "bag", calibration=calib, rate_hz=4.0)
    _, left, _, calibration = _read(tmp_path / "bag")
    assert np.diff([stamp for stamp, _ in left]).tolist() == [250_000_000] * 2
    assert left[0][0] > 0
    assert left[0][1].encoding == "mono8"
    assert (calibration.fx_px, calibration.baseline_m) == (50, 0.2)


@pytest.mark.parametrize(
    ("folders", "fx", "baseline_m"), [(("image_0", "image_1"), 50, 0.2), (("image_2", "image_3"), 52, 0.25)]
)
def test_kitti_odometry(tmp_path: Path, folders: tuple[str, str], fx: float, baseline_m: float) -> None:
    source = tmp_path / "source"
    for index in range(2):
        for folder in folders:
            _image(source / folder / f"{index:06d}.png", index)
    (source / "calib.txt").write_text(KITTI)
    (source / "times.txt").write_text("0.000000e+00\n1.036224e-01\n")
    _make(source, "kitti", tmp_path / "bag")
    _, left, _, calibration = _read(tmp_path / "bag")
    assert left[1][0] - left[0][0] == 103_622_400
    assert (calibration.fx_px, calibration.baseline_m) == (fx, pytest.approx(baseline_m))


def test_kitti_raw(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("image_02", "image_03"):
        _image(source / folder / "data" / "0000000000.png", 0)
        (source / folder / "timestamps.txt").write_text("2011-09-26 13:02:25.964389445\n")
    (source / "calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\n" + KITTI.replace("P2:", "P_rect_02:").replace("P3:", "P_rect_03:")
    )
    _make(source, "kitti", tmp_path / "bag")
    _, left, _, calibration = _read(tmp_path / "bag")
    assert left[0][0] == 1_317_042_145_964_389_445
    assert calibration.baseline_m == pytest.approx(0.25)


def test_pair_is_held_still_with_its_ground_truth(tmp_path: Path) -> None:
    source = tmp_path / "source"
    pixels = _image(source / "im0.png", 0)
    _image(source / "im1.png", 1)
    truth = np.full((14, 20), 3.5, np.float32)
    truth[0, 0] = np.nan
    write_disparity(source / "disp0.png", truth)
    (source / "calib.txt").write_text(MIDDLEBURY)
    _make(source, "pairs", tmp_path / "bag", repeat=3, rate_hz=2.0)
    topics, left, _, calibration = _read(tmp_path / "bag")
    assert np.diff([stamp for stamp, _ in left]).tolist() == [500_000_000] * 2
    np.testing.assert_array_equal(color_pixels(left[2][1]), pixels)
    assert topics.ground_truth == "/stereo/ground_truth/disparity"
    with BagReader(tmp_path / "bag") as bag:
        found = [disparity_pixels(message) - 2 for _, _, message in bag.messages([topics.ground_truth])]
    assert len(found) == 3
    np.testing.assert_array_equal(found[0], truth)
    assert calibration.doffs_px == 2


def test_euroc_is_raw_with_its_rectification(tmp_path: Path) -> None:
    source = tmp_path / "source" / "mav0"
    for side, x in (("cam0", 0.0), ("cam1", 0.11)):
        for stamp in ("1403715273262142976", "1403715273312143104"):
            _image(source / side / "data" / f"{stamp}.png", 0, gray=True)
        (source / side / "sensor.yaml").write_text(SENSOR.format(x=x, model="pinhole"))
    _make(tmp_path / "source", "euroc", tmp_path / "bag")
    topics, left, right, calibration = _read(tmp_path / "bag")
    assert topics.left_image == "/stereo/left/image_raw"
    assert left[0][0] == right[0][0] == 1_403_715_273_262_142_976
    assert calibration.baseline_m == pytest.approx(0.11)
    assert left[0][1].header.frame_id == "stereo_left_optical_frame"
    assert right[0][1].header.frame_id == "stereo_right_optical_frame"


def test_real_euroc_has_its_known_geometry(tmp_path: Path, data_folder: Path) -> None:
    sequence = read_layout(data_folder / "sequences" / "euroc_micro", "euroc", LayoutOptions())
    assert len(sequence.pairs) == 40
    assert sequence.left_camera.p[0, 0] == pytest.approx(436.24, rel=1e-3)
    assert -sequence.right_camera.p[0, 3] / sequence.right_camera.p[0, 0] == pytest.approx(0.1101, rel=1e-3)
    assert sequence.left_camera.d.tolist() == [-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05, 0]


def _no_calibration(source: Path) -> None:
    (source / "calib.txt").unlink()


def _short_matrix(source: Path) -> None:
    (source / "calib.txt").write_text("P0: 1 2 3\nP1: 1 2 3\n")


def _one_image_less(source: Path) -> None:
    (source / "right" / "1.png").unlink()


def _no_image(source: Path) -> None:
    for path in (source / "left").iterdir():
        path.unlink()


def _broken_image(source: Path) -> None:
    (source / "right" / "1.png").write_bytes(b"no image")


def _other_size(source: Path) -> None:
    write_image(source / "left" / "1.png", np.zeros((5, 6), np.uint8))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_no_calibration, "has no calib.txt, expected a calibration"),
        (_short_matrix, "P0 has 3 numbers, expected 12"),
        (_one_image_less, "has 2 left and 1 right images and 2 times"),
        (_no_image, "no image matches 'left/*'"),
        (_broken_image, "right/1.png: is no image"),
        (_other_size, "left/1.png: is 6x5, expected 20x14 as calibrated"),
    ],
)
def test_bad_folders_give_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], told: str
) -> None:
    source = tmp_path / "source"
    for side in ("left", "right"):
        for index in range(2):
            _image(source / side / f"{index}.png", index)
    (source / "calib.txt").write_text(KITTI)
    damage(source)
    assert main(["make-bag", str(source), str(tmp_path / "bag"), "--layout", "images"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert told in error
    assert error.startswith("stereo-dp make-bag: ")


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        ("euroc", "cam0/data: no such folder"),
        ("kitti", "has no pair of image folders, expected image_2 and image_3"),
        ("pairs", "has no im0.png, expected one scene's folder"),
        ("bag", "layout is 'bag', expected one of euroc, kitti, pairs, images"),
    ],
)
def test_folder_of_another_layout_is_told(tmp_path: Path, layout: str, told: str) -> None:
    with pytest.raises(StereoDpError, match=told):
        read_layout(tmp_path, layout, LayoutOptions())


@pytest.mark.parametrize(
    ("path", "layout"),
    [
        ("cam0/data/1.png", "euroc"),
        ("mav0/cam0/data/1.png", "euroc"),
        ("image_2/1.png", "kitti"),
        ("image_02/data/1.png", "kitti"),
        ("im0.png", "pairs"),
        ("left/1.png", "images"),
    ],
)
def test_layout_is_found_by_names(tmp_path: Path, path: str, layout: str) -> None:
    _image(tmp_path / path, 0)
    errors = []
    for asked in (layout, None):
        with pytest.raises(StereoDpError) as caught:
            read_layout(tmp_path, asked, LayoutOptions())
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


def test_folder_of_several_scenes_lists_them(tmp_path: Path) -> None:
    for scene in ("a", "b"):
        _image(tmp_path / "set" / scene / "im0.png", 0)
    with pytest.raises(StereoDpError, match=r"has the scenes set/a, set/b, expected one scene's folder"):
        read_layout(tmp_path, "pairs", LayoutOptions())


def test_sensor_files_are_read_as_the_data_set_has_them(tmp_path: Path) -> None:
    """Without OpenCV's "%YAML:1.0", beginning with a comment."""
    cameras = []
    for name, header in (("own", "# General sensor definitions.\nsensor_type: camera\n\n"), ("with", "%YAML:1.0\n")):
        for side, x in (("cam0", 0.0), ("cam1", 0.1)):
            _image(tmp_path / name / side / "data" / "1403715273262142976.png", 0)
            text = SENSOR.format(x=x, model="pinhole").removeprefix("%YAML:1.0\n")
            (tmp_path / name / side / "sensor.yaml").write_text(header + text)
        cameras.append(read_layout(tmp_path / name, "euroc", LayoutOptions()).right_camera)
    np.testing.assert_array_equal(cameras[0].p, cameras[1].p)
    assert cameras[0].p[0, 3] / cameras[0].p[0, 0] == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("%YAML:1.0\nresolution: [20, 14]\n", "camera_model is '' and distortion_model ''"),
        (SENSOR.format(x=0.1, model="fisheye"), "camera_model is 'fisheye'"),
        (SENSOR.format(x=0.1, model="pinhole").replace("10.0, 7.0", "10.0"), "intrinsics has 3 numbers, expected 4"),
        ("{ no yaml", "cam1/sensor.yaml: "),
        (SENSOR.format(x=0.1, model="pinhole").replace("[20, 14]", "[21, 14]"), "expected the left one's"),
        (SENSOR.format(x=0.1, model="pinhole").replace("[20, 14]", "[0, 0]"), "resolution is 0x0"),
        (SENSOR.format(x=0.1, model="pinhole").replace("[50.0, 50.0", "[0.0, 50.0"), "focal length 0, 50 px"),
        (SENSOR.format(x=".Nan", model="pinhole"), "T_BS is [1.0, 0.0, 0.0, nan"),
        (SENSOR.format(x=0.1, model="pinhole").replace("1.0,", "0.0,"), "T_BS has the rotation [0.0, 0.0"),
        (SENSOR.format(x=0.0, model="pinhole"), "T_BS is where the left camera is"),
        (SENSOR.format(x=0.1, model="pinhole").replace("[50.0, 50.0", "[fx, fy"), "intrinsics has 2 numbers"),
        (SENSOR.format(x=0.1, model="pinhole").replace("T_BS:", "T_BS: 1\nother:"), "T_BS has 0 numbers"),
        ("", "cam1/sensor.yaml: "),
        ("- a\n- b\n", "cam1/sensor.yaml: "),
    ],
)
def test_bad_sensor_files_are_told(tmp_path: Path, damage: str, told: str) -> None:
    for side in ("cam0", "cam1"):
        _image(tmp_path / side / "data" / "1403715273262142976.png", 0)
        (tmp_path / side / "sensor.yaml").write_text(SENSOR.format(x=0.0, model="pinhole"))
    (tmp_path / "cam1" / "sensor.yaml").write_text(damage)
    with pytest.raises(StereoDpError) as caught:
        read_layout(tmp_path, "euroc", LayoutOptions())
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ("0\ninf\n", "its times cannot be read"),
        ("0\n1e300\n", "its times cannot be read"),
        ("0\n3e9\n", "image_2/000001.png: its stamp is 3000000001000000000 ns, expected 0 to 2147483647999999999"),
        ("-5\n0\n", "image_2/000000.png: its stamp is -4000000000 ns, expected 0 to 2147483647999999999"),
    ],
)
def test_times_that_no_stamp_can_be_are_told(tmp_path: Path, times: str, told: str) -> None:
    for index in range(2):
        for folder in ("image_2", "image_3"):
            _image(tmp_path / folder / f"{index:06d}.png", index)
    (tmp_path / "calib.txt").write_text(KITTI)
    (tmp_path / "times.txt").write_text(times)
    with pytest.raises(StereoDpError) as caught:
        read_layout(tmp_path, "kitti", LayoutOptions())
    assert told in str(caught.value)


def test_images_that_one_side_lacks_are_told(tmp_path: Path) -> None:
    """One lost on each side leaves as many, and every pair after the first loss wrong."""
    for folder, indices in (("image_2", (0, 1, 3)), ("image_3", (0, 2, 3))):
        for index in indices:
            _image(tmp_path / folder / f"{index:06d}.png", index)
    (tmp_path / "calib.txt").write_text(KITTI)
    with pytest.raises(StereoDpError) as caught:
        read_layout(tmp_path, "kitti", LayoutOptions())
    told = "one of image_2 and image_3 alone has 000001.png, 000002.png, expected the same names in both"
    assert str(caught.value) == f"{tmp_path}: {told}"


@pytest.mark.parametrize("pattern", ["", "/left/*"])
def test_patterns_are_within_the_folder(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(StereoDpError, match="pattern is .*, expected one within .* such as 'left/\\*'"):
        read_layout(tmp_path, "images", LayoutOptions(left=pattern))


@pytest.mark.parametrize("namespace", ["bad name", "/a//b", "1st", "stereo!", "größe"])
def test_a_namespace_that_ros_has_no_topics_in_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], namespace: str
) -> None:
    assert main(["make-bag", str(tmp_path), str(tmp_path / "bag"), "--namespace", namespace]) == 2
    assert capsys.readouterr().err.startswith(f"stereo-dp make-bag: --namespace is {namespace!r}, expected names of")


def test_command_writes_a_bag_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    for name in ("im0.png", "im1.png"):
        _image(source / name, 0)
    (source / "calib.txt").write_text(MIDDLEBURY)
    command = ["make-bag", str(source), str(tmp_path / "bag"), "--repeat", "2", "--namespace", "/"]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'bag'}: 2 rectified pairs\n"
    with BagReader(tmp_path / "bag") as bag:
        assert bag.counts["/left/image_rect"] == 2
    assert main(command) == 2
    assert "no bag can be written here" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
