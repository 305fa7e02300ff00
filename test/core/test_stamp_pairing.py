"""Pairing by stamp against tables recorded from message_filters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stereo_dp_ros.core.stamp_pairing import StampPairing

TABLE = json.loads((Path(__file__).parents[1] / "ros" / "data" / "message_filters_pairs.json").read_text())
SECOND = 1_000_000_000
START_NS = 1_000 * SECOND


@pytest.mark.parametrize("case", TABLE["cases"], ids=[case["name"] for case in TABLE["cases"]])
def test_pairs_what_message_filters_pairs(case: dict[str, Any]) -> None:
    pairing: StampPairing[int] = StampPairing(case["queue_size"], case["tolerance_ns"])
    found = [pairing.add(side, stamp_ns, index) for index, (side, stamp_ns) in enumerate(case["events"])]
    assert [list(pair) for pair in found if pair is not None] == case["pairs"]


def test_stamps_that_jump_back_do_not_starve() -> None:
    pairing: StampPairing[str] = StampPairing(queue_size=3)
    for index in range(3):  # their partners never come
        assert pairing.add(0, START_NS + index, "late") is None
    for index in range(5):
        stamp_ns = START_NS - SECOND + index
        assert pairing.add(0, stamp_ns, "left") is None
        assert pairing.add(1, stamp_ns, "right") == ("left", "right")


def test_unstamped_items_pair_with_nothing() -> None:
    pairing: StampPairing[str] = StampPairing(tolerance_ns=SECOND)
    assert pairing.add(0, 0, "left") is None
    assert pairing.add(1, 0, "right") is None
    assert pairing.add(1, 1, "right") is None
