"""Crops: what a sample of a run is cut from, and that an enlarged one keeps its geometry."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from training.errors import TrainingError
from training.loader import CroppedScenes


class Ramp:
    """A scene whose colours tell the column and whose disparity is a plane, 8 px at the left and 1 px a column more."""

    def __getitem__(self, _index: int, /) -> dict[str, Tensor]:
        columns = torch.arange(120).expand(1, 80, 120)
        return {
            "left": columns.expand(3, 80, 120).to(torch.uint8),
            "right": columns.expand(3, 80, 120).to(torch.uint8),
            "disparity": 8.0 + columns.float(),
            "valid": columns > 3,
            "occluded": columns < 0,
        }


def test_a_crop_shows_its_place_in_the_scene() -> None:
    crop = CroppedScenes(Ramp(), 64, 96, seed=0)[5]
    assert crop["left"].shape == (3, 64, 96) and crop["left"].dtype == torch.uint8
    torch.testing.assert_close(crop["disparity"][0], 8.0 + crop["left"][0].float())
    assert crop["left"][0, 0].tolist() == list(range(int(crop["left"][0, 0, 0]), int(crop["left"][0, 0, 0]) + 96))
    assert torch.equal(crop["valid"][0], crop["left"][0] > 3)


def test_an_enlarged_crop_has_larger_disparities_at_the_same_places() -> None:
    crop = CroppedScenes(Ramp(), 64, 96, seed=0, enlargement=1.5)[5]
    assert crop["left"].shape == (3, 64, 96) and crop["valid"].dtype == torch.bool
    first = float(crop["left"][0, 0, 0])
    # pixel centres: enlarged column x lies at (x + 1/2) / 1.5 - 1/2 of the 64 that were cut; labels from the nearest
    source = first + ((torch.arange(96) + 0.5) / 1.5 - 0.5).clamp(0, 63)
    assert (crop["left"][0, 0].float() - source).abs().max() <= 0.5
    nearest = first + torch.floor((torch.arange(96) + 0.5) / 1.5)
    torch.testing.assert_close(crop["disparity"][0, 0], 1.5 * (8.0 + nearest))


def test_a_scene_smaller_than_the_crop_is_told() -> None:
    with pytest.raises(TrainingError, match="scene 0 is 120x80; expected at least the crop, 128x64"):
        CroppedScenes(Ramp(), 64, 128, seed=0)[0]
