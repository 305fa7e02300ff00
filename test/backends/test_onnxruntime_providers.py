"""ONNX Runtime's providers: what is asked of each, and that the CPU never stands in for a GPU without a word."""

from types import SimpleNamespace

import numpy as np
import pytest

from stereo_dp_ros.backends import onnxruntime_backend
from stereo_dp_ros.backends.onnxruntime_backend import OnnxRuntimeBackend
from stereo_dp_ros.core.errors import BackendError


@pytest.fixture
def asked(monkeypatch):
    """The providers that sessions were asked for; every one starts, unless `asked.starts` is emptied."""
    asked = SimpleNamespace(providers=[], starts=True)

    def open_session(path, options, providers):
        asked.providers += providers
        started = [name for name, _ in providers] if asked.starts else []
        return SimpleNamespace(get_providers=lambda: [*started, "CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime_backend.ort, "InferenceSession", open_session)
    return asked


def test_cuda_runs_in_true_fp32(asked, toy):
    backend = OnnxRuntimeBackend(toy, precision="auto", threads=None, device="cuda")
    assert (backend.precision, backend.device) == ("fp32", "CUDA")
    assert asked.providers == [("CUDAExecutionProvider", {"use_tf32": "0"})]


@pytest.mark.parametrize(("precision", "half"), [("auto", "True"), ("fp16", "True"), ("fp32", "False")])
def test_its_tensorrt_keeps_engines_in_the_users_cache(asked, toy, monkeypatch, precision, half):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    backend = OnnxRuntimeBackend(toy, precision=precision, threads=None, device="tensorrt")
    assert backend.precision == ("fp16" if half == "True" else "fp32")
    assert asked.providers == [
        (
            "TensorrtExecutionProvider",
            {
                "trt_fp16_enable": half,
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": "/somewhere/stereo_dp_ros/onnxruntime",
            },
        )
    ]


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_provider_that_did_not_start_is_told(asked, toy, device):
    asked.starts = False
    with pytest.raises(BackendError, match="ONNX Runtime could not start its .*ExecutionProvider"):
        OnnxRuntimeBackend(toy, precision="auto", threads=None, device=device)


def test_the_cpu_needs_no_options(toy):
    backend = OnnxRuntimeBackend(toy, precision="auto", threads=1, device="cpu")
    answer, _ = backend.infer(*(np.full((32, 32, 3), 40, np.uint8),) * 2)
    assert backend.device == "CPU" and (answer == 10).all()
