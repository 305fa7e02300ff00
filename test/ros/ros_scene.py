"""A synthetic pair with a known answer, and estimators that return it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.geometry import depth_from_disparity
from stereo_dp_ros.core.maps import StereoMaps
from stereo_dp_ros.core.models import Manifest, Model
from stereo_dp_ros.ros.conversions import image_message

FRAME = "left_camera_optical_frame"


@dataclass(frozen=True)
class PlaneScene:
    """A fronto-parallel textured plane; the default one is 20 px of disparity (doffs included) away."""

    width_px: int = 160
    height_px: int = 96
    fx_px: float = 200.0
    baseline_m: float = 0.2
    depth_m: float = 2.0
    cx_left_px: float = 80.0
    cx_right_px: float = 80.0
    left_tx: float = 0.0
    seed: int = 0

    @property
    def calibration(self) -> StereoCalibration:
        return StereoCalibration(
            self.width_px,
            self.height_px,
            self.fx_px,
            self.fx_px,
            self.cx_left_px,
            self.cx_right_px,
            self.height_px / 2,
            self.baseline_m,
        )

    @property
    def adjusted_px(self) -> float:
        """d + doffs."""
        return self.fx_px * self.baseline_m / self.depth_m

    @property
    def disparity_px(self) -> float:
        """Plain d; a whole number gives images without resampling."""
        return self.adjusted_px - (self.cx_right_px - self.cx_left_px)

    def images(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Left and right, uint8 RGB; the disparity must be a whole number."""
        shift = round(self.disparity_px)
        assert shift == self.disparity_px
        random = np.random.default_rng(self.seed)
        texture = random.integers(0, 256, (self.height_px, self.width_px + abs(shift), 3), np.uint8)
        left = texture[:, : self.width_px] if shift >= 0 else texture[:, -shift:]
        right = texture[:, shift:] if shift >= 0 else texture[:, : self.width_px]
        return left, right

    def camera_infos(self) -> tuple[CameraInfo, CameraInfo]:
        """CameraInfo of both sides."""
        infos = []
        for cx_px, tx in (
            (self.cx_left_px, self.left_tx),
            (self.cx_right_px, self.left_tx - self.fx_px * self.baseline_m),
        ):
            f, cy = self.fx_px, self.height_px / 2
            info = CameraInfo(width=self.width_px, height=self.height_px, distortion_model="plumb_bob")
            info.d = [0.0] * 5
            info.k = np.array([f, 0, cx_px, 0, f, cy, 0, 0, 1.0])
            info.r = np.eye(3).ravel()
            info.p = np.array([f, 0, cx_px, tx, 0, f, cy, 0, 0, 0, 1.0, 0])
            infos.append(info)
        return infos[0], infos[1]

    def messages(self, encoding: str, header: Header) -> tuple[object, object]:
        """Both images as messages; `encoding` is rgb8 or bgr8."""
        order = slice(None) if encoding == "rgb8" else slice(None, None, -1)
        left, right = (image_message(image[..., order], encoding, header) for image in self.images())
        return left, right

    def with_(self, **changes: float) -> PlaneScene:
        return replace(self, **changes)  # type: ignore[arg-type]


def textured_plane(scene: PlaneScene) -> tuple[np.ndarray, np.ndarray]:
    """The plane with a texture of several scales, as photographs have it."""
    shift = round(scene.disparity_px)
    width, height = scene.width_px + shift, scene.height_px
    random = np.random.default_rng(0)
    texture = sum(
        weight
        * cv2.resize(
            random.uniform(0, 255, (height // scale + 1, width // scale + 1, 3)).astype(np.float32), (width, height)
        )
        for scale, weight in ((2, 0.2), (5, 0.2), (16, 0.3), (50, 0.3))
    )
    texture = np.asarray(texture).astype(np.uint8)
    return texture[:, : scene.width_px], texture[:, shift:]


class PlaneBackend:
    """Answers a constant disparity, in pixels of the network's input."""

    name, precision, device = "plane", "f32", "test"

    def __init__(self, disparity_px: float, confidence: float = 0.75) -> None:
        self.disparity_px = disparity_px
        self.confidence = confidence
        self.sizes: list[tuple[int, int]] = []

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.sizes.append((left.shape[1], left.shape[0]))
        shape = left.shape[:2]
        return np.full(shape, self.disparity_px, np.float32), np.full(shape, self.confidence, np.float32)


def plane_estimator(disparity_px: float, input_size: tuple[int, int] | None = None) -> StereoEstimator:
    """The product's estimator around a `PlaneBackend`, with a searched range of 64 px of the network's input."""
    manifest = Manifest(name="plane", size_multiple=32, max_disparity_px=64.0, files={})
    return StereoEstimator(Model(manifest, Path()), PlaneBackend(disparity_px), input_size=input_size)


class FunctionEstimator:
    """An estimator of a function of both images, which a warm-up does not call; its range is 64 px."""

    def __init__(self, function: Callable[[NDArray[np.uint8], NDArray[np.uint8]], DisparityMap]) -> None:
        self._function = function
        self.warmed: list[tuple[int, int]] = []

    def warm_up(self, width_px: int, height_px: int) -> None:
        self.warmed.append((width_px, height_px))

    def infer_maps(
        self,
        left: NDArray[np.uint8],
        right: NDArray[np.uint8],
        wanted: Iterable[str],
        calibration: StereoCalibration | None,
    ) -> StereoMaps:
        found = self._function(left, right)
        depth_m = None
        if "depth" in wanted:
            assert calibration is not None
            depth_m = depth_from_disparity(found.disparity_px, calibration)
        return StereoMaps(found.disparity_px, found.confidence, depth_m, timing_ms=found.timing_ms)

    def max_disparity_px(self, width_px: int, height_px: int) -> float:
        return 64.0
