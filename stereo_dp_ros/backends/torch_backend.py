"""torch: runs a student from its weights, on NVIDIA GPUs without TensorRT; on a CPU only when asked for."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stereo_dp_ros.backends.deployed_network import DeployedNetwork
from stereo_dp_ros.backends.engine_gate import TOLERANCES, Answer, compare
from stereo_dp_ros.backends.one_line import first_line
from stereo_dp_ros.backends.torch_maps import PairMaps
from stereo_dp_ros.core.backend import Backend
from stereo_dp_ros.core.errors import BackendError, ModelError
from stereo_dp_ros.core.maps import MapRequest, StereoMaps
from stereo_dp_ros.core.models import Model
from stereo_dp_ros.core.preprocessing import Preprocessing
from stereo_dp_ros.networks import load_network

__all__ = ["Replay", "TorchBackend", "create", "load_weights", "unusable"]

_LOG = logging.getLogger(__name__)

_GATE_SIZE = (320, 256)
_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
_WARM_UP_RUNS = 3  # CUDA's libraries set themselves up in the first runs; that must not be recorded


class TorchBackend:
    """A student in torch. Images go to the device as they are, the wanted maps come back; all else happens there.

    On CUDA the whole of it, copies included, is recorded as one graph for each request and replayed; host buffers are
    page-locked. In fp16 and bf16 autocast keeps reductions and softmax in fp32. Precision "auto" is fp16 on CUDA if
    its answers there are those of fp32, as for an engine; else fp32.

    Attributes
    ----------
    is_recorded
        Whether pairs go through a recorded graph; so on CUDA.
    """

    name = "torch"

    def __init__(self, model: Model, *, precision: str, threads: int | None, device: str) -> None:
        self.torch_device = torch.device(device)
        self.is_recorded = device == "cuda"
        self.device = f"CUDA, {torch.cuda.get_device_name()}" if device == "cuda" else "CPU"
        self.precision = "fp32" if precision == "auto" else precision
        if threads is not None:
            torch.set_num_threads(threads)
        self._network = DeployedNetwork(load_weights(model), images=False).to(self.torch_device)
        _to_channels_last(self._network)
        self._replay: Replay | None = None
        if device == "cuda" and precision == "auto":
            self._prefer_half()

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `core.backend.Backend`."""
        return self._both(left, right, eager=not self.is_recorded)

    def infer_maps(self, left: NDArray[np.uint8], right: NDArray[np.uint8], request: MapRequest) -> StereoMaps:
        """See `core.maps.infer_maps`."""
        started = time.perf_counter()
        found = self._run(left, right, request, eager=not self.is_recorded)
        elapsed_ms = (time.perf_counter() - started) * 1e3
        return StereoMaps(
            disparity_px=found.get("disparity"),
            confidence=found.get("confidence"),
            depth_m=found.get("depth"),
            points_m=found.get("points"),
            timing_ms={"preprocess": 0.0, "inference": elapsed_ms, "postprocess": 0.0},
        )

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """The network alone: float32 (1, 3, H, W) in 0…255 to float32 (1, 1, H, W), all on the device."""
        arithmetic: contextlib.AbstractContextManager[Any]
        if self.precision in _TYPES:
            # Without its cache: cached casts of weights would be lost to a recorded graph.
            arithmetic = torch.autocast(self.torch_device.type, _TYPES[self.precision], cache_enabled=False)
        else:  # TF32 is on by default: convolutions would carry 10 bits instead of 23
            arithmetic = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with arithmetic:
            disparity, confidence = self._network(left, right)
        return disparity.float(), confidence.float()

    def _prefer_half(self) -> None:
        """Take fp16 if its answers on this GPU are those of fp32 there."""

        def infer(precision: str, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> Answer:
            self.precision = precision
            return self._both(left, right, eager=True)

        half, full = (functools.partial(infer, precision) for precision in ("fp16", "fp32"))
        try:
            compare(half, full, _GATE_SIZE, TOLERANCES["fp16"])
            self.precision = "fp16"
        except BackendError as error:
            self.precision = "fp32"
            _LOG.warning("torch runs in fp32: fp16 %s", error)

    def _both(self, left: NDArray[np.uint8], right: NDArray[np.uint8], *, eager: bool) -> Answer:
        size = (left.shape[1], left.shape[0])
        request = MapRequest(Preprocessing(size, size, size), frozenset({"disparity", "confidence"}))
        found = self._run(left, right, request, eager=eager)
        return found["disparity"], found["confidence"]

    def _run(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8], request: MapRequest, *, eager: bool
    ) -> dict[str, NDArray[np.float32]]:
        try:
            with torch.inference_mode():
                if eager:
                    work = PairMaps(self.forward, request, self.torch_device)
                    # Images of a message are read-only, which torch complains about.
                    hosts = [np.require(work.on_host(image), requirements="W") for image in (left, right)]
                    images = (torch.from_numpy(host).to(self.torch_device) for host in hosts)
                    maps = [found.cpu() for found in work(*images)]
                else:
                    work, maps = self._replayed(left, right, request)
                return {name: found.numpy().copy() for name, found in zip(work.names, maps, strict=True)}
        except RuntimeError as error:
            self._replay = None  # after a failure its buffers and its graph are not to be trusted
            raise BackendError(f"torch failed: {first_line(error)}") from error

    def _replayed(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8], request: MapRequest
    ) -> tuple[PairMaps, list[Tensor]]:
        if self._replay is None or self._replay.key != (request, left.shape):
            self._replay = None  # its memory first
            self._replay = Replay(PairMaps(self.forward, request, self.torch_device), request, left, self.torch_device)
        return self._replay.work, self._replay.run(left, right)


