"""Sources of samples by the name that a config gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stereo_dp_ros.core.pairs import PairFolder
from training.config import DataConfig
from training.data.dataset import VALIDATION_SEED, ProceduralScenes
from training.data.eth3d import find_eth3d
from training.data.files import FileScenes, StereoFiles
from training.data.kitti import find_kitti2012, find_kitti2015
from training.data.middlebury import find_middlebury
from training.data.photo_real.files import find_photo_real
from training.data.procedural import SceneConfig
from training.data.sceneflow import find_sceneflow
from training.data.torch_rasterizer import PackedSample
from training.errors import TrainingError
from training.loader import SceneSource
from training.rendering import packed_source
from training.reuse import ViewSource
from training.validation import validation_pairs

__all__ = ["READERS", "WITHOUT_SPLIT", "LaterScenes", "build_scenes", "held_out_pairs", "scene_config"]

READERS: dict[str, Callable[[Path, str], list[StereoFiles]]] = {
    "sceneflow": find_sceneflow,
    "kitti2012": find_kitti2012,
    "kitti2015": find_kitti2015,
    "middlebury": find_middlebury,
    "eth3d": find_eth3d,
    "photo_real": find_photo_real,
}
"""Data sets in files: root and split ("train", "validation") to pairs."""

WITHOUT_SPLIT = ("middlebury", "eth3d")
"""Data sets of which both splits are everything: to train on or to measure on, not both."""


@dataclass(frozen=True)
class LaterScenes:
    """A source from a given scene on, so that one run goes on where another ended."""

    scenes: SceneSource
    start: int

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        """Scene `start + index`."""
        return self.scenes[self.start + index]

    def views(self, index: int, /) -> Sequence[dict[str, Tensor]]:
        """Scene `start + index` in as many ways as the source shows it."""
        number = self.start + index
        return self.scenes.views(number) if isinstance(self.scenes, ViewSource) else [self.scenes[number]]

    def packed(self, index: int, /) -> PackedSample:
        """Scene `start + index`, to be rendered on a device."""
        return packed_source(self.scenes).packed(self.start + index)


@dataclass(frozen=True)
class FilePair(PairFolder):
    """A pair of a data set where a folder of the package's own layout is expected."""

    files: StereoFiles

    def images(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Left and right, uint8 (H, W, 3) RGB."""
        sample = self.files.read()
        return sample.left, sample.right

    def ground_truth_px(self) -> NDArray[np.float32]:
        """Left disparity, float32 (H, W), NaN where there is none."""
        return np.asarray(self.files.read().disparity_px, np.float32)


def build_scenes(config: DataConfig, seed: int = 0) -> SceneSource:
    """The training samples that a config names; `seed` orders the epochs of a data set in files.

    Raises
    ------
    StereoDpError
        The source is unknown, its fields are wrong, or files are missing.
    """
    if config.source == "procedural":
        scenes: SceneSource = ProceduralScenes(scene_config(config), VALIDATION_SEED)
        return scenes
    return FileScenes(_reader(config)(Path(config.root), "train"), seed)


def held_out_pairs(config: DataConfig, count: int) -> list[PairFolder]:
    """The first `count` samples of the same source that are never trained on."""
    if config.source == "procedural":
        return validation_pairs(count, scene_config(config))
    found = _reader(config)(Path(config.root), "validation")[:count]
    return [FilePair(config.source, files.name, files.left.parent, files) for files in found]


def scene_config(config: DataConfig) -> SceneConfig:
    """The generator's config of a procedural source; a TrainingError names a wrong field."""
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.scene.items()}
    try:
        return SceneConfig(**fields)
    except TypeError as error:
        raise TrainingError(f"data.scene: {error}") from error


def _reader(config: DataConfig) -> Callable[[Path, str], list[StereoFiles]]:
    if config.source not in READERS:
        raise TrainingError(f"data.source is {config.source!r}; expected one of procedural, {', '.join(READERS)}")
    return READERS[config.source]
