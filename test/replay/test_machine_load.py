"""The share of the machine that others took."""

from __future__ import annotations

import pytest

from stereo_dp_ros.replay import machine_load
from stereo_dp_ros.replay.machine_load import MachineLoad

Moment = tuple[float, float, float]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ((100.0, 40.0, 10.0), (200.0, 100.0, 30.0), 40.0),  # of 100 s 60 were busy, 20 of them ours
        ((100.0, 40.0, 10.0), (200.0, 59.9, 30.0), 0.0),  # clocks of different grain
        ((100.0, 40.0, 10.0), (100.0, 40.0, 10.0), None),
        (None, (200.0, 100.0, 30.0), None),
    ],
)
def test_share(begin: Moment | None, end: Moment, expected: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([begin, end])
    monkeypatch.setattr(machine_load, "_processor_s", lambda: next(moments))
    assert MachineLoad().others_percent() == pytest.approx(expected)


def test_this_machine_tells() -> None:
    moment = machine_load._processor_s()
    assert moment is not None
    total_s, busy_s, own_s = moment
    assert total_s > busy_s > own_s > 0
