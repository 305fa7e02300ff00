"""Fixtures of the node's tests: a DDS domain for each test, and a rig that plays the cameras and a user."""

from __future__ import annotations

import fcntl
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ros_rig import Rig

from stereo_dp_ros.ros import diagnostics, node

DOMAINS = range(1, 102)  # ids whose ports lie below the ephemeral range
_start = os.getpid() % len(DOMAINS)
_rotation = itertools.cycle([*DOMAINS[_start:], *DOMAINS[:_start]])  # what a test left behind is not met by the next


@pytest.fixture
def domain_id(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A DDS domain that no other test uses meanwhile, in whatever process."""
    folder = Path(tempfile.gettempdir()) / f"stereo_dp_ros-test-domains-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for _ in DOMAINS:
        domain = next(_rotation)
        with (folder / str(domain)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
            monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
            yield domain
            return
    raise RuntimeError("every DDS domain is in use")


@pytest.fixture
def rig(domain_id: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A rig in this test's domain, taken down afterwards; its node reports and forgets several times faster."""
    monkeypatch.setattr(node, "DIAGNOSTICS_PERIOD_S", 0.2)
    monkeypatch.setattr(node, "AUTOSTART_RETRY_S", 0.5)
    monkeypatch.setattr(diagnostics, "SILENCE_S", 1.0)
    monkeypatch.setattr(diagnostics, "FAULT_MEMORY_S", 0.5)
    rig = Rig(domain_id)
    yield rig
    rig.close()
