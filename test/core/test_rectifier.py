"""Rectification maps: a known shift, where the right image has nothing, and the valid rectangle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stereo_dp_ros.core.errors import CalibrationError
from stereo_dp_ros.core.rectification import CameraParameters, Rectifier, largest_rectangle

IMAGE = np.random.default_rng(3).integers(0, 256, (32, 48), np.uint8)


def camera(x_px: float = 0.0, y_px: float = 0.0, **changes: Any) -> CameraParameters:
    """A camera whose raw principal point lies (x, y) from the rectified one: content moves by (-x, -y)."""
    p = np.array(((40.0, 0, 24, 0), (0, 40, 16, 0), (0, 0, 1, 0)))
    k = p[:, :3] + np.array(((0, 0, x_px), (0, 0, y_px), (0, 0, 0)))
    return replace(CameraParameters(48, 32, k, np.zeros(5), np.eye(3), p), **changes)


def test_each_side_has_maps_of_its_own() -> None:
    left, right = Rectifier(camera(8, 4), camera(-2, 0))(IMAGE, IMAGE)
    np.testing.assert_array_equal(left[:-4, :-8], IMAGE[4:, 8:])
    np.testing.assert_array_equal(right[:, 2:], IMAGE[:, :-2])
    assert not left[-4:].any()
    assert not right[:, :2].any()


def test_rows_that_the_right_image_lacks_are_outside() -> None:
    window = Rectifier(camera(8, 0), camera(0, 4)).window
    expected = np.zeros((32, 48), bool)
    expected[:-4, :-8] = True
    np.testing.assert_array_equal(window.mask, expected)
    assert window.rectangle == (0, 0, 40, 28)


def test_errors_name_the_camera() -> None:
    with pytest.raises(CalibrationError, match=r"^right_info: equidistant has 5 coefficients in D, expected 4$"):
        Rectifier(
            camera(),
            camera(distortion_model="equidistant", d=np.full(5, 0.1)),
            ("left_info", "right_info"),
        )


@pytest.mark.parametrize(
    ("holes", "expected"),
    [
        ([], (0, 0, 40, 32)),
        ([(slice(0, 3), slice(None))], (0, 4, 40, 28)),
        ([(slice(None), slice(37, 40))], (0, 0, 36, 32)),
        ([(5, 6), (30, 38)], (8, 0, 32, 28)),
        ([(slice(None), slice(None))], (0, 0, 0, 0)),
    ],
)
def test_largest_rectangle(holes: list[Any], expected: tuple[int, int, int, int]) -> None:
    mask = np.ones((32, 40), bool)
    for hole in holes:
        mask[hole] = False
    x, y, width, height = largest_rectangle(mask)
    assert (x, y, width, height) == expected
    assert mask[y : y + height, x : x + width].all()
