"""Errors by range and confidence, computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from frames import frame

from stereo_dp_ros.core.sparsification import confidence_metrics
from stereo_dp_ros.replay.depth_error import ConfidenceError, DepthError, Sparsification


def test_depth_error_by_range() -> None:
    # f·B = 5: 5 px is 1 m, 2.5 px 2 m, 1 px 5 m, 0.05 px 100 m
    truth_px = [[5.0, 5.0, 2.5, 2.5, 2.5], [1.0, 1.0, 0.05, np.nan, np.nan]]
    found_px = [[4.0, 5.0, 2.0, np.nan, 2.5], [1.25, 0.625, 0.05, 3.0, np.nan]]
    measure = DepthError(edges_m=(1.0, 2.0, 5.0, 10.0, math.inf))
    assert measure.summary() is None
    assert measure.add(frame(found_px, truth_px=truth_px)) == {}
    measure.add(frame([[5.0, 5.0]], truth_px=[[5.0, np.nan]]))
    measure.add(frame([[5.0, 5.0]]))
    rows = measure.summary()
    assert rows is not None
    assert [(row["from_m"], row["to_m"], row["pixels"]) for row in rows] == [
        (1.0, 2.0, 3),
        (2.0, 5.0, 3),
        (5.0, 10.0, 2),
        (10.0, math.inf, 1),
    ]
    near, middle, far, farthest = rows
    # 1.25 m instead of 1 m, and two that are right
    assert near["density"] == 100.0
    assert near["mean_abs_m"] == pytest.approx(0.25 / 3, rel=1e-12)
    assert near["bias_m"] == pytest.approx(0.25 / 3, rel=1e-12)
    assert near["rmse_m"] == pytest.approx(0.25 / math.sqrt(3), rel=1e-12)
    assert near["mean_relative"] == pytest.approx(25.0 / 3, rel=1e-12)
    assert near["epe"] == pytest.approx(1.0 / 3, rel=1e-12)
    # 2.5 m instead of 2 m, one right, one without an answer
    assert middle["density"] == pytest.approx(200 / 3)
    assert (middle["mean_abs_m"], middle["bias_m"], middle["mean_relative"], middle["epe"]) == (0.25, 0.25, 12.5, 0.25)
    # 4 m and 8 m instead of 5 m
    assert (far["mean_abs_m"], far["bias_m"], far["mean_relative"]) == (2.0, 1.0, 40.0)
    assert far["rmse_m"] == pytest.approx(math.sqrt(5.0))
    assert farthest["mean_abs_m"] == 0.0


def test_bin_without_an_answer_has_no_error() -> None:
    measure = DepthError()
    measure.add(frame([[np.nan, np.nan]], truth_px=[[5.0, 5.0]]))
    rows = measure.summary()
    assert rows is not None
    assert (rows[0]["pixels"], rows[0]["density"]) == (2, 0.0)
    assert all(math.isnan(rows[0][name]) for name in ("mean_abs_m", "bias_m", "rmse_m", "mean_relative", "epe"))


def test_error_by_confidence_of_ten_parts() -> None:
    # 20 pixels of rising confidence; the least sure two are off by 3 px, the next has no answer, the last is off by 1
    truth_px = np.full((4, 5), 10.0)
    found_px = truth_px.copy().ravel()
    found_px[:2] += 3.0
    found_px[2] = np.nan
    found_px[19] += 1.0
    confidence = np.arange(20) / 32
    order = np.random.default_rng(1).permutation(20)
    measure = ConfidenceError()
    assert measure.summary() is None
    arrays = [values[order].reshape(4, 5) for values in (found_px, confidence)]
    measure.add(frame(arrays[0], truth_px=truth_px, confidence=arrays[1]))
    rows = measure.summary()
    assert rows is not None
    assert [row["bad_2"] for row in rows] == [100.0, 50.0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert [row["epe"] for row in rows] == [3.0, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]
    assert [row["confidence"] for row in rows] == [(4 * index + 1) / 64 for index in range(10)]


def test_pixels_of_one_confidence_share_their_errors_wherever_they_lie() -> None:
    truth_px = np.full((2, 10), 10.0)
    for columns in ((0, 1), (8, 9)):
        found_px = truth_px.copy()
        found_px[:, columns] += 5.0
        measure = ConfidenceError()
        measure.add(frame(found_px, truth_px=truth_px, confidence=0.5))
        rows = measure.summary()
        assert rows is not None
        assert [row["bad_2"] for row in rows] == pytest.approx([20.0] * 10)
        assert [row["epe"] for row in rows] == pytest.approx([1.0] * 10)


def test_frames_count_the_same_and_need_a_confidence() -> None:
    truth_px = np.full((1, 10), 10.0)
    measures = ConfidenceError(), Sparsification()
    for measure in measures:
        measure.add(frame(truth_px, truth_px=truth_px, confidence=0.5))
        measure.add(frame(truth_px + 3, truth_px=truth_px, confidence=0.5))
        measure.add(frame(truth_px, truth_px=truth_px, confidence=np.nan))
        measure.add(frame(truth_px, confidence=0.5))
    rows, curves = measures[0].summary(), measures[1].summary()
    assert rows is not None and curves is not None
    assert [row["bad_2"] for row in rows] == [50.0] * 10
    assert curves["bad_2"] == curves["bad_2_oracle"] == [50.0] * 20
    assert curves["dropped"] == [5.0 * index for index in range(20)]


def test_curves_are_those_of_evaluate() -> None:
    rng = np.random.default_rng(3)
    truth_px = rng.uniform(5, 20, (12, 15))
    found_px = truth_px + rng.normal(0, 2, truth_px.shape)
    made = frame(found_px, truth_px=truth_px, confidence=rng.random(truth_px.shape))
    measure = Sparsification()
    measure.add(made)
    curves = measure.summary()
    assert curves is not None and made.ground_truth_px is not None
    expected = confidence_metrics(made.disparity_px, made.confidence, made.ground_truth_px)
    assert curves["bad_2"][4] == expected["bad_2_at_80"]
    apart = np.subtract(curves["bad_2"], curves["bad_2_oracle"])
    assert float(apart.mean()) == expected["ause_bad_2"]
