"""Transitions, parameters and their errors on a real lifecycle node."""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_rig import Rig
from ros_scene import FunctionEstimator, plane_estimator

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.core.errors import ModelError
from stereo_dp_ros.ros.node import StereoNode, create_estimator
from stereo_dp_ros.ros.parameters import PARAMETERS, NodeParameters


def state(node: StereoNode) -> str:
    return str(node._state_machine.current_state[1])


def call(rig: Rig, service_type: type, service: str, request: Any) -> Any:
    client = rig.user.create_client(service_type, service)
    rig.until(client.service_is_ready, f"service {service}")
    rig.pause(0.2)  # that the server has found the client too, so that its answer is not lost, cannot be asked
    future = client.call_async(request)
    rig.until(future.done, f"{service} answers")
    return future.result()


def change(rig: Rig, transition: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(call(rig, ChangeState, "stereo_node/change_state", request).success)


def inference_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stereo inference"]


def test_states_from_outside(rig: Rig) -> None:
    """As `ros2 lifecycle set` does it: without autostart the node waits, subscribes when activated, lets go after."""
    node = rig.start(autostart=False, wait=False)
    rig.pause(0.3)
    assert call(rig, GetState, "stereo_node/get_state", GetState.Request()).current_state.label == "unconfigured"
    assert rig.user.count_publishers("disparity") == 0
    assert change(rig, Transition.TRANSITION_CONFIGURE)
    rig.until(lambda: rig.user.count_publishers("disparity") == 1, "outputs exist once configured")
    assert rig.user.count_subscribers("left/image_rect") == 0
    assert change(rig, Transition.TRANSITION_ACTIVATE)
    rig.connect()
    rig.publish_scene()
    rig.last("disparity")
    assert len(inference_threads()) == 1
    assert change(rig, Transition.TRANSITION_DEACTIVATE)
    rig.until(lambda: rig.user.count_subscribers("left/image_rect") == 0, "unsubscribed once inactive")
    assert not inference_threads()
    assert rig.values()["state"] == "inactive"
    assert change(rig, Transition.TRANSITION_CLEANUP)
    rig.until(lambda: rig.user.count_publishers("disparity") == 0, "outputs are gone after cleanup")
    assert change(rig, Transition.TRANSITION_CONFIGURE)
    assert change(rig, Transition.TRANSITION_ACTIVATE)
    assert change(rig, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert state(node) == "finalized"
    assert not inference_threads()


def test_transitions_that_the_state_does_not_have(rig: Rig) -> None:
    """Such as a lifecycle manager's, which configures what has brought itself up: refused, but answered."""
    node = rig.start()
    assert not change(rig, Transition.TRANSITION_CONFIGURE)
    status = rig.fault("transition 1 refused: the node is active, expected one of deactivate, shutdown")
    assert status.level == DiagnosticStatus.WARN
    assert not change(rig, 250)
    assert state(node) == "active"
    assert change(rig, Transition.TRANSITION_DEACTIVATE)
    assert not change(rig, Transition.TRANSITION_DEACTIVATE)
    assert change(rig, Transition.TRANSITION_ACTIVATE)
    assert state(node) == "active"


@pytest.mark.parametrize(
    ("transition", "method"),
    [("deactivate", "stereo_dp_ros.ros.run.Input.close"), ("clean up", "stereo_dp_ros.ros.outputs.Outputs.close")],
)
def test_what_fails_on_the_way_down_is_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, transition: str, method: str
) -> None:
    """The node is unconfigured then, and can be brought up again."""

    def fail(_: Any) -> None:
        raise RuntimeError("no such handle")

    node = rig.start()
    if transition == "clean up":
        node.trigger_deactivate()
    with monkeypatch.context() as patch:
        patch.setattr(method, fail)
        trigger = node.trigger_deactivate if transition == "deactivate" else node.trigger_cleanup
        assert trigger() == TransitionCallbackReturn.ERROR
    assert state(node) == "unconfigured"
    assert not inference_threads()
    rig.fault(f"{transition} failed: RuntimeError: no such handle")
    assert node.trigger_configure() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    rig.until(lambda: "failed" not in rig.diagnostics[-1].message, "it is mended")


def test_cycles_leave_nothing_behind(rig: Rig) -> None:
    """Subscriptions work after many cycles, and neither threads nor entities pile up."""
    node = rig.start()
    # Entities that come and go while Fast DDS' participants still discover each other are sometimes never told.
    rig.until(lambda: rig.user.count_subscribers("left/image_rect"), "the user has discovered the node")

    def entities() -> tuple[int, ...]:
        return (
            len(list(node.subscriptions)),
            len(list(node.publishers)),
            len(list(node.timers)),
            len(list(node.waitables)),
            len(inference_threads()),
        )

    before = entities()
    for _ in range(20):
        for trigger in (node.trigger_deactivate, node.trigger_cleanup, node.trigger_configure, node.trigger_activate):
            assert trigger() == TransitionCallbackReturn.SUCCESS
    assert entities() == before
    rig.connect()
    rig.publish_scene()
    rig.last("disparity")


def test_the_executor_waits_for_no_more_than_it_must(rig: Rig) -> None:
    """Each message costs rclpy's executor a look at everything that it waits for."""
    node = rig.start()
    assert len(list(node.timers)) == 2, "diagnostics and refresh, but not autostart's any more"
    waitables: list[Any] = list(node.waitables)
    events = [waitable.event_type.name for waitable in waitables]
    assert [name for name in events if "SUBSCRIPTION" in name] == ["RCL_SUBSCRIPTION_MESSAGE_LOST"] * 4
    assert len(events) <= 4 + 2, "the publisher of /parameter_events is rclpy's own; its events differ by release"


def test_deactivating_while_inferring(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pair at work is finished without output, the one that waits is let go; both are counted."""
    monkeypatch.setattr("stereo_dp_ros.ros.run._STOP_TIMEOUT_S", 20.0)  # however busy the machine is
    release, begun = threading.Event(), threading.Event()
    plane = plane_estimator(20.0)

    def infer(left: Any, right: Any) -> Any:
        begun.set()
        release.wait(20)
        return plane.infer(left, right)

    node = rig.start(FunctionEstimator(infer))
    rig.connect()
    rig.publish_scene()
    rig.until(begun.is_set, "inference begins")
    rig.publish_scene()
    run = node.active_run
    assert run is not None
    rig.until(lambda: run.counts.snapshot()[0] == 2, "the second pair waits")
    threading.Timer(0.2, release.set).start()
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert run.counts.snapshot() == (2, 0, {"deactivated": 2})
    assert not inference_threads()
    rig.pause(0.1)
    assert not rig.received["disparity"]


def test_failed_configure_says_why_and_is_tried_again(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    tries: list[NodeParameters] = []

    def factory(parameters: NodeParameters) -> Any:
        tries.append(parameters)
        if len(tries) < 3:
            raise ModelError("model.onnx: no such file, expected it beside the model's manifest")
        return plane_estimator(20.0)

    node = rig.start(factory=factory, wait=False)
    status = rig.fault("configure failed: model.onnx: no such file, expected it beside the model's manifest")
    assert status.level == DiagnosticStatus.ERROR
    rig.until(lambda: node.active_run is not None, "the third try works")
    assert state(node) == "active"
    assert len(tries) == 3
    assert capfd.readouterr().err.count("configure failed") == 1


def test_failed_configure_asked_for_from_outside(rig: Rig) -> None:
    """rclpy swallows exceptions in transitions; whatever is raised, the caller sees a failure and the log says why."""

    def factory(parameters: NodeParameters) -> Any:
        raise RuntimeError("out of memory")

    node = rig.start(factory=factory, wait=False, autostart=False)
    assert not change(rig, Transition.TRANSITION_CONFIGURE)
    assert state(node) == "unconfigured"
    rig.fault("configure failed: RuntimeError: out of memory")
    rig.pause(1.0)
    assert rig.diagnostics[-1].message == "configure failed: RuntimeError: out of memory", "it stays until it is mended"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"model": "no_such_model"}, ["no model is named 'no_such_model', there are"]),
        ({"model": "{folder}/none.json"}, ["none.json: no such file", "expected a model's manifest"]),
        ({"model": "{folder}/bad.json"}, ["bad.json: is not JSON", "expected a model manifest"]),
        ({"model": "{folder}/hash.json"}, ["hash.onnx: SHA-256", "truncated or changed"]),
        (
            {"model": "{folder}/good.json", "backend": "magic"},
            ["no backend is named 'magic'", "there are", "openvino", "onnxruntime"],
        ),
    ],
)
def test_models_that_cannot_be_loaded(rig: Rig, tmp_path: Path, parameters: dict[str, str], words: list[str]) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "hash.onnx").write_bytes(b"cut")
    (tmp_path / "hash.json").write_text(
        '{"name": "hash", "size_multiple": 32, "max_disparity_px": 64, "files": {"hash.onnx": "00"}}'
    )
    manifest = {"name": "good", "size_multiple": 32, "max_disparity_px": 64}
    files = {"hash.onnx": hashlib.sha256(b"cut").hexdigest()}
    (tmp_path / "good.json").write_text(json.dumps({**manifest, "files": files}))
    values = {name: value.format(folder=tmp_path) for name, value in parameters.items()}
    node = rig.start(factory=create_estimator, wait=False, **values)
    status = rig.fault("configure failed")
    assert status.level == DiagnosticStatus.ERROR
    assert all(word in status.message for word in words), status.message
    assert "\n" not in status.message
    assert state(node) == "unconfigured"


def test_parameters_reach_the_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "stereo_dp_ros.ros.node.load_estimator", lambda *arguments, **options: asked.append((arguments, options))
    )
    create_estimator(NodeParameters(model="m", backend="b", precision="p", threads=3))
    create_estimator(NodeParameters(inference_width=320, inference_height=256))
    assert asked == [
        (("m", "b"), {"precision": "p", "threads": 3, "input_size": None}),
        (("default", "auto"), {"precision": "auto", "threads": None, "input_size": (320, 256)}),
    ]
    assert callable(load_estimator)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("confidence_threshold", 1.5, "confidence_threshold"),
        ("points_decimation", 0, "points_decimation"),
        ("points_color", "red", "parameter points_color: found 'red', expected one of rgb, intensity, none"),
        ("max_depth_m", 0.5, "parameters min_depth_m and max_depth_m: found 1.0 and 0.5, expected min_depth_m < "),
        ("model", "other", "parameter model is read when the node is configured: deactivate and clean up first"),
        ("max_rate_hz", "fast", "max_rate_hz"),
        ("max_age_s", float("nan"), "max_age_s"),
        ("autostart", False, "read-only"),
    ],
)
def test_parameters_that_are_refused(rig: Rig, name: str, value: Any, reason: str) -> None:
    node = rig.start(min_depth_m=1.0)
    before = node.get_parameter(name).value
    try:
        (result,) = node.set_parameters([Parameter(name, value=value)])
        assert not result.successful
        assert reason in result.reason
    except Exception as error:  # rclpy raises for a wrong type in older releases
        assert reason in str(error)
    assert node.get_parameter(name).value == before


def test_misspelled_parameters_are_told(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    """rclpy passes over them."""
    given = {"confidence_treshold": 0.5, "zzz": 1, "confidence_threshold": 0.25, "use_sim_time": False}
    node = rig.start(autostart=False, wait=False, **given)
    assert node.get_parameter("confidence_threshold").value == 0.25
    lines = [line for line in capfd.readouterr().err.splitlines() if "is unknown" in line]
    assert len(lines) == 2
    assert "parameter confidence_treshold is unknown and ignored: did you mean confidence_threshold?" in lines[0]
    assert "parameter zzz is unknown and ignored: expected one of model, backend, " in lines[1]


def test_parameters_read_at_configure_change_between(rig: Rig) -> None:
    sizes: list[Any] = []

    def factory(parameters: NodeParameters) -> Any:
        sizes.append(parameters.input_size)
        return plane_estimator(20.0)

    node = rig.start(factory=factory)
    assert node.trigger_deactivate() == node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    results = node.set_parameters_atomically(
        [Parameter("inference_width", value=320), Parameter("inference_height", value=256)]
    )
    assert results.successful, results.reason
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert sizes == [None, (320, 256)]


def test_descriptors_tell_unit_and_range(rig: Rig) -> None:
    node = rig.start(autostart=False, wait=False)
    for spec in PARAMETERS:
        descriptor = node.describe_parameter(spec.name)
        assert descriptor.description.startswith(spec.description)
        assert ("at once" in descriptor.description) == spec.live
        assert ("node starts" in descriptor.description) == descriptor.read_only == (spec.name == "autostart")
        if spec.choices:
            assert descriptor.additional_constraints == "one of: " + ", ".join(spec.choices)
        bounds = [*descriptor.floating_point_range, *descriptor.integer_range]
        assert len(bounds) == (spec.minimum is not None)
        if bounds:
            assert (bounds[0].from_value, bounds[0].to_value) == (spec.minimum, spec.maximum)


def test_message_filters_asked_for_but_missing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "message_filters", None)
    node = rig.start(sync_backend="message_filters", wait=False)
    rig.fault("activate failed")
    assert state(node) == "inactive"


def test_an_inference_left_over_never_runs_beside_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deactivation does not wait for ever; what it left running ends without output before the next pair begins."""
    monkeypatch.setattr("stereo_dp_ros.ros.run._STOP_TIMEOUT_S", 0.05)
    release, running, most = threading.Event(), [0], [0]
    plane = plane_estimator(20.0)

    def infer(left: Any, right: Any) -> Any:
        running[0] += 1
        most[0] = max(most[0], running[0])
        release.wait(20)
        running[0] -= 1
        return plane.infer(left, right)

    node = rig.start(FunctionEstimator(infer))
    rig.connect()
    rig.publish_scene()
    rig.until(lambda: running[0] == 1, "inference begins")
    left_over = node.active_run
    assert left_over is not None
    assert node.trigger_deactivate() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    run = node.active_run
    assert run is not None
    rig.until(lambda: all(rig.publishers[topic].get_subscription_count() == 1 for topic in rig.publishers), "matched")
    rig.publish_infos()
    rig.until(lambda: all(info.received for info in run.camera_infos), "camera_info has come")
    header = rig.publish_scene()
    rig.until(lambda: run.counts.snapshot()[0] == 1, "the next pair")
    rig.pause(0.1)
    release.set()
    rig.last("disparity")
    rig.until(lambda: left_over.counts.snapshot() == (1, 0, {"deactivated": 1}), "the left-over is counted")
    assert [message.header for message in rig.received["disparity"]] == [header]
    assert most == [1]


def test_waiting_for_a_model_costs_nothing(rig: Rig) -> None:
    """Between two tries the executor sleeps."""

    def factory(parameters: NodeParameters) -> Any:
        raise ModelError("no model")

    node = rig.start(factory=factory, wait=False)
    rig.fault("configure failed: no model")
    calls: list[int] = []
    original = node._autostart
    for timer in node._autostart_timers:
        timer.callback = lambda: (calls.append(1), original())
    rig.pause(1.2)
    assert 1 <= len(calls) <= 4  # every half second here
