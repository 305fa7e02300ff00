"""The player's clock: it stands still from the first pair on until the node has compiled its network."""

from __future__ import annotations

import threading
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from made_up import write_source

from stereo_dp_ros.replay.demo_bags import TOPICS
from stereo_dp_ros.replay.looped_pairs import LoopedPairs

PAIRS = 5
STEP_S = 0.02


class _Publisher:
    """Keeps when something was published."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def publish(self, _: bytes) -> None:
        self.times_s.append(time.monotonic())


@pytest.fixture
def player(tmp_path: Path) -> tuple[Connection, dict[str, _Publisher], threading.Thread]:
    """The parent's end of a player's pipe, its publishers, and the thread that it runs in."""
    pytest.importorskip("rclpy")
    from stereo_dp_ros.replay.dds import publish_all

    write_source(tmp_path / "bag", [10**9], truth_px=None)
    pairs = LoopedPairs.of_bag(tmp_path / "bag", TOPICS, 1 / STEP_S, PAIRS)
    ours, theirs = Pipe()
    publishers = {topic: _Publisher() for topic in TOPICS.inputs}
    thread = threading.Thread(target=publish_all, args=(theirs, pairs, TOPICS, publishers, 1.0), daemon=True)
    thread.start()
    return ours, publishers, thread


def test_clock_stands_still_until_the_first_pair_is_answered(
    player: tuple[Connection, dict[str, _Publisher], threading.Thread],
) -> None:
    pipe, publishers, thread = player
    assert pipe.recv()[0] == "published"
    assert not pipe.poll(10 * STEP_S)
    pipe.send("go on")
    assert [pipe.recv()[0] for _ in range(PAIRS - 1)] == ["published"] * (PAIRS - 1)
    assert pipe.recv() == ("images", (PAIRS, PAIRS))
    thread.join()
    for publisher in publishers.values():
        first_s, *rest_s = publisher.times_s
        assert len(rest_s) == PAIRS - 1
        assert rest_s[0] - first_s >= 10 * STEP_S
        for number, at_s in enumerate(rest_s):
            assert at_s - rest_s[0] >= number * STEP_S - STEP_S  # each at its own time, none caught up with the pause


def test_player_that_waits_ends_when_it_is_stopped(
    player: tuple[Connection, dict[str, _Publisher], threading.Thread],
) -> None:
    pipe, publishers, thread = player
    pipe.recv()
    pipe.send("stop")
    assert pipe.recv() == ("images", (1, 1))
    thread.join()
    assert [len(publisher.times_s) for publisher in publishers.values()] == [1] * 4
