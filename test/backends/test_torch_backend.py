"""The torch backend against ONNX Runtime: on the CPU, and on a GPU where there is one."""

import contextlib
import dataclasses
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from random_student import random_student  # noqa: E402 (torch first: it may be missing)
from students import STUDENTS  # noqa: E402

from stereo_dp_ros.backends import create_backend, torch_backend  # noqa: E402
from stereo_dp_ros.backends.deployed_network import DeployedNetwork  # noqa: E402
from stereo_dp_ros.backends.engine_gate import TOLERANCES, Tolerance, compare  # noqa: E402
from stereo_dp_ros.backends.torch_backend import load_weights  # noqa: E402
from stereo_dp_ros.backends.torch_maps import PairMaps  # noqa: E402
from stereo_dp_ros.backends.torch_stages import stage_times_ms  # noqa: E402
from stereo_dp_ros.core.calibration import StereoCalibration  # noqa: E402
from stereo_dp_ros.core.errors import BackendError  # noqa: E402
from stereo_dp_ros.core.geometry import depth_from_disparity, points_from_depth  # noqa: E402
from stereo_dp_ros.core.maps import MAPS, MapRequest, infer_maps  # noqa: E402
from stereo_dp_ros.core.models import list_models, load_model  # noqa: E402
from stereo_dp_ros.core.preprocessing import Preprocessing  # noqa: E402

SIZE = (320, 256)
SMALL = (192, 128)  # where a pixel takes long
CALIBRATION = StereoCalibration(90, 50, 80.0, 81.0, 44.5, 46.25, 24.0, 0.12)
PLANS = {
    "its own size": Preprocessing.plan((90, 50), 32),
    "enlarged": Preprocessing.plan((90, 50), 32, (128, 71)),
    "made smaller": Preprocessing.plan((90, 50), 32, (64, 36)),
}
ON_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU and torch with CUDA")


def figures(model, name, precision, tolerance, size=SIZE):
    reference = create_backend("onnxruntime:cpu", model, threads=1)
    backend = create_backend(name, model, precision=precision, threads=1)
    assert (backend.name, backend.precision) == ("torch", precision)
    return compare(backend.infer, reference.infer, size, tolerance)


@pytest.fixture(scope="session")
def student(exported):
    """Random weights: what these tests ask does not depend on them."""
    return exported("corr")


@pytest.mark.parametrize("kind", STUDENTS)
def test_fp32_on_the_cpu_is_what_an_engine_must_be(exported, kind):
    figures(exported(kind), "torch:cpu", "fp32", TOLERANCES["fp32"])


@pytest.mark.parametrize("kind", STUDENTS)
def test_one_changed_channel_is_beyond_it(exported, kind, monkeypatch):
    def changed(model):
        network = load_weights(model)
        first = next(layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d))
        with torch.no_grad():
            first.bias[0] += 0.1
        return network

    monkeypatch.setattr(torch_backend, "load_weights", changed)
    with pytest.raises(BackendError, match="differs from the reference"):
        figures(exported(kind), "torch:cpu", "fp32", TOLERANCES["fp32"])


@pytest.mark.parametrize("name", list_models())
def test_shipped_weights_and_the_networks_of_today_equal_the_shipped_onnx(name):
    assert figures(load_model(name), "torch:cpu", "fp32", TOLERANCES["fp32"]).mean_px < 1e-3


def test_fp32_convolutions_carry_all_their_bits_on_a_gpu(student, monkeypatch):
    backend, allowed = create_backend("torch:cpu", student, precision="fp32"), []
    backend._network.register_forward_pre_hook(lambda *_: allowed.append(torch.backends.cudnn.allow_tf32))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    black = np.zeros((64, 64, 3), np.uint8)
    backend.infer(black, black)
    assert allowed == [False] and torch.backends.cudnn.allow_tf32


def test_weights_are_channels_last(student):
    weights = [w for w in create_backend("torch:cpu", student)._network.parameters() if w.ndim > 3]
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    assert {weight.ndim for weight in weights} == set(formats)
    assert all(weight.is_contiguous(memory_format=formats[weight.ndim]) for weight in weights)


