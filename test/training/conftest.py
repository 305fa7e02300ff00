from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from small_networks import TINY
from torch import Tensor


class NoiseScenes:
    """Noise shifted by a whole number of pixels, 8 for even and 24 for odd scenes."""

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        shift = 8 if index % 2 == 0 else 24
        generator = torch.Generator().manual_seed(index)
        wide = torch.randint(0, 256, (3, 80, 160 + shift), generator=generator, dtype=torch.uint8)
        disparity = torch.full((1, 80, 160), float(shift))
        visible = torch.ones(1, 80, 160, dtype=torch.bool)
        return {
            "left": wide[..., :160],
            "right": wide[..., shift:],
            "disparity": disparity,
            "valid": visible,
            "occluded": ~visible,
        }


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """One thread: sums come in the same order in every run.

    And on a busy machine two threads wait for each other many times as long as they work.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def noise_scenes() -> NoiseScenes:
    return NoiseScenes()


@pytest.fixture(scope="session")
def tiny_network() -> dict[str, object]:
    return TINY