class Replay:
    """The work for one request with its copies, recorded as a CUDA graph between page-locked buffers."""

    def __init__(self, work: PairMaps, request: MapRequest, example: NDArray[np.uint8], device: torch.device) -> None:
        self.key = (request, example.shape)
        self.work = work
        self._device = device
        pinned = device.type == "cuda"
        shape = work.on_host(example).shape
        self._images = [torch.zeros(shape, dtype=torch.uint8, pin_memory=pinned) for _ in range(2)]
        self._maps = [torch.empty(work.shape(name), pin_memory=pinned) for name in work.names]
        self._stream = torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP_RUNS):
                self.step()
        self._stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self.step()

    def run(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> list[Tensor]:
        """The maps, in this object's buffers: copy them before the next run."""
        for buffer, image in zip(self._images, (left, right), strict=True):
            np.copyto(buffer.numpy(), self.work.on_host(image))
        with torch.cuda.stream(self._stream):
            self.replay()
        self._stream.synchronize()
        return self._maps

    def replay(self) -> None:
        """Queue the recorded work on the current stream."""
        self._graph.replay()

    def step(self) -> None:
        """What is recorded: copies in, the work, copies out."""
        left, right = (image.to(self._device, non_blocking=True) for image in self._images)
        for buffer, found in zip(self._maps, self.work(left, right), strict=True):
            buffer.copy_(found, non_blocking=True)


def create(model: Model, *, precision: str, threads: int | None, device: str) -> Backend:
    """Load `model`; called by `backends.create_backend`."""
    try:
        return TorchBackend(model, precision=precision, threads=threads, device=device)
    except RuntimeError as error:  # a GPU that an earlier failure has left unusable, or too little memory
        raise BackendError(f"torch cannot run {model.name}: {first_line(error)}") from error


def unusable(device: str) -> str | None:
    """Why this installation of torch cannot use the device, or None."""
    if device == "cpu" or torch.cuda.is_available():
        return None
    return f"torch {torch.__version__} cannot use the GPU (a build without CUDA, or one for another version of it)"


def _to_channels_last(network: nn.Module) -> None:
    """Weights in the order in which cuDNN and oneDNN are fast.

    `network.to(memory_format=…)` takes networks whose convolutions are all 2-D or all 3-D, and raises otherwise.
    """
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for weight in network.parameters():
        if weight.ndim in formats:
            weight.data = weight.data.contiguous(memory_format=formats[weight.ndim])


def load_weights(model: Model) -> nn.Module:
    """The student that the manifest describes, with its weights; BackendError if they do not fit."""
    if not model.manifest.network:
        raise BackendError(f"model {model.name} has no network in its manifest, torch cannot rebuild it")
    try:
        return load_network(model.manifest.network, model.file_with_suffix(".safetensors"))
    except (ModelError, RuntimeError, KeyError) as error:  # RuntimeError: weights of other shapes
        raise BackendError(f"torch cannot load {model.name}: {first_line(error)}") from error
