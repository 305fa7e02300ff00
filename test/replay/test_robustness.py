"""Bags as they come: damaged, split, compressed, of other kinds, without what is needed; one line for each, exit 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay import messages
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.demo_bags import TOPICS, write_pairs
from stereo_dp_ros.replay.scene import StereoFrame
from toy_model import write_toy_model

CALIBRATION = StereoCalibration(
    width_px=64, height_px=32, fx_px=80.0, fy_px=80.0, cx_left_px=31.5, cx_right_px=31.5, cy_px=15.5, baseline_m=0.1
)
GRAY = np.random.default_rng(2).integers(20, 240, (32, 64), np.uint8)
PAIRS = 6


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A bag that can be replayed."""
    colored = np.dstack([GRAY] * 3)
    frame = StereoFrame(colored, np.full_like(colored, 102), GRAY.astype(np.float32) / 4)
    write_pairs(tmp_path / "whole", [frame] * PAIRS, CALIBRATION, 10.0)
    return tmp_path / "whole"


def _copy(source: Path, path: Path, change: Callable[[str, Any], Any]) -> Path:
    """A bag of what `change` makes of each message: (topic, message), or None to leave it out."""
    with BagReader(source) as bag, BagWriter(path) as writer:
        for topic, time_ns, message in bag.messages():
            changed = change(topic, message)
            if changed is not None:
                writer.write(*changed, time_ns)
    return path


def _rewrite(source: Path, path: Path, plugin: StoragePlugin, mode: CompressionMode | None) -> Path:
    """The same bag in another storage."""
    writer = Writer(path, version=8, storage_plugin=plugin)
    if mode is not None:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with BagReader(source) as bag, writer:
        topics = {
            topic: writer.add_connection(topic, kind, typestore=messages.typestore())
            for topic, kind in bag.topics.items()
        }
        for topic, time_ns, data in bag.raw():
            writer.write(topics[topic], time_ns, data)
    return path


def _truncated(whole: Path, path: Path) -> Path:
    content = (whole / "whole.mcap").read_bytes()
    path.mkdir()
    (path / "whole.mcap").write_bytes(content[: len(content) // 2])
    shutil.copy(whole / "metadata.yaml", path)
    return path


def _without_index(whole: Path, path: Path) -> Path:
    path.mkdir()
    (path / "part.mcap").write_bytes((whole / "whole.mcap").read_bytes()[:-400])
    return path


def _unknown_compression(whole: Path, path: Path) -> Path:
    _rewrite(whole, path, StoragePlugin.SQLITE3, CompressionMode.FILE)
    metadata = path / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace("zstd", "lzma"))
    return path


def _no_pair(whole: Path, path: Path) -> Path:
    def late(topic: str, message: Any) -> tuple[str, Any]:
        if topic == TOPICS.right_image:
            message.header.stamp.nanosec += 7
        return topic, message

    return _copy(whole, path, late)


def _without_info(whole: Path, path: Path) -> Path:
    return _copy(whole, path, lambda topic, message: None if topic.endswith("camera_info") else (topic, message))


def _other_type(whole: Path, path: Path) -> Path:
    def swapped(topic: str, message: Any) -> tuple[str, Any]:
        return (f"{topic}/was" if topic.endswith("camera_info") else topic, message)

    return _copy(whole, path, swapped)


def _uncalibrated(whole: Path, path: Path) -> Path:
    def zeros(topic: str, message: Any) -> tuple[str, Any]:
        if topic.endswith("camera_info"):
            message.p = np.zeros(12)
        return topic, message

    return _copy(whole, path, zeros)


def _empty(whole: Path, path: Path) -> Path:
    return _copy(whole, path, lambda topic, message: None)


BAD = {
    _truncated: "cannot be read as a bag",
    _without_index: "cannot be read as a bag",
    _unknown_compression: "cannot be read as a bag",
    _no_pair: f"no two images of {TOPICS.left_image} and {TOPICS.right_image} have one stamp",
    _without_info: f"{TOPICS.left_image} and {TOPICS.right_image} have no {TOPICS.left_info}, {TOPICS.right_info}",
    _other_type: "it has /stereo/ground_truth/disparity (stereo_msgs/msg/DisparityImage, 6), /stereo/left/",
    _uncalibrated: f"{TOPICS.left_info}, {TOPICS.right_info}: P of the left camera is all zeros",
    _empty: "it has no topics",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__.strip("_"))
def test_bad_bag_is_told_in_one_line(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path, Path], Path]
) -> None:
    path = spoil(whole, tmp_path / "bad")
    model = ["--model", str(write_toy_model(tmp_path))]
    assert main(["replay", str(path), "--out", str(tmp_path / "out"), *model]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stereo-dp replay: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"stereo-dp replay: {path}")
    assert BAD[spoil] in lines[0]


