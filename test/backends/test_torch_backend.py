"""The torch backend against ONNX Runtime: on the CPU, and on a GPU where there is one."""

import contextlib
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stereo_dp_ros.backends import create_backend, torch_backend  # noqa: E402 (torch first: it may be missing)
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


@pytest.fixture(scope="session")
def student(exported):
    """Random weights: what these tests ask does not depend on them."""
    return exported("corr")


@pytest.mark.parametrize("kind", ["corr", "dtpnet"])
def test_fp32_on_the_cpu_equals_onnx(exported, kind):
    assert figures(exported(kind), "torch:cpu", "fp32", TOLERANCES["fp32"]).mean_px < 1e-3


@pytest.mark.parametrize("name", list_models())
def test_shipped_weights_and_the_networks_of_today_equal_the_shipped_onnx(name):
    assert figures(load_model(name), "torch:cpu", "fp32", TOLERANCES["fp32"]).mean_px < 1e-3


@pytest.mark.parametrize("name", list_models())
def test_bf16_on_the_cpu_is_near_onnx(name):
    figures(load_model(name), "torch:cpu", "bf16", Tolerance(mean_px=0.25, far_percent=4.0, confidence=0.02))


@pytest.mark.parametrize("name", list_models())
def test_fp16_as_on_a_gpu_is_near_onnx(name):
    backend = create_backend("torch:cpu", load_model(name), threads=1)
    backend.precision = "fp16"  # not offered on a CPU, where it is slow; autocast rounds there as on a GPU
    reference = create_backend("onnxruntime:cpu", load_model(name), threads=1)
    assert compare(backend.infer, reference.infer, SIZE, TOLERANCES["fp16"]).mean_px < 0.01


@ON_GPU
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", list_models())
def test_the_gpu_equals_onnx(name, precision):
    figures(load_model(name), "torch:cuda", precision, TOLERANCES[precision])


@ON_GPU
def test_sizes_may_change_on_the_gpu_and_answers_do_not_alias(student):
    backend = create_backend("torch:cuda", student, precision="fp32")
    rng = np.random.default_rng(0)
    pairs = [rng.integers(0, 256, (2, *shape, 3), dtype=np.uint8) for shape in ((64, 96), (64, 96), (96, 64))]
    answers = [backend.infer(*pair)[0] for pair in pairs]
    assert [answer.shape for answer in answers] == [(64, 96), (64, 96), (96, 64)]
    assert not np.array_equal(answers[0], answers[1])
    assert np.array_equal(backend.infer(*pairs[0])[0], answers[0])


def test_answers_do_not_alias(student):
    backend = create_backend("torch:cpu", student, threads=1)
    rng = np.random.default_rng(0)
    first, second = (backend.infer(*rng.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)) for _ in range(2))
    assert first[0].shape == second[0].shape == (64, 96)
    assert not np.shares_memory(first[0], second[0])


class StandInGraph:
    """Stands for a CUDA graph: replaying does the backend's recorded work again."""

    work = None
    replays = 0

    def replay(self):
        StandInGraph.replays += 1
        self.work()


@pytest.fixture
def recorded_on_the_cpu(monkeypatch):
    """The path of CUDA, on the CPU: streams do nothing, a graph repeats its work."""
    stream = SimpleNamespace(wait_stream=lambda other: None, synchronize=lambda: None)
    for name, value in {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda chosen: contextlib.nullcontext(),
        "graph": lambda graph, stream: contextlib.nullcontext(),
        "CUDAGraph": StandInGraph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(StandInGraph, "replays", 0)
    monkeypatch.setattr(StandInGraph, "work", lambda graph: graph.owner())
    return torch.device("cpu")


def test_the_recorded_path_gives_the_same_answers(recorded_on_the_cpu, student):
    backend = create_backend("torch:cpu", student, threads=1)
    rng = np.random.default_rng(0)
    with torch.inference_mode():
        for shape in ((64, 96), (64, 96), (96, 64)):
            left, right = rng.integers(0, 256, (2, *shape, 3), dtype=np.uint8)
            if backend._replay is None or backend._replay.shape[:2] != shape:
                backend._replay = torch_backend._Replay(backend._forward, left.shape, recorded_on_the_cpu)
                backend._replay._graph.owner = backend._replay._work
            found = [answer[0, 0].numpy().copy() for answer in backend._replayed(left, right)]
            expected = backend.infer(left, right)
            assert np.array_equal(found[0], expected[0]) and np.array_equal(found[1], expected[1])
    assert StandInGraph.replays == 3


@pytest.mark.parametrize(("loss_px", "precision"), [(0.0, "fp16"), (0.5, "fp32")])
def test_auto_takes_fp16_only_where_its_answers_are_those_of_fp32(monkeypatch, caplog, student, loss_px, precision):
    backend = create_backend("torch:cpu", student, threads=1)

    def forward(left, right):
        answer = left[..., :1].permute(0, 3, 1, 2).float()
        return answer + (loss_px if backend.precision == "fp16" else 0.0), answer * 0

    monkeypatch.setattr(backend, "_forward", forward)
    backend._prefer_half()
    assert backend.precision == precision
    messages = ["torch runs in fp32: fp16 differs from the reference: mean_px 0.5000 (at most 0.05)"]
    assert caplog.messages == (messages if loss_px else [])


def test_a_model_without_a_description_is_told(toy):
    with pytest.raises(BackendError, match="model toy has no network in its manifest, torch cannot rebuild it"):
        create_backend("torch", toy)


def test_a_description_that_does_not_fit_the_weights_is_one_line(student):
    described = student.manifest.network
    network = {**described, "config": {**described["config"], "stem_channels": 9}}
    other = dataclasses.replace(student, manifest=dataclasses.replace(student.manifest, network=network))
    with pytest.raises(BackendError, match="torch cannot load corr") as caught:
        create_backend("torch:cpu", other)
    assert "\n" not in str(caught.value)


def test_a_gpu_that_torch_cannot_use_is_told(cuda, student):
    if torch.cuda.is_available():
        pytest.skip("torch can use the GPU here")
    with pytest.raises(BackendError, match="torch .* cannot use the GPU"):
        create_backend("torch:cuda", student)
    assert create_backend("torch", student).device == "CPU"
