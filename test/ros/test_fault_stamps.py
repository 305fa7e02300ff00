"""Cameras that are silent, and stamps that do not pair, on real DDS."""

from __future__ import annotations

from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from pair_checks import assert_closed, assert_recovers, counts
from ros_rig import Rig
from ros_scene import PlaneScene
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from stereo_dp_ros.ros import diagnostics


def test_one_camera_silent(rig: Rig) -> None:
    node = rig.start(queue_size=3)
    rig.connect()
    run = node.active_run
    assert run is not None
    left, _ = PlaneScene().messages("rgb8", Header())
    for _ in range(8):
        left.header = rig.header()
        rig.publish(left_image_rect=left)
    rig.until(lambda: run.synchronizer.received == [8, 0], "eight left images")
    assert run.synchronizer.unmatched == [5, 0]
    assert run.synchronizer.waiting == [3, 0]

    def keep_on() -> None:
        left.header = rig.header()
        rig.publish(left_image_rect=left)

    status = rig.fault("/right/image_rect: no message for", keep_on)
    assert status.level == DiagnosticStatus.ERROR
    assert_recovers(rig, node)


def test_nobody_publishes(rig: Rig) -> None:
    rig.start()
    status = rig.fault("/left/image_rect: nobody publishes this topic, expected sensor_msgs/msg/Image")
    assert status.level == DiagnosticStatus.WARN
    assert "remap" in status.message


def test_topic_of_another_type(rig: Rig) -> None:
    rig.start()
    rig.advertise(("left/image_rect",), message_type=CompressedImage, match=False)
    rig.fault("/left/image_rect: is of type sensor_msgs/msg/CompressedImage, expected sensor_msgs/msg/Image")


def test_stamps_that_are_zero(rig: Rig) -> None:
    node = rig.start()
    rig.connect()
    for _ in range(2):
        rig.publish_scene(stamp_s=0.0)
    rig.fault("image_rect: stamp is 0, expected the time of exposure")
    run = node.active_run
    assert run is not None
    rig.until(lambda: run.synchronizer.received == [2, 2], "all images")
    assert run.synchronizer.unmatched == [2, 2]
    assert counts(node) == (0, 0, {})
    assert_recovers(rig, node)
    rig.diagnostics.clear()
    for _ in range(8):
        rig.publish_scene(stamp_s=0.0)
        rig.pause(0.1)
    rig.fault("image_rect: stamp is 0")
    told = [text for status in rig.diagnostics for text in (status.message, *(item.value for item in status.values))]
    assert not any("stamps differ" in text for text in told), "what they were before does not count"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "expected equal stamps (set approximate_sync"),
        ({"approximate_sync": True, "sync_tolerance_s": 0.02}, "expected less than 20 ms (raise sync_tolerance_s)"),
    ],
    ids=["exact", "approximate"],
)
def test_stamps_too_far_apart(rig: Rig, parameters: dict[str, Any], expected: str) -> None:
    node = rig.start(**parameters)
    rig.connect()
    left, right = PlaneScene().messages("rgb8", Header())
    for index in range(30):
        left.header, right.header = rig.header(2000 + index * 0.1), rig.header(2000.03 + index * 0.1)
        rig.publish(left_image_rect=left, right_image_rect=right)
        rig.pause(0.05)
        if any("stamps differ" in status.message for status in rig.diagnostics):
            break
    status = rig.fault("stamps differ by -30.000 ms")
    assert expected in status.message
    assert "/left/image_rect and /right/image_rect" in status.message
    assert_recovers(rig, node)


def test_stamps_of_slow_cameras(rig: Rig) -> None:
    """Fewer images than looks: that none of them pairs is seen all the same, and only as long as they come."""
    node = rig.start()
    rig.connect()
    left, right = PlaneScene().messages("rgb8", Header())

    def publish() -> None:
        left.header = rig.header()
        right.header = rig.header()
        rig.publish(left_image_rect=left, right_image_rect=right)
        rig.pause(0.4)  # two looks

    rig.fault("stamps differ by -100.000 ms", publish)
    rig.until(lambda: "no message for" in rig.diagnostics[-1].message, "the cameras are silent")
    rig.pause(0.3)
    assert "stamps differ" not in " ".join(rig.values().values())
    assert_recovers(rig, node)


def test_what_is_said_while_nothing_is_wrong(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """That pairs are processed is said of pairs that were."""
    monkeypatch.setattr(diagnostics, "SILENCE_S", 60.0)
    monkeypatch.setattr(diagnostics, "ANSWER_S", 1.0)
    rig.start()
    rig.connect()
    rig.fault("no pair has been processed yet")
    rig.publish_scene()
    rig.fault("pairs are processed")
    status = rig.fault("no pair has been processed for ")
    assert status.level == DiagnosticStatus.OK
    rig.unsubscribe("disparity")
    rig.fault("nobody subscribes to an output, so none is computed")


def test_near_stamps_are_paired_when_asked_for(rig: Rig) -> None:
    rig.start(approximate_sync=True, sync_tolerance_s=0.02)
    rig.connect()
    left, right = PlaneScene().messages("rgb8", Header())
    left.header, right.header = rig.header(2000.0), rig.header(2000.019)
    rig.publish(left_image_rect=left, right_image_rect=right)
    assert rig.last("disparity").header == left.header


def test_clock_jumps_back(rig: Rig) -> None:
    """A bag that starts over loses nothing, though its first half waited for partners."""
    node = rig.start(queue_size=5)
    rig.connect()
    left, right = PlaneScene().messages("rgb8", Header())
    run = node.active_run
    assert run is not None
    for index in range(5):
        left.header = rig.header(3000.0 + index)
        rig.publish(left_image_rect=left)
    rig.until(lambda: run.synchronizer.waiting == [5, 0], "left images wait")
    for index in range(6):
        rig.publish_scene(stamp_s=100.0 + index * 0.1)
        rig.last("disparity", index + 1)
    assert run.synchronizer.unmatched == [5, 0]
    assert run.synchronizer.time_jumps == 1
    rig.fault("stamps jumped back to 100.000 s, pairing starts anew")
    assert_closed(rig, node)
