"""The chain of `auto`: who is tried, who is left out and why, and what happens when one fails later."""

import logging

import numpy as np
import pytest

from stereo_dp_ros.backends import create_backend, fallback
from stereo_dp_ros.backends.engine_build import build_engine
from stereo_dp_ros.backends.registry import AUTO
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.maps import MapRequest, StereoMaps
from stereo_dp_ros.core.preprocessing import Preprocessing

PAIR = (np.zeros((32, 64, 3), np.uint8),) * 2
CHAIN = ["tensorrt", "torch:cuda", "onnxruntime:cuda", "openvino", "onnxruntime:cpu"]


class StandInBackend:
    """Answers with the number of its place in the chain, or fails."""

    precision, device = "fp32", "stand-in"

    def __init__(self, name):
        self.name = name
        self.fails = False

    def infer(self, left, right):
        if self.fails:
            raise BackendError(f"{self.name} broke")
        answer = np.full(left.shape[:2], float(CHAIN.index(self.name)), np.float32)
        return answer, answer


@pytest.fixture
def chain(monkeypatch):
    """The chain's backends by name; one that is removed cannot be loaded."""
    backends = {name: StandInBackend(name) for name in CHAIN}

    def load(choice, model, precision, threads):
        if choice.name not in backends:
            raise BackendError(f"{choice.name} is missing")
        return backends[choice.name]

    monkeypatch.setattr(fallback, "load", load)
    return backends


def test_the_order_is_the_documented_one():
    assert [choice.name for choice in AUTO] == CHAIN


@pytest.mark.parametrize("place", range(len(CHAIN)))
def test_the_first_that_loads_is_taken_and_the_others_say_why(chain, toy, place):
    for name in CHAIN[:place]:
        del chain[name]
    backend = create_backend("auto", toy)
    assert backend.name == CHAIN[place]
    assert backend.reasons == {name: f"{name} is missing" for name in CHAIN[:place]}
    assert (backend.infer(*PAIR)[0] == place).all()


def test_none_loads(chain, toy):
    chain.clear()
    with pytest.raises(BackendError) as caught:
        create_backend("auto", toy)
    listed = "; ".join(f"{name}: {name} is missing" for name in CHAIN)
    assert str(caught.value) == f"no backend works here: {listed}"


def test_one_that_fails_later_is_left_for_good_and_the_log_says_so(chain, toy, caplog):
    del chain["torch:cuda"]
    backend = create_backend("auto", toy)
    assert (backend.infer(*PAIR)[0] == 0).all()
    chain["tensorrt"].fails = chain["onnxruntime:cuda"].fails = True
    with caplog.at_level(logging.INFO, logger="stereo_dp_ros.backends.fallback"):
        assert (backend.infer(*PAIR)[0] == 3).all()
    assert backend.name == "openvino"
    assert backend.reasons == {
        "tensorrt": "tensorrt broke",
        "torch:cuda": "torch:cuda is missing",
        "onnxruntime:cuda": "onnxruntime:cuda broke",
    }
    assert "toy runs on openvino, fp32, stand-in" in caplog.messages
    assert "tensorrt is not used: tensorrt broke" in caplog.messages
    chain["tensorrt"].fails = False
    assert (backend.infer(*PAIR)[0] == 3).all()


def test_one_that_failed_gives_back_what_it_holds_and_may_fail_at_that_too(chain, toy, caplog):
    closed = []

    def close():
        closed.append("tensorrt")
        raise BackendError("cuMemFree_v2 failed")

    chain["tensorrt"].close = close
    backend = create_backend("auto", toy)
    chain["tensorrt"].fails = True
    assert (backend.infer(*PAIR)[0] == 1).all()
    assert closed == ["tensorrt"]
    assert "tensorrt failed and is left for torch:cuda: tensorrt broke" in caplog.messages


def test_maps_go_along_the_chain_from_a_device_to_the_host(chain, toy):
    request = MapRequest(Preprocessing.plan((60, 30), 32), frozenset({"disparity"}))
    image = np.zeros((30, 60), np.uint8)
    made = StereoMaps(disparity_px=np.full((30, 60), -1.0, np.float32))

    def on_device(left, right, request):
        if chain["tensorrt"].fails:
            raise BackendError("tensorrt broke")
        return made

    chain["tensorrt"].infer_maps = on_device
    backend = create_backend("auto", toy)
    assert backend.infer_maps(image, image, request) is made
    chain["tensorrt"].fails = True
    assert np.array_equal(backend.infer_maps(image, image, request).disparity_px, np.ones((30, 60), np.float32))
    assert backend.name == "torch:cuda"


