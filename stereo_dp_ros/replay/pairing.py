"""Pairs of images in a bag, by stamp, each with the camera_info that holds for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader, StereoTopics
from stereo_dp_ros.replay.messages import stamp_ns

__all__ = ["StereoPair", "stereo_pairs"]

_WAITING_IMAGES = 30  # per side; an image whose partner has not come by then is unmatched


@dataclass(frozen=True, eq=False)
class StereoPair:
    """Messages of one pair: Image or CompressedImage, and CameraInfo, of each side."""

    left: Any
    right: Any
    left_info: Any
    right_info: Any

    @property
    def stamp_ns(self) -> int:
        """The images' stamp."""
        return stamp_ns(self.left)


def stereo_pairs(source: BagReader, topics: StereoTopics) -> Iterator[StereoPair]:
    """Left and right image of one stamp, with the newest camera_info of each side, or the first for earlier pairs.

    Raises
    ------
    DataError
        Pairs come and no camera_info, or the bag is damaged.
    """
    infos: dict[str, Any] = {}
    waiting: dict[str, dict[int, Any]] = {topics.left_image: {}, topics.right_image: {}}
    other = {topics.left_image: topics.right_image, topics.right_image: topics.left_image}
    early: list[tuple[Any, Any]] = []  # pairs that came before the first camera_info
    for topic, _, message in source.messages(topics.inputs):
        if topic not in waiting:
            infos[topic] = message
        else:
            stamp = stamp_ns(message)
            partner = waiting[other[topic]].pop(stamp, None)
            if partner is None:
                waiting[topic][stamp] = message
                if len(waiting[topic]) > _WAITING_IMAGES:
                    waiting[topic].pop(next(iter(waiting[topic])))
            else:
                early.append((message, partner) if topic == topics.left_image else (partner, message))
        if len(infos) == 2:
            both = (infos[topics.left_info], infos[topics.right_info])
            yield from (StereoPair(left, right, *both) for left, right in early)
            early.clear()
        elif len(early) > _WAITING_IMAGES:
            break
    if early:
        missing = ", ".join(sorted({topics.left_info, topics.right_info} - set(infos)))
        raise DataError(f"{source.path}: {len(early)} pairs came and no {missing}, expected camera_info")
