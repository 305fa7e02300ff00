"""Pictures and plots show what they should, where they should."""

from __future__ import annotations

import base64
import re

import cv2
import numpy as np
import pytest

from stereo_dp_ros.replay.pictures import (
    color_scale,
    confidence_picture,
    data_uri,
    disparity_picture,
    error_picture,
    view_cloud,
)
from stereo_dp_ros.replay.plots import line_plot
from stereo_dp_ros.replay.viewer import cloud_canvas


def _rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))


def test_disparity_has_the_ends_of_the_scale_and_black_for_unknown() -> None:
    picture = disparity_picture(np.array([[2.0, 10.0, np.nan]], np.float32), 2.0, 10.0)
    scale = color_scale("disparity")
    assert tuple(picture[0, 0]) == _rgb(scale[0])
    assert tuple(picture[0, 1]) == _rgb(scale[-1])
    assert tuple(picture[0, 2]) == (0, 0, 0)


def test_error_has_its_limit_no_answer_and_no_truth() -> None:
    truth = np.array([[5.0, 5.0, 5.0, 5.0, np.nan]], np.float32)
    found = np.array([[5.0, 9.0, 90.0, np.nan, 5.0]], np.float32)
    picture = [tuple(pixel) for pixel in error_picture(found, truth)[0]]
    scale = color_scale("error")
    assert picture == [_rgb(scale[0]), *[_rgb(scale[-1])] * 3, (128, 128, 128)]


def test_confidence_has_the_ends_of_the_scale() -> None:
    picture = confidence_picture(np.array([[0.0, 1.0]], np.float32))
    assert [tuple(p) for p in picture[0]] == [_rgb(color_scale("confidence")[i]) for i in (0, -1)]


def test_data_uri_is_a_jpeg_of_the_picture() -> None:
    picture = np.full((20, 30, 3), (200, 40, 90), np.uint8)
    head, _, content = data_uri(picture).partition(",")
    assert head == "data:image/jpeg;base64"
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(decoded[..., ::-1], picture, atol=6)


def test_cloud_seen_straight_on_is_the_image() -> None:
    rays_x, rays_y = np.meshgrid((np.arange(40) - 19.5) / 50, (np.arange(30) - 14.5) / 50)
    points = np.dstack([2 * rays_x, 2 * rays_y, np.full((30, 40), 2.0)]).astype(np.float32)
    colors = np.zeros((30, 40, 3), np.uint8)
    colors[:, :20], colors[:, 20:] = (255, 0, 0), (0, 0, 255)
    points[0, 0] = np.nan
    picture = view_cloud(points, colors, 50.0, (40, 30), yaw_deg=0, pitch_deg=0)
    assert picture.shape == (30, 40, 3)
    assert tuple(picture[15, 10]) == (255, 0, 0)
    assert tuple(picture[15, 30]) == (0, 0, 255)


def test_nearer_points_cover_farther_ones_and_turn_against_them() -> None:
    grid_x, grid_y = np.meshgrid(np.linspace(-1, 1, 200), np.linspace(-1, 1, 200))
    far = np.dstack([grid_x * 2, grid_y * 2, np.full((200, 200), 4.0)])
    near = np.dstack([grid_x * 0.2, grid_y * 0.2, np.full((200, 200), 2.0)])
    points = np.concatenate([near, far]).astype(np.float32)
    colors = np.concatenate([np.full((200, 200, 3), (0, 255, 0)), np.full((200, 200, 3), (255, 255, 0))])
    straight, turned = (
        view_cloud(points, colors.astype(np.uint8), 60.0, (120, 120), yaw_deg=yaw, pitch_deg=0) for yaw in (0, -25)
    )
    green = [np.argwhere((view == (0, 255, 0)).all(axis=-1)).mean(axis=0) for view in (straight, turned)]
    np.testing.assert_allclose(green[0], [59.5, 59.5], atol=1.5)
    assert green[1][1] > 61  # the viewer went left: what is near moves right


def test_cloud_that_can_be_turned_carries_its_points() -> None:
    grid = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), axis=-1)
    points = np.dstack([grid, np.full((3, 4), 2.0)]).astype(np.float32)
    points[1, 2] = np.nan
    colors = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    canvas = cloud_canvas(points, colors, 50.0, (400, 300))
    data = dict(re.findall(r'data-(\w+)="([^"]*)"', canvas))
    assert (data["count"], data["pivot"], data["focal"], data["side"]) == ("11", "2", "5000", "0.02")
    packed = base64.b64decode(data["points"])
    assert len(packed) == 11 * 9
    known = np.isfinite(points[..., 0])
    positions = np.frombuffer(packed[:66], "<i2").reshape(11, 3) * float(data["step"])
    np.testing.assert_allclose(positions, points[known], atol=1e-4)
    np.testing.assert_array_equal(np.frombuffer(packed[66:], np.uint8).reshape(11, 3), colors[known])
    assert 'class="turn"' in canvas
    assert cloud_canvas(np.full_like(points, np.nan), colors, 50.0, (400, 300)) == ""


def test_large_cloud_is_thinned() -> None:
    points = np.ones((400, 500, 3), np.float32)
    canvas = cloud_canvas(points, np.zeros((400, 500, 3), np.uint8), 100.0, (500, 400))
    data = dict(re.findall(r'data-(\w+)="([^"]*)"', canvas))
    assert (data["count"], data["side"]) == ("50000", "0.02")  # every second row and column, dots twice as wide


def test_cloud_without_a_point_is_background() -> None:
    picture = view_cloud(np.full((4, 5, 3), np.nan, np.float32), np.zeros((4, 5, 3), np.uint8), 5.0, (16, 8))
    assert picture.shape == (8, 16, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1


def test_plot_has_its_points_where_they_belong() -> None:
    plot = line_plot([0, 1, 2, 3], [0, 10, float("nan"), 40], x_label="s", unit="ms")
    assert plot.count("<circle") == 3
    assert 'points="44.0,152.0 179.3,116.5 450.0,10.0"' in plot
    assert "<title>1.00 s: 10 ms</title>" in plot
    assert line_plot([0], [float("nan")], x_label="s", unit="ms") == ""


def test_plot_of_many_points_keeps_the_extremes() -> None:
    values = [10.0] * 10_000
    values[1234], values[7777] = 90.0, 1.0
    plot = line_plot(list(range(10_000)), values, x_label="s", unit="ms")
    assert "<title>1234.00 s: 90 ms</title>" in plot
    assert "<title>7777.00 s: 1 ms</title>" in plot
    assert 150 <= plot.count("<circle") <= 300


@pytest.mark.parametrize("highest", [0.0, 0.003, 7.0, 61.0, 12345.0])
def test_plot_reaches_over_its_highest_value(highest: float) -> None:
    plot = line_plot([0, 1], [0, highest], x_label="s", unit="px")
    height = float(plot.rpartition('cy="')[2].partition('"')[0])
    assert 10.0 <= height <= 152.0
