"""From a model to a trusted engine and its answers, on a stand-in GPU with a stand-in TensorRT."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from stereo_dp_ros.backends import create_backend
from stereo_dp_ros.backends.engine_build import build_engine
from stereo_dp_ros.backends.engine_cache import EngineCache
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import list_models, load_model

SIZE = (64, 32)


def build(model, **options):
    return build_engine(model, SIZE, **{"precision": "fp32", "converter": "onnx", **options})


def images(seed=1):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8) for _ in range(2)]


def test_a_built_engine_answers_exactly(machine, toy):
    built = build(toy)
    assert built.built and built.replaced is None
    assert built.record.figures["pairs"] == 4 and built.record.figures["mean_px"] < 1e-5
    backend = create_backend("tensorrt", toy)
    assert (backend.name, backend.precision, backend.device) == ("tensorrt", "fp32", "CUDA, Stand-in GPU")
    for seed in (1, 2):
        left, right = images(seed)
        disparity, confidence = backend.infer(left, right)
        np.testing.assert_allclose(disparity, left.mean(axis=2) / 4, rtol=1e-5)
        np.testing.assert_allclose(confidence, right.mean(axis=2) / 255, rtol=1e-5)


def test_pairs_replay_the_recorded_graph_and_answers_do_not_alias(machine, toy):
    build(toy)
    backend = create_backend("tensorrt", toy)
    before = machine.cuda.launches
    first, _ = backend.infer(*(np.full((32, 64, 3), 40, np.uint8),) * 2)
    second, _ = backend.infer(*(np.full((32, 64, 3), 80, np.uint8),) * 2)
    assert machine.cuda.launches == before + 2
    assert (first == 10).all() and (second == 20).all()


@pytest.mark.parametrize("name", list_models())
def test_shipped_students_pass_in_fp16_with_what_it_cannot_hold_in_fp32(machine, name):
    built = build_engine(load_model(name), (192, 128), precision="fp16", converter="onnx")
    assert built.record.figures["pairs"] == 4


def test_tf32_is_off_and_fp16_is_a_flag_in_10_alone(machine, toy):
    for precision in ("fp32", "fp16"):
        content = EngineCache().load(build(toy, precision=precision).record.key)[0]
        head, _, graph = content.partition(b"\n")
        casts = {
            attribute.i
            for node in onnx.load_from_string(graph).graph.node
            if node.op_type == "Cast"
            for attribute in node.attribute
        }
        asked = ["FP16", "OBEY_PRECISION_CONSTRAINTS"] if machine.major == 10 and precision == "fp16" else []
        assert json.loads(head)["flags"] == asked
        assert (TensorProto.FLOAT16 in casts) == (precision == "fp16")


def test_auto_prefers_the_fp16_engine(machine, toy):
    build(toy, precision="fp32")
    assert create_backend("tensorrt", toy).precision == "fp32"
    build(toy, precision="fp16")
    assert create_backend("tensorrt", toy).precision == "fp16"
    assert create_backend("tensorrt", toy, precision="fp32").precision == "fp32"


def test_a_stored_engine_is_not_built_again(machine, toy):
    first = build(toy)
    machine.faults.steps.add("build")
    second = build(toy)
    assert not second.built and second.path == first.path


def test_a_damaged_engine_is_built_again_and_says_so(machine, toy):
    path = build(toy).path
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(BackendError, match=r"bytes of engine do not match their hash \(truncated\?\)"):
        create_backend("tensorrt", toy).infer(*images())
    again = build(toy)
    assert again.built and "truncated?" in again.replaced
    create_backend("tensorrt", toy).infer(*images())


@pytest.mark.parametrize(
    ("distort", "reason"),
    [
        (lambda d, c: (d + 0.5, c), r"differs from the reference: mean_px 0.5000 \(at most 0.01\)"),
        (lambda d, c: (d, c + 0.1), r"confidence 0.1000 \(at most 0.001\)"),
        (lambda d, c: (d * np.nan, c), "100.0 % of the disparities are not finite"),
        (lambda d, c: (d, c / 0.0), "are not finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_an_engine_with_other_answers_is_refused_with_the_figures(machine, toy, distort, reason):
    machine.faults.distort = distort
    with pytest.raises(
        BackendError, match=f"the engine is refused, ONNX Runtime on the CPU being the reference: .*{reason}"
    ):
        build(toy)
    assert EngineCache().records() == []
    assert machine.cuda.memory == {} and machine.cuda.streams == set()


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("parse", "cannot parse .*toy.onnx: In node 3"),
        ("build", "built no engine: Error Code 10: no implementation for node 3$"),
        ("deserialize", "does not take the engine"),
        ("context", "memory does not suffice"),
        ("address", "does not take the buffer of left"),
        ("execute", "could not run the engine"),
    ],
)
def test_each_step_of_tensorrt_may_fail(machine, toy, step, reason):
    machine.faults.steps.add(step)
    with pytest.raises(BackendError, match=reason) as caught:
        build(toy)
    assert "\n" not in str(caught.value)
    assert EngineCache().records() == []
    assert machine.cuda.memory == {} and machine.cuda.streams == set()


@pytest.mark.parametrize(
    "call",
    [
        "cuInit",
        "cuDevicePrimaryCtxRetain",
        "cuMemAlloc_v2",
        "cuMemHostAlloc",
        "cuStreamCreate",
        "cuMemcpyHtoDAsync_v2",
        "cuMemcpyDtoHAsync_v2",
        "cuStreamSynchronize",
        "cuStreamBeginCapture_v2",
        "cuStreamEndCapture",
        "cuGraphInstantiateWithFlags",
        "cuGraphLaunch",
    ],
)
def test_each_call_of_the_driver_may_fail(machine, toy, call):
    machine.cuda.faults.add(call)
    with pytest.raises(BackendError, match=rf"{call} failed: out of memory \(2\)"):
        build(toy)
    assert machine.cuda.memory == {} and EngineCache().records() == []


def test_after_a_failure_the_engine_is_loaded_again(machine, toy):
    build(toy)
    backend = create_backend("tensorrt", toy)
    left, right = images()
    backend.infer(left, right)
    held = len(machine.cuda.memory)
    machine.cuda.faults.add("cuGraphLaunch")
    with pytest.raises(BackendError, match="^cuGraphLaunch failed"):
        backend.infer(left, right)
    assert (machine.cuda.memory, machine.cuda.streams, machine.cuda.graphs) == ({}, set(), {})
    machine.cuda.faults.clear()
    np.testing.assert_allclose(backend.infer(left, right)[0], left.mean(axis=2) / 4, rtol=1e-5)
    assert len(machine.cuda.memory) == held


def test_what_a_failed_gpu_refuses_to_free_keeps_nothing_else(machine, toy):
    build(toy)
    backend = create_backend("tensorrt", toy)
    left, right = images()
    backend.infer(left, right)
    held = len(machine.cuda.memory)
    machine.cuda.faults |= {"cuGraphLaunch", "cuMemFree_v2"}
    with pytest.raises(BackendError, match="^cuGraphLaunch failed"):
        backend.infer(left, right)
    assert len(machine.cuda.memory) == held // 2  # the page-locked half is free
    assert (machine.cuda.streams, machine.cuda.graphs) == (set(), {})


def test_an_engine_is_bound_to_its_gpu_and_version(machine, toy):
    build(toy)
    machine.cuda.name = "Other GPU"
    with pytest.raises(BackendError, match=r"no fp16 or fp32 engine of toy for TensorRT .* on Other GPU \(compute"):
        create_backend("tensorrt", toy)
    machine.cuda.name = "Stand-in GPU"
    machine.trt.__version__ = f"{machine.major}.99.0"
    with pytest.raises(BackendError, match=rf"engine of toy for TensorRT {machine.major}.99.0"):
        create_backend("tensorrt", toy)


def test_another_size_names_what_there_is_and_the_command(machine, toy):
    build(toy)
    backend = create_backend("tensorrt", toy)
    with pytest.raises(BackendError) as caught:
        backend.infer(*(np.zeros((64, 96, 3), np.uint8),) * 2)
    assert "found one for width_px 64 instead of 96, height_px 32 instead of 64" in str(caught.value)
    assert f"stereo-dp build-engine --model {toy.path} --precision fp32 --inference-size 96x64" in str(caught.value)
    assert backend.infer(*images())[0].shape == (32, 64)


def test_a_size_that_the_network_cannot_take_is_told(machine, toy):
    with pytest.raises(BackendError, match="size is 640x470, expected multiples of 32, such as 640x480"):
        build_engine(toy, (640, 470), precision="fp32", converter="onnx")


def test_versions_are_told_apart(machine, toy):
    machine.trt.__version__ = "8.6.1"
    with pytest.raises(BackendError, match="TensorRT is 8.6.1, expected 10 or newer"):
        build(toy)


def test_torch2trt_is_refused_where_it_cannot_work(machine, toy):
    pytest.importorskip("torch")
    reason = "torch2trt cannot be imported" if machine.major == 10 else "torch2trt needs TensorRT 10, found 11"
    with pytest.raises(BackendError, match=reason):
        build(toy, converter="torch2trt")
