"""`stereo-dp replay` with ground truth, LiDAR and comparisons: figures by hand, and those of `stereo-dp evaluate`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sensors import cloud, transforms

from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.images import write_disparity, write_image
from stereo_dp_ros.core.metrics import METRIC_NAMES
from stereo_dp_ros.core.sparsification import CONFIDENCE_METRIC_NAMES
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.demo_bags import TOPICS, write_pairs
from stereo_dp_ros.replay.messages import image_message, stamp_ns
from stereo_dp_ros.replay.scene import COURTYARD_CALIBRATION, Courtyard, StereoFrame
from toy_model import write_toy_model

CALIBRATION = StereoCalibration(
    width_px=64, height_px=32, fx_px=80.0, fy_px=80.0, cx_left_px=31.5, cx_right_px=34.0, cy_px=15.5, baseline_m=0.1
)
NO_TRUTH = np.full((32, 64), np.nan, np.float32)
FRAMES = 3


def _pairs_without_truth(path: Path) -> Path:
    """Gray pairs of which the toy model answers 10 px everywhere: 8 px·m / (10 + 2.5) px = 0.64 m."""
    left, right = np.full((32, 64, 3), 40, np.uint8), np.full((32, 64, 3), 102, np.uint8)
    noted = NO_TRUTH.copy()
    noted[0, 0] = 1.0  # a bag of pairs has some ground truth; it is left out below
    whole = path.with_name(f"{path.name}_whole")
    write_pairs(whole, [StereoFrame(left, right, noted)] * FRAMES, CALIBRATION, 10.0)
    with BagReader(whole) as source, BagWriter(path) as bag:
        for topic, time_ns, message in source.messages(TOPICS.inputs):
            bag.write(topic, message, time_ns)
    shutil.rmtree(whole)
    return path


def _stamps(path: Path) -> list[int]:
    with BagReader(path) as bag:
        return [stamp_ns(message) for _, _, message in bag.messages([TOPICS.left_image])]


def _replay(folder: Path, path: Path, *options: str, out: str = "out") -> dict[str, Any]:
    toy = ["--model", str(write_toy_model(folder))]
    assert main(["replay", str(path), "--out", str(folder / out), *toy, *options]) == 0
    report = json.loads((folder / out / "report.json").read_text())
    (bag,) = report["bags"]
    return dict(bag)


def _add_lidar(path: Path, target: Path, depth_m: float, frame_id: str = "lidar") -> Path:
    """The bag with a wall at `depth_m` seen by a LiDAR at the camera's place, looking along its x axis."""
    rows, columns = np.mgrid[4:32:4, 8:64:8]
    x = (columns - 31.5) * depth_m / 80
    y = (rows - 15.5) * depth_m / 80
    points = np.stack((np.full(x.shape, depth_m), -x, -y), axis=-1).reshape(-1, 3)
    with BagReader(path) as source, BagWriter(target) as bag:
        stamps = _stamps(path)
        camera = ("lidar", "stereo_left_optical_frame", (0.0, 0.0, 0.0), (0.5, -0.5, 0.5, -0.5))
        bag.write("/tf_static", transforms(camera), stamps[0])
        for topic, time_ns, message in source.messages():
            bag.write(topic, message, time_ns)
        for stamp in stamps:
            bag.write("/points", cloud(points, stamp + 20_000_000, frame_id), stamp + 20_000_000)
    return target


def test_lidar_is_ground_truth(tmp_path: Path) -> None:
    path = _add_lidar(_pairs_without_truth(tmp_path / "bag"), tmp_path / "with_lidar", 0.8)
    bag = _replay(tmp_path, path, "--lidar", "/points")
    # a wall at 0.8 m is 7.5 px: the answer is 2.5 px and 0.16 m off
    assert bag["ground_truth"] == "LiDAR of /points"
    assert bag["metrics"]["epe"] == pytest.approx(2.5, abs=1e-5)
    assert (bag["metrics"]["bad_2"], bag["metrics"]["bad_3"]) == (100.0, 0.0)
    (row,) = bag["depth_error"]
    assert (row["from_m"], row["to_m"], row["pixels"], row["density"]) == (0.0, 1.0, FRAMES * 49, 100.0)
    assert row["mean_abs_m"] == pytest.approx(0.16, rel=1e-5)
    assert row["bias_m"] == pytest.approx(-0.16, rel=1e-5)
    assert row["mean_relative"] == pytest.approx(20.0, rel=1e-5)
    page = (tmp_path / "out" / "report.html").read_text()
    for told in ("Depth error by range", "Ground truth: LiDAR of /points.", "Proxies, which need", "A proxy"):
        assert told in page


