"""Throttled lines and the list of what is wrong; counts and latencies."""

from __future__ import annotations

import pytest

from stereo_dp_ros.ros.faults import FaultLog, Severity
from stereo_dp_ros.ros.statistics import Latencies, PairCounts


class Setting:
    """A fault log with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.lines: list[tuple[Severity, str]] = []
        self.faults = FaultLog(lambda severity, line: self.lines.append((severity, line)), 10.0, self._clock_ns)

    def _clock_ns(self) -> int:
        return int(self.now_s * 1e9)

    @property
    def current(self) -> list[str]:
        return [fault.line for fault in self.faults.current()]


def test_a_cause_is_said_once_per_period() -> None:
    setting = Setting()
    for tenth in range(120):
        setting.now_s = 100.0 + tenth / 10
        setting.faults.report("bad_image", f"/cam: data has {tenth} bytes")
    assert setting.lines == [
        (Severity.ERROR, "/cam: data has 0 bytes"),
        (Severity.ERROR, "/cam: data has 100 bytes (99 more since the last line)"),
    ]
    assert setting.current == ["/cam: data has 119 bytes"]


def test_other_words_are_another_fault() -> None:
    setting = Setting()
    setting.faults.report("bad_image", "/cam: encoding is 'x'")
    setting.faults.report("bad_image", "/cam: image is 0x0")
    setting.faults.report("stamps", "/cam: image is 0x0")
    assert len(setting.lines) == 3


def test_resolved_and_back_within_the_period_stays_throttled() -> None:
    setting = Setting()
    setting.faults.report("a", "line")
    setting.faults.resolve("a")
    assert setting.current == []
    setting.faults.report("a", "line")
    assert setting.current == ["line"]
    assert len(setting.lines) == 1
    setting.now_s += 10
    setting.faults.report("a", "line")
    assert len(setting.lines) == 2
    setting.faults.resolve_all()
    setting.faults.report("a", "line")
    assert len(setting.lines) == 3


def test_the_worst_comes_first_and_old_ones_fade() -> None:
    setting = Setting()
    setting.faults.report("w", "warning", Severity.WARN)
    setting.faults.report("e", "error")
    setting.faults.report("f", "later error")
    assert setting.current == ["error", "later error", "warning"]
    setting.now_s += 3
    setting.faults.report("w", "warning", Severity.WARN)
    assert [fault.line for fault in setting.faults.current(within_s=2.0)] == ["warning"]


def test_a_lasting_fault_stays_until_it_is_resolved() -> None:
    setting = Setting()
    setting.faults.report("configure", "no model", lasting=True)
    setting.now_s += 1000
    assert [fault.line for fault in setting.faults.current(within_s=2.0)] == ["no model"]
    setting.faults.resolve("configure")
    assert setting.current == []


def test_endless_kinds_of_lines_do_not_pile_up() -> None:
    setting = Setting()
    for index in range(1000):
        setting.faults.report("a", "line " + "x" * index)
    assert len(setting.current) == 64


def test_pair_counts() -> None:
    counts = PairCounts()
    for _ in range(4):
        counts.match()
    counts.publish()
    counts.drop("superseded")
    counts.drop("superseded")
    counts.drop("bad_image")
    assert counts.snapshot() == (4, 1, {"superseded": 2, "bad_image": 1})


def test_latencies_of_the_last_pairs() -> None:
    latencies = Latencies(pairs_kept=100)
    assert latencies.percentiles() == {}
    for value in range(200):
        latencies.add({"total": float(value), **({"decode": 1.0} if value == 0 else {})})
    percentiles = latencies.percentiles()
    assert percentiles["decode"] == (1.0, 1.0)
    assert percentiles["total"] == (pytest.approx(149.5), pytest.approx(198.01))
