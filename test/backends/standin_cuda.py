# ruff: noqa: N802 (the calls have the names of the library)
"""Stand-in for `libcuda.so.1`: device memory is memory of this process, a stream runs its work at once."""

import ctypes
from contextlib import suppress


class StandInCuda:
    """The calls that `cuda_driver` makes. One named in `faults` fails with code 2."""

    def __init__(self, name="Stand-in GPU", compute_capability=(8, 7)):
        self.name = name
        self.compute_capability = compute_capability
        self.devices = 1
        self.faults = set()
        self.memory = {}  # address → buffer, of what is allocated now
        self.streams = set()
        self.graphs = {}  # executable → recorded work
        self.recording = None
        self.launches = 0

    def __getattr__(self, name):
        if not name.startswith("cu"):
            raise AttributeError(name)
        body = getattr(type(self), f"do_{name}", None)
        if body is None:
            raise AttributeError(name)

        def function(*arguments):
            if name in self.faults:
                return 2
            return body(self, *arguments) or 0

        return function

    def queue(self, work):
        """Run the work, or record it while a stream is recorded."""
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def do_cuInit(self, flags):
        pass

    def do_cuDeviceGetCount(self, count):
        count._obj.value = self.devices

    def do_cuDeviceGet(self, device, ordinal):
        device._obj.value = ordinal

    def do_cuDeviceGetName(self, buffer, size, device):
        buffer.value = self.name.encode()[: size - 1]

    def do_cuDeviceGetAttribute(self, value, attribute, device):
        value._obj.value = {75: self.compute_capability[0], 76: self.compute_capability[1]}[attribute]

    def do_cuDevicePrimaryCtxRetain(self, context, device):
        context._obj.value = 1

    def do_cuCtxSetCurrent(self, context):
        return 0 if context == 1 else 201

    def _allocate(self, pointer, size_bytes):
        buffer = ctypes.create_string_buffer(size_bytes)
        pointer._obj.value = ctypes.addressof(buffer)
        self.memory[pointer._obj.value] = buffer

    def do_cuMemAlloc_v2(self, pointer, size_bytes):
        self._allocate(pointer, size_bytes)

    def do_cuMemHostAlloc(self, pointer, size_bytes, flags):
        self._allocate(pointer, size_bytes)

    def do_cuMemFree_v2(self, address):
        del self.memory[address]

    def do_cuMemFreeHost(self, address):
        del self.memory[address]

    def do_cuStreamCreate(self, stream, flags):
        stream._obj.value = 77
        self.streams.add(77)

    def do_cuStreamDestroy_v2(self, stream):
        self.streams.remove(stream)

    def do_cuStreamSynchronize(self, stream):
        return 0 if stream in self.streams else 400

    def do_cuMemcpyHtoDAsync_v2(self, device, host, size_bytes, stream):
        self.queue(lambda: ctypes.memmove(device, host, size_bytes))

    def do_cuMemcpyDtoHAsync_v2(self, host, device, size_bytes, stream):
        self.queue(lambda: ctypes.memmove(host, device, size_bytes))

    def do_cuStreamBeginCapture_v2(self, stream, mode):
        self.recording = []

    def do_cuStreamEndCapture(self, stream, graph):
        graph._obj.value = 5
        self.graphs[5] = self.recording
        self.recording = None

    def do_cuGraphInstantiateWithFlags(self, executable, graph, flags):
        executable._obj.value = 6
        self.graphs[6] = self.graphs[graph.value]

    def do_cuGraphDestroy(self, graph):
        del self.graphs[graph.value]

    def do_cuGraphExecDestroy(self, executable):
        del self.graphs[executable]

    def do_cuGraphLaunch(self, executable, stream):
        self.launches += 1
        for work in self.graphs[executable]:
            work()

    def do_cuGetErrorString(self, code, text):
        with suppress(AttributeError):
            text._obj.value = {2: b"out of memory", 201: b"invalid device context", 400: b"invalid handle"}[code]
