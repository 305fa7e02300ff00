"""Each check passes what is right and catches a single wrong value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_up import CALIBRATION, FRAME, TRUTH_PX, outputs

from stereo_dp_ros.replay.checks import check_camera_info, check_cloud, check_confidence, check_depth, check_disparity
from stereo_dp_ros.replay.decoding import cloud_points

STAMP = 1_700_000_000_500_000_000


@pytest.fixture
def made() -> dict[str, Any]:
    disparity_px = TRUTH_PX.copy()
    disparity_px[2, 3] = np.nan
    return outputs(disparity_px, STAMP)


def _floats(message: Any) -> np.ndarray:
    """The message's data as float32, writable in place."""
    return message.data.view(np.float32)


def _cloud_problem(made: dict[str, Any]) -> str | None:
    return check_cloud(made["points2"], made["disparity"], CALIBRATION)


def test_right_outputs_pass(made: dict[str, Any]) -> None:
    assert check_disparity(made["disparity"], CALIBRATION, FRAME) is None
    assert check_depth(made["depth/image_rect"], made["disparity"]) is None
    assert check_confidence(made["confidence"], made["disparity"]) is None
    assert _cloud_problem(made) is None


def test_point_of_a_known_pixel_is_where_geometry_puts_it(made: dict[str, Any]) -> None:
    # d = 4 + 17/8 = 6.125 at (u, v) = (1, 2); Z = 40·0.125/(6.125 + 1.5)
    depth_m = 5.0 / 7.625
    expected = [(1 - 3.5) * depth_m / 40, (2 - 2.5) * depth_m / 41, depth_m]
    np.testing.assert_allclose(cloud_points(made["points2"])[2, 1], expected, rtol=1e-6)


@pytest.mark.parametrize(("axis", "complaint"), [(0, "wrong x"), (1, "wrong y"), (2, "differ from f·T/d")])
def test_one_wrong_point_is_caught(made: dict[str, Any], axis: int, complaint: str) -> None:
    points = _floats(made["points2"]).reshape(6, 8, 4)
    points[4, 5, axis] += np.float32(2e-4) * points[4, 5, 2]
    problem = _cloud_problem(made)
    assert problem is not None
    assert complaint in problem
    assert problem.startswith("1 of 48 ")
    assert "first at pixel (5, 4)" in problem


def test_rounding_of_a_point_is_not_an_error(made: dict[str, Any]) -> None:
    points = _floats(made["points2"]).reshape(6, 8, 4)
    points[..., :3] = np.nextafter(points[..., :3], np.float32(np.inf))
    assert _cloud_problem(made) is None


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_point_without_a_disparity_and_disparity_without_a_point_are_caught(made: dict[str, Any], axis: int) -> None:
    points = _floats(made["points2"]).reshape(6, 8, 4)
    points[2, 3, axis] = 1.0
    assert "first at pixel (3, 2): 1, expected nan" in (_cloud_problem(made) or "")
    points[2, 3, axis], points[0, 0, axis] = np.nan, np.nan
    assert "first at pixel (0, 0): nan, expected" in (_cloud_problem(made) or "")


def test_header_and_form_of_a_cloud_are_checked(made: dict[str, Any]) -> None:
    cloud = made["points2"]
    cloud.header.frame_id = "base_link"
    assert _cloud_problem(made) == "frame_id is 'base_link', expected 'optical'"
    cloud.header.frame_id = FRAME
    cloud.header.stamp.nanosec += 1
    assert _cloud_problem(made) == f"stamp is {STAMP + 1}, expected {STAMP}"
    cloud.header.stamp.nanosec -= 1
    cloud.width, cloud.height, cloud.row_step = 48, 1, 16 * 48
    assert _cloud_problem(made) == "has 48x1 points, expected 8x6 (organised)"
    cloud.width, cloud.height, cloud.row_step = 8, 6, 16 * 8
    cloud.is_dense = True
    assert "is_dense is true" in (_cloud_problem(made) or "")
    cloud.is_dense = False
    cloud.fields[2].name = "depth"
    assert _cloud_problem(made) == (
        "cloud has the fields x (datatype 7), y (datatype 7), depth (datatype 7), rgb (datatype 7), "
        "expected z of datatype 7 or 8"
    )


def test_depth_is_compared_pixel_by_pixel(made: dict[str, Any]) -> None:
    depth = made["depth/image_rect"]
    assert check_depth(depth, made["disparity"]) is None
    _floats(depth)[10] *= np.float32(1.0001)
    problem = check_depth(depth, made["disparity"])
    assert problem is not None
    assert problem.startswith("1 of 48 depths differ from f·T/d, first at pixel (2, 1)")
    depth.encoding = "16UC1"
    assert check_depth(depth, made["disparity"]) == "image has encoding '16UC1', expected 32FC1"


def test_confidence_stays_within_0_and_1(made: dict[str, Any]) -> None:
    for value in (1.001, -0.001, np.nan):
        _floats(made["confidence"])[7] = value
        assert "1 of 48 values are outside 0…1, first at pixel (7, 0)" in (
            check_confidence(made["confidence"], made["disparity"]) or ""
        )


def test_camera_info_is_the_left_cameras(made: dict[str, Any]) -> None:
    info = made["depth/camera_info"]
    assert check_camera_info(info, made["disparity"], CALIBRATION) is None
    info.p[2] = 5.0
    assert check_camera_info(info, made["disparity"], CALIBRATION) == "P has cx = 5, expected 3.5"
    info.binning_x = 2
    assert check_camera_info(info, made["disparity"], CALIBRATION) == "is for 4x6, expected 8x6"
    info.header.frame_id = "other"
    assert check_camera_info(info, made["disparity"], CALIBRATION) == "frame_id is 'other', expected 'optical'"


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("f", 41.0, "f is 41.0, expected 40.0"),
        ("t", 0.25, "T is 0.25, expected 0.125"),
        ("min_disparity", 0.0, "min_disparity is 0 and max_disparity 11.375, expected 0 < min < max"),
    ],
)
def test_fields_of_a_disparity_are_checked(made: dict[str, Any], field: str, value: float, complaint: str) -> None:
    setattr(made["disparity"], field, value)
    assert check_disparity(made["disparity"], CALIBRATION, FRAME) == complaint


def test_frame_window_and_values_of_a_disparity_are_checked(made: dict[str, Any]) -> None:
    disparity = made["disparity"]
    assert check_disparity(disparity, CALIBRATION, "other") == "frame_id is optical, expected other"
    disparity.valid_window.width = 0
    assert "valid_window is 0x6 at (0, 0)" in (check_disparity(disparity, CALIBRATION, FRAME) or "")
    disparity.valid_window.width = 8
    _floats(disparity.image)[3] = np.inf
    assert "1 of 48 pixels are not finite, first at pixel (3, 0)" in (
        check_disparity(disparity, CALIBRATION, FRAME) or ""
    )
    disparity.image.width = 7
    assert check_disparity(disparity, CALIBRATION, FRAME) == "size is 7x6, expected 8x6"
