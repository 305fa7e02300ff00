"""What the node publishes, to the last field, for a plane at a known depth."""

from __future__ import annotations

import numpy as np
from ros_rig import Rig
from ros_scene import PlaneScene

ALL = ("disparity", "depth/image_rect", "depth/camera_info", "confidence", "points2", "disparity/color")


def floats(message: object, channels: int = 1) -> np.ndarray:
    array = np.frombuffer(message.data, np.float32)
    return array.reshape(message.height, message.width, channels).squeeze()


def test_smoke(rig: Rig) -> None:
    scene = PlaneScene()
    rig.start()
    rig.connect(*ALL)
    header = rig.publish_scene(scene)
    disparity = rig.last("disparity")
    assert disparity.header == header
    depth = rig.last("depth/image_rect")
    assert np.abs(floats(depth) - 2.0).max() < 1e-5
