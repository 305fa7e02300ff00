"""Ctrl-C while a command works: a closed bag and a report of what was done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.demo_bags import write_pairs
from stereo_dp_ros.replay.runs import OUTPUTS
from stereo_dp_ros.replay.scene import StereoFrame
from toy_model import write_toy_model

CALIBRATION = StereoCalibration(
    width_px=256, height_px=128, fx_px=80.0, fy_px=80.0, cx_left_px=127.5, cx_right_px=127.5, cy_px=63.5, baseline_m=0.1
)
PAIRS = 600


def _write(path: Path, rate_hz: float) -> None:
    gray = np.random.default_rng(2).integers(20, 240, (128, 256), np.uint8)
    colored = np.dstack([gray] * 3)
    write_pairs(path, [StereoFrame(colored, colored, gray.astype(np.float32) / 4)] * PAIRS, CALIBRATION, rate_hz)


# In a process of its own: a runtime that an earlier test loaded may have moved this one's signal stack.
TWO_REQUESTS = """
import signal
from stereo_dp_ros.replay.interrupts import Interruption

before = signal.getsignal(signal.SIGINT)
with Interruption() as stop:
    seen = [stop()]
    signal.raise_signal(signal.SIGINT)
    seen.append(stop())
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        seen.append("raised")
print(seen, signal.getsignal(signal.SIGINT) is before)
"""


def test_first_request_is_noted_and_the_second_one_raises(repository: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", TWO_REQUESTS], cwd=repository, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == "[False, True, 'raised'] True\n"
    assert run.stderr.count("interrupted: reporting on what was done") == 1


@pytest.mark.parametrize("mode", ["offline", "live"])
def test_interrupted_replay_leaves_a_closed_bag_and_a_report(
    tmp_path: Path, repository: Path, domain_id: int, mode: str
) -> None:
    if mode == "live":
        pytest.importorskip("rclpy")
    _write(tmp_path / "bag", 10.0)  # a node keeps 10 images, the player 30: a busy machine may hold the node up
    out = tmp_path / "out"
    command = [sys.executable, "-m", "stereo_dp_ros.cli.main", "replay", str(tmp_path / "bag"), "--out", str(out)]
    command += ["--mode", mode, "--model", str(write_toy_model(tmp_path))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    recording = out / "bag_out" / "bag_out.mcap"
    deadline_s = time.monotonic() + 60
    while not (recording.is_file() and recording.stat().st_size > 20_000_000) and time.monotonic() < deadline_s:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors.decode()
    assert b"interrupted: reporting on what was done" in errors
    assert b"Traceback" not in errors
    (report,) = json.loads((out / "report.json").read_text())["bags"]
    done = report["pairs"]["in"]
    assert 0 < done < PAIRS
    assert report["pairs"]["closes"]
    assert (out / "report.html").read_text().endswith("</html>\n")
    with BagReader(out / "bag_out") as bag:
        counts = [bag.counts[f"/replay/{name}"] for name in OUTPUTS]
        assert counts == [report["pairs"]["out"]] * len(OUTPUTS)
        assert sum(1 for _ in bag.messages()) == sum(bag.counts.values())
    with recording.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        assert sum(1 for _ in reader.iter_messages()) == sum(bag.counts.values())
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == sum(bag.counts.values())
