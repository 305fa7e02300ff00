"""camera_info that is wrong, changes, or comes late, on real DDS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from pair_checks import assert_closed, assert_recovers, counts, settled_counts
from rclpy.qos import DurabilityPolicy
from ros_rig import Rig
from ros_scene import PlaneScene, plane_estimator

Change = Callable[[Any, Any], None]


def scale_p(left: Any, right: Any) -> None:
    left.p = right.p = np.zeros(12)


def no_baseline(_: Any, right: Any) -> None:
    right.p[3] = 0.0


def positive_baseline(_: Any, right: Any) -> None:
    right.p[3] = 40.0


def half_size(left: Any, right: Any) -> None:
    for info in (left, right):
        info.binning_x = info.binning_y = 2


def window(left: Any, right: Any) -> None:
    for info in (left, right):
        info.roi.x_offset, info.roi.width, info.roi.height = 16, 128, 96


BAD_CAMERA_INFOS: dict[str, tuple[Change, list[str]]] = {
    "P all zero": (scale_p, ["/left/camera_info: P is all zeros", "expected a rectified projection"]),
    "no baseline": (no_baseline, ["/right/camera_info: the pair has no baseline", "expected"]),
    "positive P[3]": (positive_baseline, ["/right/camera_info: P[3] is 0 left and 40 right", "expected", "swapped"]),
    "size after binning": (half_size, ["/left/camera_info: is for images of 80x48", "expected 160x96"]),
    "size after roi": (window, ["/left/camera_info: is for images of 128x96", "expected 160x96"]),
}


@pytest.mark.parametrize(("change", "words"), BAD_CAMERA_INFOS.values(), ids=BAD_CAMERA_INFOS.keys())
def test_bad_camera_info(rig: Rig, capfd: pytest.CaptureFixture[str], change: Change, words: list[str]) -> None:
    node = rig.start()
    rig.advertise()
    rig.subscribe("disparity")
    left, right = PlaneScene().camera_infos()
    change(left, right)
    rig.publish(left_camera_info=left, right_camera_info=right)
    rig.pause(0.1)
    for _ in range(3):
        rig.publish_scene()
        rig.pause(0.05)
    status = rig.fault(words[0])
    assert status.level == DiagnosticStatus.ERROR
    assert all(word in status.message for word in words), status.message
    assert counts(node)[1] == 0
    rig.publish_infos()
    rig.pause(0.1)
    assert_recovers(rig, node)
    logged = [line for line in capfd.readouterr().err.splitlines() if words[0] in line]
    assert len(logged) == 1, "three of a kind are one line"


def test_a_baseline_in_millimetres(rig: Rig) -> None:
    """It can be used, and gives depths a thousand times too large; so it is only a warning."""
    node = rig.start()
    rig.connect(scene=PlaneScene(baseline_m=200.0))
    rig.publish_scene()
    assert rig.last("disparity").t == 200.0
    status = rig.fault("camera_info: the baseline is 200 m, expected metres, at most 5 of them", rig.publish_scene)
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith("/left/camera_info and /right/camera_info: ")
    rig.publish_infos()
    rig.pause(0.1)
    assert_recovers(rig, node)


def test_camera_info_changes_while_running(rig: Rig) -> None:
    """Another calibration, and another resolution, each from the next pair on."""
    node = rig.start(plane_estimator(20.0))
    rig.connect()
    rig.publish_scene()
    assert rig.last("disparity").f == 200.0
    zoomed = PlaneScene(fx_px=400.0, baseline_m=0.1)
    rig.publish_infos(zoomed)
    rig.pause(0.1)
    rig.publish_scene(zoomed)
    assert (rig.last("disparity", 2).f, rig.last("disparity").t) == (400.0, np.float32(0.1))
    small = PlaneScene(width_px=128, height_px=64)
    rig.publish_infos(small)
    rig.pause(0.1)
    rig.publish_scene(small)
    message = rig.last("disparity", 3)
    assert (message.image.width, message.image.height, message.f) == (128, 64, 200.0)
    rig.publish_scene(zoomed)  # the camera_info of its size came before, and still counts
    assert rig.last("disparity", 4).f == 400.0
    assert_closed(rig, node)
    assert counts(node)[1] == 4


def test_camera_info_is_missing_then_latched(rig: Rig) -> None:
    node = rig.start()
    rig.advertise(("left/image_rect", "right/image_rect"))
    rig.subscribe("disparity")
    rig.publish_scene()
    rig.until(lambda: counts(node)[2] == {"no_camera_info": 1}, "the pair is dropped")
    line = "/left/camera_info: nobody publishes this topic, expected sensor_msgs/msg/CameraInfo"
    assert rig.fault(line, rig.publish_scene).level == DiagnosticStatus.ERROR
    dropped = counts(node)[2]["no_camera_info"]
    topics = ("left/camera_info", "right/camera_info")
    rig.advertise(topics, durability=DurabilityPolicy.TRANSIENT_LOCAL, match=False)
    rig.publish_infos()  # before the node can have seen the publishers
    run = node.active_run
    assert run is not None
    rig.until(lambda: all(info.received for info in run.camera_infos), "latched camera_info has come")
    rig.publish_scene()
    rig.last("disparity")
    rig.publish_scene()
    rig.last("disparity", 2)
    assert settled_counts(rig, node)[1:] == (2, {"no_camera_info": dropped})
