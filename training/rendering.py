"""Scenes rendered on the device that trains: workers draw and bake them, whole batches are rasterized at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.data.torch_rasterizer import PackedSample, render_samples
from training.errors import TrainingError
from training.loader import CroppedScenes, SceneSource

__all__ = ["PackedScenes", "PackedSource", "packed_source", "rendered"]


@runtime_checkable
class PackedSource(Protocol):
    """A source whose samples can be rendered elsewhere."""

    def packed(self, index: int, /) -> PackedSample:
        """Sample of an index, to be rendered; the one that `__getitem__` gives, up to rounding."""
        ...


def packed_source(scenes: SceneSource) -> PackedSource:
    """The same source, or a TrainingError if its samples cannot be rendered elsewhere."""
    if not isinstance(scenes, PackedSource):
        raise TrainingError(
            f"data.renderer is 'torch' and scenes come from {type(scenes).__name__}; expected the generator itself"
        )
    return scenes


class PackedScenes(Dataset[tuple[int, PackedSample]]):
    """Samples with their indices, as far as workers prepare them."""

    def __init__(self, scenes: PackedSource) -> None:
        self.scenes = scenes

    def __getitem__(self, index: int) -> tuple[int, PackedSample]:
        return index, self.scenes.packed(index)


def rendered(
    batches: Iterable[list[tuple[int, PackedSample]]], crops: CroppedScenes, device: torch.device
) -> Iterator[dict[str, Tensor]]:
    """Batches as a loader of `crops` gives them, rendered and cut on the device."""
    for packed in batches:
        images = render_samples([sample for _, sample in packed], device)
        crop = []
        for number, (index, _) in enumerate(packed):
            scene = {
                "left": images.left[number],
                "right": images.right[number],
                "disparity": images.disparity[number],
                "valid": torch.ones_like(images.occluded[number]),
                "occluded": images.occluded[number],
            }
            crop.append(crops.crop(index, scene))
        yield {name: torch.stack([part[name] for part in crop]) for name in crop[0]}
