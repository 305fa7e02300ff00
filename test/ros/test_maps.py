"""Which maps the estimator is asked for, and that messages are the same whoever makes the maps."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ros_scene import FRAME, PlaneScene, textured_plane
from std_msgs.msg import Header

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.maps import MapRequest, StereoMaps
from stereo_dp_ros.ros.camera import CameraInfos
from stereo_dp_ros.ros.clouds import CloudPacker
from stereo_dp_ros.ros.conversions import ImageDecoder, image_message
from stereo_dp_ros.ros.large_messages import LargeMessage
from stereo_dp_ros.ros.outputs import OUTPUTS, needed_maps
from stereo_dp_ros.ros.parameters import NodeParameters
from stereo_dp_ros.ros.pipeline import Pipeline
from stereo_dp_ros.ros.result import StereoResult
from stereo_dp_ros.ros.synchronizer import ImagePair, TimedMessage

SCENE = PlaneScene(depth_m=2.0, cx_right_px=84.0)
SIZE = (SCENE.width_px, SCENE.height_px)


@pytest.mark.parametrize(
    ("names", "threshold", "expected"),
    [
        (["disparity"], 0.5, {"disparity"}),
        (["disparity/color", "depth/camera_info"], 0.5, {"disparity"}),
        (["confidence"], 0.0, {"disparity", "confidence"}),
        (["depth/image_rect"], 0.0, {"disparity", "depth"}),
        (["points2"], 0.5, {"disparity", "depth", "confidence"}),
        (list(OUTPUTS), 0.0, {"disparity", "depth", "confidence"}),
    ],
)
def test_what_outputs_are_made_of(names: list[str], threshold: float, expected: set[str]) -> None:
    assert needed_maps(names, NodeParameters(confidence_threshold=threshold)) == expected


class Kept:
    """Stands for the node's publishers: keeps the messages."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.messages: dict[str, Any] = {}

    def subscribed(self) -> list[str]:
        return self.names

    def publish(self, names: list[str], result: StereoResult) -> None:
        packer = CloudPacker()
        for name in names:
            made = OUTPUTS[name][1](result, packer)
            self.messages[name] = made.whole() if isinstance(made, LargeMessage) else made


def process(estimator: Any, names: list[str], parameters: NodeParameters) -> dict[str, Any]:
    """The messages of a textured plane, d = 16 px and doffs = 4 px."""
    infos = CameraInfos("left/camera_info", "right/camera_info")
    for side, info in zip(("left", "right"), SCENE.camera_infos(), strict=True):
        infos.store(side, info)
    kept = Kept(names)
    pipeline = Pipeline(estimator, kept, infos, ImageDecoder(), None, ("left", "right"))  # type: ignore[arg-type]
    header = Header(frame_id=FRAME)
    images = (TimedMessage(image_message(image, "rgb8", header), 0) for image in textured_plane(SCENE))
    pipeline.process(ImagePair(*images), parameters, threading.Event())
    return kept.messages


class MapsOfBackend:
    """A backend that makes the maps itself, and what it was asked for."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.name, self.precision, self.device = backend.name, backend.precision, backend.device
        self.requests: list[MapRequest] = []

    def infer_maps(self, left: NDArray[np.uint8], right: NDArray[np.uint8], request: MapRequest) -> StereoMaps:
        self.requests.append(request)
        maps: StereoMaps = self._backend.infer_maps(left, right, request)
        return maps


class MapsOfHost:
    """The same backend as one that knows the network alone."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self.name, self.precision, self.device = backend.name, backend.precision, backend.device

    def infer(
        self, left: NDArray[np.uint8], right: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        answer: tuple[NDArray[np.float32], NDArray[np.float32]] = self._backend.infer(left, right)
        return answer


@pytest.fixture(scope="module")
def shipped() -> StereoEstimator:
    """The shipped model at the images' own size: where they are resized, the two may differ by one gray level."""
    pytest.importorskip("torch")
    return load_estimator("default", "torch:cpu", precision="fp32", threads=1, input_size=SIZE)


def test_messages_are_the_same_whoever_makes_the_maps(shipped: StereoEstimator) -> None:
    parameters = NodeParameters(confidence_threshold=0.3, min_depth_m=1.0, max_depth_m=2.3, max_age_s=0.0)
    device, host = MapsOfBackend(shipped.backend), MapsOfHost(shipped.backend)
    ours, theirs = (
        process(StereoEstimator(shipped.model, backend, input_size=SIZE), list(OUTPUTS), parameters)
        for backend in (device, host)
    )
    (request,) = device.requests
    assert request.wanted == {"disparity", "depth", "confidence"}
    assert ours.keys() == theirs.keys() == OUTPUTS.keys()
    known = 0
    for name in ("depth/image_rect", "confidence", "points2"):
        found, expected = (np.frombuffer(of[name].data, np.float32) for of in (ours, theirs))
        np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=name)  # NaN at the same places
        known += int(np.isfinite(expected).sum())
    assert known > SCENE.width_px * SCENE.height_px, "there is something to compare"
    found, expected = (np.frombuffer(of["disparity"].image.data, np.float32) for of in (ours, theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(ours["disparity/color"].data, theirs["disparity/color"].data)
    for messages in (ours, theirs):  # what else is in them
        messages["disparity"].image.data = []
        for name in ("depth/image_rect", "confidence", "points2"):
            messages[name].data = []
    assert ours == theirs


def test_a_backend_makes_nothing_that_nobody_subscribes_to(shipped: StereoEstimator) -> None:
    parameters = NodeParameters(confidence_threshold=0.3, max_age_s=0.0)
    backend = MapsOfBackend(shipped.backend)
    estimator = StereoEstimator(shipped.model, backend, input_size=SIZE)
    process(estimator, ["disparity"], parameters)
    process(estimator, ["depth/image_rect"], parameters)
    first, second = backend.requests
    assert (first.wanted, first.calibration) == ({"disparity"}, None)
    assert second.wanted == {"disparity", "depth", "confidence"}
    assert second.calibration == SCENE.calibration
