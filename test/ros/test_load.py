"""What becomes of pairs when inference fails or is slow, and two nodes in one process."""

from __future__ import annotations

import threading

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from pair_checks import assert_closed, assert_recovers, counts
from rclpy.parameter import Parameter
from ros_rig import Rig
from ros_scene import FunctionEstimator, PlaneScene, plane_estimator
from sensor_msgs.msg import Image
from stereo_msgs.msg import DisparityImage

from stereo_dp_ros.core.disparity import DisparityMap


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


def test_rate_limit_and_age(rig: Rig) -> None:
    node = rig.start(max_rate_hz=0.01)
    rig.connect()
    for count in range(1, 4):
        rig.publish_scene()
        rig.until(lambda: counts(node)[0] == count, "the pair")  # noqa: B023
    rig.last("disparity")
    assert counts(node) == (3, 1, {"rate_limit": 2})
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
    rig.user.create_subscription(DisparityImage, "rear/disparity", rig.received["rear"].append, 10)
    rig.until(lambda: rear.count_subscribers("disparity"), "the rear's disparity is subscribed to")
    header = rig.header()
    left, right = PlaneScene().messages("rgb8", header)
    left_info, right_info = PlaneScene().camera_infos()
    rig.publishers["rear/left/camera_info"].publish(left_info)
    rig.publishers["rear/right/camera_info"].publish(right_info)
    rig.publishers["front/left/image_rect"].publish(Image(header=header))
    rig.publishers["front/right/image_rect"].publish(Image(header=header))
    rig.pause(0.1)
    rig.publishers["rear/left/image_rect"].publish(left)
    rig.publishers["rear/right/image_rect"].publish(right)
    rig.until(lambda: rig.received["rear"], "the rear's disparity")
    assert rig.received["rear"][0].header == header
    assert counts(front) == (1, 0, {"no_subscribers": 1})
    rig.until(
        lambda: (
            {status.name for status in rig.diagnostics} == {"front/stereo_node: stereo", "rear/stereo_node: stereo"}
        ),
        "both report",
    )
