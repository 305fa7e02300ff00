"""Proxies of frames whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from frames import frame

from stereo_dp_ros.replay.proxies import Proxies, dominant_plane, photometric_error, temporal_change_px
from stereo_dp_ros.replay.scene import Courtyard

NOISE = np.random.default_rng(5)
TEXTURE = NOISE.integers(0, 256, (40, 96), np.uint8)
LEFT, RIGHT = np.ascontiguousarray(TEXTURE[:, :80]), np.ascontiguousarray(TEXTURE[:, 16:])  # x_right = x_left − 16
SIXTEEN_PX = np.full((40, 80), 16.0, np.float32)


def test_true_disparity_leaves_no_photometric_difference() -> None:
    assert photometric_error(LEFT, RIGHT, SIXTEEN_PX) == pytest.approx(0.0, abs=1e-6)
    wrong = photometric_error(LEFT, RIGHT, SIXTEEN_PX + 1)
    assert wrong is not None
    assert wrong > 60  # two independent gray levels of 0…255 are 85 apart on average


def test_known_difference_is_told_in_gray_levels() -> None:
    stripes = np.tile(np.array([100, 140], np.uint8), (40, 40))  # mean 120, deviation 20
    other = stripes.copy()
    other[::2] = other[::2, ::-1]  # half of the rows are the other way round: off by 40 there
    zero = np.zeros((40, 80), np.float32)
    assert photometric_error(stripes, other, zero) == pytest.approx(20.0)


def test_exposure_is_taken_out() -> None:
    darker = (RIGHT // 2 + 20).astype(np.uint8)
    found = photometric_error(LEFT // 2 * 2, darker, SIXTEEN_PX)
    assert found == pytest.approx(0.0, abs=1e-6)


def test_what_the_right_camera_cannot_see_is_left_out() -> None:
    # A square of 24 px before a ground of 8 px hides 16 px of the ground from the right camera.
    disparity_px = np.full((40, 80), 8.0, np.float32)
    disparity_px[:, 40:60] = 24.0
    left = NOISE.integers(0, 256, (40, 80), np.uint8)
    right = NOISE.integers(0, 256, (40, 80), np.uint8)
    for near_px in (8, 24):  # the nearer one is drawn last
        columns = np.flatnonzero(disparity_px[0] == near_px)
        columns = columns[columns >= near_px]
        right[:, columns - near_px] = left[:, columns]
    assert photometric_error(left, right, disparity_px) == pytest.approx(0.0, abs=1e-6)
    everywhere = np.full_like(disparity_px, np.nan)
    assert photometric_error(left, right, everywhere) is None


def test_true_disparity_of_a_drawn_scene_explains_the_images_better_than_a_wrong_one() -> None:
    drawn = Courtyard().frame(0.3, 1.0)
    true, wrong = (photometric_error(drawn.left, drawn.right, drawn.disparity_px + np.float32(e)) for e in (0, 2))
    assert true is not None and wrong is not None
    assert true < 0.7 * wrong


def test_scene_that_stands_still_does_not_change() -> None:
    first, second = frame(SIXTEEN_PX, left=LEFT), frame(SIXTEEN_PX, left=LEFT.copy())
    assert temporal_change_px(first, second) == 0.0


def test_change_is_measured_where_the_image_stands_still() -> None:
    moved = LEFT.copy()
    moved[:, 60:] = NOISE.integers(0, 256, (40, 20), np.uint8)
    after_px = SIXTEEN_PX + np.float32(0.25)
    after_px[:, 66:] += 50  # well inside what moves
    after_px[:, :4] = np.nan
    assert temporal_change_px(frame(SIXTEEN_PX, left=LEFT), frame(after_px, left=moved)) == 0.25


def test_camera_that_moves_has_no_such_figure() -> None:
    before = frame(SIXTEEN_PX, left=LEFT)
    assert temporal_change_px(before, frame(SIXTEEN_PX, left=np.roll(LEFT, 3, axis=1))) is None
    assert temporal_change_px(before, frame(SIXTEEN_PX[:, :40], left=LEFT[:, :40])) is None
    assert temporal_change_px(before, frame(SIXTEEN_PX)) is None


def test_plane_is_found_among_other_things() -> None:
    rows, columns = np.mgrid[0:120, 0:160]
    disparity_px = (0.125 * rows + 0.0625 * columns + 10).astype(np.float32)
    disparity_px[:48] = np.random.default_rng(0).uniform(60, 190, (48, 160))  # 40 %
    disparity_px[100:, :20] = np.nan
    plane = dominant_plane(disparity_px)
    assert plane is not None
    assert plane.coefficients == pytest.approx((0.0625, 0.125, 10.0), abs=1e-4)
    assert plane.residual_px == pytest.approx(0.0, abs=1e-4)
    answered = 120 * 160 - 400
    assert plane.share == pytest.approx(100 * (72 * 160 - 400) / answered, abs=2.0)  # by a sample of 4000 pixels


def test_residual_of_a_rough_plane() -> None:
    rows, columns = np.mgrid[0:100, 0:100]
    rough_px = np.where((rows + columns) % 2 == 0, 20.25, 19.75).astype(np.float32)
    plane = dominant_plane(rough_px)
    assert plane is not None
    assert plane.residual_px == pytest.approx(0.25, abs=1e-3)
    assert plane.share == 100.0
    assert dominant_plane(np.full((50, 50), np.nan, np.float32)) is None
    line = np.full((200, 200), np.nan, np.float32)
    line[100] = 7.0
    assert dominant_plane(line) is None


def test_proxies_are_named_per_frame_and_averaged() -> None:
    measure = Proxies()
    assert measure.summary() is None
    first = measure.add(frame(SIXTEEN_PX, left=LEFT, right=RIGHT, confidence=np.repeat((0.5, 0.4), (20, 60))))
    second = measure.add(frame(SIXTEEN_PX + 0.5, left=LEFT, right=RIGHT, confidence=0.9))
    assert first["confident"] == 25.0
    assert "temporal_change_px" not in first
    assert second["temporal_change_px"] == 0.5
    assert "row_offset_px" not in second  # of each fifth frame
    found = measure.summary()
    assert found is not None
    assert found["confident"] == 62.5
    assert found["temporal_change_px"] == 0.5
    assert found["plane_share"] == 100.0
    assert found["photometric_error"] == pytest.approx((first["photometric_error"] + second["photometric_error"]) / 2)


def test_vertical_offset_is_that_of_the_images() -> None:
    drawn = Courtyard().frame(0.3, 1.0)
    moved = np.roll(drawn.right, 3, axis=0)
    aligned = Proxies().add(frame(drawn.disparity_px, left=drawn.left, right=drawn.right))
    off = Proxies().add(frame(drawn.disparity_px, left=drawn.left, right=moved))
    assert aligned["row_offset_px"] <= 0.3
    assert off["row_offset_px"] == pytest.approx(3.0, abs=0.3)


def test_frame_without_images_or_confidence_has_what_is_left() -> None:
    found = Proxies().add(frame(SIXTEEN_PX, confidence=np.nan))
    assert sorted(found) == ["plane_residual_px", "plane_share"]
