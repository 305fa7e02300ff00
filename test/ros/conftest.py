"""Fixtures of the node's tests: a rig that plays the cameras and a user."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ros_rig import Rig

from stereo_dp_ros.ros import diagnostics, node


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
