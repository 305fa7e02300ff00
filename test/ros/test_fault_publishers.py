"""Publishers that restart, offer another quality of service, or lose messages, on real DDS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from pair_checks import assert_recovers, settled_counts
from rclpy.qos import ReliabilityPolicy
from ros_rig import Rig


def test_publisher_offers_best_effort_then_reliable(rig: Rig) -> None:
    """The subscriptions follow the publishers, and come back when these restart."""
    node = rig.start()
    images = ("left/image_rect", "right/image_rect")
    rig.advertise(("left/camera_info", "right/camera_info"))
    rig.subscribe("disparity")
    rig.publish_infos()
    run = node.active_run
    assert run is not None
    offered = (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE) * 2
    for expected, reliability in enumerate(offered, 1):
        rig.advertise(images, reliability=reliability)
        name = reliability.name.lower()
        rig.until(lambda: all(image.reliability == name for image in run.images), f"subscribed {name}")  # noqa: B023
        rig.until(lambda: all(rig.publishers[topic].get_subscription_count() == 1 for topic in images), "matched")
        rig.publish_scene()
        rig.last("disparity", expected)
        rig.unadvertise(*images)
        rig.until(lambda: not any(image.publisher_count for image in run.images), "publishers are gone")


def test_fifty_restarts_of_the_camera(rig: Rig) -> None:
    """Each time the first pair after matching comes out."""
    node = rig.start()
    rig.connect()
    images = ("left/image_rect", "right/image_rect")
    for expected in range(1, 51):
        rig.publish_scene()
        rig.last("disparity", expected)
        rig.unadvertise(*images)
        rig.advertise(images)
    assert len(list(node.subscriptions)) == 4
    assert settled_counts(rig, node) == (50, 50, {})


CAMERA = """
import sys
import time
from array import array
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

rclpy.init()
profile = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
publisher = Node("camera").create_publisher(Image, "left/image_rect", profile)
while not publisher.get_subscription_count():
    time.sleep(0.05)
for index in range(1, 23):
    small = index in (1, 22)
    width, height = (8, 8) if small else (1920, 1080)
    image = Image(width=width, height=height, step=3 * width, encoding="rgb8")
    image.data = array("B", bytes(3 * width * height))
    image.header.stamp.sec = index
    if small:
        sys.stdin.readline()
    publisher.publish(image)
    time.sleep(0.02)
sys.stdin.readline()
"""


def test_lost_messages_are_told_with_the_cure(rig: Rig, tmp_path: Path) -> None:
    """Best-effort images of 6 MB through Fast DDS' default shared memory of 512 kB."""
    node = rig.start()
    run = node.active_run
    assert run is not None
    left = run.images[0]
    environment = {**os.environ, "ROS_LOG_DIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", CAMERA], env=environment, stdin=subprocess.PIPE, text=True) as camera:
        assert camera.stdin is not None
        rig.until(lambda: left.publisher_count and left.reliability == "best_effort", "the camera is there")
        rig.pause(0.5)
        for index in (1, 22):  # a small image before and after the large ones
            print(file=camera.stdin, flush=True)
            rig.until(lambda: left.last_stamp and left.last_stamp.sec == index, f"image {index}")  # noqa: B023
        rig.until(lambda: left.received + left.lost == 22, f"{left.received} received, {left.lost} lost")
        assert left.lost > 0
        camera.communicate("\n")
    texts = [text for status in rig.diagnostics for text in (status.message, *(item.value for item in status.values))]
    told = [text for text in texts if text.startswith("/left/image_rect: ") and " messages lost on the way (" in text]
    assert told and all("give the publisher's process the large-message DDS profile" in text for text in told)
    assert rig.values()["/left/image_rect messages lost"] == str(left.lost)
    rig.connect()
    rig.until(lambda: left.reliability == "reliable", "the publisher that is there now is followed")
    rig.until(lambda: rig.publishers["left/image_rect"].get_subscription_count() == 1, "matched")
    assert_recovers(rig, node)


def test_reliability_that_does_not_fit(rig: Rig) -> None:
    """With a fixed reliability the incompatible publisher is told."""
    rig.start(input_reliability="reliable")
    rig.advertise(("left/image_rect",), reliability=ReliabilityPolicy.BEST_EFFORT, match=False)
    status = rig.fault("/left/image_rect: a publisher offers incompatible RELIABILITY, expected reliable")
    assert "set input_reliability to auto" in status.message
    rig.pause(1.0)
    assert "incompatible" in rig.diagnostics[-1].message, "it stays as long as that publisher"
    rig.unadvertise("left/image_rect")
    rig.until(lambda: "incompatible" not in rig.diagnostics[-1].message, "it is gone with that publisher")


def test_subscriber_that_asks_for_more_than_is_offered(rig: Rig) -> None:
    """Our own publishers: who asks a best-effort output for reliability gets nothing, and the node says so."""
    node = rig.start(output_reliability="best_effort")
    rig.connect("disparity")
    status = rig.fault("/disparity: 1 subscribers get nothing, expected them to ask for its type and for best_effort")
    assert status.level == DiagnosticStatus.WARN
    rig.unsubscribe("disparity")
    rig.subscribe("disparity", reliability=ReliabilityPolicy.BEST_EFFORT)
    rig.until(lambda: "get nothing" not in rig.diagnostics[-1].message, "it is gone with that subscriber")
    assert_recovers(rig, node)
