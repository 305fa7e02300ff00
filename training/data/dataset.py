"""Procedural scenes as a torch dataset."""

from __future__ import annotations

import cv2
import torch
from torch.utils.data import Dataset

from training.data.procedural import SceneConfig, pack_sample, render_pair, render_sample
from training.data.sample import StereoSample
from training.data.torch_rasterizer import PackedSample

__all__ = ["VALIDATION_SEED", "ProceduralScenes", "init_worker", "to_tensors"]

VALIDATION_SEED = 10_000_000
"""Seeds from here on are for validation and never trained on."""


def to_tensors(sample: StereoSample) -> dict[str, torch.Tensor]:
    """``left``, ``right`` uint8 (3, H, W); ``disparity`` float32, ``valid``, ``occluded`` bool (1, H, W).

    ``disparity`` is 0 where it is not valid (NaN in the sample).
    """
    disparity = torch.from_numpy(sample.disparity_px)[None]
    valid = torch.isfinite(disparity)
    return {
        "left": torch.from_numpy(sample.left).permute(2, 0, 1).contiguous(),
        "right": torch.from_numpy(sample.right).permute(2, 0, 1).contiguous(),
        "disparity": torch.where(valid, disparity, torch.zeros(())),
        "valid": valid,
        "occluded": torch.from_numpy(sample.occluded)[None],
    }


class ProceduralScenes(Dataset):
    """Sample ``index`` is the scene of seed ``first_seed + start + index``.

    Read in order (``shuffle=False``: seeds are independent), the stream is the same for any number of workers,
    and ``start`` resumes it at any sample.  Give the DataLoader ``worker_init_fn=init_worker``.
    """

    def __init__(self, config: SceneConfig, count: int, *, first_seed: int = 0, start: int = 0) -> None:
        self.config = config
        self.count = count
        self.first_seed = first_seed + start

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return to_tensors(render_sample(self._seed(index), self.config))

    def views(self, index: int) -> list[dict[str, torch.Tensor]]:
        """The scene, and the same one mirrored with its views exchanged, which costs next to nothing more."""
        return [to_tensors(sample) for sample in render_pair(self._seed(index), self.config)]

    def packed(self, index: int) -> PackedSample:
        """Sample ``index`` as far as workers prepare it for `torch_rasterizer.render_samples`."""
        return pack_sample(self._seed(index), self.config)

    def _seed(self, index: int) -> int:
        if not 0 <= index < self.count:
            raise IndexError(f"sample {index} of {self.count}")
        return self.first_seed + index


def init_worker(worker_id: int) -> None:
    """Keep a DataLoader worker to one core."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
