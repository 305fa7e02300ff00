"""Stereo pairs in files: found once, checked before anything starts, read one at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.images import read_disparity, read_image
from training.data.dataset import to_tensors
from training.data.sample import StereoSample

__all__ = ["FileScenes", "StereoFiles", "require_files", "require_folders"]

LISTED = 5


@dataclass(frozen=True)
class StereoFiles:
    """The files of one pair.

    Attributes
    ----------
    name
        Unique within the data set.
    left, right, disparity
        Paths; disparity is a PFM, or a PNG of px × 256 with 0 for unknown.
    mask
        Path of a visibility mask (255 seen by both views, 128 by the left one alone, 0 unknown), or None.
    """

    name: str
    left: Path
    right: Path
    disparity: Path
    mask: Path | None = None

    def read(self) -> StereoSample:
        """The pair; `occluded` is False where the data set does not tell.

        Raises
        ------
        StereoDpError
            A file cannot be read, or its size is not the left image's; the message names the file.
        """
        left, right = (_rgb(path) for path in (self.left, self.right))
        disparity = read_disparity(self.disparity)
        for path, array in ((self.right, right), (self.disparity, disparity)):
            _require_size(path, array, left)
        occluded = np.zeros(disparity.shape, bool)
        if self.mask is not None:
            mask = read_image(self.mask)
            _require_size(self.mask, mask, left)
            occluded = mask == 128
        return StereoSample(left, right, disparity, occluded)


class FileScenes(Dataset):
    """Endless map-style data set over files: index i is a pair of epoch i // n, each epoch in a new order."""

    def __init__(self, files: Sequence[StereoFiles], seed: int) -> None:
        self.files = tuple(files)
        self.seed = seed

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        epoch, place = divmod(index, len(self.files))
        return to_tensors(self.files[_order(self.seed, epoch, len(self.files))[place]].read())


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng((seed, epoch)).permutation(count).tolist())


def require_folders(root: Path, folders: Iterable[str], layout: str) -> None:
    """Raise a DataError that lists every one of `folders` that is not under `root`, and the expected layout."""
    if not root.is_dir():
        raise DataError(f"{root}: no such folder, expected {layout}")
    missing = [name for name in folders if not (root / name).is_dir()]
    if missing:
        raise DataError(f"{root}: lacks the folders {', '.join(missing)}; expected {layout}")


def require_files(root: Path, found: Sequence[StereoFiles], layout: str) -> None:
    """Raise a DataError if there is no pair, or if files of pairs are missing; it lists the first of them."""
    if not found:
        raise DataError(f"{root}: holds no pair, expected {layout}")
    paths = (path for pair in found for path in (pair.left, pair.right, pair.disparity, pair.mask))
    missing = [str(path.relative_to(root)) for path in paths if path is not None and not path.is_file()]
    if missing:
        more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
        raise DataError(f"{root}: lacks {', '.join(missing[:LISTED])}{more}; expected {layout}")


def _rgb(path: Path) -> np.ndarray:
    image = read_image(path)
    return np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image


def _require_size(path: Path, array: np.ndarray, left: np.ndarray) -> None:
    if array.shape[:2] != left.shape[:2]:
        found, expected = (f"{a.shape[1]}x{a.shape[0]}" for a in (array, left))
        raise DataError(f"{path}: is {found}, expected the left image's {expected}")
