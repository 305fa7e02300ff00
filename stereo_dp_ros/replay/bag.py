"""Bags: writing rosbag2 mcap, reading every kind that rosbags reads, and finding the stereo topics in one."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.messages import CAMERA_INFO, COMPRESSED_IMAGE, DISPARITY, IMAGE, as_ros2, typestore

__all__ = ["BagReader", "BagWriter", "StereoTopics", "find_stereo_topics"]

_METADATA_VERSION: Literal[8] = 8  # 9 writes QoS in a form that older ROS 2 releases do not read
_COMPRESSED_SUFFIX = "/compressed"
_LEFT_RIGHT = (("left", "right"), ("cam0", "cam1"), ("infra1", "infra2"))


class BagWriter:
    """Writes a rosbag2 mcap bag.

    Used as a context manager it closes the bag whatever happens, so that what was written stays readable.

    Parameters
    ----------
    path : folder of the bag; its parent must exist or be creatable
    overwrite : replace a bag that is there
    compress : zstd on the file's chunks; leave it off while time matters

    Raises
    ------
    DataError
        There is something at `path`, or it cannot be written.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False, compress: bool = False) -> None:
        self.path = Path(path)
        self._connections: dict[str, Connection] = {}
        if overwrite and (self.path / "metadata.yaml").is_file():
            shutil.rmtree(self.path)
        try:
            self._writer = Writer(self.path, version=_METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
            if compress:
                self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        except (WriterError, OSError) as error:
            raise DataError(f"{self.path}: no bag can be written here ({_one_line(error)})") from error

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, topic: str, message: Any, time_ns: int) -> None:
        """Write a message of rosbags' type store; its type names itself."""
        msgtype = message.__msgtype__
        self.write_raw(topic, msgtype, typestore().serialize_cdr(message, msgtype), time_ns)

    def write_raw(self, topic: str, msgtype: str, data: bytes | memoryview, time_ns: int) -> None:
        """Write a message that is serialized already (CDR, its encapsulation included)."""
        connection = self._connections.get(topic)
        if connection is None:
            connection = self._writer.add_connection(topic, msgtype, typestore=typestore())
            self._connections[topic] = connection
        try:
            self._writer.write(connection, time_ns, data)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written ({_one_line(error)})") from error

    def close(self) -> None:
        """Write the index and the metadata."""
        try:
            self._writer.close()
        except OSError as error:
            raise DataError(f"{self.path}: cannot be closed ({_one_line(error)})") from error


