"""The scene's disparity is geometry, and its two images agree with it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.replay.render import Quad, Sphere, render_disparity, render_image
from stereo_dp_ros.replay.scene import COURTYARD_CALIBRATION, Courtyard, plane_scene
from stereo_dp_ros.replay.textures import Texture, noise

SMALL = StereoCalibration(
    width_px=160,
    height_px=120,
    fx_px=130.0,
    fy_px=130.0,
    cx_left_px=80.0,
    cx_right_px=86.5,
    cy_px=59.0,
    baseline_m=0.25,
)


def _facing(depth_m: float, texture: Texture, left_m: float = -8.0, width_m: float = 16.0) -> Quad:
    return Quad(np.array((left_m, -8.0, depth_m)), np.array((width_m, 0, 0.0)), np.array((0, 16.0, 0.0)), texture)


def _warp(right: np.ndarray, disparity_px: np.ndarray) -> np.ndarray:
    height, width = disparity_px.shape
    x = np.arange(width, dtype=np.float32)[None] - disparity_px
    y = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    return cv2.remap(right, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.parametrize("depth_m", [0.8, 2.0, 7.3])
def test_plane_has_the_disparity_of_its_depth(depth_m: float) -> None:
    frame = plane_scene(depth_m, SMALL)
    expected = 130.0 * 0.25 / depth_m - 6.5
    assert frame.disparity_px.shape == (120, 160)
    assert frame.disparity_px.dtype == np.float32
    np.testing.assert_allclose(frame.disparity_px, expected, rtol=0, atol=2e-5)


def test_slanted_plane_has_affine_disparity() -> None:
    frame = plane_scene(3.0, SMALL, slope=(0.5, -0.8))
    x = (np.arange(160) - 80.0)[None] / 130.0
    y = (np.arange(120) - 59.0)[:, None] / 130.0
    expected = 130.0 * 0.25 * (1 - 0.5 * x + 0.8 * y) / 3.0 - 6.5
    np.testing.assert_allclose(frame.disparity_px, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("depth_m", [1.31, 2.0, 4.77])
def test_right_image_warped_by_disparity_is_the_left_one_on_a_ramp(depth_m: float) -> None:
    levels = np.rint(np.linspace(20, 235, 216))
    ramp = np.tile(levels[None, :, None], (16, 1, 3)).astype(np.uint8)
    width_m = 1.1 * 160 / 130 * depth_m
    quad = replace(_facing(depth_m, Texture((ramp,)), -0.55 * 160 / 130 * depth_m, width_m), lit=False)
    left, right = (render_image([quad], SMALL, side).astype(np.float32) for side in ("left", "right"))
    disparity_px = render_disparity([quad], SMALL)
    inside = np.s_[10:-10, 70:-10]
    difference = (_warp(right, disparity_px) - left)[inside]
    levels_per_px = float(np.diff(left[60, 70:-10, 0]).mean())
    assert levels_per_px > 1.0
    assert np.abs(difference).max() <= 2.0
    assert abs(float(difference.mean())) / levels_per_px < 0.06


def test_sphere_is_nearest_where_it_faces_the_camera() -> None:
    sphere = Sphere(np.array((0.0, 0.0, 3.0)), 0.5, noise(3, 256))
    disparity_px = render_disparity([sphere], SMALL)
    assert disparity_px[59, 80] == pytest.approx(130 * 0.25 / 2.5 - 6.5, abs=1e-5)
    assert np.nanmax(disparity_px) == disparity_px[59, 80]
    rim_px = 130.0 * np.tan(np.arcsin(0.5 / 3.0))
    seen = np.flatnonzero(np.isfinite(disparity_px[59]))
    assert (seen[0], seen[-1]) == (int(np.ceil(80 - rim_px)), int(np.floor(80 + rim_px)))


def test_nearer_surface_hides_the_farther_one_in_any_order() -> None:
    near, far = _facing(2.0, noise(1, 64), -0.2, 0.4), _facing(5.0, noise(2, 64))
    disparity_px = render_disparity([near, far], SMALL)
    np.testing.assert_array_equal(disparity_px, render_disparity([far, near], SMALL))
    assert disparity_px[60, 80] == pytest.approx(130 * 0.25 / 2.0 - 6.5, abs=1e-5)
    assert disparity_px[60, 20] == pytest.approx(0.0, abs=1e-5)
    edge_px = 80 + 130 * 0.2 / 2.0
    assert disparity_px[60, int(edge_px) - 1] > 9 > disparity_px[60, int(edge_px) + 1]


def test_what_is_cut_out_shows_what_is_behind() -> None:
    picture = np.full((64, 64, 4), 200, np.uint8)
    picture[:, :32, 3], picture[:, 32:, 3] = 255, 0
    near, far = _facing(2.0, Texture.from_image(picture), -1.0, 2.0), _facing(5.0, noise(2, 64))
    disparity_px = render_disparity([near, far], SMALL)
    assert disparity_px[60, 70] == pytest.approx(9.75, abs=1e-5)
    assert disparity_px[60, 90] == pytest.approx(0.0, abs=1e-5)


def test_where_nothing_is_there_is_no_ground_truth() -> None:
    disparity_px = render_disparity([_facing(2.0, noise(1, 64), 0.0, 8.0)], SMALL)
    assert np.isnan(disparity_px[:, :80]).all()
    assert np.isfinite(disparity_px[:, 80:]).all()


def test_courtyard_moves_and_repeats_itself_exactly() -> None:
    first, again, later = (Courtyard().frame(*at) for at in ((0.5, 2.0), (0.5, 2.0), (0.6, 2.4)))
    np.testing.assert_array_equal(first.left, again.left)
    np.testing.assert_array_equal(first.right, again.right)
    np.testing.assert_array_equal(first.disparity_px, again.disparity_px)
    assert first.left.shape == first.right.shape == (480, 640, 3)
    assert (np.abs(first.disparity_px - later.disparity_px) > 1.0).mean() > 0.05


def test_courtyard_images_agree_with_its_disparity() -> None:
    frame = next(Courtyard().frames(1, 15.0))
    assert np.isfinite(frame.disparity_px).all()
    assert 5 < frame.disparity_px.min() < 8
    assert 40 < frame.disparity_px.max() < 70
    difference = np.abs(_warp(frame.right, frame.disparity_px).astype(float) - frame.left).mean(axis=2)
    shifted = np.abs(_warp(frame.right, frame.disparity_px + 1.0).astype(float) - frame.left).mean(axis=2)
    assert np.median(difference[:, 80:]) < 3.0
    assert np.median(shifted[:, 80:]) > 2.5 * np.median(difference[:, 80:])


def test_courtyard_frames_are_counted_and_keep_the_calibrations_size() -> None:
    half = COURTYARD_CALIBRATION.scaled(160, 120)
    frames = list(Courtyard(half).frames(3, 15.0))
    assert [frame.left.shape for frame in frames] == [(120, 160, 3)] * 3
    whole = Courtyard().frame(0.0, 0.0).disparity_px
    # Pixel centres of the small image lie between four pixels of the large one.
    block = cv2.resize(whole, (160, 120), interpolation=cv2.INTER_AREA) / 4
    assert np.median(np.abs(block - frames[0].disparity_px)) < 1e-3
