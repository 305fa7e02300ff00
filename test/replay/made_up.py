"""A pair whose every output is known: a calibration, a disparity with one unknown pixel, and the node's messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.geometry import depth_from_disparity, points_from_depth
from stereo_dp_ros.replay import messages
from stereo_dp_ros.replay.bag import BagWriter
from stereo_dp_ros.replay.demo_bags import TOPICS

CALIBRATION = StereoCalibration(
    width_px=8, height_px=6, fx_px=40.0, fy_px=41.0, cx_left_px=3.5, cx_right_px=5.0, cy_px=2.5, baseline_m=0.125
)
FRAME = "optical"
IMAGE = np.arange(144, dtype=np.uint8).reshape(6, 8, 3)
TRUTH_PX = (4 + np.arange(48, dtype=np.float32).reshape(6, 8) / 8).astype(np.float32)


def outputs(disparity_px: np.ndarray, stamp: int) -> dict[str, Any]:
    """The node's outputs for a plain disparity, right in every value."""
    depth_m = depth_from_disparity(disparity_px, CALIBRATION)
    points_m = points_from_depth(depth_m, CALIBRATION)
    disparity = messages.disparity_message(disparity_px, CALIBRATION, stamp, FRAME)
    return {
        "disparity": disparity,
        "depth/image_rect": messages.image_message(depth_m, "32FC1", stamp, FRAME),
        "depth/camera_info": messages.camera_info_message(messages.rectified_cameras(CALIBRATION)[0], stamp, FRAME),
        "confidence": messages.image_message(np.full((6, 8), 0.75, np.float32), "32FC1", stamp, FRAME),
        "points2": messages.cloud_message(points_m, IMAGE, stamp, FRAME),
    }


def write_pair(bag: BagWriter, stamp: int) -> None:
    """camera_info and images of one pair."""
    infos = [messages.camera_info_message(c, stamp, FRAME) for c in messages.rectified_cameras(CALIBRATION)]
    bag.write(TOPICS.left_info, infos[0], stamp)
    bag.write(TOPICS.right_info, infos[1], stamp)
    for topic in TOPICS.images:
        bag.write(topic, messages.image_message(IMAGE, "rgb8", stamp, FRAME), stamp)


def write_source(path: Path, stamps: list[int], truth_px: np.ndarray | None = TRUTH_PX) -> None:
    """A bag of pairs, with the same ground truth for each."""
    with BagWriter(path) as bag:
        for stamp in stamps:
            write_pair(bag, stamp)
            if truth_px is not None and TOPICS.ground_truth is not None:
                truth = messages.disparity_message(truth_px, CALIBRATION, stamp, FRAME)
                bag.write(TOPICS.ground_truth, truth, stamp)


def write_recording(path: Path, frames: dict[int, dict[str, Any]]) -> None:
    """A recording of outputs by stamp."""
    with BagWriter(path) as bag:
        for stamp, messages_of_frame in frames.items():
            for name, message in messages_of_frame.items():
                bag.write(f"/stereo/{name}", message, stamp)
