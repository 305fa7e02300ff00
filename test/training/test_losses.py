from __future__ import annotations

import math

import pytest
import torch

from stereo_dp_ros.networks import StereoOutput
from training.config import LossConfig
from training.losses import distribution_loss, masked_mean, subsample, supervised_loss


def test_distribution_loss_is_the_interpolated_cross_entropy() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, 0.5]).reshape(1, 4, 1, 1)
    log_p = torch.log_softmax(logits, dim=1).flatten().tolist()
    for disparity, expected in [(1.25, -0.75 * log_p[1] - 0.25 * log_p[2]), (3.0, -log_p[3]), (0.0, -log_p[0])]:
        loss = distribution_loss(logits, torch.full((1, 1, 1, 1), disparity))
        assert float(loss) == pytest.approx(expected, abs=1e-6)


def test_distribution_loss_is_least_at_the_true_mixture() -> None:
    p = torch.tensor([1e-12, 0.75, 0.25, 1e-12]).log().reshape(1, 4, 1, 1)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(distribution_loss(p, torch.full((1, 1, 1, 1), 1.25))) == pytest.approx(entropy, abs=1e-5)


def test_masked_mean_ignores_what_is_masked_and_an_empty_mask_gives_zero() -> None:
    values = torch.tensor([1.0, 3.0, 100.0])
    assert float(masked_mean(values, torch.tensor([True, True, False]))) == 2.0
    assert float(masked_mean(values, torch.zeros(3, dtype=torch.bool))) == 0.0


def test_subsample_takes_one_pixel_of_each_block() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert subsample(x, 4).flatten().tolist() == [18.0, 22.0, 50.0, 54.0]


def test_perfect_disparity_costs_nothing_and_the_range_is_masked() -> None:
    truth = torch.full((1, 1, 8, 8), 6.0)
    truth[..., 0, 0] = 1000.0  # beyond the last bin: left out
    output = StereoOutput(
        disparity=torch.full((1, 1, 8, 8), 6.0),
        confidence=torch.ones(1, 1, 8, 8),
        logits=torch.tensor([-50.0, 0.0, 0.0, -50.0]).reshape(1, 4, 1, 1).expand(1, 4, 2, 2),
        disparity_coarse=torch.full((1, 1, 2, 2), 8.5),
    )
    terms = supervised_loss(output, truth, torch.ones_like(truth, dtype=torch.bool), 4.0, LossConfig(1.0, 2.0, 10.0))
    assert float(terms["disparity"]) == 0.0
    assert float(terms["distribution"]) == pytest.approx(math.log(2.0))
    assert float(terms["disparity_coarse"]) == pytest.approx(2.0)
    assert float(terms["total"]) == pytest.approx(math.log(2.0) + 20.0)
