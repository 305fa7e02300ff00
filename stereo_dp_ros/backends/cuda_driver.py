"""The few calls of the CUDA driver that an engine needs, through `libcuda.so.1`.

The driver's library comes with every NVIDIA driver and with JetPack, for every version of Python and CUDA, so that
looking for a GPU and running an engine need no further package. Names and arguments: CUDA Driver API, NVIDIA.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from stereo_dp_ros.core.errors import BackendError

__all__ = ["CudaDriver", "Gpu", "Graph", "find_gpu"]

LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_CAPTURE_THREAD_LOCAL = 1
_STREAM_NON_BLOCKING = 1

# Pointers and handles are 64 bits wide; without argument types ctypes would cut them to 32.
_P, _SIZE, _INT, _UINT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint
_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "cuInit": (_UINT,),
    "cuDeviceGetCount": (_P,),
    "cuDeviceGet": (_P, _INT),
    "cuDeviceGetName": (_P, _INT, _INT),
    "cuDeviceGetAttribute": (_P, _INT, _INT),
    "cuDevicePrimaryCtxRetain": (_P, _INT),
    "cuCtxSetCurrent": (_P,),
    "cuMemAlloc_v2": (_P, _SIZE),
    "cuMemFree_v2": (_P,),
    "cuMemHostAlloc": (_P, _SIZE, _UINT),
    "cuMemFreeHost": (_P,),
    "cuMemcpyHtoDAsync_v2": (_P, _P, _SIZE, _P),
    "cuMemcpyDtoHAsync_v2": (_P, _P, _SIZE, _P),
    "cuStreamCreate": (_P, _UINT),
    "cuStreamDestroy_v2": (_P,),
    "cuStreamSynchronize": (_P,),
    "cuStreamBeginCapture_v2": (_P, _INT),
    "cuStreamEndCapture": (_P, _P),
    "cuGraphInstantiateWithFlags": (_P, _P, ctypes.c_ulonglong),
    "cuGraphLaunch": (_P, _P),
    "cuGraphDestroy": (_P,),
    "cuGraphExecDestroy": (_P,),
    "cuGetErrorString": (_INT, _P),
}


@dataclass(frozen=True)
class Gpu:
    """What an engine is built for."""

    name: str
    compute_capability: tuple[int, int]

    def __str__(self) -> str:
        major, minor = self.compute_capability
        return f"{self.name} (compute capability {major}.{minor})"


@dataclass(frozen=True)
class Graph:
    """Recorded work of a stream, to be launched as one."""

    executable: int


class CudaDriver:
    """The first visible GPU. Memory addresses, streams and graphs are plain integers.

    Raises
    ------
    BackendError
        There is no driver or no GPU, or a call failed; the message names the call.
    """

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError:
            raise BackendError(f"no NVIDIA driver is installed ({LIBRARY} not found)") from None
        self._call("cuInit", 0)
        count = _INT()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if count.value < 1:
            raise BackendError("the NVIDIA driver sees no GPU")
        device = _INT()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._device = device.value
        self._context: int | None = None

    def gpu(self) -> Gpu:
        """Name and compute capability of the GPU."""
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, len(name), self._device)
        version = []
        for attribute in (_MAJOR, _MINOR):
            value = _INT()
            self._call("cuDeviceGetAttribute", ctypes.byref(value), attribute, self._device)
            version.append(value.value)
        return Gpu(name.value.decode(errors="replace"), (version[0], version[1]))

    def make_current(self) -> None:
        """Make the device's primary context current in this thread; it is the one that torch uses too."""
        if self._context is None:
            self._context = self._new("cuDevicePrimaryCtxRetain", self._device)
        self._call("cuCtxSetCurrent", self._context)

    def allocate(self, size_bytes: int) -> int:
        """Address of new device memory."""
        return self._new("cuMemAlloc_v2", size_bytes)

    def allocate_pinned(self, size_bytes: int) -> int:
        """Address of new page-locked host memory."""
        return self._new("cuMemHostAlloc", size_bytes, 0)

    def free(self, address: int) -> None:
        """Free device memory."""
        self._call("cuMemFree_v2", address)

    def free_pinned(self, address: int) -> None:
        """Free page-locked host memory."""
        self._call("cuMemFreeHost", address)

    def new_stream(self) -> int:
        """A stream that does not wait for the default one."""
        return self._new("cuStreamCreate", _STREAM_NON_BLOCKING)

    def free_stream(self, stream: int) -> None:
        """Destroy a stream."""
        self._call("cuStreamDestroy_v2", stream)

    def copy_to_device(self, device: int, host: int, size_bytes: int, stream: int) -> None:
        """Queue a copy from the host."""
        self._call("cuMemcpyHtoDAsync_v2", device, host, size_bytes, stream)

    def copy_to_host(self, host: int, device: int, size_bytes: int, stream: int) -> None:
        """Queue a copy to the host."""
        self._call("cuMemcpyDtoHAsync_v2", host, device, size_bytes, stream)

    def synchronize(self, stream: int) -> None:
        """Wait until the stream's work is done."""
        self._call("cuStreamSynchronize", stream)

    def record(self, work: Callable[[], None], stream: int) -> Graph:
        """Record what `work` queues on the stream, without running it."""
        self._call("cuStreamBeginCapture_v2", stream, _CAPTURE_THREAD_LOCAL)
        graph = _P()
        try:
            work()
        finally:  # a stream left in capture refuses everything afterwards
            self._call("cuStreamEndCapture", stream, ctypes.byref(graph))
        executable = _P()
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)
        return Graph(executable.value or 0)

    def launch(self, graph: Graph, stream: int) -> None:
        """Queue recorded work."""
        self._call("cuGraphLaunch", graph.executable, stream)

    def free_graph(self, graph: Graph) -> None:
        """Destroy recorded work."""
        self._call("cuGraphExecDestroy", graph.executable)

    def _new(self, name: str, *arguments: object) -> int:
        handle = _P()
        self._call(name, ctypes.byref(handle), *arguments)
        return handle.value or 0

    def _call(self, name: str, *arguments: object) -> None:
        code = self._function(name)(*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            self._function("cuGetErrorString")(code, ctypes.byref(text))
            reason = text.value.decode(errors="replace") if text.value else "unknown error"
            raise BackendError(f"{name} failed: {reason} ({code})")

    def _function(self, name: str) -> Any:
        try:
            function = getattr(self._library, name)
        except AttributeError:
            raise BackendError(f"the NVIDIA driver is too old, it lacks {name}") from None
        function.argtypes = _ARGUMENTS[name]
        function.restype = _INT
        return function


def find_gpu() -> Gpu:
    """The first visible GPU; BackendError says why there is none."""
    return CudaDriver().gpu()
