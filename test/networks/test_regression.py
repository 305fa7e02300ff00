from __future__ import annotations

import pytest
import torch

from stereo_dp_ros.networks.regression import distribution_confidence, local_expectation, odds_to_mode

POSITIONS = torch.arange(9.0, -1.0, -1.0).reshape(1, 10, 1, 1)


def distribution(**weights: float) -> torch.Tensor:
    p = torch.zeros(1, 10, 1, 1)
    for name, weight in weights.items():
        p[0, 9 - int(name[1:])] = weight
    return p


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        (distribution(k2=0.6, k8=0.4), 2.0),  # the smaller peak does not pull
        (distribution(k2=0.45, k3=0.15, k8=0.4), 2.25),
        (distribution(k0=0.2, k2=0.6, k4=0.2), 2.0),  # radius 2 takes both sides in
        (distribution(k2=0.5, k5=0.3, k4=0.2), 2.0 + 2.0 * 0.2 / 0.7),
        (distribution(k3=0.5, k4=0.5), 3.5),  # a tie is its middle
        (distribution(k9=1.0), 9.0),
    ],
)
def test_local_expectation_stays_at_the_mode(p: torch.Tensor, expected: float) -> None:
    assert float(local_expectation(p / p.amax(), POSITIONS, 2.0)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("p", "estimate", "expected"),
    [
        (distribution(k2=0.5, k4=0.2, k8=0.3), 2.0, 0.5),  # nothing at two positions and beyond
        (distribution(k4=1.0), 4.0, 1.0),
        (distribution(k4=1.0), 4.25, 1.0),
        (distribution(k3=0.5, k4=0.5), 2.875, 0.5 + 0.5 * 0.5),  # half way down at 9/8 positions
        (distribution(k3=0.5, k4=0.5), 3.5, 324 / 343),  # rise 6/7: 3 · 36/49 − 2 · 216/343
    ],
)
def test_confidence_is_the_nearby_probability(p: torch.Tensor, estimate: float, expected: float) -> None:
    found = distribution_confidence(3.0 * p, POSITIONS, torch.full((1, 1, 1, 1), estimate))
    assert float(found) == pytest.approx(expected, abs=1e-6)


def test_odds_are_probabilities_over_the_likeliest() -> None:
    p = distribution(k2=0.5, k4=0.25, k8=0.25) + 1e-3
    torch.testing.assert_close(odds_to_mode(torch.log(p) + 64.0), p / 0.501, rtol=1e-5, atol=0.0)
