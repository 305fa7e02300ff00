"""Fixtures that every room shares."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stereo_dp_ros.replay.ros_domain import own_domain

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for tests that import onnxruntime themselves

REPOSITORY = Path(__file__).resolve().parent.parent

# Whole folders without torch, which rosdep does not bring.
collect_ignore = ["networks", "training"] if importlib.util.find_spec("torch") is None else []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which folders were left out, and why."""
    for folder in collect_ignore:
        terminalreporter.write_line(f"SKIPPED test/{folder}: torch is not installed")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real pairs, sequences and textures: $STEREO_DP_DATA, or ../shared/data; skips where there is none."""
    folder = Path(os.environ.get("STEREO_DP_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data folder at {folder} (set STEREO_DP_DATA)")
    return folder


@pytest.fixture
def domain_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A DDS domain that neither another test nor a command uses meanwhile, in whatever process; set for this test."""
    with own_domain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
        yield domain
