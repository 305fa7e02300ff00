"""Pairs of images in a bag, by stamp, each with the camera_info that holds for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.stamp_pairing import StampPairing
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.messages import stamp_ns
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["StereoPair", "no_pairs", "stereo_pairs"]


@dataclass(frozen=True, eq=False)
class StereoPair:
    """Messages of one pair: Image or CompressedImage, and CameraInfo, of each side."""

    left: Any
    right: Any
    left_info: Any
    right_info: Any

    @property
    def stamp_ns(self) -> int:
        """The left image's stamp, which the outputs have."""
        return stamp_ns(self.left)


def stereo_pairs(source: BagReader, topics: StereoTopics) -> Iterator[StereoPair]:
    """Pairs as the node forms them, with the newest camera_info of each side, or the first one for earlier pairs.

    Raises
    ------
    DataError
        There is no camera_info, or the bag is damaged.
    """
    infos = {topic: _first(source, topic) for topic in (topics.left_info, topics.right_info)}
    pairing: StampPairing[Any] = StampPairing(tolerance_ns=topics.sync_tolerance_ns)
    for topic, _, message in source.messages(topics.inputs):
        if topic in infos:
            infos[topic] = message
            continue
        pair = pairing.add(topics.images.index(topic), stamp_ns(message), message)
        if pair is not None:
            yield StereoPair(*pair, infos[topics.left_info], infos[topics.right_info])


def no_pairs(source: BagReader, topics: StereoTopics) -> DataError:
    """What to raise where no two images pair: tells how far apart the nearest are."""
    left, right = (np.unique(source.stamps_ns(topic)) for topic in topics.images)
    place = np.clip(np.searchsorted(right, left), 1, max(1, len(right) - 1))
    apart_ns = min(int(np.abs(right[np.minimum(p, len(right) - 1)] - left).min()) for p in (place - 1, place))
    limit_ns = topics.sync_tolerance_ns
    wanted = "have one stamp" if limit_ns is None else f"have stamps less than {limit_ns * 1e-6:g} ms apart"
    return DataError(
        f"{source.path}: no two images of {topics.left_image} and {topics.right_image} {wanted}, expected pairs; the "
        f"nearest are {apart_ns * 1e-6:g} ms apart (--sync-tolerance-ms pairs what is less than that apart)"
    )


def _first(source: BagReader, topic: str) -> Any:
    """The first message of a topic."""
    for _, _, message in source.messages([topic]):
        return message
    raise DataError(f"{source.path}: {topic} has no messages, expected camera_info")
