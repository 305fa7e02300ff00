"""Which quality of service follows from what publishers offer."""

from __future__ import annotations

import pytest
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from stereo_dp_ros.ros.qos import input_profile, output_profile

R, B = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
V, T = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL


@pytest.mark.parametrize(
    ("policy", "offered", "expected"),
    [
        ("auto", [], R),
        ("auto", [R], R),
        ("auto", [B], B),
        ("auto", [R, B], B),
        ("reliable", [B], R),
        ("best_effort", [R], B),
    ],
)
def test_reliability(policy: str, offered: list[ReliabilityPolicy], expected: ReliabilityPolicy) -> None:
    profile = input_profile(policy, 7, [QoSProfile(depth=1, reliability=reliability) for reliability in offered])
    assert (profile.reliability, profile.depth, profile.history) == (expected, 7, HistoryPolicy.KEEP_LAST)
    assert profile.durability == V


@pytest.mark.parametrize(
    ("latched", "offered", "expected"),
    [(True, [], V), (True, [T], T), (True, [T, V], V), (True, [V], V), (False, [T], V)],
)
def test_durability(latched: bool, offered: list[DurabilityPolicy], expected: DurabilityPolicy) -> None:
    profiles = [QoSProfile(depth=1, durability=durability) for durability in offered]
    assert input_profile("auto", 7, profiles, latched=latched).durability == expected


@pytest.mark.parametrize(("policy", "expected"), [("reliable", R), ("best_effort", B)])
def test_outputs(policy: str, expected: ReliabilityPolicy) -> None:
    profile = output_profile(policy)
    assert (profile.reliability, profile.durability, profile.depth) == (expected, V, 5)
