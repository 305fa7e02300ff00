"""One engine in GPU memory, with the buffers of a pair."""

from __future__ import annotations

import contextlib
import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.backends.cuda_driver import CudaDriver, Graph
from stereo_dp_ros.backends.tensorrt_library import load_tensorrt
from stereo_dp_ros.core.errors import BackendError

__all__ = ["EngineSession"]

_INPUTS, _OUTPUTS = ("left", "right"), ("disparity", "confidence")


class EngineSession:
    """Runs an engine on pairs of its one size.

    Buffers are allocated once, page-locked on the host. The copies and the engine's work are recorded as one CUDA
    graph and replayed for each pair.

    Parameters
    ----------
    engine
        Serialized by the TensorRT version that is installed, on this GPU. Inputs `left` and `right` are uint8
        (1, H, W, 3), or float32 (1, 3, H, W) in 0…255; outputs `disparity` and `confidence` float32 (1, 1, H, W).
    size
        (width, height) in px.

    Raises
    ------
    BackendError
        TensorRT does not take the engine, it has other inputs or outputs, or the GPU's memory does not suffice.
    """

    def __init__(self, driver: CudaDriver, engine: bytes, size: tuple[int, int]) -> None:
        self._driver = driver
        self._stream = 0
        self._graph: Graph | None = None
        self._device: dict[str, int] = {}
        self._pinned: dict[str, int] = {}
        self._host: dict[str, NDArray[Any]] = {}
        driver.make_current()
        trt = load_tensorrt()
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(engine)
        if self._engine is None:
            raise BackendError(f"TensorRT {trt.__version__} does not take the engine")
        types: dict[Any, np.dtype[Any]] = {trt.uint8: np.dtype(np.uint8), trt.float32: np.dtype(np.float32)}
        layout = self._layout(types, size)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise BackendError("the GPU's memory does not suffice to run the engine")
        try:
            self._stream = driver.new_stream()
            for name, (shape, dtype) in layout.items():
                self._allocate(name, shape, dtype)
            self._work()  # once outside the recording: the first run sets up what must not be recorded
            driver.synchronize(self._stream)
            self._graph = driver.record(self._work, self._stream)
        except BackendError:
            with contextlib.suppress(BackendError):
                self.close()
            raise

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `core.backend.Backend`."""
        if self._graph is None:
            raise BackendError("the engine is closed")
        self._driver.make_current()  # of the thread that calls
        for name, image in zip(_INPUTS, (left, right), strict=True):
            host = self._host[name]
            np.copyto(host, image[None] if host.dtype == np.uint8 else image.transpose(2, 0, 1)[None])
        self._driver.launch(self._graph, self._stream)
        self._driver.synchronize(self._stream)
        disparity, confidence = (self._host[name][0, 0].copy() for name in _OUTPUTS)
        return disparity, confidence

    def close(self) -> None:
        """Give the memory back; the session cannot be used afterwards.

        Raises
        ------
        BackendError
            The GPU refused some of it, as it does after a failure; all else is given back nevertheless.
        """
        driver = self._driver
        giving: list[tuple[Callable[[Any], None], Any]] = [(lambda _: driver.make_current(), None)]
        if self._graph is not None:
            giving.append((driver.free_graph, self._graph))
        giving += [(driver.free, address) for address in self._device.values()]
        giving += [(driver.free_pinned, address) for address in self._pinned.values()]
        if self._stream:
            giving.append((driver.free_stream, self._stream))
        self._host.clear()
        self._device.clear()
        self._pinned.clear()
        self._graph, self._stream = None, 0
        refused: BackendError | None = None
        for free, held in giving:
            try:
                free(held)
            except BackendError as error:
                refused = refused or error
        self._context = self._engine = None  # in this order: a context must not outlive its engine
        if refused is not None:
            raise refused

    def _layout(
        self, types: dict[Any, np.dtype[Any]], size: tuple[int, int]
    ) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Shape and type of each tensor, after a check that they are the expected ones."""
        engine = self._engine
        found = {}
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            shape = tuple(int(n) for n in engine.get_tensor_shape(name))
            found[name] = (shape, types.get(engine.get_tensor_dtype(name)))
        width, height = size
        images = (((1, height, width, 3), np.dtype(np.uint8)), ((1, 3, height, width), np.dtype(np.float32)))
        maps = (((1, 1, height, width), np.dtype(np.float32)),)
        expected = {**dict.fromkeys(_INPUTS, images), **dict.fromkeys(_OUTPUTS, maps)}
        checked: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
        for name, allowed in expected.items():
            for choice in allowed:
                if found.get(name) == choice:
                    checked[name] = choice
        if len(checked) != len(expected) or len(found) != len(expected):
            listed = ", ".join(f"{name} {dtype} {shape}" for name, (shape, dtype) in found.items())
            raise BackendError(
                f"the engine has {listed}, expected left, right, disparity, confidence at {width}x{height}"
            )
        return checked

    def _allocate(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        size_bytes = math.prod(shape) * dtype.itemsize
        self._device[name] = self._driver.allocate(size_bytes)
        self._pinned[name] = self._driver.allocate_pinned(size_bytes)
        memory = (ctypes.c_ubyte * size_bytes).from_address(self._pinned[name])
        self._host[name] = np.ctypeslib.as_array(memory).view(dtype).reshape(shape)
        if not self._context.set_tensor_address(name, self._device[name]):
            raise BackendError(f"TensorRT does not take the buffer of {name}")

    def _work(self) -> None:
        driver = self._driver
        for name in _INPUTS:
            driver.copy_to_device(self._device[name], self._pinned[name], self._host[name].nbytes, self._stream)
        if not self._context.execute_async_v3(self._stream):
            raise BackendError("TensorRT could not run the engine")
        for name in _OUTPUTS:
            driver.copy_to_host(self._pinned[name], self._device[name], self._host[name].nbytes, self._stream)
