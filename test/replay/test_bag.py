"""Bags keep every field, are closed whatever happens, and bad ones give one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError, ImageError
from stereo_dp_ros.replay import decoding, messages
from stereo_dp_ros.replay.bag import BagReader, BagWriter
from stereo_dp_ros.replay.stereo_topics import StereoTopics, find_stereo_topics

CALIBRATION = StereoCalibration(
    width_px=6, height_px=4, fx_px=10.5, fy_px=10.25, cx_left_px=2.5, cx_right_px=4.0, cy_px=1.5, baseline_m=0.2
)
STAMP_NS = 1_700_000_123_456_789_012
PIXELS = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
DISPARITY_PX = np.array([[np.nan, 0.5, 1, 2, 3, 4]] * 4, np.float32)
TOPICS = StereoTopics(
    "/stereo/left/image_rect",
    "/stereo/right/image_rect",
    "/stereo/left/camera_info",
    "/stereo/right/camera_info",
    "/stereo/ground_truth/disparity",
)


def _write(path: Path, **options: Any) -> Path:
    with BagWriter(path, **options) as bag:
        _write_pair(bag, STAMP_NS)
    return path


def _write_pair(bag: BagWriter, stamp: int) -> None:
    infos = [messages.camera_info_message(c, stamp, "optical") for c in messages.rectified_cameras(CALIBRATION)]
    bag.write(TOPICS.left_info, infos[0], stamp)
    bag.write(TOPICS.right_info, infos[1], stamp)
    bag.write(TOPICS.left_image, messages.image_message(PIXELS, "rgb8", stamp, "optical"), stamp)
    bag.write(TOPICS.right_image, messages.image_message(PIXELS + 1, "bgr8", stamp, "optical"), stamp)
    truth = messages.disparity_message(DISPARITY_PX, CALIBRATION, stamp, "optical")
    assert TOPICS.ground_truth
    bag.write(TOPICS.ground_truth, truth, stamp)


@pytest.mark.parametrize("compress", [False, True])
def test_every_field_comes_back(tmp_path: Path, compress: bool) -> None:
    with BagReader(_write(tmp_path / "bag", compress=compress)) as bag:
        read = {topic: (time_ns, message) for topic, time_ns, message in bag.messages()}
        assert bag.counts == dict.fromkeys([*TOPICS.inputs, TOPICS.ground_truth], 1)
    assert {time_ns for time_ns, _ in read.values()} == {STAMP_NS}
    left = read[TOPICS.left_image][1]
    assert (left.height, left.width, left.encoding, left.step, left.is_bigendian) == (4, 6, "rgb8", 18, 0)
    assert left.header.frame_id == "optical"
    assert messages.stamp_ns(left) == STAMP_NS
    np.testing.assert_array_equal(decoding.color_pixels(left), PIXELS)
    np.testing.assert_array_equal(decoding.color_pixels(read[TOPICS.right_image][1]), (PIXELS + 1)[..., ::-1])
    info = read[TOPICS.right_info][1]
    assert (info.width, info.height, info.distortion_model) == (6, 4, "plumb_bob")
    assert info.p.tolist() == [10.5, 0, 4.0, -2.1, 0, 10.25, 1.5, 0, 0, 0, 1, 0]
    assert info.k.tolist() == [10.5, 0, 4.0, 0, 10.25, 1.5, 0, 0, 1]
    assert info.d.tolist() == [0] * 5
    assert decoding.calibration_of(read[TOPICS.left_info][1], info) == CALIBRATION


def test_ground_truth_is_the_messages_adjusted_disparity(tmp_path: Path) -> None:
    with BagReader(_write(tmp_path / "bag")) as bag:
        ((_, _, truth),) = bag.messages([TOPICS.ground_truth or ""])
    assert (truth.f, truth.t) == (10.5, np.float32(0.2))
    assert (truth.min_disparity, truth.max_disparity) == (2.0, 5.5)
    assert (truth.valid_window.width, truth.valid_window.height) == (6, 4)
    assert decoding.float_pixels(truth.image)[0].tolist() == [1.0, 2.0, 2.5, 3.5, 4.5, 5.5]
    np.testing.assert_array_equal(decoding.disparity_pixels(truth), DISPARITY_PX + np.float32(1.5))


def test_a_bag_that_cannot_be_replaced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path / "bag_0.mcap"))

    _write(tmp_path / "bag")
    monkeypatch.setattr("shutil.rmtree", refuse)  # root may remove anything
    with pytest.raises(DataError, match=r"bag: no bag can be written here \(.*Permission denied"):
        BagWriter(tmp_path / "bag", overwrite=True)


def test_stamp_is_read_without_deserializing() -> None:
    message = messages.image_message(PIXELS, "rgb8", STAMP_NS, "optical")
    with pytest.raises(DataError, match="^message has 3 bytes, expected at least the 12 up to its stamp$"):
        messages.raw_stamp_ns(b"\0\1\0")
    for little_endian in (True, False):
        data = messages.typestore().serialize_cdr(message, messages.IMAGE, little_endian=little_endian)
        assert messages.raw_stamp_ns(data) == STAMP_NS


def test_calibration_applies_region_and_binning() -> None:
    left, right = [messages.camera_info_message(c, 0, "optical") for c in messages.rectified_cameras(CALIBRATION)]
    for info in (left, right):
        info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 2, 1, 4, 2
        info.binning_x = info.binning_y = 2
    found = decoding.calibration_of(left, right)
    assert (found.width_px, found.height_px) == (2, 1)
    assert (found.fx_px, found.fy_px) == (5.25, 5.125)
    assert (found.cx_left_px, found.cx_right_px, found.cy_px) == (0.25, 1.0, 0.25)
    assert found.baseline_m == pytest.approx(0.2)


def test_bag_is_closed_when_writing_is_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "bag"
    with pytest.raises(KeyboardInterrupt), BagWriter(path) as bag:
        _write_pair(bag, STAMP_NS)
        raise KeyboardInterrupt
    metadata = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (metadata["version"], metadata["storage_identifier"], metadata["message_count"]) == (8, "mcap", 5)
    with BagReader(path) as bag:
        assert sum(bag.counts.values()) == 5


def test_mcap_library_reads_it(tmp_path: Path) -> None:
    path = _write(tmp_path / "bag", compress=True)
    with (path / "bag.mcap").open("rb") as stream:
        found = [
            (channel.topic, schema.name, message.log_time)
            for schema, channel, message in make_reader(stream).iter_messages()
        ]
    assert (TOPICS.left_image, messages.IMAGE, STAMP_NS) in found
    assert len(found) == 5


def test_bag_is_replaced_only_when_asked(tmp_path: Path) -> None:
    path = _write(tmp_path / "bag")
    with pytest.raises(DataError, match="no bag can be written here"):
        BagWriter(path)
    with BagReader(_write(path, overwrite=True)) as bag:
        assert bag.counts[TOPICS.left_image] == 1
    other = tmp_path / "precious"
    other.mkdir()
    (other / "file").write_text("kept")
    with pytest.raises(DataError, match="no bag can be written here"):
        BagWriter(other, overwrite=True)
    assert (other / "file").read_text() == "kept"


def test_stereo_topics_are_found_by_type_and_name(tmp_path: Path) -> None:
    path = tmp_path / "bag"
    with BagWriter(path) as bag:
        _write_pair(bag, STAMP_NS)
        infos = [messages.camera_info_message(c, STAMP_NS, "optical") for c in messages.rectified_cameras(CALIBRATION)]
        for side, info in zip(("cam0", "cam1"), infos, strict=True):
            bag.write(f"/{side}/image_raw", messages.image_message(PIXELS, "rgb8", STAMP_NS, "f"), STAMP_NS)
            bag.write(f"/{side}/camera_info", info, STAMP_NS)
        bag.write("/left/lonely", messages.image_message(PIXELS, "rgb8", STAMP_NS, "f"), STAMP_NS)
    with BagReader(path) as bag:
        pairs = find_stereo_topics(bag)
    assert pairs == [
        TOPICS,
        StereoTopics("/cam0/image_raw", "/cam1/image_raw", "/cam0/camera_info", "/cam1/camera_info"),
    ]


def test_bag_without_a_pair_lists_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "bag"
    with BagWriter(path) as bag:
        bag.write("/left/image", messages.image_message(PIXELS, "rgb8", STAMP_NS, "f"), STAMP_NS)
    with BagReader(path) as bag:
        with pytest.raises(DataError, match=r"no stereo pair.*it has /left/image \(sensor_msgs/msg/Image, 1\)$"):
            find_stereo_topics(bag)
        with pytest.raises(DataError, match=r"/right/image is missing.*it has /left/image"):
            bag.require({"/left/image": messages.IMAGE, "/right/image": messages.IMAGE})
        with pytest.raises(DataError, match=r"/left/image \(sensor_msgs/msg/Image\) is missing or of another type"):
            bag.require({"/left/image": messages.DISPARITY})
        with pytest.raises(DataError, match=r"has no /nothing; it has /left/image"):
            next(bag.raw(["/nothing"]))


def test_bad_bags_give_one_line(tmp_path: Path) -> None:
    whole = _write(tmp_path / "bag")
    content = (whole / "bag.mcap").read_bytes()
    empty = tmp_path / "empty"
    empty.mkdir()
    text = tmp_path / "text.mcap"
    text.write_text("no bag")
    cases = {"no such bag": tmp_path / "none", "has no metadata.yaml": empty, "cannot be read as a bag": text}
    for index, length in enumerate((0, 9, 500, len(content) // 2, len(content) - 20)):
        path = tmp_path / f"cut{index}.mcap"
        path.write_bytes(content[:length])
        with pytest.raises(DataError) as caught:
            list(BagReader(path).messages())
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    for reason, path in cases.items():
        with pytest.raises(DataError, match=reason) as caught:
            BagReader(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damage_inside_a_chunk_is_told_while_reading(tmp_path: Path) -> None:
    path = _write(tmp_path / "bag", compress=True) / "bag.mcap"
    content = bytearray(path.read_bytes())
    middle = content.find(b"\x28\xb5\x2f\xfd") + 200  # inside the zstd frame
    content[middle : middle + 60] = bytes(60)
    path.write_bytes(bytes(content))
    with BagReader(path) as bag, pytest.raises(DataError, match="cannot be read as a bag"):
        list(bag.messages())


def test_folder_without_metadata_is_read_from_its_file(tmp_path: Path) -> None:
    path = _write(tmp_path / "bag")
    (path / "metadata.yaml").unlink()
    with BagReader(path) as bag:
        assert bag.topics[TOPICS.left_image] == messages.IMAGE


def _write_ros1(path: Path) -> None:
    """The pair's topics in a ROS 1 bag, whose CameraInfo has D, K, R, P and whose headers count."""
    store = get_typestore(Stores.ROS1_NOETIC)
    types: dict[str, Any] = store.types
    time = types["builtin_interfaces/msg/Time"](STAMP_NS // 10**9, STAMP_NS % 10**9)
    header = types["std_msgs/msg/Header"](7, time, "optical")
    window = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    projections = CALIBRATION.to_projections()
    image = types[messages.IMAGE](header, 4, 6, "rgb8", 0, 18, PIXELS.reshape(-1))
    infos = [
        types[messages.CAMERA_INFO](
            header, 4, 6, "plumb_bob", np.zeros(5), p[:, :3].reshape(-1).copy(), np.eye(3).reshape(-1),
            p.reshape(-1), 0, 0, window,
        )
        for p in projections
    ]  # fmt: skip
    topics = zip(TOPICS.inputs, [*infos, image, image], strict=True)
    with Ros1Writer(path) as writer:
        for topic, message in topics:
            connection = writer.add_connection(topic, message.__msgtype__, typestore=store)
            writer.write(connection, STAMP_NS, store.serialize_ros1(message, message.__msgtype__))


def test_ros1_bag_reads_as_ros2(tmp_path: Path) -> None:
    _write_ros1(tmp_path / "old.bag")
    with BagReader(tmp_path / "old.bag") as bag:
        assert find_stereo_topics(bag) == [TOPICS.without_ground_truth()]
        read = {topic: message for topic, _, message in bag.messages()}
        raw = {topic: data for topic, _, data in bag.raw()}
    assert decoding.calibration_of(read[TOPICS.left_info], read[TOPICS.right_info]) == CALIBRATION
    np.testing.assert_array_equal(decoding.color_pixels(read[TOPICS.left_image]), PIXELS)
    assert messages.stamp_ns(read[TOPICS.left_image]) == STAMP_NS
    assert messages.raw_stamp_ns(raw[TOPICS.right_image]) == STAMP_NS
    again = messages.typestore().deserialize_cdr(raw[TOPICS.left_info], messages.CAMERA_INFO)
    assert again.p.tolist() == read[TOPICS.left_info].p.tolist()


def test_folder_of_ros1_bags_reads_as_one(tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    for part in (0, 1):
        _write_ros1(tmp_path / "split" / f"old_{part}.bag")
    with BagReader(tmp_path / "split") as bag:
        assert bag.counts == dict.fromkeys(TOPICS.inputs, 2)
        assert bag.stamps_ns(TOPICS.left_image) == [STAMP_NS] * 2


@pytest.mark.parametrize("plugin", list(StoragePlugin))
def test_other_storages_and_compressions_are_read(tmp_path: Path, plugin: StoragePlugin) -> None:
    for name, mode in (("file", CompressionMode.FILE), ("message", CompressionMode.MESSAGE)):
        with BagReader(_write(tmp_path / f"plain_{name}")) as bag:
            content = list(bag.raw())
            topics = dict(bag.topics)
        writer = Writer(tmp_path / name, version=8, storage_plugin=plugin)
        writer.set_compression(mode, CompressionFormat.ZSTD)
        with writer:
            store = messages.typestore()
            connections = {topic: writer.add_connection(topic, kind, typestore=store) for topic, kind in topics.items()}
            for topic, time_ns, data in content:
                writer.write(connections[topic], time_ns, data)
        with BagReader(tmp_path / name) as bag:
            assert sorted(bag.raw()) == sorted(content)


def test_pixels_of_other_encodings_or_too_little_data_are_refused() -> None:
    message = messages.image_message(PIXELS, "rgb8", 0, "f")
    with pytest.raises(DataError, match=r"encoding 'rgb8', expected 32FC1"):
        decoding.float_pixels(message)
    message.data = message.data[:-1]
    with pytest.raises(ImageError, match=r"image: data has 71 bytes, expected at least 72 \(step 18 x height 4\)"):
        decoding.color_pixels(message)
    message.encoding = "yuv422"
    with pytest.raises(ImageError, match=r"image: encoding is 'yuv422', expected one of 8UC1, 8UC3, bayer_bggr8"):
        decoding.color_pixels(message)


def test_padded_rows_are_read() -> None:
    message = messages.image_message(np.arange(24, dtype=np.float32).reshape(4, 6), "32FC1", 0, "f")
    message.width = 5
    np.testing.assert_array_equal(decoding.float_pixels(message), np.arange(24.0).reshape(4, 6)[:, :5])