def test_a_pair_that_all_refuse_changes_nothing(chain, toy):
    backend = create_backend("auto", toy)
    for member in chain.values():
        member.fails = True
    with pytest.raises(BackendError, match="^tensorrt broke$"):
        backend.infer(*PAIR)
    assert (backend.name, backend.reasons) == ("tensorrt", {})
    chain["tensorrt"].fails = False
    assert (backend.infer(*PAIR)[0] == 0).all()


def test_a_machine_without_a_gpu_says_so(no_gpu, toy):
    reason = "no NVIDIA driver is installed (libno-such-driver.so.1 not found)"
    assert create_backend("auto", toy).reasons == dict.fromkeys(CHAIN[:3], reason)


def test_a_gpu_without_an_engine_falls_back_and_names_the_command(machine, toy):
    backend = create_backend("auto", toy)
    assert backend.name == "openvino"
    assert f"build it: stereo-dp build-engine --model {toy.path}" in backend.reasons["tensorrt"]
    assert backend.reasons["onnxruntime:cuda"].endswith("(pip install onnxruntime-gpu)")


def test_an_engine_of_another_size_falls_back_at_the_first_pair(machine, toy):
    build_engine(toy, (64, 32), precision="fp32", converter="onnx")
    backend = create_backend("auto", toy)
    assert backend.name == "tensorrt"
    backend.infer(*PAIR)
    left = np.full((64, 96, 3), 40, np.uint8)
    assert (backend.infer(left, left)[0] == 10).all()
    assert backend.name == "openvino"
    assert backend.reasons["tensorrt"].startswith("no fp32 engine of toy for 96x64")


def test_an_engine_that_stops_working_falls_back(machine, toy):
    build_engine(toy, (64, 32), precision="fp32", converter="onnx")
    backend = create_backend("auto", toy)
    left = np.full((32, 64, 3), 40, np.uint8)
    assert (backend.infer(left, left)[0] == 10).all()
    machine.cuda.faults.add("cuGraphLaunch")
    assert (backend.infer(left, left)[0] == 10).all()
    assert backend.name == "openvino"
    assert backend.reasons["tensorrt"] == "cuGraphLaunch failed: out of memory (2)"


STEPS = ["deserialize", "context", "address", "execute"]
CALLS = ["cuDevicePrimaryCtxRetain", "cuMemAlloc_v2", "cuMemHostAlloc", "cuStreamCreate", "cuMemcpyHtoDAsync_v2"]
CALLS += ["cuStreamSynchronize", "cuStreamBeginCapture_v2", "cuGraphInstantiateWithFlags", "cuGraphLaunch"]


@pytest.mark.parametrize("fault", STEPS + CALLS)
def test_a_stored_engine_that_fails_at_any_step_is_left_for_the_next_one(machine, toy, fault):
    build_engine(toy, (64, 32), precision="fp32", converter="onnx")
    (machine.faults.steps if fault in STEPS else machine.cuda.faults).add(fault)
    backend = create_backend("auto", toy)
    left = np.full((32, 64, 3), 40, np.uint8)
    assert (backend.infer(left, left)[0] == 10).all()
    assert backend.name == "openvino"
    assert backend.reasons["tensorrt"] and "\n" not in backend.reasons["tensorrt"]
    assert (machine.cuda.memory, machine.cuda.streams) == ({}, set())


def test_a_truncated_engine_is_left_for_the_next_one(machine, toy):
    path = build_engine(toy, (64, 32), precision="fp32", converter="onnx").path
    path.write_bytes(path.read_bytes()[:-100])
    backend = create_backend("auto", toy)
    left = np.full((32, 64, 3), 40, np.uint8)
    assert (backend.infer(left, left)[0] == 10).all()
    assert backend.name == "openvino"
    assert backend.reasons["tensorrt"].endswith("bytes of engine do not match their hash (truncated?)")
