"""The demo as a whole on two tiny bags: real node, real DDS, report; and what it says when something is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stereo_dp_ros.cli import demo as command
from stereo_dp_ros.cli.main import main as stereo_dp
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay import demo
from stereo_dp_ros.replay.demo_bags import DemoBag
from stereo_dp_ros.replay.scene import StereoFrame
from toy_model import write_toy_model

CALIBRATION = StereoCalibration(
    width_px=96, height_px=64, fx_px=80.0, fy_px=80.0, cx_left_px=47.5, cx_right_px=47.5, cy_px=31.5, baseline_m=0.1
)


def _frames() -> Iterator[StereoFrame]:
    levels = np.random.default_rng(5).integers(8, 240, (6, 64, 96), np.uint8)
    return (StereoFrame(np.dstack([g] * 3), np.dstack([g] * 3), g.astype(np.float32) / 4) for g in levels)


TINY = DemoBag("tiny", "Tiny", "A quarter of the gray level is the disparity.", CALIBRATION, 6, 10.0, _frames)


@pytest.fixture
def in_tree(monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    """Lets the node's process import the package from the source tree."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")]))


@pytest.mark.usefixtures("in_tree")
def test_demo_leaves_report_and_bags(tmp_path: Path, domain_id: int) -> None:
    stages: dict[str, int] = {}

    def progress(stage: str, frames: int = 0) -> None:
        stages[stage] = stages.get(stage, 0) + frames

    out = tmp_path / "out"
    report = demo.run_demo(
        out,
        [TINY, replace(TINY, name="again", rate_hz=20.0)],
        parameters={"model": write_toy_model(tmp_path)},
        domain_id=domain_id,
        facts={"machine": "this one"},
        environment={},
        progress=progress,
    )
    assert report.failed_checks == []
    assert report.passed
    written = json.loads((out / "report.json").read_text())
    assert [bag["name"] for bag in written["bags"]] == ["tiny", "again"]
    assert [bag["pairs"]["in"] for bag in written["bags"]] == [6, 6]
    assert [bag["metrics"]["epe"] for bag in written["bags"]] == [0.0, 0.0]
    assert written["environment"]["model"] == "toy"
    assert "All checks passed" in (out / "report.html").read_text()
    for name in ("tiny", "tiny_out", "again", "again_out"):
        assert (out / "bags" / name / "metadata.yaml").is_file()
    for stage in ("drawing", "playing", "scoring"):
        assert stages[f"{stage} tiny"] == stages[f"{stage} again"] == 6


@pytest.mark.usefixtures("in_tree")
def test_command_fails_if_the_disparity_is_not_the_scenes(
    tmp_path: Path, domain_id: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def wrong() -> Iterator[StereoFrame]:
        return (replace(frame, disparity_px=frame.disparity_px + 5) for frame in _frames())

    monkeypatch.setattr(command, "DEMO_BAGS", (replace(TINY, frames=wrong),))
    out = tmp_path / "out"
    assert stereo_dp(["demo", "--out", str(out), "--model", str(write_toy_model(tmp_path))]) == 1
    printed = capfd.readouterr()
    assert "tiny" in printed.out
    assert "5.00" in printed.out
    assert str(out / "report.html") in printed.out
    assert "check failed: tiny: the disparity is that of the scene: bad-2.0 is 100.0 %" in printed.err
    assert json.loads((out / "report.json").read_text())["passed"] is False


def test_folder_that_cannot_be_written_or_is_full_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert stereo_dp(["demo", "--out", str(blocked)]) == 2
    assert f"{blocked}: cannot be written" in capsys.readouterr().err
    monkeypatch.setattr(demo, "_NEEDED_BYTES", 10**18)
    assert stereo_dp(["demo", "--out", str(tmp_path / "out")]) == 2
    assert "GB are free, expected 1000000000 GB for bags" in capsys.readouterr().err


def test_bad_domain_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "kitchen")
    assert stereo_dp(["demo", "--out", str(tmp_path)]) == 2
    assert "ROS_DOMAIN_ID is 'kitchen', expected a number from 0 to 232" in capsys.readouterr().err
