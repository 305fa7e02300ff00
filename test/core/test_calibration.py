import numpy as np
import pytest

from stereo_dp_ros.core.calib_file import read_calib_file
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import CalibrationError


def projection(fx=500.0, fy=500.0, cx=320.0, cy=240.0, tx=0.0):
    return np.array([[fx, 0, cx, tx], [0, fy, cy, 0], [0, 0, 1, 0]])


def test_projections_give_focal_length_baseline_and_doffs():
    calibration = StereoCalibration.from_projections(projection(cx=310.0), projection(cx=330.0, tx=-60.0), 640, 480)
    assert calibration == StereoCalibration(640, 480, 500.0, 500.0, 310.0, 330.0, 240.0, 0.12)
    assert calibration.doffs_px == 20.0


def test_left_offset_counts_for_the_baseline_as_in_kitti_colour():
    left = projection(fx=721.5377, fy=721.5377, tx=44.85728)
    right = projection(fx=721.5377, fy=721.5377, tx=-339.5242)
    calibration = StereoCalibration.from_projections(left, right, 1242, 375)
    assert calibration.baseline_m == pytest.approx((44.85728 + 339.5242) / 721.5377, abs=1e-12)


def test_projections_round_trip():
    calibration = StereoCalibration(640, 480, 500.0, 510.0, 310.0, 330.0, 240.0, 0.25)
    assert StereoCalibration.from_projections(*calibration.to_projections(), 640, 480) == calibration


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (np.zeros((3, 4)), projection(tx=-60), "P of the left camera is all zeros"),
        (projection(), np.zeros((3, 4)), "P of the right camera is all zeros"),
        (projection(), projection(), "no baseline"),
        (projection(), projection(tx=60), "swapped"),
        (projection(), projection(fx=600, tx=-60), "fx 500 left and 600 right"),
        (projection(), projection(cy=250, tx=-60), "cy 240 left and 250 right"),
        (projection(fx=-1), projection(tx=-60), "focal length -1"),
        (projection(cx=np.nan), projection(tx=-60), "not finite"),
    ],
)
def test_unusable_projections_say_why_in_one_line(left, right, expected):
    with pytest.raises(CalibrationError, match=expected) as caught:
        StereoCalibration.from_projections(left, right, 640, 480)
    assert "\n" not in str(caught.value)


def test_scaling_moves_pixel_centres_as_resize_does():
    calibration = StereoCalibration(640, 480, 500.0, 500.0, 319.5, 329.5, 239.5, 0.1)
    half = calibration.scaled(320, 240)
    assert half == StereoCalibration(320, 240, 250.0, 250.0, 159.5, 164.5, 119.5, 0.1)
    assert half.doffs_px == calibration.doffs_px / 2
    assert half.scaled(640, 480) == calibration


def test_cropping_moves_principal_points_and_keeps_doffs():
    calibration = StereoCalibration(640, 480, 500.0, 500.0, 310.0, 330.0, 240.0, 0.1)
    crop = calibration.cropped(100, 50, 320, 200)
    assert crop == StereoCalibration(320, 200, 500.0, 500.0, 210.0, 230.0, 190.0, 0.1)


CALIB = """\
cam0=[999.421 0 294.182; 0 999.421 252.932; 0 0 1]
cam1=[999.421 0 326.96; 0 999.421 252.932; 0 0 1]
"""


def test_calib_file_reads_middlebury_keys(tmp_path):
    path = tmp_path / "calib.txt"
    path.write_text(CALIB + " doffs= 32.778\n baseline= 193.001\n width= 741\n height= 497 \n")
    calibration = read_calib_file(path, (741, 497))
    assert calibration == StereoCalibration(741, 497, 999.421, 999.421, 294.182, 326.96, 252.932, 0.193001)
    assert calibration.doffs_px == pytest.approx(32.778, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "lacks cam0, cam1, baseline"),
        (CALIB, "lacks baseline"),
        (CALIB + "baseline=ten\n", "baseline is 'ten', expected 1 number"),
        (CALIB.replace("999.421 0 294.182", "999.421 0") + "baseline=10\n", "cam0 .* expected 9 numbers"),
        (CALIB + "baseline=10\nwidth=10\nheight=5\n", "is for 10x5, expected 741x497"),
        (CALIB + "baseline=10\nwidth=nan\nheight=5\n", "width is 'nan', expected a whole number"),
        (CALIB + "baseline=10\nwidth=741\nheight=inf\n", "height is 'inf', expected a whole number"),
        (
            CALIB.replace("[999.421 0 326.96", "[899.421 0 326.96") + "baseline=10\n",
            "calib.txt: cam0, cam1 has fx 999.421 left and 899.421 right, expected equal values in a rectified pair",
        ),
    ],
)
def test_calib_file_names_what_is_wrong(tmp_path, text, expected):
    path = tmp_path / "calib.txt"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=expected):
        read_calib_file(path, (741, 497))
