import json

import cv2
import numpy as np
import pytest

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import BackendError, CalibrationError, ImageError
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.geometry import points_from_depth
from stereo_dp_ros.core.maps import MapRequest, StereoMaps
from stereo_dp_ros.core.models import Manifest, Model
from stereo_dp_ros.core.preprocessing import Preprocessing


class FakeBackend:
    """Answers with a function of the pair; test code."""

    name, precision, device = "fake", "fp32", "CPU"

    def __init__(self, answer):
        self.answer = answer
        self.seen = None

    def infer(self, left, right):
        self.seen = (left.copy(), right.copy())
        disparity = np.asarray(self.answer(left), np.float32)
        return disparity, np.full(disparity.shape, 0.5, np.float32)


def model(multiple=32, max_disparity=192.0, tmp_path=".", min_area_px=0):
    manifest = Manifest("fake", multiple, max_disparity, {"fake.onnx": "0"}, min_area_px=min_area_px)
    return Model(manifest, tmp_path)


def estimator(answer, **options):
    backend = FakeBackend(answer)
    return StereoEstimator(model(), backend, **options), backend


def noise(shape):
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def test_padding_repeats_the_border_and_comes_off_again():
    columns = lambda image: np.tile(np.arange(image.shape[1], dtype=np.float32), (image.shape[0], 1))  # noqa: E731
    subject, backend = estimator(columns)
    left = noise((45, 70, 3))
    result = subject.infer(left, left)
    seen = backend.seen[0]
    assert seen.shape == (64, 96, 3)
    np.testing.assert_array_equal(seen[:45, :70], left)
    np.testing.assert_array_equal(seen[:45, 70:], np.repeat(left[:, 69:70], 26, axis=1))
    assert result.disparity_px.shape == (45, 70)
    np.testing.assert_array_equal(result.disparity_px[0], np.arange(70, dtype=np.float32))


def test_gray_becomes_three_equal_channels():
    subject, backend = estimator(lambda image: np.zeros(image.shape[:2]))
    left = noise((32, 32))
    subject.infer(left, left)
    np.testing.assert_array_equal(backend.seen[0], np.repeat(left[..., None], 3, axis=2))


def test_disparity_scales_with_the_width_at_another_inference_size():
    subject, backend = estimator(lambda image: np.full(image.shape[:2], 10.0), input_size=(320, 96))
    result = subject.infer(noise((480, 640, 3)), noise((480, 640, 3)))
    assert backend.seen[0].shape == (96, 320, 3)
    np.testing.assert_array_equal(result.disparity_px, np.full((480, 640), 20.0, np.float32))
    assert (result.min_disparity_px, result.max_disparity_px) == (0.0, 384.0)


def test_no_answer_is_nan_with_confidence_zero():
    def answer(image):
        disparity = np.ones(image.shape[:2], np.float32)
        disparity[0, 0], disparity[0, 1] = np.inf, np.nan
        return disparity

    subject, _ = estimator(answer)
    result = subject.infer(noise((32, 32)), noise((32, 32)))
    assert np.isnan(result.disparity_px[0, :2]).all()
    assert result.confidence[0, :3].tolist() == [0.0, 0.0, 0.5]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (noise((32, 32, 3)), noise((32, 64, 3)), "left is 32x32 RGB and right is 64x32 RGB"),
        (noise((32, 32, 3)), noise((32, 32)), "left is 32x32 RGB and right is 32x32 gray"),
        (noise((32, 32, 4)), noise((32, 32, 4)), r"left image has shape \(32, 32, 4\)"),
        (noise((32, 32)).astype(np.float32), noise((32, 32)), "dtype float32, expected uint8"),
        (np.zeros((0, 32), np.uint8), np.zeros((0, 32), np.uint8), "left image is empty"),
    ],
)
def test_unusable_pairs_say_why(left, right, expected):
    subject, _ = estimator(lambda image: np.zeros(image.shape[:2]))
    with pytest.raises(ImageError, match=expected):
        subject.infer(left, right)


def test_a_backend_that_answers_in_another_size_is_told():
    subject, _ = estimator(lambda image: np.zeros((1, 1)))
    with pytest.raises(BackendError, match=r"returned disparity of shape \(1, 1\), expected \(32, 32\)"):
        subject.infer(noise((32, 32)), noise((32, 32)))


def test_inference_size_under_the_multiple_is_refused():
    with pytest.raises(ImageError, match="inference size is 16x96, expected at least 32 px"):
        StereoEstimator(model(), FakeBackend(None), input_size=(16, 96))


