from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.pairs import PairFolder
from stereo_dp_ros.networks import build_network, describe_network
from stereo_dp_ros.networks.regression import calibrated
from training.calibration import calibration_error, fit_calibration, sampled
from training.errors import TrainingError


def test_calibrated_shifts_and_stretches_the_log_odds() -> None:
    confidence = torch.tensor([0.0, 0.2, 0.5, 0.8, 1.0])
    assert torch.equal(calibrated(confidence, 0.0, 0.0), torch.full((5,), 0.5))
    same = calibrated(confidence, 1.0, 0.0)
    assert same.tolist() == pytest.approx([0.001, 0.2, 0.5, 0.8, 0.999], abs=1e-6)
    # odds 1/4, 1 and 4, squared and doubled
    assert calibrated(confidence, 2.0, float(np.log(2.0)))[1:4].tolist() == pytest.approx([1 / 9, 2 / 3, 32 / 33])


def test_the_fit_finds_the_odds_that_made_the_pixels() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.02, 0.98, 200_000)
    truth = calibrated(torch.from_numpy(confidence), 1.6, -0.9).numpy()
    right = random.uniform(size=confidence.size) < truth
    slope, offset = fit_calibration(confidence, right)
    assert (slope, offset) == (pytest.approx(1.6, abs=0.03), pytest.approx(-0.9, abs=0.03))
    assert calibration_error(truth, right) < 0.004
    assert calibration_error(confidence, right) > 0.09


@pytest.mark.parametrize(
    ("confidence", "right", "said"),
    [
        ([0.2, 0.7], [True, True], "100 % of the pixels are right, confidences are 0.2 to 0.7; expected some"),
        ([0.2, 0.7], [False, False], "0 % of the pixels are right"),
        ([0.5, 0.5], [True, False], "50 % of the pixels are right, confidences are 0.5 to 0.5"),
    ],
)
def test_what_cannot_be_calibrated_is_told(confidence: list[float], right: list[bool], said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        fit_calibration(np.array(confidence), np.array(right))


def test_the_error_is_the_distance_from_the_share_that_is_right() -> None:
    right = np.array([True, True, True, False] * 5)
    assert calibration_error(np.full(20, 0.75), right) == 0.0
    assert calibration_error(np.full(20, 0.95), right) == pytest.approx(0.2)
    assert calibration_error(np.r_[np.full(10, 1.0), np.zeros(10)], np.arange(20) < 10) == 0.0


@dataclass(frozen=True)
class Ramp(PairFolder):
    """Truth 0 … 19 px in the columns of 3 rows, the last column unknown."""

    def images(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return np.zeros((3, 20, 3), np.uint8), np.zeros((3, 20, 3), np.uint8)

    def ground_truth_px(self) -> NDArray[np.float32]:
        truth = np.tile(np.arange(20, dtype=np.float32), (3, 1))
        truth[:, 19] = np.nan
        return truth


def test_pixels_are_right_within_two_px_and_without_truth_left_out() -> None:
    def infer(left: NDArray[np.uint8], _right: NDArray[np.uint8]) -> DisparityMap:
        disparity = np.full(left.shape[:2], 10.0, np.float32)
        return DisparityMap(disparity, disparity / 20.0, 0.0, 64.0)

    confidence, right = sampled(infer, [Ramp("ramp", "0", Path())])
    assert confidence.shape == right.shape == (3 * 19,)
    assert set(confidence) == {0.5}
    assert right.sum() == 3 * 5  # truth 8 … 12


def test_a_network_is_described_and_rebuilt_with_its_calibration(tiny_network: dict[str, object]) -> None:
    network = build_network({**tiny_network, "calibration": [1.5, -0.5]})
    assert network.calibration == (1.5, -0.5)
    assert describe_network(network)["calibration"] == [1.5, -0.5]
    assert "calibration" not in describe_network(build_network(tiny_network))
    plain = build_network(tiny_network).eval()
    plain.load_state_dict(network.state_dict())
    images = torch.randint(0, 256, (2, 1, 3, 64, 96)).float()
    with torch.inference_mode():
        before, after = plain(*images), network.eval()(*images)
    assert torch.equal(before.disparity, after.disparity)
    assert not torch.allclose(before.confidence, after.confidence, atol=0.01)
