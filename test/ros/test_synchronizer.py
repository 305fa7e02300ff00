"""Pairing against tables recorded from message_filters, and against message_filters itself where it is installed."""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from std_msgs.msg import Header

from stereo_dp_ros.ros.synchronizer import ImagePair, StereoSynchronizer, TimedMessage

TABLE = json.loads((Path(__file__).parent / "data" / "message_filters_pairs.json").read_text())
BACKENDS = ["builtin"] + (["message_filters"] if importlib.util.find_spec("message_filters") else [])
MS = 1_000_000
START_NS = 1_000_000_000_000


class Message:
    """Anything with a stamp."""

    def __init__(self, stamp_ns: int) -> None:
        self.header = Header()
        self.header.stamp.sec, self.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)


class Pairs:
    """A synchronizer and what it paired: (left stamp, right stamp) in ns."""

    def __init__(self, backend: str, queue_size: int = 5, tolerance_ns: int | None = None) -> None:
        self.pairs: list[ImagePair] = []
        self.synchronizer = StereoSynchronizer(backend, queue_size, tolerance_ns, self.pairs.append)
        assert self.synchronizer.backend == backend

    def add(self, side: str, *stamps_ns: int) -> None:
        for stamp_ns in stamps_ns:
            self.synchronizer.add(side, TimedMessage(Message(stamp_ns), 0))

    @property
    def stamps(self) -> list[tuple[int, int]]:
        return [(pair.left.stamp_ns, pair.right.stamp_ns) for pair in self.pairs]

    def account(self) -> tuple[list[int], int, list[int], list[int]]:
        counted = self.synchronizer
        return counted.received, counted.matched, counted.unmatched, counted.waiting


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", TABLE["cases"], ids=[case["name"] for case in TABLE["cases"]])
def test_pairs_what_message_filters_pairs(case: dict[str, Any], backend: str) -> None:
    pairs = Pairs(backend, case["queue_size"], case["tolerance_ns"])
    messages = []
    for side, stamp_ns in case["events"]:
        messages.append(TimedMessage(Message(stamp_ns), 0))
        pairs.synchronizer.add(("left", "right")[side], messages[-1])
    found = [[messages.index(pair.left), messages.index(pair.right)] for pair in pairs.pairs]
    assert found == case["pairs"]
    received, matched, unmatched, waiting = pairs.account()
    assert matched == len(case["pairs"])
    assert received == [sum(side == index for side, _ in case["events"]) for index in (0, 1)]
    assert all(0 <= waits <= case["queue_size"] for waits in waiting)
    assert [matched + unmatched[index] + waiting[index] for index in (0, 1)] == received


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("tolerance_ns", [None, 10 * MS])
def test_time_jumping_back_starts_anew(backend: str, tolerance_ns: int | None) -> None:
    """Left alone, a full queue of later stamps would evict every message from after the jump."""
    pairs = Pairs(backend, 3, tolerance_ns)
    pairs.add("left", *(START_NS + index * 100 * MS for index in range(3)))
    pairs.add("right", START_NS + 100 * MS)
    assert pairs.stamps == [(START_NS + 100 * MS, START_NS + 100 * MS)]
    again = [5_000 * MS + index * 100 * MS for index in range(6)]
    for stamp_ns in again:
        pairs.add("right", stamp_ns)  # the other side this time comes first
        pairs.add("left", stamp_ns)
    assert pairs.stamps[1:] == [(stamp_ns, stamp_ns) for stamp_ns in again]
    assert pairs.account() == ([9, 7], 7, [2, 0], [0, 0])
    assert pairs.synchronizer.time_jumps == 2  # each side's clock