@pytest.mark.parametrize("described", [*STUDENTS, *list_models()])
def test_a_pair_stays_on_the_device_and_nothing_waits_for_its_values(described):
    # On the device "meta" there are no values: asking for one fails as it does while a graph is recorded, and so does
    # a tensor that was left on the CPU.
    network = random_student(described) if described in STUDENTS else load_weights(load_model(described))
    deployed, meta = DeployedNetwork(network.to("meta"), images=False), torch.device("meta")
    for plan in PLANS.values():
        work = PairMaps(deployed, MapRequest(plan, frozenset(MAPS), CALIBRATION), meta)
        shape = work.on_host(np.zeros((50, 90, 3), np.uint8)).shape
        left, right = (torch.empty(shape, dtype=torch.uint8, device=meta) for _ in range(2))
        with torch.inference_mode():
            maps = dict(zip(work.names, work(left, right), strict=True))
        assert {name: (m.device, tuple(m.shape)) for name, m in maps.items()} == {
            name: (meta, work.shape(name)) for name in MAPS
        }


@pytest.mark.parametrize("name", list_models())
def test_bf16_on_the_cpu_is_near_onnx(name):
    tolerance = Tolerance(mean_px=0.25, far_percent=4.0, confidence=0.02)
    figures(load_model(name), "torch:cpu", "bf16", tolerance, SMALL)


@pytest.mark.parametrize("name", list_models())
def test_fp16_as_on_a_gpu_is_near_onnx(name):
    backend = create_backend("torch:cpu", load_model(name), threads=1)
    backend.precision = "fp16"  # not offered on a CPU, where it is slow; autocast rounds there as on a GPU
    reference = create_backend("onnxruntime:cpu", load_model(name), threads=1)
    assert compare(backend.infer, reference.infer, SMALL, TOLERANCES["fp16"]).mean_px < 0.01


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


def replayed(backend, left, right, request, device):
    """What the backend's path of CUDA answers, on the CPU."""
    if backend._replay is None or backend._replay.key != (request, left.shape):
        work = torch_backend.PairMaps(backend.forward, request, device)
        backend._replay = torch_backend.Replay(work, request, left, device)
        backend._replay._graph.owner = backend._replay.step
    return backend._run(left, right, request, eager=False)


def test_the_recorded_path_gives_the_same_answers(recorded_on_the_cpu, student):
    backend = create_backend("torch:cpu", student, threads=1)
    rng = np.random.default_rng(0)
    for width, height in ((96, 64), (96, 64), (64, 96)):
        left, right = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        size = (width, height)
        request = MapRequest(Preprocessing(size, size, size), frozenset({"disparity", "confidence"}))
        found = replayed(backend, left, right, request, recorded_on_the_cpu)
        expected = backend.infer(left, right)
        assert np.array_equal(found["disparity"], expected[0]) and np.array_equal(found["confidence"], expected[1])
    assert StandInGraph.replays == 3


@pytest.fixture
def known_answer(monkeypatch, student):
    """The torch backend on the CPU with the toy model's answer, and a place that has none."""
    backend = create_backend("torch:cpu", student, threads=1)

    def forward(left, right):
        disparity = left.mean(1, keepdim=True) / 16
        disparity[..., 3, 5] = torch.inf
        return disparity, right.mean(1, keepdim=True) / 255

    monkeypatch.setattr(backend, "forward", forward)
    return backend


class OnTheHost:
    """The same answers without `infer_maps`, so that the host makes the maps."""

    name, precision, device = "host", "fp32", "CPU"

    def __init__(self, backend):
        self.infer = backend.infer


