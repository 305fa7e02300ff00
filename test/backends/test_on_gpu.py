"""What can be seen only with an NVIDIA GPU and TensorRT: engines of the shipped students, against ONNX on the CPU."""

import importlib.util

import pytest

from stereo_dp_ros.backends import create_backend
from stereo_dp_ros.backends.cuda_driver import find_gpu
from stereo_dp_ros.backends.engine_build import build_engine
from stereo_dp_ros.backends.engine_gate import TOLERANCES, compare
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import list_models, load_model

SIZE = (640, 480)


def why_not():
    """Why nothing here can run, or None."""
    try:
        find_gpu()
    except BackendError as error:
        return str(error)
    return None if importlib.util.find_spec("tensorrt") else "TensorRT is not installed"


pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"needs a GPU and TensorRT: {why_not()}")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("converter", ["onnx", "torch2trt"])
@pytest.mark.parametrize("name", list_models())
def test_engines_answer_as_onnx_does(name, converter, precision, monkeypatch, tmp_path):
    if converter == "torch2trt" and importlib.util.find_spec("torch2trt") is None:
        pytest.skip("torch2trt is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = load_model(name)
    assert build_engine(model, SIZE, precision=precision, converter=converter).built
    engine, reference = create_backend("tensorrt", model), create_backend("onnxruntime:cpu", model)
    assert engine.precision == precision
    compare(engine.infer, reference.infer, SIZE, TOLERANCES[precision])
    assert create_backend("auto", model).name == "tensorrt"
