from __future__ import annotations

import pytest
import torch

from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.networks import build_network, describe_network
from stereo_dp_ros.networks.psmnet import PsmConfig, PsmNetwork, concatenation_volume

SMALL = PsmConfig(max_disparity_px=32, width=4, stage_blocks=(1, 1, 1, 1), hourglasses=2)


def test_the_defaults_have_the_published_networks_parameters() -> None:
    assert sum(p.numel() for p in PsmNetwork(PsmConfig()).parameters()) == 5_224_768


def test_the_volume_pairs_each_left_pixel_with_the_right_ones_to_its_left() -> None:
    left = torch.arange(6.0).reshape(1, 1, 1, 6)
    right = left + 10
    volume = concatenation_volume(left, right, 3)
    assert volume.shape == (1, 2, 3, 1, 6)
    assert volume[0, 0, 2, 0].tolist() == [0, 0, 2, 3, 4, 5]
    assert volume[0, 1, 2, 0].tolist() == [0, 0, 10, 11, 12, 13]
    assert volume[0, 1, 0, 0].tolist() == [10, 11, 12, 13, 14, 15]


def test_outputs_have_their_sizes_and_every_weight_learns() -> None:
    torch.manual_seed(0)
    network = PsmNetwork(SMALL)
    output = network(torch.rand(1, 3, 64, 96) * 255, torch.rand(1, 3, 64, 96) * 255)
    assert output.disparity.shape == output.confidence.shape == (1, 1, 64, 96)
    assert output.logits.shape == (1, 32, 16, 24)
    assert output.disparity_coarse.shape == (1, 1, 16, 24)
    assert not output.confidence.requires_grad
    (output.disparity.sum() + output.disparity_coarse.sum()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_a_window_larger_than_the_map_pools_the_whole_map() -> None:
    network = PsmNetwork(SMALL).eval()
    with torch.no_grad():
        assert network.features(torch.rand(1, 3, 32, 64)).shape == (1, 4, 8, 16)


def test_it_is_rebuilt_from_its_description() -> None:
    network = PsmNetwork(SMALL)
    again = build_network(describe_network(network))
    again.load_state_dict(network.state_dict(), strict=True)


def test_wrong_fields_are_named() -> None:
    with pytest.raises(ModelError, match="psmnet: max_disparity_px is 100, expected a positive multiple of 32"):
        PsmConfig(max_disparity_px=100)
