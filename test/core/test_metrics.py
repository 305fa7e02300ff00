import numpy as np
import pytest

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.metrics import disparity_metrics, mean_metrics
from stereo_dp_ros.core.sgbm import fill_holes

NAN = np.nan


def array(*rows):
    return np.array(rows, np.float32)


def test_each_metric_on_a_hand_computed_case():
    truth = array([10, 10, 10, 10, 100], [10, 10, 10, 10, NAN])
    answer = array([10, 11.5, 12.5, 14, 104], [10, 10, NAN, 10, 50])
    metrics = disparity_metrics(answer, truth)
    # Nine labelled pixels, one of them unanswered; errors 0, 1.5, 2.5, 4, 4, 0, 0, 0.
    assert metrics["epe"] == pytest.approx(12 / 8)
    assert metrics["bad_1"] == pytest.approx(100 * 5 / 9)
    assert metrics["bad_2"] == pytest.approx(100 * 4 / 9)
    assert metrics["bad_3"] == pytest.approx(100 * 3 / 9)
    assert metrics["d1_all"] == pytest.approx(100 * 2 / 9)  # 4 px at 100 px is under 5 %
    assert metrics["density"] == pytest.approx(100 * 8 / 9)


def test_an_error_of_exactly_the_limit_is_not_bad():
    metrics = disparity_metrics(array([12.0]), array([10.0]))
    assert (metrics["bad_1"], metrics["bad_2"]) == (100.0, 0.0)


def test_sizes_and_ground_truth_are_required():
    with pytest.raises(DataError, match="disparity is 2x1 and ground truth 3x1"):
        disparity_metrics(array([1, 2]), array([1, 2, 3]))
    with pytest.raises(DataError, match="no pixel has ground truth"):
        disparity_metrics(array([1]), array([NAN]))


def test_mean_counts_every_image_the_same():
    rows = [disparity_metrics(array([10, 13]), array([10, 10])), disparity_metrics(array([10]), array([10]))]
    assert mean_metrics(rows)["epe"] == 0.75
    assert mean_metrics(rows)["bad_2"] == 25.0


def test_an_image_without_any_answer_counts_as_bad_and_not_for_the_error():
    nothing = disparity_metrics(array([NAN]), array([10]))
    means = mean_metrics([nothing, disparity_metrics(array([12.5]), array([10]))])
    assert (means["epe"], means["bad_2"], means["density"]) == (2.5, 100.0, 50.0)
    assert np.isnan(mean_metrics([nothing])["epe"])


def test_holes_take_the_farther_neighbour_on_their_row():
    holes = array([NAN, 5, NAN, NAN, 3, NAN], [NAN] * 6, [1, 2, 3, 4, 5, 6])
    expected = array([5, 5, 3, 3, 3, 3], [0] * 6, [1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(fill_holes(holes), expected)
