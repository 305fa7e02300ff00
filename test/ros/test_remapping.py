"""Inputs under other names, given as rules on the command line."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rclpy.qos import ReliabilityPolicy
from ros_rig import Rig
from ros_scene import FunctionEstimator, PlaneScene
from sensor_msgs.msg import CompressedImage

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.ros.conversions import image_message
from stereo_dp_ros.ros.node import StereoNode
from stereo_dp_ros.ros.run import ActiveRun


class Seen(FunctionEstimator):
    """Keeps the images that it is given; answers 20 px."""

    def __init__(self) -> None:
        super().__init__(self._keep)
        self.pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def _keep(self, left: np.ndarray, right: np.ndarray) -> DisparityMap:
        self.pairs.append((left, right))
        return DisparityMap(np.full(left.shape[:2], 20, np.float32), np.ones(left.shape[:2], np.float32), 0.0, 64.0)


def start(rig: Rig, *rules: str, **parameters: str) -> tuple[ActiveRun, Seen]:
    """An active node with these rules."""
    seen = Seen()
    words = [word for rule in rules for word in ("-r", rule)]
    words += [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    node = StereoNode(
        estimator_factory=lambda _: seen,
        context=rig._contexts[0],
        cli_args=["--ros-args", *words],
        use_global_arguments=False,
    )
    rig._executors[0].add_node(node)
    rig.nodes.append(node)
    rig.until(lambda: node.active_run is not None, "the node is active")
    run = node.active_run
    assert run is not None
    return run, seen


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
def test_sides_that_are_swapped_by_rules(rig: Rig, reliability: ReliabilityPolicy) -> None:
    """Cameras that were mounted the other way round: left is called right; each rule counts once."""
    names = ("image_rect", "camera_info")
    sides = (("left", "right"), ("right", "left"))
    run, seen = start(rig, *(f"{ours}/{name}:={theirs}/{name}" for ours, theirs in sides for name in names))
    assert [image.topic for image in run.images] == ["/right/image_rect", "/left/image_rect"]
    rig.advertise(("left/image_rect", "right/image_rect"), reliability=reliability)
    rig.until(lambda: all(image.reliability == reliability.name.lower() for image in run.images), "the offer is taken")
    scene = PlaneScene()
    rig.advertise(("left/camera_info", "right/camera_info"))
    rig.subscribe("disparity")
    left_info, right_info = scene.camera_infos()
    rig.publish(left_camera_info=right_info, right_camera_info=left_info)
    rig.until(lambda: all(info.received for info in run.camera_infos), "camera_info has come")
    header = rig.header()
    left, right = scene.images()
    rig.publish(
        left_image_rect=image_message(right, "rgb8", header), right_image_rect=image_message(left, "rgb8", header)
    )
    rig.last("disparity")
    np.testing.assert_array_equal(seen.pairs[0][0], left)
    np.testing.assert_array_equal(seen.pairs[0][1], right)


@pytest.mark.parametrize(
    "rules",
    [
        ("left/image_rect:=camera/left", "right/image_rect:=camera/right"),
        ("left/image_rect/compressed:=camera/left/compressed", "right/image_rect/compressed:=camera/right/compressed"),
    ],
    ids=["of the image", "of the compressed image"],
)
def test_compressed_topics(rig: Rig, rules: tuple[str, str]) -> None:
    """Either name can be remapped, and a publisher's reliability is followed under the new one."""
    run, seen = start(rig, *rules, image_transport="compressed")
    topics = ("camera/left/compressed", "camera/right/compressed")
    assert [image.topic for image in run.images] == [f"/{topic}" for topic in topics]
    rig.advertise(topics, message_type=CompressedImage, reliability=ReliabilityPolicy.BEST_EFFORT)
    rig.until(lambda: all(image.reliability == "best_effort" for image in run.images), "the offer is taken")
    rig.advertise(("left/camera_info", "right/camera_info"))
    rig.subscribe("disparity")
    rig.publish_infos()
    rig.until(lambda: all(info.received for info in run.camera_infos), "camera_info has come")
    header = rig.header()
    images = PlaneScene().images()
    for topic, image in zip(topics, images, strict=True):
        data = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
        rig.publishers[topic].publish(CompressedImage(header=header, format="rgb8; png compressed", data=data))
    rig.last("disparity")
    np.testing.assert_array_equal(seen.pairs[0], images)
