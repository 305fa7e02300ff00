"""The thread that works on the newest item, and the rate limit."""

from __future__ import annotations

import threading

import pytest

from stereo_dp_ros.ros.worker import NewestWorker, RateLimit


def test_the_newest_wins() -> None:
    begun, release, done = threading.Event(), threading.Event(), threading.Event()
    processed: list[int] = []

    def process(item: int) -> None:
        begun.set()
        release.wait(10)
        processed.append(item)
        if item == 4:
            done.set()

    worker = NewestWorker(process, "test worker")
    assert worker.submit(1) is None
    assert begun.wait(10)
    assert [worker.submit(item) for item in (2, 3, 4)] == [None, 2, 3]
    release.set()
    assert done.wait(10)
    assert worker.stop(10) is None
    assert worker.ended
    assert processed == [1, 4]
    assert worker.submit(5) == 5


def test_chores_come_before_items_and_replace_none() -> None:
    begun, release, done = threading.Event(), threading.Event(), threading.Event()
    order: list[object] = []

    def process(item: str) -> None:
        order.append(item)
        if item == "second":
            done.set()
        begun.set()
        release.wait(10)

    worker = NewestWorker(process, "test worker")
    worker.submit("first")
    assert begun.wait(10)
    assert worker.submit("second") is None
    worker.run_first(lambda: order.append("a chore"))
    worker.run_first(lambda: order.append("another"))
    release.set()
    assert done.wait(10)
    assert order == ["first", "a chore", "another", "second"]
    assert worker.stop(10) is None
    worker.run_first(lambda: order.append("too late"))
    assert worker.ended
    assert len(order) == 4


def test_stop_gives_back_what_was_not_begun() -> None:
    begun, release = threading.Event(), threading.Event()

    def process(_: str) -> None:
        begun.set()
        release.wait(10)

    worker = NewestWorker(process, "test worker")
    worker.submit("at work")
    assert begun.wait(10)
    worker.submit("waiting")
    assert worker.stop(0.01) == "waiting"
    assert not worker.ended
    release.set()
    assert worker.stop(10) is None
    assert worker.ended


@pytest.mark.parametrize(
    ("input_hz", "limit_hz", "passed"),
    [(15.0, 0.0, 150), (15.0, 10.0, 100), (15.0, 30.0, 150), (60.0, 10.0, 100), (10.0, 10.0, 100)],
)
def test_rate_limit_keeps_the_mean_rate(input_hz: float, limit_hz: float, passed: int) -> None:
    """Ten seconds of items."""
    limit = RateLimit()
    times_ns = [int(5e9 + index * 1e9 / input_hz) for index in range(int(10 * input_hz))]
    assert sum(limit.allows(limit_hz, now_ns) for now_ns in times_ns) == pytest.approx(passed, abs=1)


def test_rate_limit_forgives_jitter_and_saves_nothing_up() -> None:
    limit = RateLimit()
    jittered = [int(index * 1e8 + (-1) ** index * 1e7) for index in range(50)]
    assert all(limit.allows(10.0, now_ns) for now_ns in jittered)
    after_a_pause = [int(60e9 + index * 1e7) for index in range(10)]
    assert [limit.allows(10.0, now_ns) for now_ns in after_a_pause] == [True] + [False] * 7 + [True, False]


def test_rate_limit_that_is_raised_counts_at_once() -> None:
    """After one item in a hundred seconds, thirty in one."""
    limit = RateLimit()
    assert limit.allows(0.01, int(5e9))
    assert not limit.allows(0.01, int(6e9))
    times_ns = [int(7e9 + index * 1e9 / 60.0) for index in range(60)]
    assert sum(limit.allows(30.0, now_ns) for now_ns in times_ns) == pytest.approx(30, abs=1)
