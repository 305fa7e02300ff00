import numpy as np
import pytest

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import CalibrationError
from stereo_dp_ros.core.geometry import depth_from_disparity, disparity_from_depth, points_from_depth

CALIBRATION = StereoCalibration(4, 3, 400.0, 500.0, 1.5, 11.5, 1.0, 0.1)


def test_plane_at_two_metres_with_different_principal_points():
    # f·B = 40 px·m, so Z = 2 m at d + doffs = 20 px; doffs = 10 px.
    depth_m = depth_from_disparity(np.full((3, 4), 10.0, np.float32), CALIBRATION)
    assert depth_m.dtype == np.float32
    np.testing.assert_array_equal(depth_m, np.full((3, 4), 2.0, np.float32))


def test_depth_is_unknown_without_disparity_and_at_infinity():
    disparity_px = np.full((3, 4), 10.0, np.float32)
    disparity_px[0, 0] = np.nan
    disparity_px[0, 1] = -10.0
    disparity_px[0, 2] = -11.0
    depth_m = depth_from_disparity(disparity_px, CALIBRATION)
    assert np.isnan(depth_m[0, :3]).all()
    assert np.isfinite(depth_m).sum() == 9
    assert disparity_px[0, 1] == -10.0


def test_disparity_and_depth_invert_each_other():
    disparity_px = np.linspace(-5, 100, 12, dtype=np.float32).reshape(3, 4)
    back = disparity_from_depth(depth_from_disparity(disparity_px, CALIBRATION), CALIBRATION)
    np.testing.assert_allclose(back, disparity_px, atol=1e-5)


def test_points_lie_on_the_rays_of_the_left_camera():
    points = points_from_depth(np.full((3, 4), 2.0, np.float32), CALIBRATION)
    assert points.shape == (3, 4, 3)
    np.testing.assert_allclose(points[2, 3], [(3 - 1.5) * 2 / 400, (2 - 1.0) * 2 / 500, 2.0], rtol=1e-6)


def test_points_without_depth_are_nan_in_all_three_coordinates():
    depth_m = np.full((3, 4), 2.0, np.float32)
    depth_m[1, 2] = np.nan
    points = points_from_depth(depth_m, CALIBRATION)
    assert np.isnan(points[1, 2]).all()
    assert np.isfinite(points).all(axis=-1).sum() == 11


def test_size_must_be_the_calibrations():
    with pytest.raises(CalibrationError, match="array is 5x3, expected 4x3"):
        depth_from_disparity(np.zeros((3, 5), np.float32), CALIBRATION)
