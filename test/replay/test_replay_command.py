"""`stereo-dp replay` offline: what it writes, its exit codes, and one line for what is wrong."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.replay import messages
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.decoding import disparity_pixels, float_pixels
from stereo_dp_ros.replay.demo_bags import TOPICS, write_pairs
from stereo_dp_ros.replay.offline import count_offline, run_offline
from stereo_dp_ros.replay.scene import StereoFrame
from toy_model import write_toy_model

CALIBRATION = StereoCalibration(
    width_px=64, height_px=32, fx_px=80.0, fy_px=80.0, cx_left_px=31.5, cx_right_px=34.0, cy_px=15.5, baseline_m=0.1
)
GRAY = np.random.default_rng(2).integers(20, 240, (32, 64), np.uint8)


def _write(path: Path, count: int = 4, error_px: float = 0.0) -> None:
    """Pairs of which the toy model answers a quarter of the gray level; ground truth is off by `error_px`."""
    colored = np.dstack([GRAY] * 3)
    frame = StereoFrame(colored, np.full_like(colored, 102), GRAY.astype(np.float32) / 4 + error_px)
    write_pairs(path, [frame] * count, CALIBRATION, 10.0)


class _Flat:
    """Answers one disparity everywhere but in the first pixel, where there is none."""

    def __init__(self, disparity_px: float, interrupt_at: int = -1) -> None:
        self.disparity_px = disparity_px
        self.calls = 0
        self.interrupt_at = interrupt_at

    def infer(self, left: np.ndarray, right: np.ndarray) -> DisparityMap:
        self.calls += 1
        if self.calls == self.interrupt_at:
            raise KeyboardInterrupt
        found = np.full(left.shape[:2], self.disparity_px, np.float32)
        found[0, 0] = np.nan
        return DisparityMap(found, np.full(found.shape, 0.5, np.float32), 0.0, 48.0)


def test_offline_report_has_the_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write(tmp_path / "bag", error_px=2.5)
    out = tmp_path / "out"
    assert main(["replay", str(tmp_path / "bag"), "--out", str(out), "--model", str(write_toy_model(tmp_path))]) == 0
    printed = capsys.readouterr().out
    assert "2.50" in printed
    assert str(out / "report.html") in printed
    (bag,) = json.loads((out / "report.json").read_text())["bags"]
    assert bag["pairs"] == {
        "in": 4, "out": 4, "dropped": {}, "unmatched": 0, "lost": 0, "received": 4, "closes": True,
    }  # fmt: skip
    assert bag["metrics"]["epe"] == pytest.approx(2.5, abs=1e-6)
    assert bag["metrics"]["bad_2"] == 100.0
    assert bag["metrics"]["bad_3"] == 0.0
    assert bag["node"]["model"] == "toy"
    assert all(check["passed"] for check in bag["checks"])
    assert "time per pair" in (out / "report.html").read_text()
    with (out / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["stamp_ns"]) for row in rows] == [frame["stamp_ns"] for frame in bag["frames"]]
    assert [float(row["epe"]) for row in rows] == [frame["epe"] for frame in bag["frames"]]
    with BagReader(out / "bag_out") as recorded:
        assert recorded.counts["/replay/points2"] == 4


def test_messages_are_those_of_the_node(tmp_path: Path) -> None:
    _write(tmp_path / "bag", count=1)
    with BagReader(tmp_path / "bag") as source:
        run_offline(source, TOPICS, tmp_path / "out", _Flat(5.5), namespace="/n")
    with BagReader(tmp_path / "out") as bag:
        read = {topic: message for topic, _, message in bag.messages()}
    disparity = read["/n/disparity"]
    assert (disparity.f, disparity.t) == (80.0, np.float32(0.1))
    assert (disparity.min_disparity, disparity.max_disparity, disparity.delta_d) == (2.5, 50.5, 0.0625)
    assert float_pixels(disparity.image)[0, :2].tolist() == [1.5, 8.0]
    assert np.isnan(disparity_pixels(disparity)[0, 0])
    depth_m = float_pixels(read["/n/depth/image_rect"])
    assert np.isnan(depth_m[0, 0])
    assert depth_m[0, 1] == pytest.approx(1.0)
    assert float_pixels(read["/n/confidence"])[0, :2].tolist() == [0.0, 0.5]


def test_interrupted_run_leaves_a_closed_bag_of_what_was_done(tmp_path: Path) -> None:
    _write(tmp_path / "bag", count=5)
    with BagReader(tmp_path / "bag") as source:
        run = run_offline(source, TOPICS, tmp_path / "out", _Flat(5.0, interrupt_at=3), namespace="/n")
        count = count_offline(run, source, TOPICS)
    assert run.interrupted
    assert (count.played, count.published, count.closes) == (2, 2, True)
    with BagReader(tmp_path / "out") as bag:
        assert bag.counts["/n/disparity"] == 2


def test_images_without_a_partner_are_unmatched(tmp_path: Path) -> None:
    _write(tmp_path / "whole", count=5)
    with BagReader(tmp_path / "whole") as source, BagWriter(tmp_path / "bag") as bag:
        rights = 0
        for topic, time_ns, message in source.messages():
            rights += topic == TOPICS.right_image
            if topic != TOPICS.right_image or rights not in (2, 3):
                bag.write(topic, message, time_ns)
    with BagReader(tmp_path / "bag") as source:
        run = run_offline(source, TOPICS, tmp_path / "out", _Flat(5.0), namespace="/n")
        count = count_offline(run, source, TOPICS)
    assert (count.played, count.published, count.unmatched, count.closes) == (5, 3, 2, True)


def test_a_bag_whose_times_stand_still_is_replayed_from_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "whole")
    with BagReader(tmp_path / "whole") as source, BagWriter(tmp_path / "bag") as bag:
        for topic, _, message in source.messages():
            bag.write(topic, message, 10**9)
    model = ["--model", str(write_toy_model(tmp_path))]
    monkeypatch.chdir(tmp_path / "bag")
    assert main(["replay", ".", "--out", str(tmp_path / "out"), *model]) == 0
    (bag_report,) = json.loads((tmp_path / "out" / "report.json").read_text())["bags"]
    assert (bag_report["name"], bag_report["rate_hz"]["bag"]) == ("bag", None)
    assert (bag_report["pairs"]["in"], bag_report["passed"]) == (4, True)
    assert (tmp_path / "out" / "bag_out" / "metadata.yaml").is_file()


def test_a_bag_that_was_recorded_from_one_in_a_loop_counts_every_pair(tmp_path: Path) -> None:
    _write(tmp_path / "once", count=3)
    with BagReader(tmp_path / "once") as source, BagWriter(tmp_path / "bag") as bag:
        for turn in range(2):
            for topic, time_ns, message in source.messages(TOPICS.inputs):
                bag.write(topic, message, time_ns + turn * 10**9)
    with BagReader(tmp_path / "bag") as source:
        run = run_offline(source, TOPICS, tmp_path / "out", _Flat(5.0), namespace="/n")
        count = count_offline(run, source, TOPICS)
    assert (count.played, count.published, count.unmatched, count.recorded, count.closes) == (6, 6, 0, 6, True)
    with BagReader(tmp_path / "out") as recorded:
        assert recorded.counts["/n/disparity"] == 6


@pytest.mark.parametrize("place", [3, 39])
def test_camera_info_may_come_late(tmp_path: Path, place: int) -> None:
    image = messages.image_message(GRAY, "mono8", 10**9, "f")
    infos = [messages.camera_info_message(c, 10**9, "f") for c in messages.rectified_cameras(CALIBRATION)]
    with BagWriter(tmp_path / "bag") as bag:
        for index in range(40):
            for topic in TOPICS.images:
                image.header.stamp.sec = 1 + index
                bag.write(topic, image, 10**9 * (1 + index))
            if index == place:
                for topic, info in zip((TOPICS.left_info, TOPICS.right_info), infos, strict=True):
                    bag.write(topic, info, 10**9 * (1 + index))
    with BagReader(tmp_path / "bag") as source:
        run = run_offline(source, TOPICS, tmp_path / "out", _Flat(5.0), namespace="/n")
    assert len(run.published_ns) == 40


def test_what_cannot_be_replayed_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--model", str(write_toy_model(tmp_path)), "--out", str(tmp_path / "out")]
    _write(tmp_path / "bag", count=1)
    with BagReader(tmp_path / "bag") as source, BagWriter(tmp_path / "small") as bag:
        for topic, time_ns, message in source.messages(TOPICS.inputs):
            if topic in (TOPICS.left_image, TOPICS.right_image):
                message = replace(message, height=message.height // 2)
            bag.write(topic, message, time_ns)
    cases = {
        "none": "no such bag",
        "small": "image is 64x16, expected 64x32 as in camera_info",
    }
    for name, told in cases.items():
        assert main(["replay", str(tmp_path / name), *model]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("stereo-dp replay: ")
        assert told in line
    assert main(["replay", str(tmp_path / "bag"), "--left", "/x", *model]) == 2
    assert (
        "/x is not the left of a pair that names tell, expected one of /stereo/left/image_rect"
        in capsys.readouterr().err
    )


def test_video_shows_every_frame_beside_its_disparity(tmp_path: Path) -> None:
    _write(tmp_path / "bag")
    out = tmp_path / "out"
    model = ["--model", str(write_toy_model(tmp_path))]
    assert main(["replay", str(tmp_path / "bag"), "--out", str(out), "--video", *model]) == 0
    video = cv2.VideoCapture(str(out / "bag.mp4"))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    assert len(frames) == 4
    assert frames[0].shape == (32, 128, 3)
    left = frames[0][:, :64].mean(axis=2)
    assert np.abs(left - GRAY).mean() < np.abs(left[::-1] - GRAY).mean() / 3  # lossy, but the image it is


@pytest.mark.parametrize("options", [["--find-rate"], ["--rate", "0.5"]])
def test_rates_are_of_a_node(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert main(["replay", str(tmp_path), *options]) == 2
    assert "expected --mode live" in capsys.readouterr().err
