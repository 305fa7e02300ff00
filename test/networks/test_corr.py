from __future__ import annotations

import dataclasses

import pytest
import torch

from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.networks.corr import CorrConfig, CorrNetwork


@pytest.fixture(scope="module")
def network() -> CorrNetwork:
    torch.manual_seed(0)
    return CorrNetwork(CorrConfig()).eval()


def test_shapes_ranges_and_expectation(network: CorrNetwork) -> None:
    left, right = torch.rand(2, 2, 3, 64, 128) * 255
    with torch.inference_mode():
        output = network(left, right)
    assert output.disparity.shape == output.confidence.shape == (2, 1, 64, 128)
    assert output.logits.shape == (2, 48, 16, 32)
    assert output.disparity.dtype == torch.float32
    assert float(output.disparity.min()) >= 0.0 and float(output.disparity.max()) <= 188.0
    assert float(output.confidence.min()) >= 0.0 and float(output.confidence.max()) <= 1.0
    bins = torch.arange(48.0).reshape(1, 48, 1, 1)
    expected = 4.0 * (torch.softmax(output.logits, dim=1) * bins).sum(dim=1, keepdim=True)
    torch.testing.assert_close(output.disparity_coarse, expected)


def test_parameter_count(network: CorrNetwork) -> None:
    assert sum(p.numel() for p in network.parameters()) == 451_768


def test_range_must_fit_the_hourglass() -> None:
    with pytest.raises(ModelError, match="max_disparity_px is 100; expected a positive multiple of 32"):
        CorrConfig(max_disparity_px=100)


def test_groups_must_divide_the_channels() -> None:
    with pytest.raises(ModelError, match=r"match_channels\[1\] is 30"):
        CorrConfig(match_channels=(32, 30))


def test_untrained_aggregation_leaves_matching_to_the_correlation(network: CorrNetwork) -> None:
    """With the aggregation silenced and a sharp scale, the argmax of a shifted noise image is its shift."""
    torch.manual_seed(0)
    matcher = CorrNetwork(dataclasses.replace(network.config, max_disparity_px=64)).eval()
    with torch.no_grad():
        matcher.aggregation.leave.weight.zero_()
        matcher.aggregation.leave.bias.zero_()
        matcher.aggregation.skip.weight[:, :8, 0, 0, 0] = 1000.0 * torch.eye(8)
        wide = torch.rand(1, 3, 64, 288, generator=torch.Generator().manual_seed(3)) * 255
        logits = matcher(wide[..., :256], wide[..., 32:]).logits
    best = logits.argmax(dim=1)[0]
    assert float((best[4:-4, 24:-16] == 8).float().mean()) == 1.0


def test_confidence_carries_no_gradient(network: CorrNetwork) -> None:
    output = network(*torch.rand(2, 1, 3, 64, 64) * 255)
    assert output.disparity.requires_grad and not output.confidence.requires_grad
