from __future__ import annotations

import pytest
import torch

from stereo_dp_ros.networks.volume import (
    by_parity,
    correlation_volume,
    depth_to_space_3d,
    in_groups,
    normalize_channels,
    packed_volume,
)


def loop_volume(left: torch.Tensor, right: torch.Tensor, bins: int) -> torch.Tensor:
    n, groups, height, width, _ = left.shape
    expected = torch.zeros(n, groups, height, width, bins)
    for i in range(bins):
        k = bins - 1 - i
        for x in range(k, width):
            expected[..., x, i] = (left[..., x, :] * right[..., x - k, :]).sum(dim=-1)
    return expected


def small_integers(*shape: int) -> torch.Tensor:
    """Every product and sum of them is exact in float32."""
    return torch.randint(-4, 5, shape, generator=torch.Generator().manual_seed(0)).float()


@pytest.mark.parametrize(("groups", "width", "bins"), [(1, 12, 4), (3, 8, 8), (2, 4, 6)])
def test_correlation_volume_equals_the_loop(groups: int, width: int, bins: int) -> None:
    left, right = small_integers(2, 2, groups, 3, width, 6)
    assert torch.equal(correlation_volume(left, right, bins), loop_volume(left, right, bins))


@pytest.mark.parametrize(("width", "bins"), [(16, 4), (8, 8), (8, 12)])
def test_packed_volume_is_the_volume_packed(width: int, bins: int) -> None:
    left, right = small_integers(2, 2, 5, 6, width)
    packed = packed_volume(by_parity(left), by_parity(right), bins)
    assert packed.shape == (2, 8, 3, width // 2, bins // 2)
    whole = depth_to_space_3d(packed.permute(0, 1, 4, 2, 3))
    assert torch.equal(whole.permute(0, 1, 3, 4, 2), loop_volume(in_groups(left, 1), in_groups(right, 1), bins))


def test_shifted_features_correlate_fully_at_their_shift() -> None:
    shift, bins = 3, 8
    wide = normalize_channels(torch.randn(1, 1, 4, 23, 16, generator=torch.Generator().manual_seed(1)))
    left, right = wide[..., :20, :], wide[..., shift:, :]
    best = bins - 1 - correlation_volume(left, right, bins)[0, 0].argmax(dim=-1)
    assert torch.equal(best[:, shift:], torch.full((4, 17), shift))


def test_normalize_channels_gives_unit_norm() -> None:
    x = normalize_channels(torch.randn(2, 4, 3, 4, 3, generator=torch.Generator().manual_seed(2)))
    torch.testing.assert_close(x.square().sum(dim=-1), torch.ones(2, 4, 3, 4), atol=1e-4, rtol=0)


def test_groups_and_parities_keep_pixels_and_channels_in_place() -> None:
    x = torch.arange(2.0 * 4 * 6 * 8).reshape(2, 4, 6, 8)
    grouped, packed = in_groups(x, 2), by_parity(x)
    assert grouped.shape == (2, 2, 6, 8, 2) and packed.shape == (2, 2, 2, 3, 4, 4)
    assert torch.equal(grouped[1, 1, 3, 5], x[1, 2:, 3, 5])
    assert torch.equal(packed[1, 1, 0, 2, 3], x[1, :, 5, 6])


def test_unpacking_puts_channels_into_their_neighbourhood() -> None:
    packed = torch.arange(2.0 * 8 * 2 * 3 * 4).reshape(2, 8, 2, 3, 4)
    volume = depth_to_space_3d(packed)
    assert volume.shape == (2, 1, 4, 6, 8)
    rows_columns_disparities = volume[1, 0, 2:4, 4:6, 6:8].permute(1, 2, 0)
    assert torch.equal(rows_columns_disparities.reshape(8), packed[1, :, 1, 2, 3])
