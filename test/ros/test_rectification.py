"""Rectification from K, D, R and P: known warps, the valid rectangle, and what cannot be rectified."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from ros_rig import Rig
from ros_scene import FunctionEstimator, PlaneScene
from sensor_msgs.msg import CameraInfo

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import CalibrationError
from stereo_dp_ros.ros.camera import CameraInfos, CameraPair
from stereo_dp_ros.ros.conversions import image_message
from stereo_dp_ros.ros.rectification import Rectification

LEFT, RIGHT = "/left/camera_info", "/right/camera_info"


def cameras_of(scene: PlaneScene, **changes: Any) -> CameraPair:
    """The pair of `scene` with these fields set on both sides."""
    infos = CameraInfos(LEFT, RIGHT)
    for side, info in zip(("left", "right"), scene.camera_infos(), strict=True):
        for name, value in changes.items():
            setattr(info, name, value)
        infos.store(side, info)
    return infos.pair(scene.width_px, scene.height_px)


def shifted_k(scene: PlaneScene, x_px: float, y_px: float) -> np.ndarray:
    """A K whose principal point lies (x, y) from P's: rectifying moves the image by (-x, -y)."""
    info, _ = scene.camera_infos()
    k = np.array(info.k)
    k[2] += x_px
    k[5] += y_px
    return k


def test_without_distortion_nothing_changes() -> None:
    scene = PlaneScene()
    left, right = scene.images()
    rectified_left, rectified_right, window = Rectification(LEFT, RIGHT)(left, right, cameras_of(scene))
    np.testing.assert_array_equal(rectified_left, left)
    np.testing.assert_array_equal(rectified_right, right)
    assert window.mask.all()
    assert window.rectangle == (0, 0, 160, 96)


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", ""])
def test_a_shift_of_the_principal_point(model: str) -> None:
    """K's principal point 8 px right and 4 px below P's: content moves by that, and the rest is outside."""
    scene = PlaneScene()
    size = {"plumb_bob": 5, "rational_polynomial": 8, "": 0}[model]
    cameras = cameras_of(scene, k=shifted_k(scene, 8, 4), distortion_model=model, d=[0.0] * size)
    left, right = scene.images()
    rectified, _, window = Rectification(LEFT, RIGHT)(left, right, cameras)
    np.testing.assert_array_equal(rectified[:-4, :-8], left[4:, 8:])
    expected = np.zeros((96, 160), bool)
    expected[:-4, :-8] = True
    np.testing.assert_array_equal(window.mask, expected)
    assert window.rectangle == (0, 0, 152, 92)


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("plumb_bob", [-0.3, 0.1, 0.001, -0.002, 0.01]),
        ("rational_polynomial", [0.2, -0.1, 0.001, -0.002, 0.01, 0.5, -0.1, 0.02]),
    ],
)
def test_points_go_where_opencv_undistorts_them(model: str, coefficients: list[float]) -> None:
    """A dot drawn where the raw camera sees it comes out where the rectified camera sees it."""
    scene = PlaneScene(width_px=320, height_px=240, cx_left_px=160, cx_right_px=160)
    rotation = cv2.Rodrigues(np.array([0.01, -0.02, 0.015]))[0]
    k = shifted_k(scene, 5, -3)
    cameras = cameras_of(scene, k=k, r=rotation.ravel(), distortion_model=model, d=coefficients)
    projection = np.array(cameras.left.p).reshape(3, 4)
    for point in ([60.0, 50.0], [160.0, 120.0], [250.0, 190.0]):
        raw = np.zeros((240, 320), np.uint8)
        x, y = point
        raw[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 255
        rectified, _, _ = Rectification(LEFT, RIGHT)(raw, raw, cameras)
        expected = cv2.undistortPoints(
            np.array([[point]]), k.reshape(3, 3), np.array(coefficients), R=rotation, P=projection
        )[0, 0]
        rows, columns = np.nonzero(rectified > 100)
        np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=0.6)


def test_equidistant_points_go_where_the_fisheye_model_puts_them() -> None:
    scene = PlaneScene(width_px=320, height_px=240, cx_left_px=160, cx_right_px=160)
    coefficients = np.array([0.05, -0.02, 0.01, -0.003])
    cameras = cameras_of(scene, distortion_model="equidistant", d=coefficients.tolist())
    k = np.array(cameras.left.k).reshape(3, 3)
    raw = np.zeros((240, 320), np.uint8)
    raw[69:72, 79:82] = 255
    rectified, _, _ = Rectification(LEFT, RIGHT)(raw, raw, cameras)
    expected = cv2.fisheye.undistortPoints(np.array([[[80.0, 70.0]]]), k, coefficients, P=k)[0, 0]
    rows, columns = np.nonzero(rectified > 100)
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=0.6)


