from __future__ import annotations

import pytest
import torch

from stereo_dp_ros.networks.volume import (
    correlation_volume,
    depth_to_space_3d,
    normalize_channels,
    space_to_depth_3d,
)


@pytest.mark.parametrize(("groups", "width", "bins"), [(1, 9, 4), (3, 5, 8)])
def test_correlation_volume_equals_the_loop(groups: int, width: int, bins: int) -> None:
    # Small integers: every product and sum is exact in float32.
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randint(-4, 5, (2, 2, groups, 6, 3, width), generator=generator).float()
    expected = torch.zeros(2, groups, bins, 3, width)
    for i in range(bins):
        k = bins - 1 - i
        for x in range(k, width):
            expected[:, :, i, :, x] = (left[..., x] * right[..., x - k]).sum(dim=2)
    assert torch.equal(correlation_volume(left, right, bins), expected)


def test_shifted_features_correlate_fully_at_their_shift() -> None:
    shift, bins = 3, 8
    wide = normalize_channels(torch.randn(1, 16, 4, 23, generator=torch.Generator().manual_seed(1)))
    left, right = wide[..., :20], wide[..., shift:]
    best = bins - 1 - correlation_volume(left, right, bins)[0, 0].argmax(dim=0)
    assert torch.equal(best[:, shift:], torch.full((4, 17), shift))


def test_normalize_channels_gives_unit_norm_per_group() -> None:
    x = normalize_channels(torch.randn(2, 12, 3, 4, generator=torch.Generator().manual_seed(2)), groups=4)
    assert x.shape == (2, 4, 3, 3, 4)
    torch.testing.assert_close(x.square().sum(dim=2), torch.ones(2, 4, 3, 4), atol=1e-4, rtol=0)


def test_packing_is_undone_and_keeps_neighbourhoods_together() -> None:
    x = torch.arange(2.0 * 3 * 4 * 6 * 8).reshape(2, 3, 4, 6, 8)
    packed = space_to_depth_3d(x)
    assert packed.shape == (2, 24, 2, 3, 4)
    assert torch.equal(packed[0, :8, 1, 2, 3], x[0, 0, 2:4, 4:6, 6:8].reshape(8))
    assert torch.equal(depth_to_space_3d(packed), x)
