"""Publishers that restart, offer another quality of service, or lose messages, on real DDS."""

from __future__ import annotations

from types import SimpleNamespace

from diagnostic_msgs.msg import DiagnosticStatus
from pair_checks import assert_recovers, counts
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
    assert counts(node) == (50, 50, {})


def test_lost_messages_are_told_with_the_cure(rig: Rig) -> None:
    node = rig.start()
    rig.connect()
    run = node.active_run
    assert run is not None
    run.images[0]._on_lost(SimpleNamespace(total_count=7, total_count_change=3))  # as rclpy calls it
    status = rig.fault("/left/image_rect: 3 messages lost on the way (7 in all); give the publisher's process")
    assert status.level == DiagnosticStatus.WARN
    assert run.images[0].lost == 3
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
