"""The parameter files of config/cameras, each with a stand-in that publishes as the camera's driver does."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from rclpy.qos import ReliabilityPolicy
from ros_rig import Rig
from ros_scene import PlaneScene, plane_estimator

from stereo_dp_ros.ros.conversions import image_message
from stereo_dp_ros.ros.node import StereoNode
from stereo_dp_ros.ros.parameters import PARAMETERS, NodeParameters

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "config" / "cameras"
DECLARED = {spec.name: spec for spec in PARAMETERS}
SCENE = PlaneScene()


@dataclass(frozen=True)
class Driver:
    """What a camera's driver publishes: topics, encoding, stamps."""

    left: str
    right: str
    image: str
    encoding: str
    right_delay_s: float = 0.0
    distortion_model: str = "plumb_bob"
    coefficients: int = 5


# From the drivers' sources; docs/robots.md names the files.
DRIVERS = {
    "realsense_infra": Driver("/camera/camera/infra1", "/camera/camera/infra2", "image_rect_raw", "mono8"),
    "zed": Driver("/zed/zed_node/left/color/rect", "/zed/zed_node/right/color/rect", "image", "bgra8"),
    "oak_d_raw": Driver("/oak/left", "/oak/right", "image_raw", "mono8", 0.0002, "rational_polynomial", 8),
    "v4l2": Driver("/left", "/right", "image_raw", "rgb8", 0.012),
}


def parameters_of(name: str) -> dict[str, Any]:
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert list(content) == ["/**"] and list(content["/**"]) == ["ros__parameters"]
    parameters: dict[str, Any] = content["/**"]["ros__parameters"]
    return parameters


def launch_line(name: str) -> str:
    """The launch arguments that the file's own comment names."""
    (line,) = re.findall(r"^# launch: (.*)$", (FOLDER / f"{name}.yaml").read_text(), re.MULTILINE)
    return str(line)


def launch_arguments(name: str) -> dict[str, str]:
    return dict(word.split(":=") for word in launch_line(name).split())


def remappings(arguments: dict[str, str], rectify: bool) -> list[str]:
    """As stereo.launch.py makes them of its arguments."""
    image = "image_raw" if rectify else "image_rect"
    rules = []
    for side in ("left", "right"):
        camera = arguments[f"{side}_namespace"]
        rules += [f"{side}/camera_info:={camera}/camera_info", f"{side}/{image}:={camera}/{arguments['image']}"]
    return [word for rule in rules for word in ("-r", rule)]


def encoded(rgb: np.ndarray, encoding: str) -> np.ndarray:
    code = {"mono8": cv2.COLOR_RGB2GRAY, "bgra8": cv2.COLOR_RGB2BGRA}.get(encoding)
    return rgb if code is None else cv2.cvtColor(np.ascontiguousarray(rgb), code)


def test_every_file_has_a_driver() -> None:
    assert sorted(DRIVERS) == sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", DRIVERS)
def test_values_are_those_of_declared_parameters(name: str) -> None:
    parameters = parameters_of(name)
    assert parameters.keys() <= DECLARED.keys()
    for key, value in parameters.items():
        spec = DECLARED[key]
        assert type(value) is type(spec.default), key
        assert not spec.reason_against(value)
        if spec.minimum is not None and spec.maximum is not None:
            assert spec.minimum <= value <= spec.maximum
    NodeParameters(**parameters)  # raises where two contradict


@pytest.mark.parametrize("name", DRIVERS)
def test_launch_arguments_are_those_of_the_launch_file(name: str) -> None:
    tree = ast.parse((ROOT / "launch" / "stereo.launch.py").read_text())
    (table,) = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ARGUMENTS"
    )
    assert isinstance(table, ast.Dict)
    declared = {key.value for key in table.keys if isinstance(key, ast.Constant)}
    assert launch_arguments(name).keys() <= declared
    assert launch_line(name) in (ROOT / "docs" / "robots.md").read_text()


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
@pytest.mark.parametrize("name", DRIVERS)
def test_a_pair_as_the_driver_publishes_it(rig: Rig, name: str, reliability: ReliabilityPolicy) -> None:
    """Through the file and the remappings: a plane at 2 m comes out at 20 px, in every kind of output."""
    driver = DRIVERS[name]
    arguments = ["--params-file", str(FOLDER / f"{name}.yaml")]
    arguments += remappings(launch_arguments(name), bool(parameters_of(name)["rectify"]))
    node = StereoNode(
        estimator_factory=lambda _: plane_estimator(SCENE.disparity_px),
        context=rig._contexts[0],
        cli_args=["--ros-args", *arguments],
        use_global_arguments=False,
    )
    rig._executors[0].add_node(node)
    rig.nodes.append(node)
    images = [f"{driver.left}/{driver.image}", f"{driver.right}/{driver.image}"]
    infos = [f"{driver.left}/camera_info", f"{driver.right}/camera_info"]
    rig.advertise(images, reliability=reliability)
    rig.advertise(infos)
    rig.subscribe("disparity", "points2")
    for topic, info in zip(infos, SCENE.camera_infos(), strict=True):
        info.distortion_model, info.d = driver.distortion_model, [0.0] * driver.coefficients
        rig.publishers[topic].publish(info)
    run = node.active_run
    assert run is not None
    rig.until(lambda: all(info.received for info in run.camera_infos), "camera_info has come")
    stamp_s = 1000.0
    for topic, image, delay_s in zip(images, SCENE.images(), (0.0, driver.right_delay_s), strict=True):
        header = rig.header(stamp_s + delay_s)
        rig.publishers[topic].publish(image_message(encoded(image, driver.encoding), driver.encoding, header))
    disparity, points = rig.last("disparity"), rig.last("points2")
    assert disparity.header.stamp.sec == 1000
    window = disparity.valid_window
    pixels = np.frombuffer(disparity.image.data, np.float32).reshape(SCENE.height_px, SCENE.width_px)
    seen = pixels[window.y_offset :, window.x_offset :][: window.height, : window.width]
    assert seen.size > 0.9 * pixels.size
    np.testing.assert_allclose(seen, SCENE.adjusted_px, rtol=1e-6)
    assert [field.name for field in points.fields][3] == parameters_of(name).get("points_color", "rgb")
