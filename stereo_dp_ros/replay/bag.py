"""Bags: writing rosbag2 mcap, and reading every kind that rosbags reads."""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rosbags.interfaces import Connection
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer, WriterError
from rosbags.rosbag2 import Reader as Reader2

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.messages import as_ros2, raw_stamp_ns, ros1_typestore, typestore

__all__ = ["BagReader", "BagWriter"]

_METADATA_VERSION: Literal[8] = 8  # 9 writes QoS in a form that older ROS 2 releases do not read


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
        try:
            if overwrite and (self.path / "metadata.yaml").is_file():
                shutil.rmtree(self.path)
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

    Messages of ROS 1 bags come as those of ROS 2. Types are those of our type store, not of the bag: what else was
    recorded need not be understood. A folder without metadata.yaml is read from its storage files.

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
        self.topics: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self._files: list[tuple[Reader1 | Reader2, list[Connection]]] = []
        with ExitStack() as opened, self._readable():
            for source in self._sources():
                reader: Reader1 | Reader2 = Reader1(source) if source.suffix == ".bag" else Reader2(source)
                opened.enter_context(reader)
                self._files.append((reader, _connections(reader)))
            self._opened = opened.pop_all()
        for _, connections in self._files:
            for connection in connections:
                self.topics[connection.topic] = connection.msgtype
                self.counts[connection.topic] = self.counts.get(connection.topic, 0) + connection.msgcount

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def raw(self, topics: Collection[str] = ()) -> Iterator[tuple[str, int, bytes]]:
        """(topic, time_ns, serialized message) in order of time, of some topics or of all.

        Raises
        ------
        DataError
            A topic is missing, or the file is damaged.
        """
        store = typestore()
        for is_ros1, connection, time_ns, data in self._messages(topics):
            if is_ros1:
                with self._readable():
                    message = _ros1_message(data, connection.msgtype)
                    data = bytes(store.serialize_cdr(message, connection.msgtype))
            yield connection.topic, time_ns, data

    def messages(self, topics: Collection[str] = ()) -> Iterator[tuple[str, int, Any]]:
        """(topic, time_ns, message) in order of time, of some topics or of all; errors as `raw`."""
        store = typestore()
        for is_ros1, connection, time_ns, data in self._messages(topics):
            with self._readable():
                kind = connection.msgtype
                message = _ros1_message(data, kind) if is_ros1 else store.deserialize_cdr(data, kind)
            yield connection.topic, time_ns, message

    def stamps_ns(self, topic: str) -> list[int]:
        """The headers' stamps of a topic, in order of time; errors as `raw`."""
        with self._readable():
            return [raw_stamp_ns(data) for _, _, data in self.raw([topic])]

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
        """The file or folder, or the storage files in it where the recorder left no metadata."""
        if self.path.is_dir() and not (self.path / "metadata.yaml").is_file():
            files = sorted(file for file in self.path.iterdir() if file.suffix in (".mcap", ".db3", ".bag"))
            if not files:
                raise DataError(
                    f"{self.path}: has no metadata.yaml and no .mcap, .db3 or .bag file, expected a rosbag2 folder"
                )
            return files
        return [self.path]

    def _messages(self, topics: Collection[str]) -> Iterator[tuple[bool, Connection, int, bytes]]:
        """Whether it is of ROS 1, connection, time and content of each message."""
        missing = sorted(set(topics) - set(self.topics))
        if missing:
            raise DataError(f"{self.path}: has no {', '.join(missing)}; it has {self.describe()}")
        with self._readable():
            yield from heapq.merge(*(_stream(*file, topics) for file in self._files), key=lambda message: message[2])

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
                ".mcap, .db3 or .bag (`ros2 bag reindex` or `mcap recover` may save a damaged one)"
            ) from error


def _connections(reader: Reader1 | Reader2) -> list[Connection]:
    """What a file holds, or all files of a folder.

    Taken from the storage files: rosbags finds no message of a topic whose QoS is another one in metadata.yaml.
    """
    storages = getattr(getattr(reader, "storage", None), "storages", [reader])
    return [connection for storage in storages for connection in storage.connections]


def _stream(
    reader: Reader1 | Reader2, connections: Sequence[Connection], topics: Collection[str]
) -> Iterator[tuple[bool, Connection, int, bytes]]:
    wanted = [connection for connection in connections if not topics or connection.topic in topics]
    if wanted:  # else rosbags gives all of them
        for connection, time_ns, data in reader.messages(wanted):
            yield isinstance(reader, Reader1), connection, time_ns, data


def _ros1_message(data: bytes, msgtype: str) -> Any:
    return as_ros2(ros1_typestore().deserialize_ros1(data, msgtype))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
