"""Scenes of fixed size that are rendered once and then read from one memory-mapped file, by any number of runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.errors import TrainingError
from training.loader import SceneSource

__all__ = ["KeptScenes"]

DISPARITY_STEPS = 256.0
VALID, OCCLUDED = 1, 2


class KeptScenes:
    """A set of `count` scenes: sample i shows scene i modulo `count`, rendered when it is first asked for.

    Disparities are kept in steps of 1/256 px, up to 255 px. Processes may share a file: each scene is written whole
    before it is marked as there.

    Parameters
    ----------
    scenes
        Renders what is not there yet.
    path
        The file, sparse until it is full; made if missing.
    height_px, width_px
        Size of every scene.
    """

    def __init__(self, scenes: SceneSource, path: Path, count: int, height_px: int, width_px: int) -> None:
        self.scenes = scenes
        self.path = path
        self.count = count
        size = (height_px, width_px)
        self.record = np.dtype(
            [("there", "u1"), ("images", "u1", (2, 3, *size)), ("disparity", "<u2", size), ("flags", "u1", size)]
        )
        expected = count * self.record.itemsize
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with path.open("ab") as file:
                file.truncate(expected)
        if path.stat().st_size != expected:
            raise TrainingError(
                f"{path}: has {path.stat().st_size} bytes; expected {expected} for {count} scenes of"
                f" {width_px}x{height_px}; delete it and they are rendered anew"
            )

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        """The scene of a sample."""
        number = index % self.count
        file = np.memmap(self.path, self.record, "r+", shape=(self.count,))
        kept = file[number]
        if not kept["there"]:
            _write(kept, self.scenes[number])
        left, right = torch.from_numpy(kept["images"].copy())
        flags = torch.from_numpy(kept["flags"].copy())[None]
        steps = torch.from_numpy(kept["disparity"].astype(np.float32))[None]
        return {
            "left": left,
            "right": right,
            "disparity": steps / DISPARITY_STEPS,
            "valid": (flags & VALID) > 0,
            "occluded": (flags & OCCLUDED) > 0,
        }


def _write(kept: np.void, scene: dict[str, Tensor]) -> None:
    kept["images"][0], kept["images"][1] = scene["left"].numpy(), scene["right"].numpy()
    steps = np.rint(scene["disparity"][0].numpy() * DISPARITY_STEPS)
    kept["disparity"][:] = np.clip(steps, 0, 2**16 - 1)
    kept["flags"][:] = VALID * scene["valid"][0].numpy() + OCCLUDED * scene["occluded"][0].numpy()
    kept["there"] = 1
