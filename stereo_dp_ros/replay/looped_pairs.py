"""Pairs that are played again and again at any rate, each time with the next stamp: of a bag, or one of arrays."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.stamp_pairing import StampPairing
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.messages import (
    camera_info_message,
    image_message,
    raw_stamp_ns,
    rectified_cameras,
    typestore,
)
from stereo_dp_ros.replay.pairing import no_pairs
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["LoopedPairs"]

_MOST_PAIRS = 10  # kept; their images are in memory
_FIRST_STAMP_NS = 1_000_000_000_000
_STAMP_OFFSET = 4  # of a header that is a message's first field, behind the encapsulation


@dataclass(frozen=True)
class LoopedPairs:
    """Pairs as `BagReader` gives those of a bag; use it as a context manager, as one.

    Attributes
    ----------
    topics : topic → type
    kept : of each pair topic → serialized message, camera_info first
    pairs : how many are played, at `rate_hz`
    """

    topics: Mapping[str, str]
    kept: Sequence[Mapping[str, bytes]]
    rate_hz: float
    pairs: int

    @classmethod
    def of_bag(cls, path: Path, topics: StereoTopics, rate_hz: float, pairs: int) -> LoopedPairs:
        """The first pairs of a bag; both images of a pair get one stamp.

        Raises
        ------
        DataError
            The bag has no pair with camera_info, or cannot be read.
        """
        infos: dict[str, bytes] = {}
        kept: list[dict[str, bytes]] = []
        pairing: StampPairing[bytes] = StampPairing(tolerance_ns=topics.sync_tolerance_ns)
        with BagReader(path) as bag:
            kinds = {topic: bag.topics[topic] for topic in topics.inputs}
            for topic, _, data in bag.raw(topics.inputs):
                if topic in (topics.left_info, topics.right_info):
                    infos[topic] = data
                    continue
                pair = pairing.add(topics.images.index(topic), raw_stamp_ns(data), data)
                if pair is not None and len(infos) == 2:
                    kept.append({**infos, **dict(zip(topics.images, pair, strict=True))})
                if len(kept) == _MOST_PAIRS:
                    break
            if not kept:
                raise no_pairs(bag, topics)
        return cls(kinds, kept, rate_hz, pairs)

    @classmethod
    def of_images(
        cls,
        left_rgb: NDArray[np.uint8],
        right_rgb: NDArray[np.uint8],
        calibration: StereoCalibration,
        topics: StereoTopics,
        rate_hz: float,
        pairs: int,
    ) -> LoopedPairs:
        """One rectified pair, uint8 (H, W, 3) each."""
        frame_id = "left_optical"
        infos = [camera_info_message(camera, 0, frame_id) for camera in rectified_cameras(calibration)]
        images = [image_message(pixels, "rgb8", 0, frame_id) for pixels in (left_rgb, right_rgb)]
        messages = dict(zip(topics.inputs, [*infos, *images], strict=True))
        kinds = {topic: str(message.__msgtype__) for topic, message in messages.items()}
        kept = {topic: bytes(typestore().serialize_cdr(messages[topic], kind)) for topic, kind in kinds.items()}
        return cls(kinds, [kept], rate_hz, pairs)

    def __enter__(self) -> LoopedPairs:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def raw(self, topics: Sequence[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time in ns and serialized message of each, pair by pair."""
        for index in range(self.pairs):
            stamp_ns = _FIRST_STAMP_NS + round(index * 1e9 / self.rate_hz)
            for topic, data in self.kept[index % len(self.kept)].items():
                if topic in topics:
                    yield topic, stamp_ns, _stamped(data, stamp_ns)


def _stamped(data: bytes, stamp_ns: int) -> bytes:
    order = "<" if data[1] & 1 else ">"  # second byte of the encapsulation: 1 is little endian
    stamp = struct.pack(f"{order}iI", *divmod(stamp_ns, 1_000_000_000))
    return b"".join((data[:_STAMP_OFFSET], stamp, memoryview(data)[_STAMP_OFFSET + len(stamp) :]))
