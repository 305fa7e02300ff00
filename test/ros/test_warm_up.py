"""What is done once for a size is done before the first pair: at configure, or when camera_info tells the size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pair_checks import settled_counts
from rclpy.lifecycle import TransitionCallbackReturn
from ros_rig import Rig
from ros_scene import FunctionEstimator, PlaneScene, plane_estimator

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.ros import rectification


def plane(left: np.ndarray, right: np.ndarray) -> DisparityMap:
    shape = left.shape[:2]
    return DisparityMap(np.full(shape, 20, np.float32), np.ones(shape, np.float32), 0.0, 64.0)


def test_the_network_runs_when_camera_info_tells_its_size(rig: Rig) -> None:
    """Once for each size, without an image and without a subscriber; the first pair finds it done."""
    estimator = plane_estimator(20.0)
    sizes = estimator.backend.sizes
    rig.start(estimator)
    rig.advertise()
    assert sizes == []
    left, right = PlaneScene().camera_infos()
    rig.publish(left_camera_info=left)
    rig.pause(0.2)
    assert sizes == [], "one side alone says little"
    rig.publish(right_camera_info=right)
    rig.until(lambda: sizes == [(160, 96)], "the warm-up")
    rig.publish_infos()
    rig.subscribe("disparity")
    rig.publish_scene()
    rig.last("disparity")
    assert sizes == [(160, 96)] * 2, "the warm-up and the pair"
    rig.publish_infos(PlaneScene(width_px=128, height_px=64))
    rig.until(lambda: sizes[2:] == [(128, 64)], "another size")
    assert settled_counts(rig, rig.node) == (1, 1, {})


def test_the_network_runs_at_configure_where_its_size_is_given(rig: Rig) -> None:
    estimator = FunctionEstimator(plane)
    node = rig.start(estimator, autostart=False, wait=False, inference_width=96, inference_height=64)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert estimator.warmed == [(96, 64)]
    node.trigger_activate()
    rig.connect()
    rig.publish_scene()
    rig.last("disparity")
    assert estimator.warmed == [(96, 64)]


def test_a_runtime_that_fails_at_configure_says_so(rig: Rig) -> None:
    class Broken(FunctionEstimator):
        def warm_up(self, width_px: int, height_px: int) -> None:
            raise BackendError("the device has no memory left")

    rig.start(Broken(plane), wait=False, inference_width=96, inference_height=64)
    rig.fault("configure failed: the device has no memory left")


def test_a_warm_up_that_fails_leaves_it_to_the_first_pair(rig: Rig) -> None:
    class Broken(FunctionEstimator):
        def warm_up(self, width_px: int, height_px: int) -> None:
            super().warm_up(width_px, height_px)
            raise BackendError("not now")

    estimator = Broken(plane)
    node = rig.start(estimator)
    rig.connect()
    rig.publish_scene()
    rig.last("disparity")
    assert estimator.warmed == [(160, 96)]
    assert settled_counts(rig, node) == (1, 1, {})
    assert not any("not now" in status.message for status in rig.diagnostics)


def test_maps_that_cannot_be_built_leave_it_to_the_first_pair(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever building them raises: the thread that works on the pairs lives on."""

    def build(*_: Any) -> Any:
        if not built:
            built.append(1)
            raise MemoryError("maps of 4K images")
        return original(*_)

    built: list[int] = []
    original = rectification.Rectifier
    monkeypatch.setattr(rectification, "Rectifier", build)
    rig.start(FunctionEstimator(plane), rectify=True)
    rig.advertise(("left/image_raw", "right/image_raw", "left/camera_info", "right/camera_info"))
    rig.subscribe("disparity")
    rig.publish_infos()
    rig.until(lambda: built, "maps are asked for")
    left, right = PlaneScene().messages("rgb8", rig.header())
    rig.publish(left_image_raw=left, right_image_raw=right)
    rig.last("disparity")


def test_rectification_is_built_once_and_before_the_first_pair(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Any] = []
    original = rectification.Rectifier

    def build(*arguments: Any) -> Any:
        built.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(rectification, "Rectifier", build)
    rig.start(FunctionEstimator(plane), rectify=True)
    rig.advertise(("left/image_raw", "right/image_raw", "left/camera_info", "right/camera_info"))
    rig.subscribe("disparity")
    rig.publish_infos()
    rig.until(lambda: len(built) == 1, "maps are built")
    left, right = PlaneScene().messages("rgb8", rig.header())
    rig.publish(left_image_raw=left, right_image_raw=right)
    rig.last("disparity")
    assert len(built) == 1


def test_a_camera_info_that_lies_takes_no_memory(rig: Rig) -> None:
    estimator = FunctionEstimator(plane)
    rig.start(estimator)
    rig.advertise()
    infos = PlaneScene().camera_infos()
    for info in infos:
        info.width = info.height = 65535
    rig.publish(left_camera_info=infos[0], right_camera_info=infos[1])
    rig.pause(0.2)
    rig.publish_infos()
    rig.until(lambda: estimator.warmed == [(160, 96)], "the true size")
