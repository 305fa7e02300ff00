"""Bad images and every good one on real DDS: one line that names the topic, the node stays up, and works again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from pair_checks import assert_closed, assert_recovers, settled_counts
from ros_rig import Rig
from ros_scene import FunctionEstimator, PlaneScene, plane_estimator
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.image_messages import ENCODINGS, decode_image
from stereo_dp_ros.ros.conversions import image_message

Change = Callable[[Any, Any], None]


def set_both(**fields: Any) -> Change:
    def change(left: Any, right: Any) -> None:
        for message in (left, right):
            for name, value in fields.items():
                setattr(message, name, value)

    return change


def set_right(**fields: Any) -> Change:
    def change(_: Any, right: Any) -> None:
        for name, value in fields.items():
            setattr(right, name, value)

    return change


def crop_right(_: Any, right: Image) -> None:
    right.height = 95
    right.data = right.data[: 95 * right.step]


def cut_right(_: Any, right: Image) -> None:
    right.data = right.data[:-1]


def zero_size(left: Image, right: Image) -> None:
    for message in (left, right):
        message.width = message.height = message.step = 0
        message.data = message.data[:0]


BAD_IMAGES: dict[str, tuple[Change, list[str]]] = {
    "size differs": (
        crop_right,
        ["/left/image_rect is 160x96 rgb8", "/right/image_rect is 160x95", "expected the same"],
    ),
    "encoding differs": (
        set_right(encoding="bgr8"),
        ["160x96 rgb8", "/right/image_rect is 160x96 bgr8", "same size and"],
    ),
    "unknown encoding": (
        set_both(encoding="yuv422"),
        ["/left/image_rect: encoding is 'yuv422'", "expected one of 8UC1, 8UC3, bayer_bggr8"],
    ),
    "data too short": (cut_right, ["/right/image_rect: data has 46079 bytes", "expected at least 46080"]),
    "step too short": (set_right(step=479), ["/right/image_rect: step is 479", "expected at least 480"]),
    "no pixels": (zero_size, ["/left/image_rect: image is 0x0", "expected at least 1x1"]),
}


@pytest.mark.parametrize(("change", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES.keys())
def test_bad_images(rig: Rig, capfd: pytest.CaptureFixture[str], change: Change, words: list[str]) -> None:
    node = rig.start()
    rig.connect()
    for _ in range(3):
        left, right = PlaneScene().messages("rgb8", rig.header())
        change(left, right)
        rig.publish(left_image_rect=left, right_image_rect=right)
        rig.pause(0.05)
    status = rig.fault(words[0])
    assert status.level == DiagnosticStatus.ERROR
    assert all(word in status.message for word in words), status.message
    matched, published, dropped = settled_counts(rig, node)
    assert (matched, published) == (3, 0)
    assert dropped["bad_image"] + dropped.get("superseded", 0) == 3
    assert_recovers(rig, node)
    logged = [line for line in capfd.readouterr().err.splitlines() if words[0] in line]
    assert len(logged) == 1, "three of a kind are one line"


def test_padded_rows_and_4k_images(rig: Rig) -> None:
    scene = PlaneScene(width_px=3840, height_px=2160)
    rig.start(plane_estimator(20.0, (96, 64)))
    rig.connect("depth/camera_info", scene=scene)
    header = rig.header()
    padded = np.zeros((2160, 3848, 3), np.uint8)
    message = image_message(padded, "rgb8", header)
    message.width = 3840
    rig.publish(left_image_rect=message, right_image_rect=message)
    assert rig.last("depth/camera_info").header == header


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_compressed_images(rig: Rig, suffix: str) -> None:
    scene = PlaneScene()
    seen: list[np.ndarray] = []

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        seen.extend((left, right))
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    node = rig.start(FunctionEstimator(infer), image_transport="compressed")
    topics = ("left/image_rect/compressed", "right/image_rect/compressed")
    rig.advertise(topics, message_type=CompressedImage)
    rig.advertise(("left/camera_info", "right/camera_info"))
    rig.subscribe("disparity")
    rig.publish_infos()
    rig.pause(0.1)

    def publish(contents: list[bytes]) -> Header:
        header = rig.header()
        for topic, content in zip(topics, contents, strict=True):
            rig.publishers[topic].publish(CompressedImage(header=header, format="bgr8; png", data=content))
        return header

    images = scene.images()
    files = [cv2.imencode(suffix, image[..., ::-1])[1].tobytes() for image in images]
    publish([b"no image", files[1]])
    status = rig.fault("/left/image_rect/compressed: 8 bytes of format 'bgr8; png' cannot be decoded")
    assert status.level == DiagnosticStatus.ERROR
    header = publish(files)
    assert rig.last("disparity").header == header
    tolerance = 0 if suffix == ".png" else 90  # JPEG blurs noise
    assert np.abs(seen[0].astype(int) - images[0]).mean() <= tolerance
    if suffix == ".png":
        np.testing.assert_array_equal(seen[1], images[1])
    assert settled_counts(rig, node) == (2, 1, {"bad_image": 1})


def test_every_encoding_in_either_byte_order(rig: Rig) -> None:
    """What the network gets of each encoding, with padded rows and big-endian pixels, over DDS."""
    seen: list[np.ndarray] = []

    def infer(left: np.ndarray, right: np.ndarray) -> DisparityMap:
        seen.append(left)
        return DisparityMap(np.full((96, 160), 20, np.float32), np.ones((96, 160), np.float32), 0.0, 64.0)

    node = rig.start(FunctionEstimator(infer), rectification_check_period_s=0.0)
    rig.connect()
    random = np.random.default_rng(0)
    expected: list[np.ndarray] = []
    for encoding, (item_bytes, channels, _) in ENCODINGS.items():
        for big_endian in (False, True):
            kind = np.dtype(f"{'>' if big_endian else '<'}u{item_bytes}")
            padded = random.integers(0, 256**item_bytes, (96, 163, channels)).astype(kind)
            image = Image(header=rig.header(), encoding=encoding, width=160, height=96, is_bigendian=int(big_endian))
            image.step = padded.nbytes // 96
            image.data.frombytes(padded.tobytes())
            expected.append(decode_image(image, "as sent"))
            rig.publish(left_image_rect=image, right_image_rect=image)
            rig.last("disparity", len(expected))
    assert len(seen) == 2 * len(ENCODINGS)
    for found, sent in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(found, sent)
    assert_closed(rig, node)
