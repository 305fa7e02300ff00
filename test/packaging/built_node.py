"""Send a real pair to a built stereo_node over DDS and check the values that come back.

Usage: built_node.py STEREO_NODE PARAMETERS.yaml
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import qos_profile_system_default
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from skimage.data import stereo_motorcycle
from stereo_msgs.msg import DisparityImage

from stereo_dp_ros.replay.ros_domain import own_domain
from stereo_dp_ros.ros.dds_profile import dds_environment

# Calibration of skimage.data.stereo_motorcycle, from its docstring.
FOCAL_PX = 994.978
CX_LEFT_PX = 311.193
CY_PX = 254.877
DOFFS_PX = 31.086
BASELINE_M = 0.193001

FRAME = "left_optical"
STAMP = (1_700_000_000, 123_456_789)
PERIOD_S = 1.0
PATIENCE_S = 120.0


class Camera(Node):
    """Publishes one pair until every answer to it has come."""

    def __init__(self, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> None:
        super().__init__("camera")
        self.answers: dict[str, DisparityImage | Image | PointCloud2] = {}
        height, width = left.shape[:2]
        self._messages = [
            ("left/camera_info", camera_info(width, height, CX_LEFT_PX, 0.0)),
            ("right/camera_info", camera_info(width, height, CX_LEFT_PX + DOFFS_PX, BASELINE_M)),
            ("left/image_rect", image(left)),
            ("right/image_rect", image(right)),
        ]
        self._senders = {topic: self.create_publisher(type(msg), topic, 10) for topic, msg in self._messages}
        for topic, kind in (
            ("disparity", DisparityImage),
            ("depth/image_rect", Image),
            ("points2", PointCloud2),
        ):
            self.create_subscription(
                kind,
                topic,
                lambda msg, topic=topic: self.answers.setdefault(topic, msg),
                qos_profile_system_default,
            )
        self.create_timer(PERIOD_S, self._send)

    def _send(self) -> None:
        for topic, msg in self._messages:
            self._senders[topic].publish(msg)


def camera_info(width: int, height: int, cx_px: float, baseline_m: float) -> CameraInfo:
    msg = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    stamp(msg)
    msg.k = [FOCAL_PX, 0.0, cx_px, 0.0, FOCAL_PX, CY_PX, 0.0, 0.0, 1.0]
    msg.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    msg.p = [FOCAL_PX, 0.0, cx_px, -FOCAL_PX * baseline_m, 0.0, FOCAL_PX, CY_PX, 0.0, 0.0, 0.0, 1.0, 0.0]
    return msg


def image(rgb: NDArray[np.uint8]) -> Image:
    msg = Image(height=rgb.shape[0], width=rgb.shape[1], encoding="rgb8", step=rgb.shape[1] * 3)
    stamp(msg)
    msg.data.frombytes(memoryview(np.ascontiguousarray(rgb)).cast("B"))
    return msg


def stamp(msg: CameraInfo | Image) -> None:
    msg.header.frame_id = FRAME
    msg.header.stamp.sec, msg.header.stamp.nanosec = STAMP


def check(answers: dict[str, DisparityImage | Image | PointCloud2], truth_px: NDArray[np.float32]) -> dict[str, float]:
    """Assert the published values; return the error against the ground truth."""
    height, width = truth_px.shape
    for topic, msg in answers.items():
        header = msg.header
        assert (header.stamp.sec, header.stamp.nanosec) == STAMP, f"{topic}: stamp {header.stamp}"
        assert header.frame_id == FRAME, f"{topic}: frame {header.frame_id}"

    disparity = answers["disparity"]
    assert disparity.image.encoding == "32FC1"
    assert (disparity.image.width, disparity.image.height) == (width, height)
    np.testing.assert_allclose(disparity.f, FOCAL_PX, rtol=1e-6)
    np.testing.assert_allclose(disparity.t, BASELINE_M, rtol=1e-6)
    window = disparity.valid_window
    assert (window.x_offset, window.y_offset, window.width, window.height) == (0, 0, width, height)
    values_px = np.frombuffer(disparity.image.data, np.float32).reshape(height, width)
    answered = values_px >= disparity.min_disparity
    assert np.isfinite(values_px).all()
    assert disparity.min_disparity > 0
    np.testing.assert_array_equal(values_px[~answered], np.float32(disparity.min_disparity - 1))

    depth = answers["depth/image_rect"]
    assert (depth.encoding, depth.width, depth.height) == ("32FC1", width, height)
    depth_m = np.frombuffer(depth.data, np.float32).reshape(height, width)
    seen = answered & np.isfinite(depth_m)
    np.testing.assert_allclose(depth_m[seen], FOCAL_PX * BASELINE_M / values_px[seen], rtol=1e-4)

    cloud = answers["points2"]
    assert (cloud.width, cloud.height) == (width, height)
    offset = {field.name: field.offset for field in cloud.fields}
    points = np.frombuffer(cloud.data, np.uint8).reshape(height, width, cloud.point_step)
    z_m = points[:, :, offset["z"] : offset["z"] + 4].copy().view(np.float32)[:, :, 0]
    known = np.isfinite(z_m)
    assert known.mean() > 0.5, f"points2: only {100 * known.mean():.1f} % of the points are known"
    np.testing.assert_allclose(z_m[known], depth_m[known], rtol=1e-4)

    scored = np.isfinite(truth_px)
    error_px = np.abs(values_px[scored] - DOFFS_PX - truth_px[scored])
    epe_px, answered_share = float(error_px.mean()), float(answered[scored].mean())
    assert answered_share > 0.5, f"disparity: only {100 * answered_share:.1f} % of the pixels are answered"
    assert epe_px < 5.0, f"disparity: mean error {epe_px:.2f} px against ground truth, expected under 5 px"
    return {"epe_px": epe_px, "bad_2": float(100 * (error_px > 2).mean()), "density": 100 * answered_share}


def main() -> int:
    node_path, parameters_path = sys.argv[1:]
    os.environ.update(dds_environment())  # as the launch file does, for camera and node
    left, right, truth_px = stereo_motorcycle()
    rclpy.init()
    camera = Camera(left, right)
    node = subprocess.Popen([node_path, "--ros-args", "--params-file", parameters_path])
    try:
        deadline = time.monotonic() + PATIENCE_S
        while len(camera.answers) < 3:
            assert node.poll() is None, f"stereo_node ended with exit code {node.returncode}"
            assert time.monotonic() < deadline, f"no answer but {sorted(camera.answers)} in {PATIENCE_S:.0f} s"
            rclpy.spin_once(camera, timeout_sec=0.1)
        figures = check(camera.answers, np.where(np.isfinite(truth_px), truth_px, np.nan))
        node.send_signal(signal.SIGINT)
        assert node.wait(timeout=30) == 0, f"stereo_node ended with exit code {node.returncode} on SIGINT"
    finally:
        if node.poll() is None:
            node.kill()
            node.wait()
        camera.destroy_node()
        rclpy.shutdown()
    print("built node: " + ", ".join(f"{name} {value:.2f}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    with own_domain() as own:
        os.environ.setdefault("ROS_DOMAIN_ID", str(own))
        sys.exit(main())