@pytest.mark.parametrize("shape", [(50, 90), (50, 90, 3)])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_maps_made_on_the_device_are_those_of_the_host(recorded_on_the_cpu, known_answer, plan, shape):
    rng = np.random.default_rng(0)
    left, right = (cv2.GaussianBlur(rng.integers(0, 256, shape, dtype=np.uint8), (0, 0), 2) for _ in range(2))
    request = MapRequest(plan, frozenset(MAPS), CALIBRATION)
    expected = infer_maps(OnTheHost(known_answer), left, right, request)
    assert np.isnan(expected.disparity_px).any() and not np.isnan(expected.disparity_px).all()
    eager = infer_maps(known_answer, left, right, request)
    recorded = replayed(known_answer, left, right, request, recorded_on_the_cpu)
    # One gray level of an enlarged image is 1/16 px in this network's answer; everything else is rounding.
    step_px = 1.01 / 16 * plan.disparity_scale if plan.network_size[0] > 90 else 1e-5
    assert np.array_equal(np.isnan(eager.disparity_px), np.isnan(expected.disparity_px))
    np.testing.assert_allclose(eager.disparity_px, expected.disparity_px, rtol=0, atol=step_px)
    np.testing.assert_allclose(eager.confidence, expected.confidence, rtol=0, atol=max(1e-6, 1.01 / 255))
    np.testing.assert_allclose(eager.depth_m, depth_from_disparity(eager.disparity_px, CALIBRATION), rtol=3e-7)
    np.testing.assert_allclose(eager.points_m, points_from_depth(eager.depth_m, CALIBRATION), rtol=3e-7)
    for name, found in zip(MAPS, (eager.disparity_px, eager.confidence, eager.depth_m, eager.points_m), strict=True):
        assert np.array_equal(recorded[name], found, equal_nan=True)


@pytest.mark.filterwarnings("error")
def test_images_may_be_read_only_as_those_of_a_message_are(recorded_on_the_cpu, known_answer):
    left = np.full((50, 90), 160, np.uint8)
    left.flags.writeable = False
    request = MapRequest(PLANS["its own size"], frozenset({"disparity"}))
    assert infer_maps(known_answer, left, left, request).disparity_px[0, 0] == 10
    assert replayed(known_answer, left, left, request, recorded_on_the_cpu)["disparity"][0, 0] == 10


def test_only_what_is_wanted_leaves_the_device(recorded_on_the_cpu, known_answer):
    left = np.full((50, 90), 160, np.uint8)
    request = MapRequest(PLANS["its own size"], frozenset({"depth"}), CALIBRATION)
    found = replayed(known_answer, left, left, request, recorded_on_the_cpu)
    assert list(found) == ["depth"]
    assert [tuple(buffer.shape) for buffer in known_answer._replay._maps] == [(50, 90)]
    assert [tuple(buffer.shape) for buffer in known_answer._replay._images] == [(50, 90), (50, 90)]
    assert found["depth"][0, 0] == np.float32(80.0 * 0.12) / np.float32(160 / 16 + 1.75)
    maps = infer_maps(known_answer, left, left, request)
    assert (maps.disparity_px, maps.confidence, maps.points_m) == (None, None, None)


def test_every_stage_is_timed(known_answer):
    left = np.full((50, 90), 160, np.uint8)
    request = MapRequest(PLANS["enlarged"], frozenset(MAPS), CALIBRATION)
    times = stage_times_ms(known_answer, left, left, request, rounds=2)
    assert list(times) == ["copy in", "fit", "network", "maps", "copy out"]
    assert min(times.values()) > 0.0


class StandInEvent:
    """Stands for a CUDA event: each is 0.5 ms after the one before."""

    recorded = 0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        StandInEvent.recorded += 1
        self.at_ms = StandInEvent.recorded / 2

    def synchronize(self):
        pass

    def elapsed_time(self, other):
        return other.at_ms - self.at_ms


