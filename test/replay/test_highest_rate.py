"""The search for the highest rate, on nodes whose capacity is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_up import IMAGE, write_source

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.decoding import image_pixels
from stereo_dp_ros.replay.demo_bags import TOPICS
from stereo_dp_ros.replay.highest_rate import Trial, find_highest_rate, trial_of
from stereo_dp_ros.replay.looped_pairs import LoopedPairs
from stereo_dp_ros.replay.messages import IMAGE as IMAGE_TYPE
from stereo_dp_ros.replay.messages import raw_stamp_ns, typestore
from stereo_dp_ros.replay.runs import Run


def _node(capacity_hz: float, player_hz: float = 1e9) -> tuple[list[float], object]:
    """A node that answers `capacity_hz` pairs a second, fed by a player that plays `player_hz` at most."""
    asked: list[float] = []

    def run_at(rate_hz: float) -> Trial:
        asked.append(rate_hz)
        played_hz = min(rate_hz, player_hz)
        return Trial(rate_hz, played_hz, 100, max(0.0, 100 * (1 - capacity_hz / played_hz)))

    return asked, run_at


@pytest.mark.parametrize("capacity_hz", [3.0, 20.0, 37.0, 250.0])
def test_search_ends_within_a_tenth_of_the_capacity(capacity_hz: float) -> None:
    asked, run_at = _node(capacity_hz)
    found = find_highest_rate(run_at, 20.0)
    limit_hz = capacity_hz / 0.95  # 5 % more than the node answers are dropped there
    assert found.best is not None
    assert limit_hz / 1.1 <= found.best.rate_hz < limit_hz
    assert len(asked) <= 9
    assert not found.player_limited
    assert found.to_dict()["trials"][0] == vars(found.trials[0])


def test_player_that_cannot_go_faster_is_told() -> None:
    _, run_at = _node(1000.0, player_hz=60.0)
    found = find_highest_rate(run_at, 20.0)
    assert found.player_limited
    assert found.best is not None and found.best.rate_hz == 60.0


def test_node_that_never_keeps_up_has_no_rate() -> None:
    asked, run_at = _node(0.0)
    assert find_highest_rate(run_at, 20.0).best is None
    assert len(asked) == 9


def test_interrupted_search_gives_what_was_found() -> None:
    asked, run_at = _node(100.0)
    found = find_highest_rate(lambda rate_hz: None if len(asked) == 2 else run_at(rate_hz), 20.0)
    assert found.best is not None and found.best.asked_hz == 40.0
    found = find_highest_rate(lambda _: None, 20.0)
    assert found.to_dict() == {"rate_hz": None, "drop_limit_percent": 5.0, "player_limited": False, "trials": []}


def test_pairs_count_from_the_first_answer_on() -> None:
    published = {stamp: stamp * 10**8 for stamp in range(40)}
    received = {stamp: at + 5 * 10**8 for stamp, at in published.items() if stamp not in (3, 30)}
    trial = trial_of(Run(published_ns=published, received_ns=received), 12.0)
    assert (trial.asked_hz, trial.pairs) == (12.0, 35)
    assert trial.rate_hz == pytest.approx(10.0)
    assert trial.drop_percent == pytest.approx(100 / 35)
    with pytest.raises(DataError, match="answered none of 40 pairs"):
        trial_of(Run(published_ns=published), 12.0)


def test_bag_is_looped_with_stamps_of_its_own(tmp_path: Path) -> None:
    write_source(tmp_path / "bag", [10**9, 2 * 10**9], truth_px=None)
    looped = LoopedPairs.of_bag(tmp_path / "bag", TOPICS, 20.0, 4)
    found = list(looped.raw(TOPICS.inputs))
    assert len(found) == 4 * 4
    assert {topic for topic, _, _ in found} == set(TOPICS.inputs)
    stamps = [time_ns for topic, time_ns, _ in found if topic == TOPICS.right_image]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 50_000_000, 100_000_000, 150_000_000]
    assert all(raw_stamp_ns(data) == time_ns for _, time_ns, data in found)
    message = typestore().deserialize_cdr(next(d for t, _, d in found if t == TOPICS.left_image), IMAGE_TYPE)
    assert (image_pixels(message) == IMAGE).all()
    with BagReader(tmp_path / "bag") as bag:
        assert looped.topics == {topic: bag.topics[topic] for topic in TOPICS.inputs}
