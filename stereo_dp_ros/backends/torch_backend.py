"""torch: runs a student from its weights, on NVIDIA GPUs without TensorRT; on a CPU only when asked for."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stereo_dp_ros.backends.deployed_network import DeployedNetwork
from stereo_dp_ros.backends.engine_gate import TOLERANCES, Answer, compare
from stereo_dp_ros.backends.one_line import first_line
from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError, ModelError
from stereo_dp_ros.core.models import Model
from stereo_dp_ros.networks import load_network

__all__ = ["TorchBackend", "create", "load_weights", "unusable"]

_LOG = logging.getLogger(__name__)

Forward = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

_GATE_SIZE = (320, 256)
_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
_WARM_UP_RUNS = 3  # cuDNN chooses its algorithms in the first runs; they must not be recorded


class TorchBackend:
    """A student in torch. Images go to the device as uint8; all else happens there.

    On CUDA the whole of it, copies included, is recorded as one graph for each size and replayed; host buffers are
    page-locked. In fp16 and bf16 autocast keeps reductions and softmax in fp32. Precision "auto" is fp16 on CUDA if
    its answers there are those of fp32, as for an engine; else fp32.
    """

    name = "torch"

    def __init__(self, model: Model, *, precision: str, threads: int | None, device: str) -> None:
        self._device = torch.device(device)
        on_gpu = device == "cuda"
        self.device = f"CUDA, {torch.cuda.get_device_name()}" if on_gpu else "CPU"
        self.precision = "fp32" if precision == "auto" else precision
        if threads is not None:
            torch.set_num_threads(threads)
        self._network = DeployedNetwork(load_weights(model)).to(self._device)
        if on_gpu:
            for memory_format in (torch.channels_last, torch.channels_last_3d):  # of 2-D and of 3-D convolutions
                self._network.to(memory_format=memory_format)  # type: ignore[call-overload]
            if precision == "auto":
                self._prefer_half()
        self._replay: _Replay | None = None

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `core.backend.Backend`."""
        run = self._replayed if self._device.type == "cuda" else self._eager
        try:
            with torch.inference_mode():
                disparity, confidence = run(left, right)
                return disparity[0, 0].numpy().copy(), confidence[0, 0].numpy().copy()
        except RuntimeError as error:
            raise BackendError(f"torch failed: {first_line(error)}") from error

    def _prefer_half(self) -> None:
        """Take fp16 if its answers on this GPU are those of fp32 there."""

        def infer(precision: str, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Answer:
            self.precision = precision
            with torch.inference_mode():
                disparity, confidence = self._eager(left, right)
            return disparity[0, 0].numpy(), confidence[0, 0].numpy()

        half, full = (functools.partial(infer, precision) for precision in ("fp16", "fp32"))
        try:
            compare(half, full, _GATE_SIZE, TOLERANCES["fp16"])
            self.precision = "fp16"
        except BackendError as error:
            self.precision = "fp32"
            _LOG.warning("torch runs in fp32: fp16 %s", error)

    def _eager(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        images = (torch.from_numpy(image)[None].to(self._device) for image in (left, right))
        disparity, confidence = self._forward(*images)
        return disparity.cpu(), confidence.cpu()

    def _forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (1, H, W, 3) to float32 (1, 1, H, W), all on the device."""
        autocast: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if self.precision in _TYPES:
            # Without its cache: cached casts of weights would be lost to a recorded graph.
            autocast = torch.autocast(self._device.type, _TYPES[self.precision], cache_enabled=False)
        with autocast:
            disparity, confidence = self._network(left, right)
        return disparity.float(), confidence.float()

    def _replayed(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        if self._replay is None or self._replay.shape != left.shape:
            self._replay = None  # its memory first
            self._replay = _Replay(self._forward, left.shape, self._device)
        return self._replay.run(left, right)


class _Replay:
    """The forward pass of one size with its copies, recorded as a CUDA graph between page-locked buffers."""

    def __init__(self, forward: Forward, shape: tuple[int, ...], device: torch.device) -> None:
        self.shape = shape
        height, width, _ = shape
        self._forward, self._device = forward, device
        pinned = device.type == "cuda"
        self._images = [torch.empty((1, *shape), dtype=torch.uint8, pin_memory=pinned) for _ in range(2)]
        self._maps = [torch.empty((1, 1, height, width), pin_memory=pinned) for _ in range(2)]
        self._stream = torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP_RUNS):
                self._work()
        self._stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._work()

    def run(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Disparity and confidence in this object's buffers: copy them before the next run."""
        for buffer, image in zip(self._images, (left, right), strict=True):
            buffer.copy_(torch.from_numpy(image)[None])
        with torch.cuda.stream(self._stream):
            self._graph.replay()
        self._stream.synchronize()
        return self._maps[0], self._maps[1]

    def _work(self) -> None:
        left, right = (image.to(self._device, non_blocking=True) for image in self._images)
        for buffer, answer in zip(self._maps, self._forward(left, right), strict=True):
            buffer.copy_(answer, non_blocking=True)


def create(model: Model, *, precision: str, threads: int | None, device: str) -> Backend:
    """Load `model`; called by `backends.create_backend`."""
    return TorchBackend(model, precision=precision, threads=threads, device=device)


def unusable(device: str) -> str | None:
    """Why this installation of torch cannot use the device, or None."""
    if device == "cpu" or torch.cuda.is_available():
        return None
    return f"torch {torch.__version__} cannot use the GPU (a build without CUDA, or one for another version of it)"


def load_weights(model: Model) -> nn.Module:
    """The student that the manifest describes, with its weights; BackendError if they do not fit."""
    if not model.manifest.network:
        raise BackendError(f"model {model.name} has no network in its manifest, torch cannot rebuild it")
    try:
        return load_network(model.manifest.network, model.file_with_suffix(".safetensors"))
    except (ModelError, RuntimeError, KeyError) as error:  # RuntimeError: weights of other shapes
        raise BackendError(f"torch cannot load {model.name}: {first_line(error)}") from error
