"""A bag goes through the real node over real DDS, and what comes back is right to the last pixel."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.cli.main import main
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError, StereoDpError
from stereo_dp_ros.core.models import DEFAULT_MODEL
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.counts import count_pairs, latency
from stereo_dp_ros.replay.demo_bags import NAMESPACE, TOPICS, write_pairs
from stereo_dp_ros.replay.evaluation import evaluate
from stereo_dp_ros.replay.live import run_live
from stereo_dp_ros.replay.messages import stamp_ns, typestore
from stereo_dp_ros.replay.node_process import NodeProcess, node_command
from stereo_dp_ros.replay.offline import run_offline
from stereo_dp_ros.replay.runs import OUTPUTS, Run
from stereo_dp_ros.replay.scene import StereoFrame
from stereo_dp_ros.replay.session import NodeSetup, Session
from toy_model import write_toy_model

CALIBRATION = StereoCalibration(
    width_px=96, height_px=64, fx_px=80.0, fy_px=80.0, cx_left_px=47.5, cx_right_px=49.0, cy_px=31.5, baseline_m=0.1
)
PAIRS = 15
RATE_HZ = 4.0  # a node keeps 10 images: a busy machine may hold it up for 2 s


def _frames() -> list[StereoFrame]:
    """Pairs whose true disparity is what the toy model answers: a quarter of the left image's gray level."""
    levels = np.random.default_rng(5).integers(8, 240, (PAIRS, 64, 96), np.uint8)
    return [
        StereoFrame(np.dstack([gray] * 3), np.full((64, 96, 3), 51, np.uint8), gray.astype(np.float32) / 4)
        for gray in levels
    ]


@pytest.fixture
def play(tmp_path: Path, domain_id: int, repository: Path) -> Callable[[Path], Run]:
    """Writes the bag and plays it through a node with a model."""

    def play_with(model: Path) -> Run:
        write_pairs(tmp_path / "source", _frames(), CALIBRATION, RATE_HZ)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])}
        with NodeProcess(node_command(NAMESPACE, {"model": model}), environment, tmp_path / "node.log") as node:
            return run_live(
                tmp_path / "source", TOPICS, tmp_path / "recorded", node, namespace=NAMESPACE, domain_id=domain_id
            )

    return play_with


def test_bag_through_the_node_comes_back_exact(tmp_path: Path, play: Callable[[Path], Run]) -> None:
    model = write_toy_model(tmp_path)
    run = play(model)
    count = count_pairs(run)
    assert (count.played, count.lost, count.unmatched) == (PAIRS, 0, 0)
    assert count.closes, count.check().detail
    assert count.published > 0
    assert run.exit_code == 0
    measured = latency(run)
    assert measured is not None
    assert 0 < measured.p50_ms <= measured.p99_ms <= measured.max_ms
    with BagReader(tmp_path / "source") as source, BagReader(tmp_path / "recorded") as recorded:
        found = evaluate(source, recorded, TOPICS, NAMESPACE)
        assert recorded.counts["/stereo/points2"] == count.published
    assert [check.detail for check in found.checks if not check.passed] == []
    assert len(found.frames) == count.published
    assert found.metrics is not None
    assert found.metrics.items() >= dict(epe=0.0, bad_1=0.0, bad_2=0.0, bad_3=0.0, d1_all=0.0, density=100.0).items()
    assert found.frames[0].mean_confidence == pytest.approx(0.2)
    _run_offline(tmp_path, model)
    _require_identical(tmp_path / "offline", tmp_path / "recorded", count.published)


def test_shipped_model_gives_the_same_bits_offline_and_live(tmp_path: Path, play: Callable[[Path], Run]) -> None:
    run = play(Path(DEFAULT_MODEL))
    _run_offline(tmp_path, Path(DEFAULT_MODEL))
    published = count_pairs(run).published
    assert published > 0
    _require_identical(tmp_path / "offline", tmp_path / "recorded", published)


def _run_offline(folder: Path, model: Path) -> None:
    with BagReader(folder / "source") as source:
        run_offline(source, TOPICS, folder / "offline", load_estimator(str(model)), namespace=NAMESPACE)


def _require_identical(offline: Path, live: Path, pairs: int, namespace: str = NAMESPACE) -> None:
    """Every message of the live recording is in the offline one, in every field and byte."""
    topics = [f"{namespace}/{name}" for name in OUTPUTS]
    with BagReader(offline) as bag:
        expected = {(topic, stamp_ns(message)): message for topic, _, message in bag.messages(topics)}
    assert len(expected) == PAIRS * len(OUTPUTS)
    with BagReader(live) as bag:
        found = {(topic, stamp_ns(message)): message for topic, _, message in bag.messages(topics)}
    assert len(found) == pairs * len(OUTPUTS)
    for key, message in found.items():
        assert _plain(message) == _plain(expected[key]), key


def _plain(message: object) -> object:
    """A message as nested tuples, arrays as bytes."""
    if isinstance(message, np.ndarray):
        return message.tobytes()
    if isinstance(message, list):
        return [_plain(item) for item in message]
    if is_dataclass(message):
        return tuple((field.name, _plain(getattr(message, field.name))) for field in fields(message))
    return message


def test_node_that_cannot_load_its_model_is_told_in_one_line(tmp_path: Path, play: Callable[[Path], Run]) -> None:
    with pytest.raises(StereoDpError, match=r"^stereo_node: configure failed: .*nowhere") as caught:
        play(tmp_path / "nowhere.json")
    assert "\n" not in str(caught.value)