@pytest.mark.parametrize("backend", BACKENDS)
def test_late_by_less_than_a_jump_is_late(backend: str) -> None:
    pairs = Pairs(backend)
    pairs.add("left", START_NS, START_NS + 400 * MS, START_NS + 100 * MS)
    pairs.add("right", START_NS + 100 * MS, START_NS, START_NS + 400 * MS)
    assert [left for left, _ in pairs.stamps] == [START_NS + 100 * MS, START_NS, START_NS + 400 * MS]
    assert pairs.synchronizer.time_jumps == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_unstamped_messages_are_not_paired(backend: str) -> None:
    pairs = Pairs(backend)
    pairs.add("left", 0, START_NS)
    pairs.add("right", 0, START_NS)
    assert pairs.stamps == [(START_NS, START_NS)]
    assert pairs.account() == ([2, 2], 1, [1, 1], [0, 0])
    assert pairs.synchronizer.time_jumps == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_clear_lets_everything_go(backend: str) -> None:
    pairs = Pairs(backend)
    pairs.add("left", START_NS)
    pairs.synchronizer.clear()
    assert pairs.account() == ([1, 0], 0, [1, 0], [0, 0])
    pairs.add("right", START_NS)
    assert not pairs.stamps


def test_a_pair_is_received_with_its_later_half() -> None:
    pairs = Pairs("builtin")
    pairs.synchronizer.add("left", TimedMessage(Message(START_NS), 30))
    pairs.synchronizer.add("right", TimedMessage(Message(START_NS), 20))
    assert pairs.pairs[0].received_ns == 30


def test_offset_between_the_sides() -> None:
    pairs = Pairs("builtin")
    assert pairs.synchronizer.last_offset_ns is None
    pairs.add("left", START_NS + 7 * MS)
    assert pairs.synchronizer.last_offset_ns is None
    pairs.add("right", START_NS + 10 * MS)
    assert pairs.synchronizer.last_offset_ns == -3 * MS
    pairs.add("left", START_NS + 14 * MS)
    assert pairs.synchronizer.last_offset_ns == 4 * MS


def fake_message_filters(*, works: bool) -> types.ModuleType:
    """A message_filters whose exact synchronizer pairs by stamp, or never does."""
    module = types.ModuleType("message_filters")

    class SimpleFilter:
        def __init__(self) -> None:
            self.callbacks: list[Any] = []

        def registerCallback(self, callback: Any, *arguments: Any) -> None:  # noqa: N802
            self.callbacks.append((callback, arguments))

        def signalMessage(self, *messages: Any) -> None:  # noqa: N802
            for callback, arguments in self.callbacks:
                callback(*messages, *arguments)

    class TimeSynchronizer(SimpleFilter):
        def __init__(self, inputs: list[SimpleFilter], queue_size: int) -> None:
            super().__init__()
            self.queues: list[dict[int, Any]] = [{}, {}]
            for side, source in enumerate(inputs):
                source.registerCallback(self.add, side)

        def add(self, message: Any, side: int) -> None:
            stamp = message.header.stamp.sec
            self.queues[side][stamp] = message
            if works and all(stamp in queue for queue in self.queues):
                self.signalMessage(*(queue.pop(stamp) for queue in self.queues))

    module.SimpleFilter, module.TimeSynchronizer = SimpleFilter, TimeSynchronizer  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(
    ("module", "backend", "reason"),
    [
        (fake_message_filters(works=True), "message_filters", ""),
        (fake_message_filters(works=False), "builtin", "message_filters does not pair two equal stamps"),
        (types.ModuleType("message_filters"), "builtin", "message_filters fails (AttributeError: "),
        (None, "builtin", "message_filters is not installed ("),
    ],
)
def test_auto_takes_message_filters_where_it_works(
    monkeypatch: pytest.MonkeyPatch, module: Any, backend: str, reason: str
) -> None:
    monkeypatch.setitem(sys.modules, "message_filters", module)
    pairs: list[ImagePair] = []
    synchronizer = StereoSynchronizer("auto", 5, None, pairs.append)
    assert synchronizer.backend == backend
    assert synchronizer.reason.startswith(reason)
    assert bool(synchronizer.reason) == bool(reason)
    for side in ("left", "right"):
        synchronizer.add(side, TimedMessage(Message(START_NS), 0))
    assert len(pairs) == 1
    if reason:
        with pytest.raises(ValueError, match="parameter sync_backend: found message_filters, but message_filters"):
            StereoSynchronizer("message_filters", 5, None, pairs.append)
