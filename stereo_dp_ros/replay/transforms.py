"""Static transforms of a bag: where a sensor's frame is, seen from another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader

__all__ = ["StaticTransforms", "Transform", "read_static_transforms"]

_TF = "tf2_msgs/msg/TFMessage"
_TOPIC_END = "tf_static"


@dataclass(frozen=True)
class Transform:
    """A rigid motion: p_parent = rotation (3, 3) · p_child + translation_m (3,)."""

    rotation: NDArray[np.float64]
    translation_m: NDArray[np.float64]

    def __matmul__(self, other: Transform) -> Transform:
        """First `other`, then this."""
        return Transform(self.rotation @ other.rotation, self.rotation @ other.translation_m + self.translation_m)

    def inverse(self) -> Transform:
        """From parent to child."""
        return Transform(self.rotation.T, -self.rotation.T @ self.translation_m)

    def apply(self, points_m: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (N, 3) of the child's frame, in the parent's."""
        return np.asarray(points_m @ self.rotation.T + self.translation_m, np.float64)


class StaticTransforms:
    """A tree of frames: child → (parent, transform)."""

    def __init__(self, name: str, links: Iterable[tuple[str, str, Transform]]) -> None:
        self._name = name
        self._parents = {child: (parent, transform) for parent, child, transform in links}

    def between(self, target: str, source: str) -> Transform:
        """The transform that takes points of the frame `source` into `target`.

        Raises
        ------
        DataError
            No chain connects them; lists the frames.
        """
        target, source = _frame(target), _frame(source)
        from_target, from_source = dict(self._way_up(target)), dict(self._way_up(source))
        common = next((frame for frame in from_source if frame in from_target), None)
        if common is None:
            links = ", ".join(f"{parent} → {child}" for child, (parent, _) in sorted(self._parents.items()))
            raise DataError(
                f"{self._name}: no static transforms lead from {source or 'an unnamed frame'} to "
                f"{target or 'an unnamed frame'}, expected a chain in /tf_static; it has {links or 'no frames'}"
            )
        return from_target[common].inverse() @ from_source[common]

    def _way_up(self, frame: str) -> Iterator[tuple[str, Transform]]:
        """Each frame from this one to its root, with the transform into it."""
        transform, seen = Transform(np.eye(3), np.zeros(3)), {frame}
        yield frame, transform
        while frame in self._parents:
            frame, step = self._parents[frame]
            if frame in seen:
                raise DataError(
                    f"{self._name}: the static transforms of {frame} go around in a circle, expected a tree"
                )
            seen.add(frame)
            transform = step @ transform
            yield frame, transform


def read_static_transforms(bag: BagReader) -> StaticTransforms:
    """Every static transform of a bag, from topics named tf_static, the newest of each frame.

    Raises
    ------
    DataError
        The bag has no such topic, or a rotation is not one.
    """
    topics = [topic for topic, kind in bag.topics.items() if kind == _TF and topic.endswith(_TOPIC_END)]
    if not topics:
        raise DataError(f"{bag.path}: has no /tf_static ({_TF}), expected it for LiDAR; it has {bag.describe()}")
    links = [
        (_frame(stamped.header.frame_id), _frame(stamped.child_frame_id), _transform(bag, stamped))
        for _, _, message in bag.messages(topics)
        for stamped in message.transforms
    ]
    return StaticTransforms(str(bag.path), links)


def _transform(bag: BagReader, stamped: Any) -> Transform:
    moved, turned = stamped.transform.translation, stamped.transform.rotation
    quaternion = np.array((turned.x, turned.y, turned.z, turned.w), np.float64)
    length = float(np.linalg.norm(quaternion))
    if not abs(length - 1.0) < 0.01:  # files with few digits are a little off
        raise DataError(
            f"{bag.path}: the rotation of {stamped.child_frame_id} in /tf_static is a quaternion of length "
            f"{length:.3g}, expected 1"
        )
    x, y, z, w = quaternion / length
    rotation = np.array(
        (
            (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
            (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
            (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
        )
    )
    return Transform(rotation, np.array((moved.x, moved.y, moved.z), np.float64))


def _frame(name: str) -> str:
    """A frame's name as tf2 has it; ROS 1 allowed a leading slash."""
    return str(name).lstrip("/")