def _split(whole: Path, path: Path) -> Path:
    """Two files, the second with the later messages, as an interrupted `ros2 bag record -d` leaves them."""
    with BagReader(whole) as bag:
        middle_ns = sorted(time_ns for _, time_ns, _ in bag.raw())[PAIRS * 5 // 2]
    parts = []
    for index in range(2):
        with BagReader(whole) as bag, BagWriter(path.parent / f"part{index}") as writer:
            for topic, time_ns, data in bag.raw():
                if (time_ns >= middle_ns) == bool(index):
                    writer.write_raw(topic, bag.topics[topic], data, time_ns)
        parts.append(path.parent / f"part{index}" / f"part{index}.mcap")
    path.mkdir()
    for part in parts:
        shutil.copy(part, path)
    return path


GOOD: dict[str, Callable[[Path, Path], Path]] = {
    "mcap_file": lambda whole, path: _rewrite(whole, path, StoragePlugin.MCAP, CompressionMode.FILE),
    "mcap_message": lambda whole, path: _rewrite(whole, path, StoragePlugin.MCAP, CompressionMode.MESSAGE),
    "sqlite3": lambda whole, path: _rewrite(whole, path, StoragePlugin.SQLITE3, None),
    "sqlite3_file": lambda whole, path: _rewrite(whole, path, StoragePlugin.SQLITE3, CompressionMode.FILE),
    "sqlite3_message": lambda whole, path: _rewrite(whole, path, StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    "split": _split,
}


@pytest.mark.parametrize("kind", GOOD)
def test_other_kinds_of_bags_give_the_same_figures(tmp_path: Path, whole: Path, kind: str) -> None:
    path = GOOD[kind](whole, tmp_path / "bag")
    assert _figures(tmp_path, path) == _figures(tmp_path, whole)


def test_db3_without_metadata_is_read(tmp_path: Path, whole: Path) -> None:
    path = _rewrite(whole, tmp_path / "bag", StoragePlugin.SQLITE3, None)
    (path / "metadata.yaml").unlink()
    assert _figures(tmp_path, path) == _figures(tmp_path, whole)
    (storage,) = path.glob("*.db3")
    assert _figures(tmp_path, storage) == _figures(tmp_path, whole)


def _figures(folder: Path, bag: Path) -> list[dict[str, float]]:
    out = folder / f"out_{bag.name}"
    shutil.rmtree(out, ignore_errors=True)
    assert main(["replay", str(bag), "--out", str(out), "--model", str(write_toy_model(folder))]) == 0
    (report,) = json.loads((out / "report.json").read_text())["bags"]
    assert report["pairs"]["out"] == PAIRS
    timed = ("latency_ms", "infer_ms")
    return [{name: value for name, value in frame.items() if name not in timed} for frame in report["frames"]]


def test_what_was_done_before_a_bad_pair_is_reported(
    tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def spoiled(topic: str, message: Any) -> tuple[str, Any]:
        if topic == TOPICS.left_image:
            seen.append(topic)
            message.encoding = "yuv422" if len(seen) == 4 else message.encoding
        return topic, message

    path, out = _copy(whole, tmp_path / "bad", spoiled), tmp_path / "out"
    assert main(["replay", str(path), "--out", str(out), "--model", str(write_toy_model(tmp_path))]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "yuv422" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"stereo-dp replay: {path}: pair of stamp ")
    (report,) = json.loads((out / "report.json").read_text())["bags"]
    assert (report["pairs"]["in"], report["pairs"]["out"], report["pairs"]["closes"]) == (3, 3, True)
    assert report["passed"] is False
    assert f"stereo-dp replay: {report['ended_early']}" == lines[0]
    assert "A part of the bag only: " in (out / "report.html").read_text()
    with BagReader(out / "bad_out") as recorded:
        assert set(recorded.counts.values()) == {3}


def _shifted(whole: Path, path: Path, shift_ns: int) -> Path:
    def late(topic: str, message: Any) -> tuple[str, Any]:
        if topic == TOPICS.right_image:
            message.header.stamp.nanosec += shift_ns
        return topic, message

    return _copy(whole, path, late)


def test_near_stamps_pair_where_they_may(tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _shifted(whole, tmp_path / "near", 3_000_000)
    model = ["--model", str(write_toy_model(tmp_path)), "--out", str(tmp_path / "out")]
    assert main(["replay", str(path), *model]) == 2
    assert "the nearest are 3 ms apart (--sync-tolerance-ms pairs" in capsys.readouterr().err
    assert main(["replay", str(path), *model, "--sync-tolerance-ms", "3"]) == 2  # strictly below, as the node has it
    assert "have stamps less than 3 ms apart, expected pairs; the nearest are 3 ms" in capsys.readouterr().err
    assert main(["replay", str(path), *model, "--sync-tolerance-ms", "3.1"]) == 0
    (report,) = json.loads((tmp_path / "out" / "report.json").read_text())["bags"]
    assert [frame["stamp_ns"] for frame in report["frames"]] == _left_stamps(whole)
    assert report["pairs"]["out"] == PAIRS


def _left_stamps(bag: Path) -> list[int]:
    with BagReader(bag) as reader:
        return [messages.stamp_ns(message) for _, _, message in reader.messages([TOPICS.left_image])]


def _renamed(whole: Path, path: Path) -> Path:
    names = {"left": "port", "right": "starboard"}

    def named(topic: str, message: Any) -> tuple[str, Any] | None:
        side = topic.split("/")[2]
        return (topic.replace(f"/{side}/", f"/{names[side]}/"), message) if side in names else None

    return _copy(whole, path, named)


def test_topics_may_be_named(tmp_path: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _renamed(whole, tmp_path / "ship")
    command = ["replay", str(path), "--out", str(tmp_path / "out"), "--model", str(write_toy_model(tmp_path))]
    left, right = "/stereo/port/image_rect", "/stereo/starboard/image_rect"
    assert main(command) == 2
    assert "no stereo pair, expected" in capsys.readouterr().err
    assert main([*command, "--left", left, "--right", right]) == 0
    (report,) = json.loads((tmp_path / "out" / "report.json").read_text())["bags"]
    assert report["pairs"]["out"] == PAIRS
    wrong = {
        ("--left", left, "--right", "/nothing"): "/camera_info, /nothing is missing or of another type",
        ("--right", right): "--right is given without --left",
        ("--left", left, "--left-info", "/x"): "--left-info or --right-info is given without --right",
        ("--left", left, "--all-pairs"): "--all-pairs and --left are given",
    }
    capsys.readouterr()
    for options, told in wrong.items():
        assert main([*command, *options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert told in line


def test_every_pair_of_a_bag_is_replayed_when_asked(tmp_path: Path, whole: Path) -> None:
    with BagReader(whole) as bag, BagWriter(tmp_path / "two") as writer:
        for topic, time_ns, data in bag.raw():
            for namespace in ("/front", "/rear"):
                writer.write_raw(topic.replace("/stereo", namespace), bag.topics[topic], data, time_ns)
    out = tmp_path / "out"
    command = ["replay", str(tmp_path / "two"), "--out", str(out), "--model", str(write_toy_model(tmp_path))]
    assert main([*command, "--all-pairs"]) == 0
    first, second = json.loads((out / "report.json").read_text())["bags"]
    assert [bag["name"] for bag in (first, second)] == ["two_front_left_image_rect", "two_rear_left_image_rect"]
    assert first["metrics"] == second["metrics"]
    assert (out / "two_front_left_image_rect_out").is_dir()
    assert (out / "two_rear_left_image_rect_out").is_dir()
    page = (out / "report.html").read_text()
    assert page.count("<h2>two: /") == 2
