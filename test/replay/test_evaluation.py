"""A recording is scored as by hand, and counts close or do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up import CALIBRATION, IMAGE, TRUTH_PX, outputs, write_recording, write_source

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.counts import PairCount, count_pairs, latency
from stereo_dp_ros.replay.demo_bags import TOPICS
from stereo_dp_ros.replay.evaluation import Evaluation, evaluate
from stereo_dp_ros.replay.runs import Run

SECOND = 1_000_000_000
STAMPS = [100 * SECOND + i * SECOND // 10 for i in range(40)]


def _evaluate(folder: Path, samples: int = 1) -> Evaluation:
    with BagReader(folder / "source") as source, BagReader(folder / "recorded") as recorded:
        return evaluate(source, recorded, TOPICS, "/stereo", samples=samples)


def test_scores_are_those_computed_by_hand(tmp_path: Path) -> None:
    wrong_px = TRUTH_PX.copy()
    wrong_px[0, :4] += 2.5  # 4 pixels off by 2.5 px, more than 2 and less than 3
    wrong_px[5, :6] -= 4.0  # 6 pixels off by 4 px, more than 3 and than 5 %
    wrong_px[3, 3] = np.nan
    write_source(tmp_path / "source", STAMPS[:3])
    write_recording(
        tmp_path / "recorded", {STAMPS[0]: outputs(TRUTH_PX, STAMPS[0]), STAMPS[2]: outputs(wrong_px, STAMPS[2])}
    )
    found = _evaluate(tmp_path)
    assert [frame.stamp_ns for frame in found.frames] == [STAMPS[0], STAMPS[2]]
    assert found.frames[0].metrics == dict(
        epe=0.0, bad_1=0.0, bad_2=0.0, bad_3=0.0, d1_all=0.0, density=100.0, bad_2_at_80=0.0, ause_bad_2=0.0
    )
    second = found.frames[1].metrics
    assert second is not None
    assert second["epe"] == pytest.approx((4 * 2.5 + 6 * 4.0) / 47, rel=1e-6)
    assert second["bad_2"] == pytest.approx(100 * 11 / 48)
    assert second["bad_3"] == second["d1_all"] == pytest.approx(100 * 7 / 48)
    assert second["density"] == pytest.approx(100 * 47 / 48)
    assert found.metrics is not None
    assert found.metrics["bad_2"] == pytest.approx(50 * 11 / 48)
    assert found.frames[1].mean_confidence == 0.75
    assert [check.passed for check in found.checks] == [True] * 5
    assert [check.detail for check in found.checks] == ["2 messages"] * 5


def test_sample_holds_what_the_picture_is_drawn_from(tmp_path: Path) -> None:
    write_source(tmp_path / "source", STAMPS[:3])
    write_recording(tmp_path / "recorded", {stamp: outputs(TRUTH_PX, stamp) for stamp in STAMPS[:3]})
    found = _evaluate(tmp_path)
    (sample,) = found.gallery.samples
    assert found.calibration == CALIBRATION
    assert sample.stamp_ns == STAMPS[1]
    np.testing.assert_array_equal(sample.left, IMAGE)
    np.testing.assert_allclose(sample.disparity_px, TRUTH_PX, atol=1e-6)
    assert sample.points_m is not None
    assert sample.points_m[0, 0, 2] == pytest.approx(5.0 / 5.5, rel=1e-6)


def test_one_wrong_point_among_many_frames_fails_the_clouds(tmp_path: Path) -> None:
    frames = {stamp: outputs(TRUTH_PX, stamp) for stamp in STAMPS}
    frames[STAMPS[17]]["points2"].data.view(np.float32)[2] *= np.float32(1.001)
    write_source(tmp_path / "source", STAMPS)
    write_recording(tmp_path / "recorded", frames)
    checks = {check.name: check for check in _evaluate(tmp_path).checks}
    clouds = checks.pop("every cloud is the disparity it belongs to")
    assert not clouds.passed
    assert clouds.detail.startswith("points2: 1 of 40 wrong; first: 1 of 48 depths differ from f·T/d")
    assert str(STAMPS[17]) in clouds.detail
    assert all(check.passed for check in checks.values())


def test_missing_and_foreign_outputs_fail(tmp_path: Path) -> None:
    frames = {stamp: outputs(TRUTH_PX, stamp) for stamp in STAMPS[:20]}
    del frames[STAMPS[4]]["confidence"]
    del frames[STAMPS[5]]["disparity"]
    frames[STAMPS[30]] = outputs(TRUTH_PX, STAMPS[30])
    write_source(tmp_path / "source", STAMPS[:20])
    write_recording(tmp_path / "recorded", frames)
    found = _evaluate(tmp_path)
    details = {check.detail.split(":")[0]: check.detail for check in found.checks if not check.passed}
    assert details["disparity"] == (
        f"disparity: 1 of 20 wrong; first: no left image with this stamp was played (stamp {STAMPS[30]})"
    )
    assert "is missing" in details["confidence"]
    assert "there is no disparity of this stamp" in details["points2"]
    assert "there is no disparity of this stamp" in details["depth/image_rect"]


def test_recording_without_ground_truth_has_no_metrics(tmp_path: Path) -> None:
    write_source(tmp_path / "source", STAMPS[:2], truth_px=None)
    write_recording(tmp_path / "recorded", {STAMPS[0]: outputs(TRUTH_PX, STAMPS[0])})
    with BagReader(tmp_path / "source") as source, BagReader(tmp_path / "recorded") as recorded:
        with pytest.raises(DataError, match="has no /stereo/ground_truth/disparity"):
            evaluate(source, recorded, TOPICS, "/stereo")
        found = evaluate(source, recorded, TOPICS.without_ground_truth(), "/stereo")
    assert found.metrics is None
    assert found.frames[0].metrics is None
    assert found.frames[0].density == 100.0


def test_recording_without_outputs_lists_what_it_has(tmp_path: Path) -> None:
    write_source(tmp_path / "source", STAMPS[:1])
    write_recording(tmp_path / "recorded", {STAMPS[0]: {"confidence": outputs(TRUTH_PX, STAMPS[0])["confidence"]}})
    with pytest.raises(DataError, match=r"/stereo/disparity, .* is missing.*it has /stereo/confidence"):
        _evaluate(tmp_path)


def _run(**diagnostics: int) -> Run:
    values = {
        "left received": 10, "right received": 10, "left unmatched": 0, "right unmatched": 0, "left waiting": 0,
        "right waiting": 0, "pairs matched": 10, "pairs published": 7, "pairs dropped": 3,
        "pairs dropped: superseded": 2, "pairs dropped: too_old": 1, "pairs in flight": 0,
    }  # fmt: skip
    values |= {key.replace("_", " "): value for key, value in diagnostics.items()}
    played = {i * SECOND: 50 * SECOND + i * 100_000_000 for i in range(10)}
    received = {stamp: time + (20 + i) * 1_000_000 for i, (stamp, time) in enumerate(list(played.items())[:7])}
    return Run(
        published_ns=played, received_ns=received, diagnostics={key: str(value) for key, value in values.items()}
    )


def test_count_closes() -> None:
    count = count_pairs(_run())
    assert count == PairCount(10, 7, {"superseded": 2, "too_old": 1}, unmatched=0, lost=0, recorded=7)
    assert count.closes
    assert count.check().detail == "10 in = 7 out + 3 dropped + 0 unmatched"


def test_waiting_and_unmatched_images_count_as_unmatched() -> None:
    run = _run(left_unmatched=1, left_waiting=1, right_waiting=2, pairs_matched=8, pairs_published=5)
    run.received_ns = dict(list(run.received_ns.items())[:5])
    count = count_pairs(run)
    assert (count.unmatched, count.published, count.closes) == (2, 5, True)


def test_images_that_the_bag_has_no_partner_for_count_as_played_and_unmatched() -> None:
    run = _run(left_received=12, left_unmatched=1, left_waiting=1)
    run.images = (12, 10)
    count = count_pairs(run)
    assert (count.played, count.unmatched, count.lost, count.closes) == (12, 2, 0, True)
    assert count.check().detail == "12 in = 7 out + 3 dropped + 2 unmatched"
    run.images = (12, 11)  # one of the right never came
    assert (count_pairs(run).lost, count_pairs(run).closes) == (1, False)


def test_stamps_that_come_again_are_pairs_of_their_own() -> None:
    run = _run(left_received=20, right_received=20, pairs_matched=20, pairs_published=14)
    run.diagnostics |= {"pairs dropped: superseded": "5"}
    run.images, run.repeated = (20, 20), 7
    count = count_pairs(run)
    assert (count.played, count.published, count.recorded, count.closes) == (20, 14, 14, True)


@pytest.mark.parametrize(
    ("diagnostics", "told"),
    [
        ({"pairs_published": 6}, "7 of the 6 were received"),
        ({"right_received": 9, "left_waiting": 1, "pairs_matched": 9}, "1 never reached the node"),
        ({"pairs_matched": 9, "left_received": 10}, None),
    ],
)
def test_count_that_does_not_close_is_caught(diagnostics: dict[str, int], told: str | None) -> None:
    run = _run(**diagnostics)
    if told is None:  # the node forgets a pair it dropped
        del run.diagnostics["pairs dropped: too_old"]
    check = count_pairs(run).check()
    assert not check.passed
    assert told is None or told in check.detail


def test_disparity_that_was_published_and_not_received_is_caught() -> None:
    run = _run()
    run.received_ns.popitem()
    check = count_pairs(run).check()
    assert not check.passed
    assert check.detail.endswith("6 of the 7 were received")


def test_pair_in_flight_is_told() -> None:
    run = _run(pairs_published=6, pairs_in_flight=1)
    run.received_ns.popitem()
    assert count_pairs(run).dropped == {"superseded": 2, "too_old": 1, "still in flight": 1}


def test_node_without_a_count_is_told() -> None:
    with pytest.raises(DataError, match="'pairs matched'"):
        count_pairs(Run(diagnostics={"state": "inactive"}))


def test_latency_leaves_the_first_pair_out_of_the_percentiles() -> None:
    found = latency(_run())
    assert found is not None
    assert found.first_ms == pytest.approx(20.0)
    assert found.p50_ms == pytest.approx(23.5)
    assert found.p99_ms == pytest.approx(21 + 0.99 * 5)
    assert found.max_ms == pytest.approx(26.0)
    assert latency(Run(published_ns={1: 2})) is None
