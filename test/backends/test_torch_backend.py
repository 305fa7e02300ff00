"""The torch backend against ONNX Runtime: on the CPU, and on a GPU where there is one."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stereo_dp_ros.backends import create_backend  # noqa: E402 (torch first: it may be missing)
from stereo_dp_ros.backends.engine_gate import TOLERANCES, Tolerance, compare  # noqa: E402
from stereo_dp_ros.core.errors import BackendError  # noqa: E402
from stereo_dp_ros.core.models import list_models, load_model  # noqa: E402

SIZE = (320, 256)
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and torch with CUDA")


def figures(model, name, precision, tolerance):
    reference = create_backend("onnxruntime:cpu", model, threads=1)
    backend = create_backend(name, model, precision=precision, threads=1)
    assert (backend.name, backend.precision) == ("torch", precision)
    return compare(backend.infer, reference.infer, SIZE, tolerance)


@pytest.mark.parametrize("name", list_models())
def test_fp32_on_the_cpu_equals_onnx(name):
    assert figures(load_model(name), "torch:cpu", "fp32", TOLERANCES["fp32"]).mean_px < 1e-3


@pytest.mark.parametrize("name", list_models())
def test_bf16_on_the_cpu_is_near_onnx(name):
    figures(load_model(name), "torch:cpu", "bf16", Tolerance(mean_px=0.25, far_percent=4.0, confidence=0.02))


@ON_GPU
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", list_models())
def test_the_gpu_equals_onnx(name, precision):
    figures(load_model(name), "torch:cuda", precision, TOLERANCES[precision])


@ON_GPU
def test_sizes_may_change_on_the_gpu_and_answers_do_not_alias():
    model = load_model("default")
    backend = create_backend("torch:cuda", model, precision="fp32")
    rng = np.random.default_rng(0)
    pairs = [rng.integers(0, 256, (2, *shape, 3), dtype=np.uint8) for shape in ((64, 96), (64, 96), (96, 64))]
    answers = [backend.infer(*pair)[0] for pair in pairs]
    assert [answer.shape for answer in answers] == [(64, 96), (64, 96), (96, 64)]
    assert not np.array_equal(answers[0], answers[1])
    assert np.array_equal(backend.infer(*pairs[0])[0], answers[0])


def test_answers_do_not_alias():
    backend = create_backend("torch:cpu", load_model("default"), threads=1)
    rng = np.random.default_rng(0)
    first, second = (backend.infer(*rng.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)) for _ in range(2))
    assert first[0].shape == second[0].shape == (64, 96)
    assert not np.shares_memory(first[0], second[0])


def test_a_model_without_a_description_is_told(toy):
    with pytest.raises(BackendError, match="model toy has no network in its manifest, torch cannot rebuild it"):
        create_backend("torch", toy)


def test_a_description_that_does_not_fit_the_weights_is_one_line():
    model = load_model("default")
    network = {**model.manifest.network, "config": {**model.manifest.network.get("config", {}), "stem_channels": 9}}
    other = dataclasses.replace(model, manifest=dataclasses.replace(model.manifest, network=network))
    with pytest.raises(BackendError, match=f"torch cannot load {model.name}") as caught:
        create_backend("torch:cpu", other)
    assert "\n" not in str(caught.value)


def test_a_gpu_that_torch_cannot_use_is_told(cuda):
    if torch.cuda.is_available():
        pytest.skip("torch can use the GPU here")
    with pytest.raises(BackendError, match="torch .* cannot use the GPU"):
        create_backend("torch:cuda", load_model("default"))
    assert create_backend("torch", load_model("default")).device == "CPU"