def test_folder_of_ground_truth_and_comparison_with_the_report_of_it(tmp_path: Path) -> None:
    path = _pairs_without_truth(tmp_path / "bag")
    folder = tmp_path / "truth"
    folder.mkdir()
    stamps = _stamps(path)
    for index, stamp in enumerate(stamps[:2]):
        write_disparity(folder / f"{stamp}.png", np.full((32, 64), 8.5 + index, np.float32))
    first = _replay(tmp_path, path, "--ground-truth", str(folder), out="first")
    assert [frame.get("epe") for frame in first["frames"]] == [pytest.approx(1.5), pytest.approx(0.5), None]
    assert first["metrics"]["bad_1"] == 50.0
    assert first["comparison"] is None
    for stamp in stamps[:2]:
        write_disparity(folder / f"{stamp}.png", np.full((32, 64), 10.5, np.float32))
    earlier = tmp_path / "first" / "report.json"
    second = _replay(tmp_path, path, "--ground-truth", str(folder), "--compare", str(earlier), out="second")
    rows = {row["metric"]: row for row in second["comparison"]["metrics"]}
    # 0.5 and 0.5 now, 1.5 and 0.5 before: −1 and 0
    assert rows["epe"]["frames"] == 2
    assert rows["epe"]["difference"] == pytest.approx(-0.5, abs=1e-6)
    assert rows["epe"]["sd"] == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert rows["density"]["difference"] == 0.0
    assert {"infer_ms", "latency_ms"} < set(rows)
    assert "Compared with report.json of " in (tmp_path / "second" / "report.html").read_text()


def test_a_frame_in_which_no_pixel_has_ground_truth_is_left_out_of_the_figures(tmp_path: Path) -> None:
    """As a depth camera's that sees nothing, or is still starting."""
    whole, path = _pairs_without_truth(tmp_path / "whole"), tmp_path / "bag"
    with BagReader(whole) as source, BagWriter(path) as bag:
        for topic, time_ns, message in source.messages():
            bag.write(topic, message, time_ns)
        for stamp, depth_mm in zip(_stamps(whole), (640, 0, 640), strict=True):
            depth = np.full((32, 64), depth_mm, np.uint16)
            bag.write("/camera/depth/image_rect", image_message(depth, "16UC1", stamp, "optical"), stamp)
    bag = _replay(tmp_path, path, "--ground-truth", "/camera/depth/image_rect")
    assert [frame.get("epe") for frame in bag["frames"]] == [
        pytest.approx(0.0, abs=1e-5),
        None,
        pytest.approx(0.0, abs=1e-5),
    ]
    assert bag["metrics"]["epe"] == pytest.approx(0.0, abs=1e-5)
    assert [row["pixels"] for row in bag["depth_error"]] == [2 * 32 * 64]


def test_other_methods_on_the_same_frames(tmp_path: Path) -> None:
    path = _add_lidar(_pairs_without_truth(tmp_path / "bag"), tmp_path / "with_lidar", 0.64)
    toy = str(write_toy_model(tmp_path))
    for what, label in (
        ("sgbm", "sgbm"),
        (toy, "toy on openvino "),
        ("onnxruntime", "toy on onnxruntime fp32"),
    ):
        comparison = _replay(tmp_path, path, "--lidar", "/points", "--compare", what)["comparison"]
        assert comparison["with"].startswith(label)
        rows = {row["metric"]: row for row in comparison["metrics"]}
        assert rows["epe"]["frames"] == FRAMES
        assert rows["epe"]["ours"] == pytest.approx(0.0, abs=1e-5)
        if what != "sgbm":  # the same model: no difference but rounding
            assert rows["epe"]["difference"] == pytest.approx(0.0, abs=1e-5)
            assert rows["bad_1"]["difference"] == rows["bad_1"]["sd"] == 0.0


