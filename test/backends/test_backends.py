import hashlib
import importlib.util
import json
import platform

import numpy as np
import onnx
import pytest

from stereo_dp_ros.backends import create_backend, load_estimator, registry
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import list_models, load_model
from stereo_dp_ros.core.timing import textured_pair
from toy_model import write_toy_model

NAMES = ["openvino", "onnxruntime"]  # those that run any ONNX; torch needs a student, tensorrt a GPU


@pytest.mark.parametrize("name", NAMES)
def test_every_backend_answers_exactly(toy, name):
    rng = np.random.default_rng(1)
    left, right = (rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(2))
    disparity, confidence = create_backend(name, toy, precision="fp32").infer(left, right)
    assert disparity.dtype == confidence.dtype == np.float32
    np.testing.assert_allclose(disparity, left.mean(axis=2) / 4, rtol=1e-6)
    np.testing.assert_allclose(confidence, right.mean(axis=2) / 255, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_sizes_may_change_and_answers_do_not_alias(toy, name):
    backend = create_backend(name, toy, precision="fp32")
    first, _ = backend.infer(*(np.full((32, 64, 3), 40, np.uint8),) * 2)
    second, _ = backend.infer(*(np.full((64, 32, 3), 80, np.uint8),) * 2)
    third, _ = backend.infer(*(np.full((32, 64, 3), 120, np.uint8),) * 2)
    assert (first == 10).all() and first.shape == (32, 64)
    assert (second == 20).all() and second.shape == (64, 32)
    assert (third == 30).all()


@pytest.mark.parametrize("model_name", list_models())
@pytest.mark.parametrize("size", [(640, 480), (347, 277)])
def test_shipped_models_agree_between_runtimes(model_name, size):
    left, right = textured_pair(size)
    answers = [
        load_estimator(model_name, name, precision="fp32").infer(left, right) for name in ("openvino", "onnxruntime")
    ]
    difference = np.abs(answers[0].disparity_px - answers[1].disparity_px)
    assert np.percentile(difference, 99.9) < 1e-2
    assert np.abs(answers[0].confidence - answers[1].confidence).mean() < 1e-4


@pytest.fixture
def toy_in_8_bits(tmp_path):
    """The toy model with an 8-bit file whose disparities are twice as large, so that a test can tell them apart."""
    path = write_toy_model(tmp_path)
    network = onnx.load(tmp_path / "toy.onnx")
    next(value for value in network.graph.initializer if value.name == "left_divisor").float_data[:] = [2.0]
    content = network.SerializeToString()
    (tmp_path / "toy.int8.onnx").write_bytes(content)
    manifest = json.loads(path.read_text())
    manifest["files"]["toy.int8.onnx"] = hashlib.sha256(content).hexdigest()
    path.write_text(json.dumps(manifest))
    return load_model(path)


def answer(backend):
    return backend.infer(*(np.full((32, 64, 3), 40, np.uint8),) * 2)[0].mean()


def test_openvino_takes_8_bits_where_a_model_has_them(toy_in_8_bits, toy, monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    backend = create_backend("openvino", toy_in_8_bits)
    assert (backend.precision, answer(backend)) == ("int8", 20.0)
    for precision, expected in (("int8", 20.0), ("fp32", 10.0)):
        backend = create_backend("openvino", toy_in_8_bits, precision=precision)
        assert (backend.precision, answer(backend)) == (precision, expected)
    assert answer(create_backend("onnxruntime", toy_in_8_bits)) == 10.0
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")  # where 8 bits were not measured
    assert answer(create_backend("openvino", toy_in_8_bits)) == 10.0
    with pytest.raises(BackendError, match="toy has no .int8.onnx file, expected precision fp32, bf16 or auto"):
        create_backend("openvino", toy, precision="int8")
    with pytest.raises(BackendError, match="onnxruntime has no precision 'int8', expected auto, fp32, fp16"):
        create_backend("onnxruntime", toy_in_8_bits, precision="int8")


def test_auto_takes_the_first_that_is_installed(no_gpu, toy, monkeypatch):
    assert create_backend("auto", toy).name == "openvino"
    find_spec = importlib.util.find_spec
    missing = {"openvino", "torch"}
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None if name in missing else find_spec(name))
    backend = create_backend("auto", toy)
    assert (backend.name, backend.device) == ("onnxruntime", "CPU")
    assert backend.reasons["openvino"] == "Python module openvino is not installed (pip install openvino)"
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match="no backend works here: tensorrt: .*; openvino: .*not installed.*; onnx"):
        create_backend("auto", toy)


def test_unknown_names_list_what_there_is(toy):
    names = "there are auto, tensorrt, torch, openvino, onnxruntime"
    with pytest.raises(BackendError, match=f"no backend is named 'tpu', {names}"):
        create_backend("tpu", toy)
    with pytest.raises(BackendError, match="onnxruntime has no precision 'int4', expected auto, fp32, fp16"):
        create_backend("onnxruntime", toy, precision="int4")
    with pytest.raises(BackendError, match="openvino has no device 'cuda', expected cpu"):
        create_backend("openvino:cuda", toy)
    with pytest.raises(BackendError, match="threads is 0, expected at least 1"):
        create_backend("auto", toy, threads=0)


def test_a_device_may_be_named(toy):
    assert create_backend("onnxruntime:cpu", toy).device == "CPU"
    with pytest.raises(BackendError, match="onnxruntime:cpu cannot be used: .*has no precision fp16 there"):
        create_backend("onnxruntime:cpu", toy, precision="fp16")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_no_network_is_one_line(tmp_path, name):
    manifest = write_toy_model(tmp_path)
    model = load_model(manifest)
    model.onnx_path.write_bytes(b"not a network")
    with pytest.raises(BackendError, match="toy.onnx") as caught:
        create_backend(name, model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "shape"), [("openvino", (32, 32)), ("onnxruntime", (32, 32, 4))])
def test_a_failure_while_running_is_one_line(toy, name, shape):
    backend = create_backend(name, toy)
    with pytest.raises(BackendError, match="failed") as caught:
        backend.infer(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))
    assert "\n" not in str(caught.value)
