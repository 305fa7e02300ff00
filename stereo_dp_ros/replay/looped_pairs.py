"""A bag's first pairs, played again and again at any rate, each time with the next stamp."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader, StereoTopics
from stereo_dp_ros.replay.messages import raw_stamp_ns

__all__ = ["LoopedPairs"]

_MOST_PAIRS = 10  # kept; their images are in memory
_WAITING_STAMPS = 30
_FIRST_STAMP_NS = 1_000_000_000_000
_WARM_UP_NS = 3_000_000_000
_STAMP_OFFSET = 4  # of a header that is a message's first field, behind the encapsulation


@dataclass(frozen=True)
class LoopedPairs:
    """Pairs as `BagReader` gives those of a bag, `pairs` of them at `rate_hz`, after a first one to warm up with.

    Attributes
    ----------
    topics : topic → type
    kept : of each pair topic → serialized message, camera_info first
    """

    topics: Mapping[str, str]
    kept: Sequence[Mapping[str, bytes]]
    rate_hz: float
    pairs: int

    @classmethod
    def of_bag(cls, path: Path, topics: StereoTopics, rate_hz: float, pairs: int) -> LoopedPairs:
        """The first pairs of a bag.

        Raises
        ------
        DataError
            The bag has no pair with camera_info, or cannot be read.
        """
        infos: dict[str, bytes] = {}
        waiting: dict[int, dict[str, bytes]] = {}
        kept: list[dict[str, bytes]] = []
        with BagReader(path) as bag:
            kinds = {topic: bag.topics[topic] for topic in topics.inputs}
            for topic, _, data in bag.raw(topics.inputs):
                if topic in (topics.left_info, topics.right_info):
                    infos[topic] = data
                    continue
                images = waiting.setdefault(raw_stamp_ns(data), {})
                images[topic] = data
                if len(images) == 2 and len(infos) == 2:
                    kept.append({**infos, **images})
                if len(waiting) > _WAITING_STAMPS:
                    waiting.pop(next(iter(waiting)))
                if len(kept) == _MOST_PAIRS:
                    break
        if not kept:
            raise DataError(f"{path}: no two images of {topics.left_image} and {topics.right_image} have one stamp")
        return cls(kinds, kept, rate_hz, pairs)

    def __enter__(self) -> LoopedPairs:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def raw(self, topics: Sequence[str]) -> Iterator[tuple[str, int, bytes]]:
        """Topic, time in ns and serialized message of each, pair by pair."""
        for index in range(1 + self.pairs):
            begin_ns = _FIRST_STAMP_NS + (_WARM_UP_NS if index else 0)
            stamp_ns = begin_ns + round(index * 1e9 / self.rate_hz)
            for topic, data in self.kept[index % len(self.kept)].items():
                if topic in topics:
                    yield topic, stamp_ns, _stamped(data, stamp_ns)


def _stamped(data: bytes, stamp_ns: int) -> bytes:
    order = "<" if data[1] & 1 else ">"  # second byte of the encapsulation: 1 is little endian
    stamp = struct.pack(f"{order}iI", *divmod(stamp_ns, 1_000_000_000))
    return b"".join((data[:_STAMP_OFFSET], stamp, memoryview(data)[_STAMP_OFFSET + len(stamp) :]))
