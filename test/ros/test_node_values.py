"""What the node publishes, to the last field, for a plane at 2.000 m."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from rclpy.parameter import Parameter
from ros_rig import Rig
from ros_scene import FRAME, FunctionEstimator, PlaneScene, plane_estimator, textured_plane
from sensor_msgs.msg import PointField

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.images import colorize_disparity
from stereo_dp_ros.core.sgbm import Sgbm
from stereo_dp_ros.ros.conversions import image_message
from stereo_dp_ros.ros.node import create_estimator

ALL = ("disparity", "depth/image_rect", "depth/camera_info", "confidence", "points2", "disparity/color")

SCENES = {
    "same principal point": PlaneScene(),
    "right principal point 4 px more": PlaneScene(cx_right_px=84.0),
    "right principal point 3 px less": PlaneScene(cx_right_px=77.0),
    "left P[3] not 0": PlaneScene(left_tx=12.5),
}


def pixels(image: Any, channels: int = 1, dtype: type = np.float32) -> np.ndarray:
    """The pixels of an Image or the fields of an organised cloud, as sent."""
    array = np.frombuffer(image.data, dtype).reshape(image.height, image.width, channels)
    return array[..., 0] if channels == 1 else array


def assert_image_layout(image: Any, header: Any, scene: PlaneScene, encoding: str, pixel_bytes: int) -> None:
    assert image.header == header
    assert (image.width, image.height) == (scene.width_px, scene.height_px)
    assert image.encoding == encoding
    assert image.step == scene.width_px * pixel_bytes
    assert len(image.data) == image.step * image.height
    assert image.is_bigendian == int(sys.byteorder == "big")


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES.keys())
@pytest.mark.parametrize("input_size", [None, (96, 64)], ids=["image size", "network at 96x64"])
def test_every_field_of_every_output(rig: Rig, scene: PlaneScene, input_size: tuple[int, int] | None) -> None:
    scale = scene.width_px / input_size[0] if input_size else 1.0
    rig.start(plane_estimator(scene.disparity_px / scale, input_size))
    rig.connect(*ALL, scene=scene)
    header = rig.publish_scene(scene)
    doffs = scene.cx_right_px - scene.cx_left_px

    disparity = rig.last("disparity")
    assert disparity.header == header
    assert disparity.header.frame_id == FRAME
    assert_image_layout(disparity.image, header, scene, "32FC1", 4)
    np.testing.assert_allclose(pixels(disparity.image), 20.0, rtol=1e-6)
    assert disparity.f == 200.0
    assert disparity.t == np.float32(0.2)
    window = disparity.valid_window
    assert (window.x_offset, window.y_offset, window.width, window.height) == (0, 0, 160, 96)
    assert window.do_rectify is False
    assert disparity.min_disparity == (doffs if doffs > 0 else 0.0625)
    assert disparity.max_disparity == pytest.approx(64.0 * scale + doffs, rel=1e-6)
    assert disparity.delta_d == 0.0625

    depth = rig.last("depth/image_rect")
    assert_image_layout(depth, header, scene, "32FC1", 4)
    np.testing.assert_allclose(pixels(depth), 2.0, rtol=1e-6)

    left_info, _ = scene.camera_infos()
    left_info.header = header
    assert rig.last("depth/camera_info") == left_info

    confidence = rig.last("confidence")
    assert_image_layout(confidence, header, scene, "32FC1", 4)
    np.testing.assert_allclose(pixels(confidence), 0.75, rtol=1e-6)

    cloud = rig.last("points2")
    assert cloud.header == header
    assert (cloud.width, cloud.height, cloud.point_step, cloud.row_step) == (160, 96, 16, 160 * 16)
    assert cloud.is_dense is False
    assert cloud.is_bigendian is (sys.byteorder == "big")
    assert [(field.name, field.offset, field.datatype, field.count) for field in cloud.fields] == [
        (name, offset, PointField.FLOAT32, 1) for name, offset in (("x", 0), ("y", 4), ("z", 8), ("rgb", 12))
    ]
    points = pixels(cloud, 4)
    columns, rows = np.meshgrid(np.arange(160), np.arange(96))
    np.testing.assert_allclose(points[..., 0], (columns - scene.cx_left_px) * 2.0 / 200.0, atol=1e-6)
    np.testing.assert_allclose(points[..., 1], (rows - 48.0) * 2.0 / 200.0, atol=1e-6)
    np.testing.assert_allclose(points[..., 2], 2.0, rtol=1e-6)
    left, _ = scene.images()
    packed = left.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    np.testing.assert_array_equal(points.view(np.uint32)[..., 3], packed)

    color = rig.last("disparity/color")
    assert_image_layout(color, header, scene, "bgr8", 3)
    expected = colorize_disparity(pixels(disparity.image), disparity.min_disparity, disparity.max_disparity)
    np.testing.assert_array_equal(pixels(color, 3, np.uint8), expected)


@pytest.mark.parametrize("cx_right_px", [80.0, 84.0])
def test_a_matcher_on_real_pixels_finds_the_plane(rig: Rig, cx_right_px: float) -> None:
    """Left and right are not swapped, and channels arrive as they were sent: SGBM matches a textured plane."""
    scene = PlaneScene(cx_right_px=cx_right_px)
    rig.start(FunctionEstimator(Sgbm("sgbm").infer))
    rig.connect("depth/image_rect", "points2", scene=scene)
    rig.publish_scene(scene, encoding="bgr8")
    depth = pixels(rig.last("depth/image_rect"))
    seen_by_both = depth[8:-8, 40:-8]
    np.testing.assert_allclose(seen_by_both, 2.0, rtol=1e-5)
    left, _ = scene.images()
    cloud = pixels(rig.last("points2"), 4)
    np.testing.assert_allclose(cloud[8:-8, 40:-8, 2], 2.0, rtol=1e-5)
    red = cloud.view(np.uint32)[..., 3] >> 16
    np.testing.assert_array_equal(red, left[..., 0])


def stripes(low_px: float, high_px: float, unknown: slice, scene: PlaneScene) -> FunctionEstimator:
    """Disparity `high_px` in the upper half and `low_px` in the lower, NaN in some columns."""

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        disparity = np.full(left.shape[:2], high_px, np.float32)
        disparity[scene.height_px // 2 :] = low_px
        disparity[:, unknown] = np.nan
        return DisparityMap(disparity, np.ones_like(disparity), 0.0, 64.0)

    return FunctionEstimator(infer)


@pytest.mark.parametrize(
    ("cx_right_px", "min_disparity", "low_px", "low_is_answered"),
    [
        (84.0, 4.0, 0.0, True),  # d = 0 is seen at depth f·B / doffs
        (84.0, 4.0, -1.0, False),  # below what was searched
        (80.0, 0.0625, 0.0, False),  # at infinity
        (80.0, 0.0625, 0.0625, True),
        (77.0, 0.0625, 2.0, False),  # d + doffs < 0: behind infinity
        (77.0, 0.0625, 3.5, True),
    ],
)
def test_a_pixel_without_answer(
    rig: Rig, cx_right_px: float, min_disparity: float, low_px: float, low_is_answered: bool
) -> None:
    scene = PlaneScene(cx_right_px=cx_right_px)
    doffs = cx_right_px - 80.0
    rig.start(stripes(low_px, 20.0 - doffs, slice(0, 7), scene))
    rig.connect(*ALL, scene=scene)
    rig.publish_scene(scene)
    unanswered = np.zeros((96, 160), bool)
    unanswered[:, :7] = True
    unanswered[48:] |= not low_is_answered

    message = rig.last("disparity")
    assert message.min_disparity == min_disparity > 0
    disparity = pixels(message.image)
    assert np.isfinite(disparity).all()
    np.testing.assert_array_equal(disparity[unanswered], np.float32(min_disparity - 1.0))
    np.testing.assert_allclose(disparity[:48, 7:], 20.0, rtol=1e-6)
    assert (disparity[~unanswered] >= min_disparity).all()

    expected = np.full((96, 160), 40.0 / 20.0)
    if low_is_answered:
        expected[48:] = 40.0 / (low_px + doffs)
    expected[unanswered] = np.nan
    np.testing.assert_allclose(pixels(rig.last("depth/image_rect")), expected, rtol=1e-6)
    np.testing.assert_allclose(pixels(rig.last("points2"), 4)[..., 2], expected, rtol=1e-6)
    assert np.isnan(pixels(rig.last("points2"), 4)[unanswered, :3]).all()
    np.testing.assert_array_equal(pixels(rig.last("confidence")), np.where(unanswered, 0.0, 1.0))
    assert (pixels(rig.last("disparity/color"), 3, np.uint8)[unanswered] == 0).all()


def ramp_estimator(scene: PlaneScene) -> FunctionEstimator:
    """Depth from 1 m at the left edge to 3 m at the right; confidence from 0 at the top to 1 at the bottom."""

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        disparity = np.tile(40.0 / ramp_depth(scene), (scene.height_px, 1)).astype(np.float32)
        confidence = np.tile(np.linspace(0, 1, scene.height_px, dtype=np.float32)[:, None], (1, scene.width_px))
        return DisparityMap(disparity, confidence, 0.0, 64.0)

    return FunctionEstimator(infer)


def ramp_depth(scene: PlaneScene) -> np.ndarray:
    return np.linspace(1.0, 3.0, scene.width_px)


def test_limits_and_confidence_change_while_running(rig: Rig) -> None:
    scene = PlaneScene()
    node = rig.start(ramp_estimator(scene))
    rig.connect("disparity", "depth/image_rect", "points2")
    rig.publish_scene(scene)
    depth_m = np.tile(ramp_depth(scene), (96, 1))
    np.testing.assert_allclose(pixels(rig.last("depth/image_rect")), depth_m, rtol=1e-5)

    results = node.set_parameters(
        [
            Parameter("min_depth_m", value=1.505),
            Parameter("max_depth_m", value=2.505),
            Parameter("confidence_threshold", value=0.253),
            Parameter("points_decimation", value=3),
        ]
    )
    assert all(result.successful for result in results), results
    rig.publish_scene(scene)
    kept = (depth_m >= 1.505) & (depth_m <= 2.505) & (np.linspace(0, 1, 96)[:, None] >= 0.253)
    expected = np.where(kept, depth_m, np.nan)
    np.testing.assert_allclose(pixels(rig.last("depth/image_rect", 2)), expected, rtol=1e-5)
    cloud = rig.last("points2", 2)
    assert (cloud.width, cloud.height, cloud.row_step) == (54, 32, 54 * 16)
    np.testing.assert_allclose(pixels(cloud, 4)[..., 2], expected[::3, ::3], rtol=1e-5)
    np.testing.assert_allclose(pixels(rig.last("disparity", 2).image), 40.0 / depth_m, rtol=1e-5)


def test_depth_in_millimetres(rig: Rig) -> None:
    scene = PlaneScene()
    rig.start(stripes(0.5, 20.0, slice(0, 7), scene), depth_encoding="16UC1")  # 0.5 px are 80 m, beyond 65.535
    rig.connect("depth/image_rect")
    header = rig.publish_scene(scene)
    depth = rig.last("depth/image_rect")
    assert_image_layout(depth, header, scene, "16UC1", 2)
    expected = np.full((96, 160), 2000, np.uint16)
    expected[48:] = 0
    expected[:, :7] = 0
    np.testing.assert_array_equal(pixels(depth, dtype=np.uint16), expected)


@pytest.mark.parametrize(("kind", "names"), [("intensity", ["x", "y", "z", "intensity"]), ("none", ["x", "y", "z"])])
def test_fourth_field_of_points(rig: Rig, kind: str, names: list[str]) -> None:
    scene = PlaneScene()
    rig.start(plane_estimator(20.0), points_color=kind)
    rig.connect("points2")
    rig.publish_scene(scene)
    cloud = rig.last("points2")
    assert [field.name for field in cloud.fields] == names
    assert cloud.point_step == 4 * len(names)
    points = pixels(cloud, len(names))
    np.testing.assert_allclose(points[..., 2], 2.0, rtol=1e-6)
    if kind == "intensity":
        left, _ = scene.images()
        np.testing.assert_allclose(points[..., 3], left @ np.array([0.299, 0.587, 0.114]), atol=1e-3)


def test_binning_and_roi_of_camera_info(rig: Rig) -> None:
    """A camera of 400x240 sends the window at (40, 24) of 320x192 px, binned 2x2: 160x96."""
    scene = PlaneScene(cx_left_px=80.0, cx_right_px=84.0)
    rig.start(plane_estimator(scene.disparity_px))
    rig.advertise()
    rig.subscribe("disparity", "depth/image_rect", "depth/camera_info", "points2")
    infos = scene.camera_infos()
    for info in infos:
        info.width, info.height = 400, 240
        info.binning_x = info.binning_y = 2
        info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 40, 24, 320, 192
        info.p[[0, 2, 3, 5, 6]] *= 2.0
        info.p[[2, 6]] += (40.0, 24.0)
    rig.publish(left_camera_info=infos[0], right_camera_info=infos[1])
    rig.pause(0.1)
    header = rig.publish_scene(scene)
    message = rig.last("disparity")
    assert (message.f, message.min_disparity) == (200.0, 4.0)
    assert message.t == np.float32(0.2)
    np.testing.assert_allclose(pixels(message.image), 20.0, rtol=1e-6)
    np.testing.assert_allclose(pixels(rig.last("depth/image_rect")), 2.0, rtol=1e-6)
    points = pixels(rig.last("points2"), 4)
    np.testing.assert_allclose(points[0, 0, :3], [-80 * 2 / 200, -48 * 2 / 200, 2.0], rtol=1e-6)
    infos[0].header = header
    assert rig.last("depth/camera_info") == infos[0]


def test_only_what_is_subscribed_is_published(rig: Rig) -> None:
    scene = PlaneScene()
    calls: list[int] = []

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        calls.append(1)
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    node = rig.start(FunctionEstimator(infer))
    rig.advertise()
    rig.publish_infos()
    rig.publish_scene(scene)
    run = node.active_run
    assert run is not None
    rig.until(lambda: run.counts.snapshot() == (1, 0, {"no_subscribers": 1}), "a pair that nobody asks for")
    rig.fault("nobody subscribes to an output, so none is computed", lambda: rig.publish_scene(scene))
    rig.pause(0.2)
    assert not calls
    rig.subscribe("confidence")
    rig.publish_scene(scene)
    rig.last("confidence")
    assert len(calls) == 1
    stages = {"wait", "decode", "estimate", "publish", "total"}
    rig.until(lambda: run.latencies.percentiles().keys() >= stages, "the stages' times")


def test_the_shipped_model_finds_the_plane(rig: Rig) -> None:
    """End to end with the default model, at another resolution than the camera's, with cx_left ≠ cx_right."""
    scene = PlaneScene(640, 480, fx_px=400.0, baseline_m=0.11, cx_left_px=316.0, cx_right_px=318.0)
    rig.start(factory=create_estimator, wait=False, inference_width=512, inference_height=384)
    rig.until(lambda: rig.node.active_run is not None, "the model is loaded", timeout_s=120.0)
    rig.connect("depth/image_rect", "points2", scene=scene)
    header = rig.header()
    left, right = (image_message(image, "rgb8", header) for image in textured_plane(scene))
    rig.publish(left_image_rect=left, right_image_rect=right)
    rig.until(lambda: rig.received["points2"], "the network answers", timeout_s=120.0)
    depth = pixels(rig.last("depth/image_rect"))[16:-16, 48:-16]
    assert np.median(depth) == pytest.approx(2.0, abs=0.02)
    assert (np.abs(depth - 2.0) < 0.06).mean() > 0.99
    points = pixels(rig.last("points2"), 4)[16:-16, 48:-16]
    np.testing.assert_array_equal(points[..., 2], depth)
    assert np.median(points[..., 0]) == pytest.approx((335.5 - 316.0) * 2.0 / 400.0, abs=0.02)
