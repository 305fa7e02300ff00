import numpy as np
import pytest

from stereo_dp_ros.core.sparsification import confidence_metrics, sparsification_curve

WRONG = np.array([True, True, False, False, False, False, False, False, False, False])


def test_dropping_the_wrong_ones_first_empties_the_curve():
    curve = sparsification_curve(WRONG, np.arange(10.0), steps=10)
    np.testing.assert_allclose(curve, [20, 100 / 9, 0, 0, 0, 0, 0, 0, 0, 0])


def test_dropping_the_right_ones_first_fills_it():
    curve = sparsification_curve(WRONG, -np.arange(10.0), steps=10)
    np.testing.assert_allclose(curve, [100 * 2 / (10 - i) for i in range(9)] + [100])


def test_a_constant_confidence_tells_nothing_wherever_the_pixels_lie():
    for wrong in (WRONG, WRONG[::-1]):
        np.testing.assert_allclose(sparsification_curve(wrong, np.ones(10), steps=10), np.full(10, 20.0))


def test_metrics_of_a_perfect_and_a_useless_confidence():
    truth = np.full((10, 10), 10.0, np.float32)
    disparity = truth.copy()
    disparity[:2] = 20.0
    disparity[0, 0] = np.nan
    perfect = np.where(disparity == truth, 1, 0).astype(np.float32)
    assert confidence_metrics(disparity, perfect, truth) == {"bad_2_at_80": 0.0, "ause_bad_2": 0.0}
    useless = confidence_metrics(disparity, np.ones_like(truth), truth)
    assert useless["bad_2_at_80"] == pytest.approx(20.0)
    oracle = [100 * max(20 - 5 * i, 0) / (100 - 5 * i) for i in range(20)]
    assert useless["ause_bad_2"] == pytest.approx(np.mean(20.0 - np.array(oracle)))
