"""Messages of one topic by the stamp of the left image that they belong to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.ground_truth import match_stamps
from stereo_dp_ros.replay.messages import stamp_ns

__all__ = ["MatchedMessages"]

_KEPT_MESSAGES = 16  # images are asked for nearly in order


class MatchedMessages:
    """Reads a topic in step with the images, which are asked for in order or nearly so.

    Stamps are read first, so that a topic that matches no image is told before anything is computed.

    Parameters
    ----------
    path : the bag
    topic, left_topic : messages wanted, and the images that they are matched to
    tolerance_ns : how far apart stamps may be; each image takes the nearest message, and each message one image

    Attributes
    ----------
    frame_id, left_frame_id : of the first message, and of the first left image
    first_image_ns : stamp of the first left image that has a message

    Raises
    ------
    DataError
        The bag lacks a topic, or no stamps match.
    """

    def __init__(self, path: Path, topic: str, left_topic: str, tolerance_ns: int) -> None:
        self._topic = topic
        self._places: dict[int, int] = {}  # stamp → place in the bag
        self.frame_id, self.left_frame_id = "", ""
        images: list[int] = []
        with BagReader(path) as bag:
            for found, _, message in bag.messages([topic, left_topic]):
                if found == topic:
                    self.frame_id = self.frame_id or str(message.header.frame_id)
                    self._places.setdefault(stamp_ns(message), len(self._places))
                else:
                    self.left_frame_id = self.left_frame_id or str(message.header.frame_id)
                    images.append(stamp_ns(message))
        self._matches = match_stamps(f"{path}: {topic}", self._places, images, tolerance_ns)
        self.first_image_ns = min(self._matches)
        self._reader = BagReader(path)
        self._stream: Iterator[tuple[str, int, Any]] = self._reader.messages([topic])
        self._kept: dict[int, Any] = {}
        self._read = 0

    def find(self, image_ns: int) -> Any | None:
        """The message of the image of a stamp; None if it has none, or lies too far back."""
        wanted = self._matches.get(image_ns)
        if wanted is None:
            return None
        while self._read <= self._places[wanted]:
            _, _, message = next(self._stream)
            stamp = stamp_ns(message)
            if self._places[stamp] == self._read:
                self._read += 1
                self._kept[stamp] = message
            if len(self._kept) > _KEPT_MESSAGES:
                self._kept.pop(next(iter(self._kept)))
        return self._kept.get(wanted)

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()
