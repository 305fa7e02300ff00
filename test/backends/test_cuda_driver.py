"""Looking for a GPU, and the arguments of the driver's calls."""

import ctypes
from types import SimpleNamespace

import pytest

from stereo_dp_ros.backends import cuda_driver
from stereo_dp_ros.backends.cuda_driver import CudaDriver, Gpu, find_gpu
from stereo_dp_ros.core.errors import BackendError


def test_a_gpu_is_named_with_its_compute_capability(cuda):
    assert find_gpu() == Gpu("Stand-in GPU", (8, 7))
    assert str(find_gpu()) == "Stand-in GPU (compute capability 8.7)"


def test_without_a_driver(no_gpu):
    with pytest.raises(BackendError, match=r"no NVIDIA driver is installed \(libno-such-driver.so.1 not found\)"):
        find_gpu()


def test_without_a_gpu(cuda):
    cuda.devices = 0
    with pytest.raises(BackendError, match="the NVIDIA driver sees no GPU"):
        find_gpu()


def test_an_old_driver_is_told(cuda, monkeypatch):
    driver = CudaDriver()
    driver.make_current()
    monkeypatch.delattr(type(cuda), "do_cuGraphInstantiateWithFlags")
    stream = driver.new_stream()
    with pytest.raises(BackendError, match="too old, it lacks cuGraphInstantiateWithFlags"):
        driver.record(lambda: None, stream)


def test_work_that_fails_while_it_is_recorded_ends_the_recording(cuda):
    driver = CudaDriver()
    stream = driver.new_stream()

    def fail():
        raise BackendError("broke")

    with pytest.raises(BackendError, match="broke"):
        driver.record(fail, stream)
    assert cuda.recording is None


HANDLES = {
    "cuDevicePrimaryCtxRetain": 0x7FFF_1000_0001,
    "cuMemAlloc_v2": 0x7FFF_2000_0002,
    "cuMemHostAlloc": 0x7FFF_3000_0003,
    "cuStreamCreate": 0x7FFF_4000_0004,
    "cuGraphInstantiateWithFlags": 0x7FFF_6000_0006,
}
GRAPH = 0x7FFF_5000_0005


def test_handles_pass_through_c_in_their_full_width(monkeypatch):
    calls = []

    def c_function(name):
        def body(*arguments):
            if name == "cuDeviceGetCount":
                ctypes.c_int.from_address(arguments[0]).value = 1
            elif name in HANDLES:
                ctypes.c_uint64.from_address(arguments[0]).value = HANDLES[name]
            elif name == "cuStreamEndCapture":
                ctypes.c_uint64.from_address(arguments[1]).value = GRAPH
            calls.append((name, arguments))
            return 0

        return ctypes.CFUNCTYPE(ctypes.c_int, *cuda_driver._ARGUMENTS[name])(body)

    library = SimpleNamespace(**{name: c_function(name) for name in cuda_driver._ARGUMENTS})
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    driver = CudaDriver()
    driver.make_current()
    stream, device, host = driver.new_stream(), driver.allocate(1 << 33), driver.allocate_pinned(64)
    driver.copy_to_device(device, host, 64, stream)
    driver.copy_to_host(host, device, 64, stream)
    graph = driver.record(lambda: None, stream)
    driver.launch(graph, stream)
    driver.free_graph(graph)
    driver.free_pinned(host)
    seen = dict(calls)
    context, device_memory, host_memory, new_stream, executable = HANDLES.values()
    assert (stream, device, host, graph.executable) == (new_stream, device_memory, host_memory, executable)
    assert seen["cuCtxSetCurrent"] == (context,)
    assert seen["cuMemAlloc_v2"][1] == 1 << 33
    assert seen["cuMemcpyHtoDAsync_v2"] == (device_memory, host_memory, 64, new_stream)
    assert seen["cuMemcpyDtoHAsync_v2"] == (host_memory, device_memory, 64, new_stream)
    assert seen["cuStreamBeginCapture_v2"] == (new_stream, 1)
    assert seen["cuGraphInstantiateWithFlags"][1:] == (GRAPH, 0)
    assert seen["cuGraphDestroy"] == (GRAPH,)
    assert seen["cuGraphLaunch"] == (executable, new_stream)
    assert seen["cuMemFreeHost"] == (host_memory,)