def test_maps_are_built_once_per_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = PlaneScene()
    built: list[int] = []
    real = cv2.initUndistortRectifyMap
    monkeypatch.setattr(cv2, "initUndistortRectifyMap", lambda *arguments: built.append(1) or real(*arguments))
    left, right = scene.images()
    rectify = Rectification(LEFT, RIGHT)
    for _ in range(3):
        rectify(left, right, cameras_of(scene))
    assert len(built) == 2  # one per side
    rectify(left, right, cameras_of(scene, d=[0.1, 0.0, 0.0, 0.0, 0.0]))
    assert len(built) == 4


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"distortion_model": "thin_prism", "d": [0.1]},
            f"{LEFT}: distortion model is 'thin_prism', expected one of plumb_bob, rational_polynomial, equidistant",
        ),
        ({"d": [0.1, 0.2, 0.3]}, f"{LEFT}: plumb_bob has 3 coefficients in D, expected 4 or 5"),
        ({"k": np.zeros(9)}, f"{LEFT}: K has focal length 0, 0, expected more than 0 to rectify"),
        ({"r": np.zeros(9)}, f"{LEFT}: R is [0.0, 0.0, 0.0"),
        ({"r": np.full(9, np.nan)}, f"{LEFT}: R has a value that is not finite, expected numbers"),
        ({"k": np.full(9, np.nan)}, f"{LEFT}: K has a value that is not finite, expected numbers"),
        ({"d": [0.0, np.inf, 0.0, 0.0]}, f"{LEFT}: D has a value that is not finite, expected numbers"),
        (
            {"k": np.array([200.0, 0, 900.0, 0, 200.0, 48.0, 0, 0, 1.0])},  # of a larger image than P's
            f"{LEFT}, {RIGHT}: K, D, R and P rectify nothing of the images",
        ),
    ],
)
def test_what_cannot_be_rectified(changes: dict[str, Any], line: str) -> None:
    scene = PlaneScene()
    rectify = Rectification(LEFT, RIGHT)
    left, right = scene.images()
    for _ in range(2):
        with pytest.raises(CalibrationError) as caught:
            rectify(left, right, cameras_of(scene, **changes))
        assert str(caught.value).startswith(line)
    rectify(left, right, cameras_of(scene))


def test_raw_images_through_the_node(rig: Rig) -> None:
    """Raw topics, rectified before matching; valid_window is the rectangle, outside of it nothing is answered."""
    scene = PlaneScene()
    seen: list[np.ndarray] = []

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        seen.extend((left, right))
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    rig.start(FunctionEstimator(infer), rectify=True)
    rig.advertise(("left/image_raw", "right/image_raw", "left/camera_info", "right/camera_info"))
    rig.subscribe("disparity", "depth/image_rect", "points2")
    infos: list[CameraInfo] = list(scene.camera_infos())
    for info in infos:
        info.k = shifted_k(scene, 8, 4)
        info.distortion_model = "wrong"
        info.d = [0.1]
    rig.publish(left_camera_info=infos[0], right_camera_info=infos[1])
    rig.pause(0.1)
    images = scene.images()
    for attempt in range(2):
        header = rig.header()
        left, right = (image_message(image, "rgb8", header) for image in images)
        rig.publish(left_image_raw=left, right_image_raw=right)
        if attempt == 0:
            rig.fault("/left/camera_info: distortion model is 'wrong'")
            for info in infos:
                info.distortion_model, info.d = "plumb_bob", [0.0] * 5
            rig.publish(left_camera_info=infos[0], right_camera_info=infos[1])
            rig.pause(0.1)
    message = rig.last("disparity")
    window = message.valid_window
    assert (window.x_offset, window.y_offset, window.width, window.height) == (0, 0, 152, 92)
    np.testing.assert_array_equal(seen[0][:-4, :-8], images[0][4:, 8:])
    np.testing.assert_array_equal(seen[1][:-4, :-8], images[1][4:, 8:])
    disparity = np.frombuffer(message.image.data, np.float32).reshape(96, 160)
    expected = np.full((96, 160), 20.0)
    expected[92:] = expected[:, 152:] = 0.0625 - 1
    np.testing.assert_allclose(disparity, expected, rtol=1e-6)
    depth = np.frombuffer(rig.last("depth/image_rect").data, np.float32).reshape(96, 160)
    np.testing.assert_allclose(depth[:92, :152], 2.0, rtol=1e-6)
    assert np.isnan(depth[92:]).all() and np.isnan(depth[:, 152:]).all()
