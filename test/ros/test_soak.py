"""What `make soak` judges by, and a short turn of each of its parts."""

from __future__ import annotations

import gc
import signal
import weakref
from pathlib import Path
from typing import Any

import pytest
import soak
from ros_rig import Rig
from ros_scene import plane_estimator


def samples_of(*memory_mb: float) -> list[soak.Sample]:
    return [soak.Sample(float(at_s), value, 20) for at_s, value in enumerate(memory_mb)]


def test_growth_is_counted_from_the_end_of_the_warm_up() -> None:
    assert soak.growth_mb(samples_of(*[50.0] * 10, *[100.0] * 20), 10.0) == 0.0
    assert soak.growth_mb(samples_of(*[50.0] * 10, *range(100, 130)), 10.0) == 127.5 + 0.5 - 101.0
    assert soak.growth_mb(samples_of(50.0, 100.0, 104.0), 1.0) == 4.0


def line(at_s: float, text: str, level: str = "WARN") -> str:
    return f"\x1b[33m[{level}] [{at_s:.6f}] [front.stereo_node]: {text}\x1b[0m\n"


def test_warnings_that_repeat_sooner_than_the_throttle() -> None:
    text = "/left: no message for {} s"
    throttled = line(100.0, text.format(3)) + line(110.1, f"{text.format(13)} (9 more since the last line)")
    assert soak.unthrottled(throttled) == []
    assert soak.unthrottled(throttled + line(111.0, "/right: no message for 3 s")) == []
    assert soak.unthrottled(throttled + line(112.0, text.format(15))) == ["/left: no message for 15 s"]
    assert soak.unthrottled(line(1.0, "again", "INFO") * 5) == []
    assert soak.unthrottled(line(1.0, "again", "ERROR") * 2) == ["again"]


@pytest.mark.usefixtures("domain_id")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_short_stream(tmp_path: Path, number: signal.Signals) -> None:
    """Two seconds at 30 Hz with every output subscribed, from another process to another."""
    checks = soak.stream(2.0, 30.0, number, tmp_path)
    names = [check.name.partition(": ")[2] for check in checks]
    assert names[:2] == ["the count of pairs closes", "exit code 0"]
    assert [(check.name, check.detail) for check in checks if not check.passed and "in time" not in check.name] == []


@pytest.mark.usefixtures("domain_id")
@pytest.mark.parametrize("part", [soak.cycles, soak.restarts])
def test_a_few_turns(part) -> None:
    checks = part(5)
    assert len(checks) >= 2
    assert [(check.name, check.detail) for check in checks if not check.passed] == []


def test_cleanup_frees_the_model_at_once(rig: Rig) -> None:
    """Its memory, which may be a GPU's, does not wait for Python's garbage collector to run by itself."""
    made: list[weakref.ref[Any]] = []

    def factory(_: Any) -> Any:
        estimator = plane_estimator(20.0)
        made.append(weakref.ref(estimator))
        return estimator

    gc.disable()
    try:
        node = rig.start(factory=factory)
        rig.connect()
        rig.publish_scene()
        rig.last("disparity")
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert made[0]() is None
    finally:
        gc.enable()
