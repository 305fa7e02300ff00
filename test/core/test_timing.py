from __future__ import annotations

import pytest

from stereo_dp_ros.core import timing
from stereo_dp_ros.core.timing import interleaved_ms


def test_methods_take_turns_each_after_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: happened.append(f"rest {seconds}"))
    clock = iter(range(100))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    methods = {name: (lambda name=name: happened.append(name)) for name in ("a", "b")}
    rounds = list(interleaved_ms(methods, rounds=2, warmup=1, rest_s=0.1))
    assert happened == ["rest 0.1", "a", "rest 0.1", "b"] * 3
    assert rounds == [{"a": 1000.0, "b": 1000.0}] * 2
