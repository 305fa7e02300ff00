"""Fixtures of this room: a GPU and a TensorRT that are stand-ins."""

import ctypes
import functools
import sys
from types import SimpleNamespace

import pytest
from standin_cuda import StandInCuda
from standin_tensorrt import Faults, standin_tensorrt

from stereo_dp_ros.backends import cuda_driver
from stereo_dp_ros.core.models import load_model
from toy_model import write_toy_model


@pytest.fixture
def toy(tmp_path):
    """A model with a closed-form answer."""
    return load_model(write_toy_model(tmp_path))


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine without an NVIDIA driver."""
    monkeypatch.setattr(cuda_driver, "LIBRARY", "libno-such-driver.so.1")


@pytest.fixture
def cuda(monkeypatch):
    """A stand-in GPU."""
    library, load = StandInCuda(), ctypes.CDLL
    monkeypatch.setattr(
        ctypes, "CDLL", lambda name, *a, **k: library if name == cuda_driver.LIBRARY else load(name, *a, **k)
    )
    return library


@pytest.fixture(params=[10, 11])
def machine(request, cuda, monkeypatch, tmp_path):
    """A stand-in GPU with a stand-in TensorRT 10 or 11, and an empty cache folder."""
    faults = Faults()
    trt = standin_tensorrt(cuda, request.param, faults)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return SimpleNamespace(cuda=cuda, trt=trt, faults=faults, major=request.param)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A pruned model of a kind of network, with random weights, as `training` exports it; written once."""
    pytest.importorskip("torch")
    from random_student import write_random_student

    folder = tmp_path_factory.mktemp("students")
    return functools.cache(lambda kind: load_model(write_random_student(folder, kind)))
