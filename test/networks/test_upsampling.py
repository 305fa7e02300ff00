from __future__ import annotations

from collections.abc import Sequence

import torch

from stereo_dp_ros.networks.upsampling import (
    convex_upsample,
    neighbours_3x3,
    surface_upsample,
    total_weight,
    weighted_sum,
)


def random_weights(h: int, w: int, factor: int) -> Sequence[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.exp(torch.randn(1, 9, factor**2, h, w, generator=generator)).unbind(1)


def test_neighbours_are_the_window_with_replicated_borders() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert neighbours_3x3(x)[0, :, 1, 2].tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert neighbours_3x3(x)[0, :, 0, 0].tolist() == [0, 0, 1, 0, 0, 1, 4, 4, 5]


def test_a_constant_stays_itself_up_to_the_border() -> None:
    up = convex_upsample(torch.full((1, 1, 3, 5), 7.25), random_weights(3, 5, 4), 4)
    torch.testing.assert_close(up, torch.full((1, 1, 12, 20), 7.25))


def test_bilinear_weights_keep_a_plane() -> None:
    h, w, factor = 6, 7, 4
    offsets = (torch.arange(factor) + 0.5) / factor - 0.5
    near = torch.stack([(-offsets).clamp(min=0), 1 - offsets.abs(), offsets.clamp(min=0)])
    weights = torch.einsum("ia,jb->ijab", near, near).reshape(1, 9, factor**2, 1, 1).expand(1, 9, factor**2, h, w)
    y, x = torch.meshgrid(torch.arange(float(h)), torch.arange(float(w)), indexing="ij")
    up = convex_upsample((2.0 * x - 3.0 * y)[None, None], (3.5 * weights).unbind(1), factor)
    fine_y, fine_x = torch.meshgrid(torch.arange(float(4 * h)), torch.arange(float(4 * w)), indexing="ij")
    expected = 2.0 * ((fine_x + 0.5) / 4 - 0.5) - 3.0 * ((fine_y + 0.5) / 4 - 0.5)
    torch.testing.assert_close(up[0, 0, 2:-2, 2:-2], expected[2:-2, 2:-2])


def test_one_hot_weights_pick_their_neighbour_and_subpixel() -> None:
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    weights = torch.zeros(1, 9, 4, 3, 4)
    weights[:, 4] = 1.0
    weights[:, 4, 3], weights[:, 1, 3] = 0.0, 1.0  # lower right subpixel: the coarse pixel above
    up = convex_upsample(x, weights.unbind(1), 2)
    assert up[0, 0, 2:4, 2:4].tolist() == [[5.0, 5.0], [5.0, 1.0]]


def test_at_an_edge_the_surface_with_more_weight_answers() -> None:
    x = torch.tensor([[2.0, 2.5, 10.0]]).expand(1, 1, 3, 3)
    weights = torch.zeros(1, 9, 1, 3, 3)
    weights[:, 3], weights[:, 4], weights[:, 5] = 0.2, 0.2, 0.6  # left, centre, right neighbour
    torch.testing.assert_close(
        surface_upsample(x, weights.unbind(1), 1, gap=1.0)[0, 0, 1], torch.tensor([2.3, 10.0, 10.0])
    )

    weights[:, 3], weights[:, 4], weights[:, 5] = 6.0, 6.0, 8.0  # in proportion: 0.3, 0.3, 0.4
    torch.testing.assert_close(surface_upsample(x, weights.unbind(1), 1, gap=1.0)[0, 0, 1, 1], torch.tensor(2.25))


def test_within_the_gap_both_upsamplings_are_the_same() -> None:
    x = torch.rand(1, 1, 5, 6, generator=torch.Generator().manual_seed(1)) * 0.9
    weights = random_weights(5, 6, 4)
    torch.testing.assert_close(surface_upsample(x, weights, 4, gap=1.0), convex_upsample(x, weights, 4))


def test_the_weighted_sum_is_that_of_its_terms() -> None:
    x = torch.tensor([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)
    weights = torch.tensor([[2.0, 0.5], [3.0, 0.25], [4.0, 0.125]]).reshape(1, 3, 2, 1, 1).unbind(1)
    assert weighted_sum(x, weights).flatten().tolist() == [432.0, 15.5]
    assert total_weight(weights).flatten().tolist() == [9.0, 0.875]
