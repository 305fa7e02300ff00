"""The pair that is played again and again, the figures of a trial, and one trial over DDS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.looped_pairs import LoopedPairs
from stereo_dp_ros.replay.messages import DISPARITY, raw_stamp_ns, typestore
from stereo_dp_ros.replay.node_timing import (
    ALL_OUTPUTS,
    Goal,
    NodeTimer,
    Trial,
    goals,
    node_trials,
    round_figures,
    trial_figures,
)
from stereo_dp_ros.replay.runs import Run
from stereo_dp_ros.replay.stereo_topics import StereoTopics
from toy_model import write_toy_model

TOPICS = StereoTopics("/a/left/image_rect", "/a/right/image_rect", "/a/left/camera_info", "/a/right/camera_info")
CALIBRATION = StereoCalibration(
    width_px=8, height_px=4, fx_px=6.0, fy_px=6.0, cx_left_px=4.0, cx_right_px=4.5, cy_px=2.0, baseline_m=0.1
)


def test_a_repeated_pair_reads_as_a_bag() -> None:
    left, right = np.random.default_rng(0).integers(0, 256, (2, 4, 8, 3), np.uint8)
    with LoopedPairs.of_images(left, right, CALIBRATION, TOPICS, 4.0, 3) as pair:
        messages = list(pair.raw(TOPICS.inputs))
        assert pair.topics.keys() == set(TOPICS.inputs)
        images_only = [topic for topic, _, _ in pair.raw([TOPICS.right_image])]
    assert images_only == [TOPICS.right_image] * 3
    assert [topic for topic, _, _ in messages] == list(TOPICS.inputs) * 3
    assert [time_ns - messages[0][1] for _, time_ns, _ in messages] == [
        index * 250_000_000 for index in range(3) for _ in range(4)
    ]
    assert all(raw_stamp_ns(data) == time_ns > 0 for _, time_ns, data in messages)
    decoded = {
        (topic, time_ns): typestore().deserialize_cdr(data, pair.topics[topic]) for topic, time_ns, data in messages
    }
    for (topic, time_ns), message in decoded.items():
        assert message.header.stamp.sec * 10**9 + message.header.stamp.nanosec == time_ns
        if topic == TOPICS.left_image:
            np.testing.assert_array_equal(message.data.reshape(4, 8, 3), left)
        if topic == TOPICS.right_info:
            np.testing.assert_allclose(message.p[[0, 2, 3]], [6.0, 4.5, -0.6])


def run_of(published: int, latency_ms: float, last_ms: float, diagnostics: dict[str, Any]) -> Run:
    """A run at 10 Hz for 5 s of which the first `published` pairs were answered."""
    run = Run(diagnostics=diagnostics)
    for index in range(50):
        stamp, sent_ns = index + 1, 10**9 + index * 10**8
        run.published_ns[stamp] = sent_ns
        if index < published:
            run.received_ns[stamp] = sent_ns + int(latency_ms * 1e6)
            run.completed_ns[stamp] = sent_ns + int(last_ms * 1e6)
    return run


def diagnostics_of(published: int, dropped: int) -> dict[str, Any]:
    counts = {"pairs matched": 50, "pairs published": published, "pairs dropped: superseded": dropped}
    sides = {
        f"{side} {what}": number
        for side in ("left", "right")
        for what, number in (("received", 50), ("unmatched", 0), ("waiting", 0))
    }
    stages = {"estimate/inference": "40.00 / 50.00", "estimate": "44.00 / 60.00", "total": "52.50 / 70.00"}
    return {
        key: str(value)
        for key, value in {
            **counts,
            **sides,
            **{f"{stage} p50 / p99 (ms)": text for stage, text in stages.items()},
        }.items()
    }


def test_figures_of_a_round() -> None:
    trial = Trial("all outputs", (640, 480), ALL_OUTPUTS, rate_hz=10.0)
    row = round_figures(trial, 10.0, run_of(50, 47.0, 60.0, diagnostics_of(50, 0)), [40.0, 50.0], [50.0, 60.0])
    expected = {
        "output_hz": 10.0,
        "estimator_hz": 20.0,
        "rate_ratio": 0.5,
        "estimator_median_ms": 50.0,
        "inference_p50_ms": 40.0,
        "estimate_p50_ms": 44.0,
        "node_minus_inference_ms": 12.5,
        "latency_p50_ms": 47.0,
        "latency_max_ms": 47.0,
        "latency_minus_inference_ms": 7.0,
        "last_output_p50_ms": 60.0,
        "pairs_played": 50,
        "pairs_published": 50,
    }
    assert {key: row[key] for key in expected} == pytest.approx(expected)
    assert row["size"] == "640x480"
    assert row["outputs"] == list(ALL_OUTPUTS)
    assert row["pairs_dropped"] == {"superseded": 0}
    assert row["count_closes"] is True
    assert row["steady"] is False, "45 ms before, 55 ms after"


@pytest.mark.parametrize(("after_ms", "steady"), [(43.9, True), (36.5, True), (44.1, False), (36.2, False)])
def test_a_round_is_steady_if_the_estimator_kept_its_pace(after_ms: float, steady: bool) -> None:
    trial = Trial("all outputs", (640, 480), ALL_OUTPUTS, rate_hz=10.0)
    run = run_of(50, 47.0, 60.0, diagnostics_of(50, 0))
    assert round_figures(trial, 10.0, run, [40.0, 40.0, 99.0], [after_ms])["steady"] is steady


def test_a_trial_is_of_its_steady_rounds() -> None:
    """Times of the three steady ones, pairs of all; without a steady one, times of all."""
    ratios, steady = [0.9, 0.2, 0.7, 0.8], [True, False, True, True]
    rounds = [
        {
            "trial": "all outputs",
            "rate_ratio": ratio,
            "latency_max_ms": 100.0 * ratio,
            "node_cpu_percent": None,
            "pairs_played": 10,
            "pairs_published": 7,
            "pairs_dropped": {"superseded": 1, cause: 1},
            "pairs_unmatched": 1,
            "count_closes": True,
            "steady": is_steady,
        }
        for ratio, is_steady, cause in zip(ratios, steady, ["too_old", "a", "a", "a"], strict=True)
    ]
    row = trial_figures(rounds)
    assert row == {
        "trial": "all outputs",
        "rate_ratio": pytest.approx(0.8),
        "latency_max_ms": pytest.approx(90.0),
        "node_cpu_percent": None,
        "pairs_played": 40,
        "pairs_published": 28,
        "pairs_dropped": {"superseded": 4, "too_old": 1, "a": 3},
        "pairs_unmatched": 4,
        "count_closes": True,
        "rounds": 4,
        "steady_rounds": 3,
    }
    rounds[1]["count_closes"] = False
    assert trial_figures(rounds)["count_closes"] is False, "though it is not steady"
    none_steady = trial_figures([{**figures, "steady": False} for figures in rounds])
    assert (none_steady["rate_ratio"], none_steady["steady_rounds"]) == (pytest.approx(0.75), 0)


def test_a_pair_that_nobody_accounts_for_is_seen() -> None:
    trial = Trial("all outputs", (640, 480), ALL_OUTPUTS, rate_hz=10.0)
    row = round_figures(trial, 10.0, run_of(49, 47.0, 60.0, diagnostics_of(49, 0)), [50.0], [50.0])
    assert row["count_closes"] is False


def test_a_node_that_answers_only_while_warming_up() -> None:
    trial = Trial("60 Hz", (640, 480), ALL_OUTPUTS, rate_hz=10.0)
    with pytest.raises(DataError, match=r"^60 Hz: the node answered 0 of 50 pairs after its warm-up, expected 2 or"):
        round_figures(trial, 10.0, run_of(20, 47.0, 60.0, diagnostics_of(20, 30)), [50.0], [50.0])


def test_goals_look_at_their_trials() -> None:
    row = {
        "rate_ratio": 0.8,
        "inference_p50_ms": 40.0,
        "latency_minus_inference_ms": 7.9,
        "node_minus_inference_ms": 24.0,
        "latency_max_ms": 110.5,
        "count_closes": True,
    }
    rows = [{"trial": trial.name, **row} for trial in node_trials((640, 480), (1280, 720))]
    found = goals(rows)
    assert [goal.met for goal in found] == [True, False, True, True, False, True]
    assert found[4] == Goal("largest age at 60 Hz", 110.5, 110.0, False, "ms")
    rows[0]["count_closes"] = False
    assert [goal.value for goal in goals(rows)][-1] == 1.0


def test_one_trial_over_dds(tmp_path: Path, domain_id: int, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    model = write_toy_model(tmp_path)
    played: list[int] = []
    timer = NodeTimer(
        load_estimator(str(model)), {"model": model}, 2.0, tmp_path, domain_id, on_pair=lambda: played.append(1)
    )
    outputs = {"disparity": DISPARITY, "points2": ALL_OUTPUTS["points2"]}
    row = timer.run(Trial("small", (96, 64), outputs, rate_hz=10.0))
    assert (row["pairs_played"], row["pairs_unmatched"], row["count_closes"]) == (40, 0, True)
    assert len(played) == 40
    assert row["pairs_published"] + sum(row["pairs_dropped"].values()) == 40
    assert 0 < row["inference_p50_ms"] < row["latency_p50_ms"] <= row["last_output_p50_ms"]
    assert row["rounds"] == 1
    assert (tmp_path / "small.log").is_file()
