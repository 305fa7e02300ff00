"""Raw cameras offline: rectified as the node does it, with the calibration that holds for each pair."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.rectification import CameraParameters
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.decoding import disparity_pixels, float_pixels
from stereo_dp_ros.replay.evaluation import evaluate
from stereo_dp_ros.replay.messages import camera_info_message, image_message, rectified_cameras
from stereo_dp_ros.replay.offline import run_offline
from stereo_dp_ros.replay.source_images import SourceImages
from stereo_dp_ros.replay.stereo_topics import StereoTopics
from toy_model import write_toy_model

CALIBRATION = StereoCalibration(
    width_px=64, height_px=32, fx_px=80.0, fy_px=80.0, cx_left_px=31.5, cx_right_px=34.0, cy_px=15.5, baseline_m=0.1
)
RAW = StereoTopics("/cam0/image_raw", "/cam1/image_raw", "/cam0/camera_info", "/cam1/camera_info")
GRAY = np.random.default_rng(2).integers(20, 240, (32, 64), np.uint8)
SHIFT_PX = (6, 4)  # of K's principal point from P's: rectifying moves the content by its opposite


def _shifted(camera: CameraParameters, x_px: float, y_px: float) -> CameraParameters:
    return replace(camera, k=camera.k + np.array(((0, 0, x_px), (0, 0, y_px), (0, 0, 0))))


def _write_pair(bag: BagWriter, stamp: int, calibration: StereoCalibration, shift_px: tuple[float, float]) -> None:
    cameras = rectified_cameras(calibration)
    for topic, camera in zip((RAW.left_info, RAW.right_info), cameras, strict=True):
        bag.write(topic, camera_info_message(_shifted(camera, *shift_px), stamp, "f"), stamp)
    for topic in (RAW.left_image, RAW.right_image):
        bag.write(topic, image_message(GRAY, "mono8", stamp, "f"), stamp)


class _QuarterOfLeft:
    """Disparity is a quarter of the left image's gray level, so that it shows which pixels came in."""

    def infer(self, left: np.ndarray, right: np.ndarray) -> DisparityMap:
        np.testing.assert_array_equal(left, right)
        return DisparityMap(left.astype(np.float32) / 4, np.ones(left.shape, np.float32), 0.0, 64.0)


def _replay(folder: Path) -> dict[str, list[Any]]:
    with BagReader(folder / "bag") as source:
        run_offline(source, RAW, folder / "out", _QuarterOfLeft(), namespace="/n")
    found: dict[str, list[Any]] = {}
    with BagReader(folder / "out") as bag:
        for topic, _, message in bag.messages():
            found.setdefault(topic, []).append(message)
    return found


def test_raw_pair_is_rectified_and_has_no_answer_outside(tmp_path: Path) -> None:
    x, y = SHIFT_PX
    with BagWriter(tmp_path / "bag") as bag:
        _write_pair(bag, 10**9, CALIBRATION, SHIFT_PX)
    found = _replay(tmp_path)
    (disparity,), (confidence,) = found["/n/disparity"], found["/n/confidence"]
    window = disparity.valid_window
    assert (window.x_offset, window.y_offset, window.width, window.height) == (0, 0, 56, 28)  # blocks of 4 px
    expected = np.full((32, 64), np.nan, np.float32)
    expected[:-y, :-x] = GRAY[y:, x:].astype(np.float32) / 4 + 2.5
    np.testing.assert_array_equal(disparity_pixels(disparity), expected)
    np.testing.assert_array_equal(float_pixels(confidence), np.isfinite(expected).astype(np.float32))
    with BagReader(tmp_path / "bag") as source, BagReader(tmp_path / "out") as recorded:
        evaluation = evaluate(source, recorded, RAW, "/n")
    assert [check.detail for check in evaluation.checks if not check.passed] == []
    np.testing.assert_array_equal(evaluation.gallery.samples[0].left[:-y, :-x, 0], GRAY[y:, x:])


def test_calibration_that_changes_on_the_way_holds_from_there_on(tmp_path: Path) -> None:
    wider = replace(CALIBRATION, fx_px=100.0, fy_px=100.0, baseline_m=0.2)
    with BagWriter(tmp_path / "bag") as bag:
        for index in range(4):
            first = index < 2
            _write_pair(bag, 10**9 + index, CALIBRATION if first else wider, (0, 0) if first else SHIFT_PX)
    found = _replay(tmp_path)
    assert [(d.f, round(d.t, 6)) for d in found["/n/disparity"]] == [(80.0, 0.1)] * 2 + [(100.0, 0.2)] * 2
    assert [d.valid_window.width for d in found["/n/disparity"]] == [64, 64, 56, 56]
    assert [info.p[0] for info in found["/n/depth/camera_info"]] == [80.0, 80.0, 100.0, 100.0]
    with BagReader(tmp_path / "bag") as source, BagReader(tmp_path / "out") as recorded:
        evaluation = evaluate(source, recorded, RAW, "/n")
    assert [check.detail for check in evaluation.checks if not check.passed] == []