def test_what_does_not_fit_is_told_in_one_line_before_anything_is_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = _pairs_without_truth(tmp_path / "bag")
    lidar = _add_lidar(plain, tmp_path / "lost", 1.0, frame_id="velodyne")
    (tmp_path / "empty").mkdir()
    (tmp_path / "old.json").write_text('{"bags": []}')
    (tmp_path / "small").mkdir()
    np.save(tmp_path / "small" / f"{_stamps(plain)[1]}.npy", np.ones((4, 6), np.float32))
    cases: list[tuple[Path, list[str], str]] = [
        (plain, ["--ground-truth", "/gt"], "/gt is neither a topic of "),
        (plain, ["--ground-truth", str(tmp_path / "empty")], "holds no .png, .pfm, .npy file"),
        (
            plain,
            ["--lidar", "/points"],
            "/points is missing or of another type, expected /points (sensor_msgs/msg/Point",
        ),
        (lidar, ["--lidar", "/points"], "no static transforms lead from velodyne to stereo_left_optical_frame"),
        (lidar, ["--lidar", "/points", "--stamp-tolerance-ms", "5"], "expected 5 ms at most; nearest: "),
        (lidar, ["--ground-truth", "/points"], "/points is sensor_msgs/msg/PointCloud2, expected stereo_msgs"),
        (plain, ["--ground-truth", str(tmp_path / "small")], "ground truth is 6x4, expected 64x32 as the left image"),
        (plain, ["--compare", "sgmb"], "--compare is 'sgmb', expected sgbm, sgbm-tuned, a model ("),
        (plain, ["--compare", str(tmp_path / "old.json")], "none of its 0 frames is in this bag"),
        (plain, ["--compare", "onnxruntime:moon"], "backend onnxruntime has no device 'moon'"),
    ]
    model = ["--model", str(write_toy_model(tmp_path))]
    for path, options, told in cases:
        assert main(["replay", str(path), "--out", str(tmp_path / "out"), *model, *options]) == 2, told
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1].startswith("stereo-dp replay: ")
        assert told in lines[-1]
        assert not (tmp_path / "out" / f"{path.name}_out").exists()
    with pytest.raises(SystemExit):
        main(["replay", str(plain), "--ground-truth", "/gt", "--lidar", "/points"])


def _evaluated(folder: Path, pairs: Path) -> dict[str, Any]:
    assert main(["evaluate", str(pairs), "--json", str(folder / "evaluated.json")]) == 0
    return dict(json.loads((folder / "evaluated.json").read_text()))


def test_figures_of_a_procedural_sequence_are_those_of_evaluate(tmp_path: Path) -> None:
    frames = list(Courtyard().frames(2, 15.0))
    write_pairs(tmp_path / "bag", frames, COURTYARD_CALIBRATION, 15.0)
    for index, made in enumerate(frames):
        scene = tmp_path / "pairs" / "courtyard" / f"frame{index}"
        scene.mkdir(parents=True)
        write_image(scene / "im0.png", made.left)
        write_image(scene / "im1.png", made.right)
        write_disparity(scene / "disp0.pfm", made.disparity_px)
    expected = _evaluated(tmp_path, tmp_path / "pairs")
    assert main(["replay", str(tmp_path / "bag"), "--out", str(tmp_path / "out")]) == 0
    (bag,) = json.loads((tmp_path / "out" / "report.json").read_text())["bags"]
    for name in (*METRIC_NAMES, *CONFIDENCE_METRIC_NAMES):  # bit for bit: doffs is 0
        assert [frame[name] for frame in bag["frames"]] == [scene[name] for scene in expected["scenes"]], name
        assert bag["metrics"][name] == expected["sets"][0][name], name


@pytest.mark.parametrize("source", ["topic", "folder"])
def test_figures_of_a_middlebury_pair_are_those_of_evaluate(tmp_path: Path, data_folder: Path, source: str) -> None:
    pair = data_folder / "pairs" / "middlebury_q" / "Motorcycle"
    expected = _evaluated(tmp_path, pair)["scenes"][0]
    assert main(["make-bag", str(pair), str(tmp_path / "bag"), "--layout", "pairs", "--repeat", "3"]) == 0
    options: list[str] = []
    if source == "folder":
        truth = tmp_path / "truth"
        truth.mkdir()
        for stamp in _stamps(tmp_path / "bag"):
            (truth / f"{stamp}.png").symlink_to(pair / "disp0.png")
        options = ["--ground-truth", str(truth)]
    assert main(["replay", str(tmp_path / "bag"), "--out", str(tmp_path / "out"), *options]) == 0
    (bag,) = json.loads((tmp_path / "out" / "report.json").read_text())["bags"]
    # Messages carry d + doffs: the last bits may differ, and by them on which side of a threshold one pixel lies.
    one_pixel_percent = 100.0 / (741 * 497)
    for name in (*METRIC_NAMES, *CONFIDENCE_METRIC_NAMES):
        tolerance = 1.5 * one_pixel_percent if name.startswith(("bad_", "d1", "ause_")) else 0.0
        assert bag["metrics"][name] == pytest.approx(expected[name], rel=1e-7, abs=tolerance), name
        assert f"{bag['metrics'][name]:.2f}" == f"{expected[name]:.2f}"
