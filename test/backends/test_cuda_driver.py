"""Looking for a GPU, and the arguments of the driver's calls."""

import ctypes

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


def test_addresses_are_passed_in_full_width():
    for name, arguments in cuda_driver._ARGUMENTS.items():
        assert all(ctypes.sizeof(kind) in (4, 8) for kind in arguments), name
    assert ctypes.sizeof(cuda_driver._P) == ctypes.sizeof(cuda_driver._SIZE) == 8