@pytest.mark.parametrize("size", [(64, 32), (65, 33), (347, 277), (1242, 375), (1, 1)])
def test_plan_pads_to_the_next_multiple(size):
    plan = Preprocessing.plan(size, 32)
    assert all(p % 32 == 0 and 0 <= p - s < 32 for p, s in zip(plan.padded_size, size, strict=True))
    assert json.dumps(plan.network_size) == json.dumps(size)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (640, 480)),
        ((1280, 720), (1280, 720)),
        ((320, 240), (640, 480)),
        ((433, 370), (600, 512)),  # both sides times (640 * 480 / (433 * 370))^1/2 = 1.3847
        ((200, 100), (400, 200)),  # never more than twice
    ],
)
def test_small_images_are_enlarged_to_the_models_least_area(size, expected):
    assert Preprocessing.plan(size, 32, min_area_px=640 * 480).network_size == expected
    assert Preprocessing.plan(size, 32, (96, 64), min_area_px=640 * 480).network_size == (96, 64)


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3)])
@pytest.mark.parametrize("network_size", [None, (80, 60), (50, 40)])
@pytest.mark.parametrize("multiple", [1, 32])
def test_an_image_is_resized_and_its_last_column_and_row_repeated(shape, network_size, multiple):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    plan = Preprocessing.plan((64, 48), multiple, network_size)
    fitted = plan.apply(image)
    width, height = plan.network_size
    resized = plan.resized(image).reshape(height, width, -1) * np.ones(3, np.uint8)
    assert fitted.shape == (plan.padded_size[1], plan.padded_size[0], 3) and fitted.flags.c_contiguous
    assert np.array_equal(fitted[:height, :width], resized)
    rows, columns = np.arange(fitted.shape[0]).clip(max=height - 1), np.arange(fitted.shape[1]).clip(max=width - 1)
    assert np.array_equal(fitted, fitted[rows][:, columns])


def test_every_image_is_scaled_as_the_model_says():
    assert Preprocessing.plan((640, 480), 32, scale=0.8, min_area_px=1000).network_size == (512, 384)
    assert Preprocessing.plan((320, 240), 32, scale=0.8, min_area_px=512 * 384).network_size == (512, 384)
    assert Preprocessing.plan((640, 480), 32, scale=1.25).network_size == (800, 600)
    assert Preprocessing.plan((640, 480), 32, scale=1.25).disparity_scale == 0.8
    assert Preprocessing.plan((640, 480), 32, scale=1.25, min_area_px=800 * 600).network_size == (800, 600)
    assert Preprocessing.plan((400, 300), 32, scale=1.25, min_area_px=800 * 600).network_size == (800, 600)


def test_disparity_of_an_enlarged_pair_is_in_its_own_pixels():
    backend = FakeBackend(lambda image: np.full(image.shape[:2], 10.0))
    result = StereoEstimator(model(min_area_px=640 * 480), backend).infer(noise((240, 320, 3)), noise((240, 320, 3)))
    assert backend.seen[0].shape == (480, 640, 3)
    np.testing.assert_array_equal(result.disparity_px, np.full((240, 320), 5.0, np.float32))
    assert result.max_disparity_px == 96.0


@pytest.mark.parametrize(
    ("size", "interpolation"),
    [((96, 64), cv2.INTER_AREA), ((160, 96), cv2.INTER_CUBIC), ((224, 128), cv2.INTER_CUBIC)],
)
def test_resized_images_are_what_opencv_makes_of_them(size, interpolation):
    image = noise((100, 200, 3))
    plan = Preprocessing.plan((200, 100), 32, size)
    np.testing.assert_array_equal(plan.apply(image), cv2.resize(image, size, interpolation=interpolation))


CALIBRATION = StereoCalibration(70, 45, 60.0, 61.0, 34.0, 36.0, 22.0, 0.1)


def test_maps_on_the_host_are_those_of_geometry_and_only_the_wanted_ones():
    subject, _ = estimator(lambda image: np.full(image.shape[:2], 8.0))
    left = noise((45, 70, 3))
    maps = subject.infer_maps(left, left, ("depth", "points"), CALIBRATION)
    assert maps.disparity_px is None and maps.confidence is None
    np.testing.assert_array_equal(maps.depth_m, np.full((45, 70), np.float32(6.0) / np.float32(10.0)))
    np.testing.assert_array_equal(maps.points_m, points_from_depth(maps.depth_m, CALIBRATION))
    assert subject.infer_maps(left, left, ("confidence",)).confidence.shape == (45, 70)


def test_a_backend_that_makes_maps_itself_is_asked_for_them():
    subject, backend = estimator(lambda image: np.zeros(image.shape[:2]))
    made = StereoMaps(depth_m=np.ones((45, 70), np.float32))
    asked = []
    backend.infer_maps = lambda left, right, request: asked.append(request) or made
    left = noise((45, 70))
    assert subject.infer_maps(left, left, ("depth",), CALIBRATION) is made
    assert asked == [MapRequest(subject.plan(70, 45), frozenset({"depth"}), CALIBRATION)]


def test_depth_needs_a_calibration_of_the_images_size():
    subject, _ = estimator(lambda image: np.zeros(image.shape[:2]))
    left = noise((32, 32))
    with pytest.raises(CalibrationError, match="^depth and points need a calibration, none was given$"):
        subject.infer_maps(left, left, ("points",))
    with pytest.raises(CalibrationError, match="^calibration is of 70x45 images, expected 32x32$"):
        subject.infer_maps(left, left, ("depth",), CALIBRATION)
    with pytest.raises(ValueError, match="^there is no map named colour, expected some of disparity, confidence"):
        subject.infer_maps(left, left, ("colour",))