def test_recorded_stages_are_timed_by_events(recorded_on_the_cpu, known_answer, monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", StandInEvent)
    monkeypatch.setattr(StandInGraph, "work", lambda graph: None)
    known_answer.is_recorded = True
    left = np.full((50, 90), 160, np.uint8)
    request = MapRequest(PLANS["enlarged"], frozenset(MAPS), CALIBRATION)
    times = stage_times_ms(known_answer, left, left, request, rounds=2)
    assert list(times)[5:] == ["network replayed", "all replayed"]
    assert set(times.values()) == {0.5}
    assert StandInGraph.replays == 2 * (3 + 2)  # after three rounds that do not count


@ON_GPU
def test_every_stage_is_timed_on_the_gpu(student):
    backend = create_backend("torch:cuda", student, precision="fp16")
    left = np.full((50, 90), 160, np.uint8)
    request = MapRequest(PLANS["enlarged"], frozenset(MAPS), CALIBRATION)
    times = stage_times_ms(backend, left, left, request, rounds=5)
    assert list(times)[5:] == ["network replayed", "all replayed"]
    assert min(times.values()) > 0.0


@ON_GPU
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_maps_made_on_the_gpu_are_those_of_the_host(student, plan):
    rng = np.random.default_rng(0)
    left, right = (cv2.GaussianBlur(rng.integers(0, 256, (50, 90), dtype=np.uint8), (0, 0), 2) for _ in range(2))
    request = MapRequest(plan, frozenset(MAPS), CALIBRATION)
    backend = create_backend("torch:cuda", student, precision="fp32")
    found, again = infer_maps(backend, left, right, request), infer_maps(backend, left, right, request)
    assert np.array_equal(found.points_m, again.points_m, equal_nan=True)
    np.testing.assert_allclose(found.depth_m, depth_from_disparity(found.disparity_px, CALIBRATION), rtol=3e-7)
    np.testing.assert_allclose(found.points_m, points_from_depth(found.depth_m, CALIBRATION), rtol=3e-7)
    if plan.network_size[0] <= 90:  # enlarged images may differ by a gray level
        expected = infer_maps(OnTheHost(backend), left, right, request)
        assert np.nanmedian(np.abs(found.disparity_px - expected.disparity_px)) < 1e-3


def test_after_a_failure_the_recording_is_made_anew(recorded_on_the_cpu, known_answer, monkeypatch):
    left = np.full((50, 90), 160, np.uint8)
    request = MapRequest(PLANS["its own size"], frozenset({"depth"}), CALIBRATION)
    replayed(known_answer, left, left, request, recorded_on_the_cpu)

    def broken(graph):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nsecond line")

    monkeypatch.setattr(StandInGraph, "replay", broken)
    with pytest.raises(BackendError, match="^torch failed: CUDA error: an illegal memory access was encountered$"):
        replayed(known_answer, left, left, request, recorded_on_the_cpu)
    assert known_answer._replay is None


@pytest.mark.parametrize(("loss_px", "precision"), [(0.0, "fp16"), (0.5, "fp32")])
def test_auto_takes_fp16_only_where_its_answers_are_those_of_fp32(monkeypatch, caplog, student, loss_px, precision):
    backend = create_backend("torch:cpu", student, threads=1)

    def forward(left, right):
        answer = left[:, :1]
        return answer + (loss_px if backend.precision == "fp16" else 0.0), answer * 0

    monkeypatch.setattr(backend, "forward", forward)
    backend._prefer_half()
    assert backend.precision == precision
    messages = ["torch runs in fp32: fp16 differs from the reference: mean_px 0.5000 (at most 0.05)"]
    assert caplog.messages == (messages if loss_px else [])


def test_a_gpu_that_cannot_take_the_network_is_one_line(monkeypatch, student):
    def broken(self, *args, **kwargs):
        raise RuntimeError("CUDA error: unspecified launch failure\nand advice")

    monkeypatch.setattr(torch.nn.Module, "to", broken)
    with pytest.raises(BackendError, match="torch cannot run corr: CUDA error: unspecified launch failure$"):
        create_backend("torch:cpu", student)


def test_a_model_without_a_description_is_told(toy):
    with pytest.raises(BackendError, match="model toy has no network in its manifest, torch cannot rebuild it"):
        create_backend("torch", toy)


def test_a_description_that_does_not_fit_the_weights_is_one_line(student):
    network = {**student.manifest.network, "channels": {}}
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
