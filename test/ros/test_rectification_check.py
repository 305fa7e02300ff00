"""Row alignment measured from images: rectified, moved, swapped, and nothing to see."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from pair_checks import assert_closed
from rclpy.parameter import Parameter
from ros_rig import Rig
from ros_scene import PlaneScene, textured_plane

from stereo_dp_ros.core.rectification_check import measure_alignment
from stereo_dp_ros.ros.conversions import image_message

SCENE = PlaneScene(480, 320, fx_px=200.0, baseline_m=0.2)


def moved(image: np.ndarray, rows: float) -> np.ndarray:
    shift = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, rows]])
    return cv2.warpAffine(image, shift, (image.shape[1], image.shape[0]), borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("rows", [0.0, 0.25, 2.0, -5.0, 12.0])
def test_rows_that_are_off(rows: float, gray: bool) -> None:
    left, right = textured_plane(SCENE)
    if gray:
        left, right = left[..., 1], right[..., 1]
    alignment = measure_alignment(left, moved(right, rows))
    assert alignment is not None
    assert alignment.row_offset_px == pytest.approx(abs(rows), abs=0.1)
    assert alignment.disparity_px == pytest.approx(20.0, abs=0.5)
    assert alignment.matches >= 40


def test_swapped_sides() -> None:
    left, right = textured_plane(SCENE)
    alignment = measure_alignment(right, left)
    assert alignment is not None
    assert alignment.disparity_px == pytest.approx(-20.0, abs=0.5)


def test_large_images_are_measured_in_their_own_pixels() -> None:
    left, right = (cv2.resize(image, None, fx=5, fy=5) for image in textured_plane(SCENE))
    alignment = measure_alignment(left, moved(right, 10.0))
    assert alignment is not None
    assert alignment.row_offset_px == pytest.approx(10.0, abs=2.0)
    assert alignment.disparity_px == pytest.approx(100.0, abs=2.0)


@pytest.mark.parametrize("image", [np.zeros((120, 160), np.uint8), np.full((120, 160, 3), 90, np.uint8)])
def test_nothing_to_see(image: np.ndarray) -> None:
    assert measure_alignment(image, image) is None


def test_unlike_images_say_nothing() -> None:
    random = np.random.default_rng(0)
    left, right = random.integers(0, 256, (2, 120, 160), np.uint8)
    assert measure_alignment(left, right) is None


def test_real_pairs_are_rectified(data_folder: object) -> None:
    """No false alarm on the rectified pairs of public sets, and none missed when their right image is 3 px off."""
    from stereo_dp_ros.core.images import read_image

    measured = 0
    for path in sorted(data_folder.glob("pairs/*/*/im0.png")):
        left, right = read_image(path), read_image(path.with_name("im1.png"))
        alignment = measure_alignment(left, right)
        if alignment is not None:
            measured += 1
            assert alignment.row_offset_px <= 0.6, path
            off = measure_alignment(left, moved(right, 3.0))
            assert off is None or off.row_offset_px >= 2.0, path
    assert measured >= 20


def test_the_node_warns_until_it_is_mended(rig: Rig) -> None:
    rig.start(rectification_check_period_s=0.1)
    rig.connect(scene=SCENE)
    left, right = textured_plane(SCENE)

    def publish(left: np.ndarray, right: np.ndarray) -> None:
        header = rig.header()
        rig.publish(
            left_image_rect=image_message(left, "rgb8", header), right_image_rect=image_message(right, "rgb8", header)
        )

    status = rig.fault("px apart vertically (median)", lambda: publish(left, moved(right, 6.0)))
    assert status.level == DiagnosticStatus.WARN
    assert status.message.startswith("/left/image_rect and /right/image_rect: ")
    assert "matches are 6.0 px" in status.message
    status = rig.fault("matches have a disparity of -20.0 px", lambda: publish(right, left))
    assert "are left and right swapped?" in status.message
    rig.diagnostics.clear()
    assert rig.fault("pairs are processed", lambda: publish(left, right)).level == DiagnosticStatus.OK


def test_the_period_can_be_changed_while_the_node_runs(rig: Rig) -> None:
    """A shorter one counts at once; with none at all nothing is said of what was seen before."""
    node = rig.start(rectification_check_period_s=3600.0)
    rig.connect(scene=SCENE)
    left, right = textured_plane(SCENE)

    def publish(right: np.ndarray) -> None:
        header = rig.header()
        rig.publish(
            left_image_rect=image_message(left, "rgb8", header), right_image_rect=image_message(right, "rgb8", header)
        )

    publish(right)
    rig.last("disparity")
    (result,) = node.set_parameters([Parameter("rectification_check_period_s", value=0.1)])
    assert result.successful
    rig.fault("px apart vertically (median)", lambda: publish(moved(right, 6.0)))
    (result,) = node.set_parameters([Parameter("rectification_check_period_s", value=0.0)])
    assert result.successful
    rig.diagnostics.clear()
    rig.fault("pairs are processed", lambda: publish(moved(right, 6.0)))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 4000), (4000, 1), (5000, 100), (31, 31)])
def test_tiny_images_say_nothing(width: int, height: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    assert measure_alignment(image, image) is None


def test_a_check_that_fails_costs_nothing_else(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairs go on being answered, by the same thread."""

    def fail(*_: object) -> None:
        raise ValueError("no\nmeasure")

    monkeypatch.setattr("stereo_dp_ros.ros.run.measure_alignment", fail)
    node = rig.start(rectification_check_period_s=0.001)
    rig.connect()
    rig.publish_scene()
    rig.last("disparity")
    status = rig.fault("the images' alignment cannot be measured: ValueError: no measure", rig.publish_scene)
    assert status.level == DiagnosticStatus.WARN
    count = len(rig.received["disparity"])
    rig.publish_scene()
    rig.last("disparity", count + 1)
    assert_closed(rig, node)
