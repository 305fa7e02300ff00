"""Bags with other sensors than a stereo pair: depth cameras, LiDAR, and where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from made_up import FRAME, write_pair

from stereo_dp_ros.replay import messages
from stereo_dp_ros.replay.bag import BagWriter

SECOND = 1_000_000_000
STAMPS = [100 * SECOND + i * SECOND // 10 for i in range(4)]


def write_pairs_with(path: Path, extra: Callable[[BagWriter], object], stamps: list[int] = STAMPS) -> Path:
    """A bag of pairs without ground truth, and what `extra` adds."""
    with BagWriter(path) as bag:
        for stamp in stamps:
            write_pair(bag, stamp)
        extra(bag)
    return path


def write_images(bag: BagWriter, topic: str, pixels: np.ndarray, encoding: str, stamps: list[int] = STAMPS) -> None:
    """The same image at each stamp."""
    for stamp in stamps:
        bag.write(topic, messages.image_message(pixels, encoding, stamp, FRAME), stamp)


def cloud(points_m: np.ndarray, stamp: int, frame_id: str = "lidar") -> Any:
    """A cloud of one row, of points (N, 3)."""
    colors = np.zeros((1, len(points_m), 3), np.uint8)
    return messages.cloud_message(np.asarray(points_m, np.float32)[None], colors, stamp, frame_id)


def transforms(*links: tuple[str, str, tuple[float, float, float], tuple[float, float, float, float]]) -> Any:
    """A TFMessage of (parent, child, translation in m, quaternion x y z w)."""
    types = messages.typestore().types
    time = types["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
    return types["tf2_msgs/msg/TFMessage"](
        transforms=[
            types["geometry_msgs/msg/TransformStamped"](
                header=types["std_msgs/msg/Header"](stamp=time, frame_id=parent),
                child_frame_id=child,
                transform=types["geometry_msgs/msg/Transform"](
                    translation=types["geometry_msgs/msg/Vector3"](*moved),
                    rotation=types["geometry_msgs/msg/Quaternion"](*turned),
                ),
            )
            for parent, child, moved, turned in links
        ]
    )