class BagReader:
    """Reads rosbag2 (mcap, sqlite3, split or compressed) and ROS 1 bags; use it as a context manager.

    Messages of ROS 1 bags come as those of ROS 2.

    Attributes
    ----------
    topics : topic → message type, such as ``sensor_msgs/msg/Image``
    counts : topic → number of messages

    Raises
    ------
    DataError
        No such bag, or one that is truncated, has no index, or is compressed in an unknown way.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise DataError(f"{self.path}: no such bag")
        with self._readable():
            self._reader = AnyReader(self._sources(), default_typestore=typestore())
            self._reader.open()
        self.topics: dict[str, str] = {c.topic: c.msgtype for c in self._reader.connections}
        self.counts: dict[str, int] = {topic: info.msgcount for topic, info in self._reader.topics.items()}

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()

    def raw(self, topics: Collection[str] = ()) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time_ns, serialized message) in order of time, of some topics or of all.

        Raises
        ------
        DataError
            A topic is missing, or the file is damaged.
        """
        if not self._reader.is2:
            for topic, time_ns, message in self.messages(topics):
                yield topic, time_ns, bytes(typestore().serialize_cdr(message, message.__msgtype__))
            return
        for connection, time_ns, data in self._messages(topics):
            yield connection.topic, time_ns, data

    def messages(self, topics: Collection[str] = ()) -> Iterator[tuple[str, int, Any]]:
        """(topic, time_ns, message) in order of time, of some topics or of all; errors as `raw`."""
        for connection, time_ns, data in self._messages(topics):
            with self._readable():
                message = self._reader.deserialize(data, connection.msgtype)
                message = message if self._reader.is2 else as_ros2(message)
            yield connection.topic, time_ns, message

    def require(self, wanted: Mapping[str, str]) -> None:
        """Raise DataError unless every topic → type in `wanted` is in the bag; lists what there is."""
        wrong = [
            f"{topic} ({self.topics[topic]})" if topic in self.topics else topic
            for topic, msgtype in wanted.items()
            if self.topics.get(topic) != msgtype
        ]
        if wrong:
            expected = ", ".join(f"{topic} ({msgtype})" for topic, msgtype in wanted.items())
            raise DataError(
                f"{self.path}: {', '.join(wrong)} is missing or of another type, expected {expected}; "
                f"it has {self.describe()}"
            )

    def describe(self) -> str:
        """Topics, types and counts in one line."""
        listed = [f"{topic} ({kind}, {self.counts[topic]})" for topic, kind in sorted(self.topics.items())]
        return ", ".join(listed) or "no topics"

    def _sources(self) -> list[Path]:
        """The folder, or the storage files in it when the recorder left no metadata."""
        if self.path.is_dir() and not (self.path / "metadata.yaml").is_file():
            files = sorted([*self.path.glob("*.mcap"), *self.path.glob("*.db3")])
            if not files:
                raise DataError(
                    f"{self.path}: has no metadata.yaml and no .mcap or .db3 file, expected a rosbag2 folder"
                )
            return files
        return [self.path]

    def _messages(self, topics: Collection[str]) -> Iterator[tuple[Connection, int, bytes]]:
        missing = sorted(set(topics) - set(self.topics))
        if missing:
            raise DataError(f"{self.path}: has no {', '.join(missing)}; it has {self.describe()}")
        connections = [c for c in self._reader.connections if not topics or c.topic in topics]
        if not connections:
            return
        with self._readable():
            yield from self._reader.messages(connections)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Turn whatever a damaged file makes rosbags raise into one line."""
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # a damaged file makes parsers fail in any way they can
            raise DataError(
                f"{self.path}: cannot be read as a bag ({_one_line(error)}), expected a complete rosbag2 folder, "
                ".mcap, .db3 or .bag"
            ) from error


@dataclass(frozen=True)
class StereoTopics:
    """Names of one pair's topics in a bag.

    `ground_truth` is None where there is none; `rectified` says whether the images are, None lets their name tell.
    """

    left_image: str
    right_image: str
    left_info: str
    right_info: str
    ground_truth: str | None = None
    rectified: bool | None = None

    @property
    def inputs(self) -> tuple[str, str, str, str]:
        """What a node subscribes to."""
        return self.left_info, self.right_info, self.left_image, self.right_image

    @property
    def is_compressed(self) -> bool:
        """Whether the images are JPEG or PNG."""
        return self.left_image.endswith(_COMPRESSED_SUFFIX)

    @property
    def is_raw(self) -> bool:
        """Whether the images still have to be rectified."""
        if self.rectified is not None:
            return not self.rectified
        return "rect" not in self.left_image.removesuffix(_COMPRESSED_SUFFIX).rpartition("/")[2]

    def without_ground_truth(self) -> StereoTopics:
        """The same pair, not to be scored."""
        return replace(self, ground_truth=None)


def find_stereo_topics(bag: BagReader) -> list[StereoTopics]:
    """Every stereo pair in a bag, rectified ones first, and images before compressed ones.

    A pair is two Image or CompressedImage topics whose names differ in left/right (cam0/cam1, infra1/infra2), each with
    a camera_info beside it; ground truth is a DisparityImage topic with ``ground_truth`` in its name.

    Raises
    ------
    DataError
        There is no pair; the message lists the topics.
    """
    images = sorted(
        (topic for topic, kind in bag.topics.items() if kind in (IMAGE, COMPRESSED_IMAGE) and bag.counts[topic]),
        key=lambda topic: ("rect" not in topic, bag.topics[topic] == COMPRESSED_IMAGE, topic),
    )
    truths = [t for t, kind in bag.topics.items() if kind == DISPARITY and "ground_truth" in t]
    pairs, alone = [], []
    for left in images:
        right = _other_side(left, images)
        if right is None:
            continue
        infos = [f"{x.removesuffix(_COMPRESSED_SUFFIX).rpartition('/')[0]}/camera_info" for x in (left, right)]
        missing = [info for info in infos if bag.topics.get(info) != CAMERA_INFO or not bag.counts[info]]
        if missing:
            alone.append(f"{left} and {right} have no {', '.join(missing)} ({CAMERA_INFO})")
            continue
        namespace = left[: _common_length(left, right)].rpartition("/")[0]
        truth = next((t for t in truths if t.partition("/ground_truth")[0] == namespace), None)
        pairs.append(StereoTopics(left, right, infos[0], infos[1], truth))
    if not pairs:
        found = f" ({'; '.join(alone)})" if alone else ""
        raise DataError(
            f"{bag.path}: no stereo pair{found}, expected two {IMAGE} or {COMPRESSED_IMAGE} topics with messages, "
            f"named alike but for left/right, each with camera_info beside it; it has {bag.describe()}"
        )
    return pairs


def _other_side(topic: str, topics: Sequence[str]) -> str | None:
    """The right topic of a left one."""
    for left_word, right_word in _LEFT_RIGHT:
        if left_word in topic and topic.replace(left_word, right_word) in topics:
            return topic.replace(left_word, right_word)
    return None


def _common_length(first: str, second: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), len(first))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
