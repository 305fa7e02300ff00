from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from training.errors import TrainingError
from training.kept_scenes import KeptScenes


class Counting:
    """Random scenes of 4x6 px; remembers what was asked for."""

    def __init__(self) -> None:
        self.rendered: list[int] = []

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        self.rendered.append(index)
        random = torch.Generator().manual_seed(index)
        images = torch.randint(0, 256, (2, 3, 4, 6), generator=random, dtype=torch.uint8)
        return {
            "left": images[0],
            "right": images[1],
            "disparity": torch.rand(1, 4, 6, generator=random) * 200,
            "valid": torch.rand(1, 4, 6, generator=random) < 0.5,
            "occluded": torch.rand(1, 4, 6, generator=random) < 0.5,
        }


def test_kept_scenes_are_the_rendered_ones_and_each_is_rendered_once(tmp_path: Path) -> None:
    source = Counting()
    scenes = KeptScenes(source, tmp_path / "scenes.bin", 3, 4, 6)
    for index in (1, 4, 2, 1):
        expected = Counting()[index % 3]
        found = scenes[index]
        for name in ("left", "right", "valid", "occluded"):
            assert found[name].dtype == expected[name].dtype and torch.equal(found[name], expected[name]), name
        assert found["disparity"].shape == (1, 4, 6)
        assert (found["disparity"] - expected["disparity"]).abs().max() <= 1 / 512
    assert source.rendered == [1, 2]


def test_another_run_on_the_file_renders_nothing_again(tmp_path: Path) -> None:
    first = KeptScenes(Counting(), tmp_path / "scenes.bin", 2, 4, 6)[1]
    source = Counting()
    again = KeptScenes(source, tmp_path / "scenes.bin", 2, 4, 6)[1]
    assert source.rendered == []
    assert torch.equal(first["disparity"], again["disparity"])


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    KeptScenes(Counting(), tmp_path / "scenes.bin", 2, 4, 6)
    with pytest.raises(TrainingError, match=r"scenes\.bin: has \d+ bytes; expected \d+ for 3 scenes of 6x4"):
        KeptScenes(Counting(), tmp_path / "scenes.bin", 3, 4, 6)
