"""Fixtures of the replay's tests: a DDS domain of one's own, and a recording made up message by message."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def domain_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A DDS domain that no other test on this machine uses meanwhile."""
    locks = Path(tempfile.gettempdir()) / f"stereo_dp_ros-test-domains-{os.getuid()}"
    locks.mkdir(exist_ok=True)
    for domain in range(101, 0, -1):
        with (locks / str(domain)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
            monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
            yield domain
            return
    raise RuntimeError("every DDS domain is in use")
