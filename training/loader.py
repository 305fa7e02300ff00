"""From a map-style data set of scenes to batches: crops that depend on the sample's index alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import forkserver, resource_tracker
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset, Sampler

from stereo_dp_ros.core.errors import StereoDpError
from training.errors import TrainingError

__all__ = ["Batches", "CroppedScenes", "SceneSource", "build_loader", "without_traceback"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SceneSource(Protocol):
    """Scenes by index: uint8 `left`, `right` (3, H, W), float32 `disparity` and bool `valid`, `occluded` (1, H, W)."""

    def __getitem__(self, index: int, /) -> dict[str, Tensor]:
        """Scene of an index; the same one every time."""
        ...


class CroppedScenes(Dataset[dict[str, Tensor]]):
    """A random crop, half of them upside down, of each scene; deterministic in (seed, index).

    With an `enlargement` above 1 it is cut smaller by a factor between 1 and that and enlarged to (`height_px`,
    `width_px`), as images are before a network whose manifest says so: images bilinear, labels from the nearest pixel.
    """

    def __init__(self, scenes: SceneSource, height_px: int, width_px: int, seed: int, enlargement: float = 1.0) -> None:
        self.scenes = scenes
        self.size = height_px, width_px
        self.enlargement = enlargement
        self.seed = seed

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.crop(index, self.scenes[index])

    def crop(self, index: int, scene: dict[str, Tensor]) -> dict[str, Tensor]:
        """The crop of a sample's scene, on the scene's device."""
        random = np.random.default_rng((self.seed, index))
        factor = self.enlargement ** random.random() if self.enlargement > 1 else 1.0
        cut = round(self.size[0] / factor), round(self.size[1] / factor)
        height, width = scene["left"].shape[-2:]
        if height < cut[0] or width < cut[1]:
            raise TrainingError(f"scene {index} is {width}x{height}; expected at least the crop, {cut[1]}x{cut[0]}")
        y = int(random.integers(height - cut[0] + 1))
        x = int(random.integers(width - cut[1] + 1))
        crop = {name: value[..., y : y + cut[0], x : x + cut[1]] for name, value in scene.items()}
        if cut != self.size:
            crop = {name: self._enlarged(value) for name, value in crop.items()}
            crop["disparity"] = crop["disparity"] * (self.size[1] / cut[1])
        if random.random() < 0.5:
            crop = {name: value.flip(-2) for name, value in crop.items()}
        return {**{k: v.contiguous() for k, v in crop.items()}, "index": torch.tensor(index)}

    def _enlarged(self, value: Tensor) -> Tensor:
        if len(value) == 1:
            return interpolate(value[None].float(), self.size, mode="nearest-exact")[0].to(value.dtype)
        large = interpolate(value[None].float(), self.size, mode="bilinear", align_corners=False)[0]
        return large.round().to(value.dtype)


class Batches(Sampler[list[int]]):
    """Batches of consecutive indices from `start` to `stop`, dealt out to `world` processes.

    One global batch is `batch_size` consecutive indices whatever the number of processes; a rank takes every
    `world`-th of them.
    """

    def __init__(self, start: int, stop: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        if batch_size % world:
            raise TrainingError(f"batch size is {batch_size}; expected a multiple of the number of processes ({world})")
        self.starts = range(start, stop - batch_size + 1, batch_size)
        self.batch_size = batch_size
        self.rank = rank
        self.world = world

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[list[int]]:
        for start in self.starts:
            yield list(range(start + self.rank, start + self.batch_size, self.world))


def build_loader(
    dataset: Dataset[Any], batches: Batches, workers: int, collate: Callable[[list[Any]], Any] | None = None
) -> DataLoader[Any]:
    """Loader whose workers use one thread each and outnumber neither memory nor the batches asked for.

    `collate` makes a batch of a list of samples; left out, tensors are stacked.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        prefetch_factor=4 if workers else None,
        worker_init_fn=partial(_begin_worker, os.getpid()) if workers else None,
        multiprocessing_context=_worker_context() if workers else None,
    )


def without_traceback(error: StereoDpError) -> StereoDpError:
    """What was raised in a worker, whose traceback torch puts before the message; others as they are."""
    _, found, message = str(error).rstrip().rpartition(f"{type(error).__name__}: ")
    return type(error)(message) if found else error


def _worker_context() -> Any:
    """Workers come from a process without threads: a fork of one that has used its thread pools can hang.

    It and they begin with the signals blocked that end a run, which reach a terminal's whole group of processes: the
    run still wants its batch.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "cv2"])
    resource_tracker.ensure_running()  # first, for it unblocks both
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return context


def _begin_worker(trainer: int, _worker: int) -> None:
    threading.Thread(target=_end_with, args=(trainer,), daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _end_with(trainer: int) -> None:
    """End this process on the SIGTERM of the process `trainer`, which is how that one ends those that are left."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)
