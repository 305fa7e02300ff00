"""What becomes of pairs when inference fails or is slow, and two nodes in one process."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from pair_checks import assert_closed, assert_recovers, counts, settled_counts
from rclpy.parameter import Parameter
from ros_rig import Rig
from ros_scene import FunctionEstimator, PlaneScene, plane_estimator
from sensor_msgs.msg import Image
from stereo_msgs.msg import DisparityImage

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.ros import diagnostics


def test_inference_that_fails_once_and_always(rig: Rig) -> None:
    failing = [True]

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        if failing[0]:
            raise RuntimeError("device lost\nat line 7")
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    node = rig.start(FunctionEstimator(infer))
    rig.connect()
    for count in range(1, 6):
        rig.publish_scene()
        rig.until(lambda: counts(node)[2].get("inference_failed") == count, "the pair is counted")  # noqa: B023
    status = rig.fault("inference failed: RuntimeError: device lost at line 7")
    assert status.level == DiagnosticStatus.ERROR
    failing[0] = False
    assert_recovers(rig, node)
    assert counts(node)[2].get("inference_failed") == 5


def test_the_newest_pair_wins(rig: Rig) -> None:
    """Six pairs while one is inferred: the first and the last come out, the others are counted."""
    release = threading.Event()

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        release.wait(20)
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    node = rig.start(FunctionEstimator(infer))
    rig.connect()
    headers = [rig.publish_scene()]
    rig.until(lambda: counts(node)[0] == 1, "the first pair")
    rig.pause(0.05)
    for count in range(2, 7):
        headers.append(rig.publish_scene())
        rig.until(lambda: counts(node)[0] == count, "the next pair")  # noqa: B023
    assert counts(node) == (6, 0, {"superseded": 4})
    release.set()
    rig.last("disparity", 2)
    assert [message.header for message in rig.received["disparity"]] == [headers[0], headers[5]]
    assert_closed(rig, node)
    assert counts(node) == (6, 2, {"superseded": 4})


def test_a_network_that_hangs(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer pairs take each other's place meanwhile; it is told until there is an answer."""
    monkeypatch.setattr(diagnostics, "STALL_S", 1.0)
    release = threading.Event()

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        release.wait(20)
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    node = rig.start(FunctionEstimator(infer), max_rate_hz=5.0)
    rig.connect()
    status = rig.fault("the network has worked on one pair for ", rig.publish_scene)
    assert status.level == DiagnosticStatus.ERROR
    assert counts(node)[1] == 0 and counts(node)[2].keys() == {"superseded", "rate_limit"}
    release.set()
    assert_recovers(rig, node)


def test_rate_limit_and_age(rig: Rig) -> None:
    node = rig.start(max_rate_hz=0.01)
    rig.connect()
    for count in range(1, 4):
        rig.publish_scene()
        rig.until(lambda: counts(node)[0] == count, "the pair")  # noqa: B023
    rig.last("disparity")
    assert settled_counts(rig, node) == (3, 1, {"rate_limit": 2})
    node.set_parameters([Parameter("max_rate_hz", value=0.0), Parameter("max_age_s", value=1e-9)])
    rig.publish_scene()
    rig.until(lambda: counts(node)[2] == {"rate_limit": 2, "too_old": 1}, "older than a nanosecond")
    assert_closed(rig, node)
    status = rig.fault("dropped and none was answered, as they had waited longer than max_age_s", rig.publish_scene)
    assert status.level == DiagnosticStatus.WARN
    node.set_parameters([Parameter("max_age_s", value=1.0)])
    assert_recovers(rig, node)


def test_two_nodes_in_one_process(rig: Rig) -> None:
    """Namespaces keep two pairs apart; one's bad input leaves the other alone."""
    front = rig.start(plane_estimator(20.0), namespace="front")
    rear = rig.start(plane_estimator(20.0), namespace="rear", wait=False)
    rig.until(lambda: rear.active_run is not None, "the second node is active")
    topics = [
        f"{name}/{side}/{kind}"
        for name in ("front", "rear")
        for side in ("left", "right")
        for kind in ("image_rect", "camera_info")
    ]
    rig.advertise(topics)
    for name, node in (("front", front), ("rear", rear)):
        rig.user.create_subscription(DisparityImage, f"{name}/disparity", rig.received[name].append, 10)
        rig.until(lambda: node.count_subscribers("disparity"), f"{name}/disparity is subscribed to")  # noqa: B023
    header = rig.header()
    left, right = PlaneScene().messages("rgb8", header)
    for side, info in zip(("left", "right"), PlaneScene().camera_infos(), strict=True):
        for name in ("front", "rear"):
            rig.publishers[f"{name}/{side}/camera_info"].publish(info)

    def show_front() -> None:
        for side in ("left", "right"):
            rig.publishers[f"front/{side}/image_rect"].publish(Image(header=header))

    show_front()
    rig.until(lambda: counts(front) == (1, 0, {"bad_image": 1}), "the front's images have no encoding")
    rig.publishers["rear/left/image_rect"].publish(left)
    rig.publishers["rear/right/image_rect"].publish(right)
    rig.until(lambda: rig.received["rear"], "the rear's disparity")
    assert rig.received["rear"][0].header == header
    assert not rig.received["front"]
    assert settled_counts(rig, rear) == (1, 1, {})
    wrong = rig.fault("/front/left/image_rect: encoding is ''", show_front)
    assert wrong.name == "front/stereo_node: stereo"
    rig.diagnostics.clear()
    rig.until(lambda: {status.name for status in rig.diagnostics} == {wrong.name, "rear/stereo_node: stereo"}, "both")
    messages = [status.message for status in rig.diagnostics if status.name != wrong.name]
    assert messages and not any("encoding" in message for message in messages)
