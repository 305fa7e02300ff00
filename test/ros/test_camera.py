"""CameraInfo pairs to geometry: binning, roi, newest of a size, and what cannot be a pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ros_scene import PlaneScene
from sensor_msgs.msg import CameraInfo

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.camera_info import delivered_camera, delivered_projection, delivered_size
from stereo_dp_ros.core.errors import CalibrationError
from stereo_dp_ros.ros.camera import (
    CameraInfos,
    MissingCameraInfoError,
)

LEFT, RIGHT = "/left/camera_info", "/right/camera_info"


def infos_with(left: CameraInfo | None = None, right: CameraInfo | None = None) -> CameraInfos:
    infos = CameraInfos(LEFT, RIGHT)
    for side, info in (("left", left), ("right", right)):
        if info is not None:
            infos.store(side, info)
    return infos


def full_info() -> CameraInfo:
    info = CameraInfo(width=640, height=480)
    info.k = np.array([400.0, 0, 320, 0, 404, 240, 0, 0, 1])
    info.p = np.array([380.0, 0, 310, -38, 0, 384, 236, 2, 0, 0, 1, 0])
    return info


def test_geometry_without_binning() -> None:
    scene = PlaneScene(cx_right_px=83.0, left_tx=5.0)
    pair = infos_with(*scene.camera_infos()).pair(160, 96)
    assert pair.calibration == StereoCalibration(160, 96, 200.0, 200.0, 80.0, 83.0, 48.0, 0.2)
    assert pair.calibration.doffs_px == 3.0


@pytest.mark.parametrize(
    ("binning", "roi", "size", "principal_k", "principal_p", "focal_p", "translation"),
    [
        ((0, 0), (0, 0, 0, 0), (640, 480), (320, 240), (310, 236), (380, 384), (-38, 2)),
        ((1, 1), (0, 0, 640, 480), (640, 480), (320, 240), (310, 236), (380, 384), (-38, 2)),
        ((2, 4), (0, 0, 0, 0), (320, 120), (160, 60), (155, 59), (190, 96), (-19, 0.5)),
        ((0, 0), (20, 16, 600, 400), (600, 400), (300, 224), (290, 220), (380, 384), (-38, 2)),
        ((2, 2), (20, 16, 600, 400), (300, 200), (150, 112), (145, 110), (190, 192), (-19, 1)),
        ((4, 4), (0, 0, 642, 481), (160, 120), (80, 60), (77.5, 59), (95, 96), (-9.5, 0.5)),
    ],
)
def test_binning_and_roi(
    binning: tuple[int, int],
    roi: tuple[int, int, int, int],
    size: tuple[int, int],
    principal_k: tuple[float, float],
    principal_p: tuple[float, float],
    focal_p: tuple[float, float],
    translation: tuple[float, float],
) -> None:
    """As image_geometry's PinholeCameraModel: the roi moves the principal point, then the binning divides all."""
    info = full_info()
    info.binning_x, info.binning_y = binning
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = roi
    assert delivered_size(info) == size
    k, p = delivered_camera(info).k, delivered_projection(info)
    assert (k[0, 2], k[1, 2]) == principal_k
    assert (p[0, 2], p[1, 2]) == principal_p
    assert (p[0, 0], p[1, 1]) == focal_p
    assert (p[0, 3], p[1, 3]) == translation
    assert full_info() == full_info() and info.p[0] == 380.0, "the message is left as it came"


def test_the_newest_of_the_image_size_counts() -> None:
    small, large = PlaneScene(), PlaneScene(width_px=320, height_px=192, fx_px=400.0)
    zoomed = small.with_(fx_px=300.0)
    infos = CameraInfos(LEFT, RIGHT)
    for scene in (small, large, zoomed):
        for side, info in zip(("left", "right"), scene.camera_infos(), strict=True):
            infos.store(side, info)
    assert infos.pair(160, 96).calibration == zoomed.calibration
    assert infos.pair(320, 192).calibration == large.calibration


def test_a_repeated_camera_info_is_the_same_pair() -> None:
    """The key tells a new calibration from a repeated one, whatever the header says."""
    scene = PlaneScene()
    infos = infos_with(*scene.camera_infos())
    before = infos.pair(160, 96)
    repeated, _ = scene.camera_infos()
    repeated.header.stamp.sec = 5
    infos.store("left", repeated)
    assert infos.pair(160, 96) is before
    repeated.r = np.diag([1.0, -1.0, -1.0]).ravel()
    infos.store("left", repeated)
    assert infos.pair(160, 96).key != before.key


def test_sizes_do_not_pile_up() -> None:
    infos = CameraInfos(LEFT, RIGHT)
    for width in range(100, 150):
        for side, info in zip(("left", "right"), PlaneScene(width_px=width).camera_infos(), strict=True):
            infos.store(side, info)
    assert infos.pair(149, 96).calibration.width_px == 149
    with pytest.raises(CalibrationError, match="is for images of 142x96, 143x96, .*, 149x96 "):
        infos.pair(100, 96)


def test_missing() -> None:
    left, right = PlaneScene().camera_infos()
    with pytest.raises(MissingCameraInfoError, match=f"^{LEFT}, {RIGHT}: nothing received, expected camera_info$"):
        infos_with().pair(160, 96)
    with pytest.raises(MissingCameraInfoError, match=f"^{RIGHT}: nothing received"):
        infos_with(left).pair(160, 96)
    infos = infos_with(left, right)
    assert infos.missing() == []
    infos.clear()
    assert infos.missing() == [LEFT, RIGHT]


@pytest.mark.parametrize(
    ("side", "changes", "line"),
    [
        ("left", {"p": np.zeros(12)}, f"{LEFT}: P is all zeros, expected a rectified projection"),
        ("right", {"p": np.zeros(12)}, f"{RIGHT}: P is all zeros, expected a rectified projection"),
        ("right", {"width": 161}, f"{RIGHT}: is for images of 161x96 (after roi and binning), expected 160x96"),
        ("left", {"binning_y": 2}, f"{LEFT}: is for images of 160x48 (after roi and binning), expected 160x96"),
    ],
)
def test_bad_infos(side: str, changes: dict[str, Any], line: str) -> None:
    pair = dict(zip(("left", "right"), PlaneScene().camera_infos(), strict=True))
    for name, value in changes.items():
        setattr(pair[side], name, value)
    with pytest.raises(CalibrationError) as caught:
        infos_with(**pair).pair(160, 96)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("p3", "words"), [(0.0, "no baseline"), (40.0, "swapped")])
def test_no_baseline(p3: float, words: str) -> None:
    left, right = PlaneScene().camera_infos()
    right.p[3] = p3
    with pytest.raises(CalibrationError, match=words):
        infos_with(left, right).pair(160, 96)


def test_left_p3_is_told() -> None:
    assert infos_with(*PlaneScene().camera_infos()).pair(160, 96).note == ""
    note = infos_with(*PlaneScene(left_tx=44.85).camera_infos()).pair(160, 96).note
    assert "P[3] of the left camera is 44.85, not 0" in note
    assert "(44.85 - 4.85) / 200 = 0.2 m" in note