def test_distortion_model_that_is_unknown_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras = rectified_cameras(CALIBRATION)
    with BagWriter(tmp_path / "bag") as bag:
        for topic, camera in zip((RAW.left_info, RAW.right_info), cameras, strict=True):
            odd = replace(camera, distortion_model="double_sphere", d=np.full(6, 0.1))
            bag.write(topic, camera_info_message(odd, 10**9, "f"), 10**9)
        for topic in (RAW.left_image, RAW.right_image):
            bag.write(topic, image_message(GRAY, "mono8", 10**9, "f"), 10**9)
    model = ["--model", str(write_toy_model(tmp_path))]
    assert main(["replay", str(tmp_path / "bag"), "--out", str(tmp_path / "out"), *model]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"stereo-dp replay: {tmp_path / 'bag'}: pair of stamp 1000000000: /cam0/camera_info: ")
    assert line.endswith("is 'double_sphere', expected one of plumb_bob, rational_polynomial, equidistant")


def test_compressed_images_are_read(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        _write_pair(bag, 10**9, CALIBRATION, (0, 0))
    with BagReader(tmp_path / "bag") as source, BagWriter(tmp_path / "compressed") as bag:
        for topic, time_ns, message in source.messages():
            if topic.endswith("image_raw"):
                bag.write(f"{topic}/compressed", _as_png(message), time_ns)
            else:
                bag.write(topic, message, time_ns)
    model = ["--model", str(write_toy_model(tmp_path))]
    for name in ("bag", "compressed"):
        assert main(["replay", str(tmp_path / name), "--out", str(tmp_path / f"{name}_out"), *model]) == 0
    found = []
    for name in ("bag", "compressed"):
        with BagReader(tmp_path / f"{name}_out" / f"{name}_out") as bag:
            found.append([message.image.data.tobytes() for _, _, message in bag.messages(["/replay/disparity"])])
    assert found[0] == found[1]
    assert len(found[0]) == 1


def _as_png(message: Any) -> Any:
    from stereo_dp_ros.replay.messages import typestore

    pixels = message.data.reshape(message.height, message.width)
    _, content = cv2.imencode(".png", pixels)
    kind: Any = typestore().types["sensor_msgs/msg/CompressedImage"]
    return kind(header=message.header, format="mono8; png compressed ", data=content.reshape(-1))


@pytest.mark.parametrize(
    ("source", "options", "focal_px", "baseline_m", "pairs"),
    [
        ("euroc_micro", ["--layout", "euroc"], 436.24, 0.1101, 40),
        ("nrec_orchard", [], 440.692, 0.2000, 10),
    ],
)
def test_real_sequence_is_rectified_and_has_its_known_geometry(
    tmp_path: Path, data_folder: Path, source: str, options: list[str], focal_px: float, baseline_m: float, pairs: int
) -> None:
    folder, bag = data_folder / "sequences" / source, tmp_path / "bag"
    if source == "nrec_orchard":
        (calibration,) = folder.glob("*Calibration.txt")
        options = [
            "--layout",
            "images",
            "--left",
            "Images/*_0_*",
            "--right",
            "Images/*_1_*",
            "--calib",
            str(calibration),
        ]
    assert main(["make-bag", str(folder), str(bag), *options]) == 0
    out = tmp_path / "out"
    assert main(["replay", str(bag), "--out", str(out), "--model", str(write_toy_model(tmp_path))]) == 0
    (report,) = json.loads((out / "report.json").read_text())["bags"]
    assert report["pairs"]["out"] == pairs
    assert report["calibration"]["focal_px"] == pytest.approx(focal_px, rel=1e-3)
    assert report["calibration"]["baseline_m"] == pytest.approx(baseline_m, rel=1e-3)
    with BagReader(out / "bag_out") as recorded:
        for _, _, message in recorded.messages(["/replay/disparity"]):
            assert message.f == pytest.approx(focal_px, rel=1e-3)
            assert message.t == pytest.approx(baseline_m, rel=1e-3)
    with BagReader(bag) as recorded:
        name = "image_raw" if source == "euroc_micro" else "image_rect"
        topics = StereoTopics(*(f"/stereo/{side}/{x}" for x in (name, "camera_info") for side in ("left", "right")))
        stamps = [stamp["stamp_ns"] for stamp in report["frames"]]
        images = SourceImages(recorded, topics)
        offsets_px = [_row_offset_px(images.left(stamp), images.right(stamp)) for stamp in stamps[::4]]
    assert max(offsets_px) < 0.3


def _row_offset_px(left: np.ndarray | None, right: np.ndarray | None) -> float:
    """Median |y_left − y_right| of SIFT matches (Lowe's ratio test) that a stereo pair can have, at least 100."""
    assert left is not None and right is not None
    detector = cv2.SIFT_create(2000)
    (left_points, left_features), (right_points, right_features) = (
        detector.detectAndCompute(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
        for image in (left, right)
    )
    matches = cv2.BFMatcher().knnMatch(left_features, right_features, k=2)
    kept = [best for best, second in matches if best.distance < 0.75 * second.distance]
    offsets = np.array([np.subtract(left_points[m.queryIdx].pt, right_points[m.trainIdx].pt) for m in kept])
    possible = (np.abs(offsets[:, 1]) < 10) & (offsets[:, 0] > -2) & (offsets[:, 0] < 150)
    assert np.count_nonzero(possible) >= 100
    return float(np.median(np.abs(offsets[possible, 1])))
