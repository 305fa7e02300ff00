"""Bags as ROS 2's own recorder leaves them: split into files, compressed, with what else was recorded."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from made_up import write_source
from mcap.reader import make_reader
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay import messages
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.stereo_topics import find_stereo_topics

STAMPS = [10**18 + index * 10**8 for index in range(9)]
ENDINGS = {StoragePlugin.MCAP: ".mcap", StoragePlugin.SQLITE3: ".db3"}
Content = list[tuple[str, int, bytes]]

# One profile as Humble writes it, with durations that it could not represent.
OTHER_QOS = """- history: 3
  depth: 0
  reliability: 1
  durability: 2
  deadline: {sec: 2147483647, nsec: 4294967295}
  lifespan: {sec: 2147483647, nsec: 4294967295}
  liveliness: 1
  liveliness_lease_duration: {sec: 2147483647, nsec: 4294967295}
  avoid_ros_namespace_conventions: false
"""


@pytest.fixture
def content(tmp_path: Path) -> Content:
    """Every message of a small bag."""
    write_source(tmp_path / "source", STAMPS)
    with BagReader(tmp_path / "source") as bag:
        return list(bag.raw())


def _type_of(topic: str) -> str:
    kinds = {"camera_info": messages.CAMERA_INFO, "image_rect": messages.IMAGE, "disparity": messages.DISPARITY}
    return kinds[topic.rpartition("/")[2]]


def _write(path: Path, content: Content, plugin: StoragePlugin, mode: CompressionMode | None) -> dict[str, Any]:
    """A bag of one file; returns its metadata."""
    writer = Writer(path, version=8, storage_plugin=plugin)
    if mode is not None:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        topics = {
            topic: writer.add_connection(topic, _type_of(topic), typestore=messages.typestore())
            for topic in dict.fromkeys(topic for topic, _, _ in content)
        }
        for topic, time_ns, data in content:
            writer.write(topics[topic], time_ns, data)
    metadata: dict[str, Any] = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    return metadata


def _split(folder: Path, content: Content, plugin: StoragePlugin, mode: CompressionMode | None) -> Path:
    """A bag of three files, name_0 to name_2, that metadata.yaml lists, as `ros2 bag record -d` writes it."""
    bag = folder / "bag"
    bag.mkdir()
    size = len(content) // 3
    parts = []
    for index in range(3):
        begin, end = index * size, len(content) if index == 2 else (index + 1) * size
        metadata = _write(folder / f"part{index}", content[begin:end], plugin, mode)
        (name,) = metadata["relative_file_paths"]
        shutil.copy(folder / f"part{index}" / name, bag / name.replace(f"part{index}", f"bag_{index}"))
        parts.append(metadata)
    counts = {t["topic_metadata"]["name"]: 0 for part in parts for t in part["topics_with_message_count"]}
    for part in parts:
        for topic in part["topics_with_message_count"]:
            counts[topic["topic_metadata"]["name"]] += topic["message_count"]
    whole = {
        **parts[0],
        "relative_file_paths": sorted(file.name for file in bag.iterdir()),
        "message_count": len(content),
        "topics_with_message_count": [
            {**topic, "message_count": counts[topic["topic_metadata"]["name"]]}
            for topic in parts[0]["topics_with_message_count"]
        ],
        "files": [{**part["files"][0], "path": f"bag_{index}{ENDINGS[plugin]}"} for index, part in enumerate(parts)],
    }
    (bag / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": whole}))
    return bag


@pytest.mark.parametrize("mode", [None, CompressionMode.FILE, CompressionMode.MESSAGE])
@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_split_bag_reads_as_one(
    tmp_path: Path, content: Content, plugin: StoragePlugin, mode: CompressionMode | None
) -> None:
    bag = _split(tmp_path, content, plugin, mode)
    endings = {file.name.partition(".")[2] for file in bag.iterdir()} - {"yaml"}
    assert endings == {ENDINGS[plugin][1:] + (".zstd" if mode is CompressionMode.FILE else "")}
    with BagReader(bag) as reader:
        found = list(reader.raw())
        assert found == content
        assert reader.counts == {topic: len(STAMPS) for topic, _, _ in content}
        ((left, right),) = [topics.images for topics in find_stereo_topics(reader)]
        assert [messages.stamp_ns(message) for _, _, message in reader.messages([left])] == STAMPS
        assert [messages.stamp_ns(message) for _, _, message in reader.messages([right])] == STAMPS


def test_split_bag_that_lacks_a_file_is_told(tmp_path: Path, content: Content) -> None:
    bag = _split(tmp_path, content, StoragePlugin.SQLITE3, None)
    (bag / "bag_1.db3").unlink()
    with pytest.raises(DataError, match=r"^[^\n]*bag_1\.db3[^\n]*$"):
        BagReader(bag)


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_other_qos_in_the_metadata_hides_no_message(tmp_path: Path, content: Content, plugin: StoragePlugin) -> None:
    metadata = _write(tmp_path / "bag", content, plugin, None)
    for topic in metadata["topics_with_message_count"]:
        topic["topic_metadata"]["offered_qos_profiles"] = OTHER_QOS
    (tmp_path / "bag" / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": metadata}))
    with BagReader(tmp_path / "bag") as bag:
        assert list(bag.raw()) == content


def test_types_that_cannot_be_understood_are_no_hindrance(tmp_path: Path, content: Content) -> None:
    odd = b"string<=4 text 'unfinished\n---\nint64 sum\n"  # as of service events, which rosbags does not parse
    with (tmp_path / "bag.mcap").open("wb") as stream:
        writer = McapWriter(stream)
        writer.start("ros2")
        channels = {}
        for topic in [*dict.fromkeys(topic for topic, _, _ in content), "/add/_service_event"]:
            kind = "my_interfaces/srv/Add_Event" if topic.endswith("_event") else _type_of(topic)
            schema = writer.register_schema(kind, "ros2msg", odd if topic.endswith("_event") else b"")
            channels[topic] = writer.register_channel(topic, "cdr", schema)
        for topic, time_ns, data in [("/add/_service_event", STAMPS[0], b"\0\1\0\0"), *content]:
            writer.add_message(channels[topic], time_ns, data, time_ns)
        writer.finish()
    with (tmp_path / "bag.mcap").open("rb") as stream:
        assert sum(1 for _ in make_reader(stream).iter_messages()) == len(content) + 1
    with BagReader(tmp_path / "bag.mcap") as bag:
        assert bag.topics["/add/_service_event"] == "my_interfaces/srv/Add_Event"
        ((left, right),) = [topics.images for topics in find_stereo_topics(bag)]
        assert len(list(bag.messages([left, right]))) == 2 * len(STAMPS)