def test_node_that_ends_is_told_with_its_last_line(tmp_path: Path, domain_id: int) -> None:
    write_pairs(tmp_path / "source", _frames()[:1], CALIBRATION, 10.0)
    command = ["/bin/sh", "-c", "echo starting; echo no camera today; exit 3"]
    with (
        NodeProcess(command, os.environ, tmp_path / "node.log") as node,
        pytest.raises(StereoDpError, match=r"^stereo_node ended with exit code 3: no camera today$"),
    ):
        run_live(tmp_path / "source", TOPICS, tmp_path / "recorded", node, namespace=NAMESPACE, domain_id=domain_id)


def test_what_was_played_before_the_bag_is_damaged_is_reported(
    tmp_path: Path,
    domain_id: int,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")]))
    write_pairs(tmp_path / "source", _frames(), CALIBRATION, RATE_HZ)
    with BagReader(tmp_path / "source") as source, BagWriter(tmp_path / "bag") as bag:
        played = 0
        for topic, time_ns, data in source.raw(TOPICS.inputs):
            played += topic == TOPICS.left_image
            bag.write_raw(topic, source.topics[topic], data[:5] if played == 9 else data, time_ns)
    out = tmp_path / "out"
    command = ["replay", str(tmp_path / "bag"), "--mode", "live", "--out", str(out)]
    assert main([*command, "--model", str(write_toy_model(tmp_path))]) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stereo-dp replay: ")]
    assert len(told) == 1
    assert told[0].startswith(f"stereo-dp replay: {TOPICS.left_image} at ")
    assert told[0].endswith(": message has 5 bytes, expected at least the 12 up to its stamp")
    (report,) = json.loads((out / "report.json").read_text())["bags"]
    assert report["pairs"]["in"] == 8
    assert report["pairs"]["out"] > 0
    assert f"stereo-dp replay: {report['ended_early']}" == told[0]


def _write_raw(bag: BagWriter, source: BagReader) -> None:
    """The images as raw ones, whose K differs from P by a shift: rectifying moves the content by its opposite."""
    for topic, time_ns, message in source.messages(TOPICS.inputs):
        if topic in TOPICS.images:
            bag.write(topic.replace("image_rect", "image_raw"), message, time_ns)
        else:
            shift_px = np.array((0, 0, 6, 0, 0, 4, 0, 0, 0))
            bag.write(topic, replace(message, k=message.k + shift_px), time_ns)


def _write_compressed(bag: BagWriter, source: BagReader) -> None:
    """The images as PNG."""
    kind = typestore().types["sensor_msgs/msg/CompressedImage"]
    for topic, time_ns, message in source.messages(TOPICS.inputs):
        if topic in TOPICS.images:
            _, content = cv2.imencode(".png", message.data.reshape(message.height, message.width, 3)[..., ::-1])
            packed: Any = kind(header=message.header, format="rgb8; png compressed bgr8", data=content.reshape(-1))
            bag.write(f"{topic}/compressed", packed, time_ns)
        else:
            bag.write(topic, message, time_ns)


def _write_near(bag: BagWriter, source: BagReader) -> None:
    """Right images 3 ms late."""
    for topic, time_ns, message in source.messages(TOPICS.inputs):
        late_ns = 3_000_000 * (topic == TOPICS.right_image)
        message.header.stamp.nanosec += late_ns
        bag.write(topic, message, time_ns + late_ns)


@pytest.mark.parametrize(
    ("write", "options"),
    [(_write_raw, []), (_write_compressed, []), (_write_near, ["--sync-tolerance-ms", "10"])],
    ids=["raw", "compressed", "near stamps"],
)
def test_command_gives_the_same_bits_offline_and_live(
    tmp_path: Path,
    domain_id: int,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[BagWriter, BagReader], None],
    options: list[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")]))
    write_pairs(tmp_path / "source", _frames(), CALIBRATION, RATE_HZ)
    with BagReader(tmp_path / "source") as source, BagWriter(tmp_path / "bag") as bag:
        write(bag, source)
    for mode in ("offline", "live"):
        command = ["replay", str(tmp_path / "bag"), "--mode", mode, "--out", str(tmp_path / mode), *options]
        assert main([*command, "--model", str(write_toy_model(tmp_path))]) == 0
    reports = [json.loads((tmp_path / mode / "report.json").read_text())["bags"][0] for mode in ("offline", "live")]
    assert reports[0]["pairs"]["out"] == PAIRS
    published = reports[1]["pairs"]["out"]
    assert reports[1]["pairs"]["in"] == PAIRS
    assert reports[1]["pairs"]["closes"]
    assert published > 0
    _require_identical(tmp_path / "offline" / "bag_out", tmp_path / "live" / "bag_out", published, "/replay")


def test_node_that_answers_nothing_is_told_with_what_it_dropped(
    tmp_path: Path, domain_id: int, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")]))
    write_pairs(tmp_path / "source", _frames()[:1], CALIBRATION, RATE_HZ)
    session = Session("bag", "", "", tmp_path / "source", tmp_path / "recorded", TOPICS, NAMESPACE)
    setup = NodeSetup(tmp_path, {"model": write_toy_model(tmp_path), "max_age_s": 1e-6}, domain_id, {})
    with pytest.raises(DataError) as caught:
        session.play(setup, lambda stage, frames=0, more=0: None)
    line = f"stereo_node answered 0 of 1 pairs of source (1 too_old), see {tmp_path / 'bag.log'}"
    assert str(caught.value) == line
