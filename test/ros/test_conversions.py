"""Image messages to arrays and back: every encoding, byte order, padding, and cv_bridge beside the built-in way."""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from stereo_dp_ros.core.errors import ImageError
from stereo_dp_ros.core.image_messages import ENCODINGS
from stereo_dp_ros.ros.conversions import ImageDecoder, depth_draft, image_message

RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
GRAY = RGB[..., 0]


def no_bridge() -> Any:
    raise ImportError("not here")


def message(array: np.ndarray, encoding: str, *, padding: int = 0, big_endian: bool = False) -> Image:
    """An image message with `padding` bytes of rubbish after each row, in this byte order."""
    rows = array.astype(array.dtype.newbyteorder(">" if big_endian else "<"))
    data = b"".join(row.tobytes() + b"\xaa" * padding for row in rows)
    result = Image(height=array.shape[0], width=array.shape[1], encoding=encoding, is_bigendian=int(big_endian))
    result.step = rows[0].nbytes + padding
    result.data.frombytes(data)
    return result


def mosaic(pattern: str) -> np.ndarray:
    """A Bayer image of a uniform colour (200, 100, 50): `pattern` names the first two rows' pixels."""
    value = {"r": 200, "g": 100, "b": 50}
    tile = np.array([[value[pattern[0]], value[pattern[1]]], [value[pattern[2]], value[pattern[3]]]], np.uint8)
    return np.tile(tile, (4, 5))


ALPHA = np.full((6, 8, 1), 7, np.uint8)
UNIFORM = np.full((8, 10, 3), (200, 100, 50), np.uint8)
SIXTEEN = np.array([[0, 128, 129, 257], [32768, 65279, 65535, 385]], np.uint16)

CASES: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "mono8": (GRAY, GRAY),
    "8UC1": (GRAY, GRAY),
    "mono16": (SIXTEEN, np.array([[0, 0, 1, 1], [128, 254, 255, 1]], np.uint8)),
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[..., ::-1], RGB),
    "8UC3": (RGB[..., ::-1], RGB),
    "rgba8": (np.dstack([RGB, ALPHA]), RGB),
    "bgra8": (np.dstack([RGB[..., ::-1], ALPHA]), RGB),
    "bayer_rggb8": (mosaic("rggb"), UNIFORM),
    "bayer_bggr8": (mosaic("bggr"), UNIFORM),
    "bayer_gbrg8": (mosaic("gbrg"), UNIFORM),
    "bayer_grbg8": (mosaic("grbg"), UNIFORM),
}


def test_every_encoding_has_a_case() -> None:
    assert CASES.keys() == ENCODINGS.keys()


@pytest.mark.parametrize("big_endian", [False, True], ids=["little", "big"])
@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", CASES)
def test_decoding(encoding: str, padding: int, big_endian: bool) -> None:
    sent, expected = CASES[encoding]
    decoded = ImageDecoder(no_bridge).decode(message(sent, encoding, padding=padding, big_endian=big_endian), "topic")
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, expected)


class Bridge:
    """Converts as cv_bridge does: OpenCV's conversion of the message's encoding to the desired one."""

    CODES = {
        "bgr8": cv2.COLOR_BGR2RGB,
        "rgba8": cv2.COLOR_RGBA2RGB,
        "bgra8": cv2.COLOR_BGRA2RGB,
        "bayer_rggb8": cv2.COLOR_BayerBG2RGB,
        "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
        "bayer_gbrg8": cv2.COLOR_BayerGR2RGB,
        "bayer_grbg8": cv2.COLOR_BayerGB2RGB,
    }

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> np.ndarray:
        self.asked.append((img_msg.encoding, desired_encoding))
        if img_msg.encoding == "mono16":
            assert desired_encoding == "mono8"
            values = np.frombuffer(img_msg.data, np.uint16).reshape(img_msg.height, img_msg.width)
            return cv2.convertScaleAbs(values, alpha=255.0 / 65535.0)
        pixels = np.frombuffer(img_msg.data, np.uint8).reshape(img_msg.height, img_msg.width, -1)
        return cv2.cvtColor(pixels, self.CODES[img_msg.encoding])


@pytest.mark.parametrize("encoding", CASES)
def test_decoding_through_a_bridge(encoding: str) -> None:
    """What cv_bridge is asked for, padding and byte order taken away, gives what the built-in way gives."""
    bridge = Bridge()
    decoder = ImageDecoder(lambda: bridge)
    assert (decoder.backend, decoder.reason) == ("cv_bridge", "")
    sent, expected = CASES[encoding]
    decoded = decoder.decode(message(sent, encoding, padding=2, big_endian=True), "topic")
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("encoding", CASES)
def test_whatever_is_installed_agrees(encoding: str) -> None:
    """The decoder that the node would take here: the real cv_bridge where there is one that works."""
    sent, expected = CASES[encoding]
    np.testing.assert_array_equal(ImageDecoder().decode(message(sent, encoding, padding=2), "topic"), expected)


class BrokenBridge:
    """As a cv_bridge built against another NumPy."""

    def imgmsg_to_cv2(self, *_: Any, **__: Any) -> np.ndarray:
        raise SystemError("_ARRAY_API not found")


class WrongBridge:
    """Leaves channels in their order."""

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str) -> np.ndarray:
        if img_msg.encoding == "mono16":
            return Bridge().imgmsg_to_cv2(img_msg, desired_encoding)
        return np.frombuffer(img_msg.data, np.uint8).reshape(img_msg.height, img_msg.width, -1)[..., :3]


def missing_library() -> Any:
    raise OSError("libopencv_core.so.406: cannot open shared object file")


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (no_bridge, "cv_bridge is not installed (not here)"),
        (BrokenBridge, "cv_bridge fails for mono16 (SystemError: _ARRAY_API not found)"),
        (WrongBridge, "cv_bridge converts bgr8 wrongly"),
        (missing_library, "cv_bridge fails (OSError: libopencv_core.so.406: cannot open shared object file)"),
    ],
)
def test_a_bridge_that_does_not_work_is_found_out(load: Any, reason: str) -> None:
    decoder = ImageDecoder(load)
    assert (decoder.backend, decoder.reason) == ("builtin", reason)
    np.testing.assert_array_equal(decoder.decode(message(RGB[..., ::-1], "bgr8"), "topic"), RGB)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"encoding": "32FC1"}, r"^/cam: encoding is '32FC1', expected one of 8UC1, .*rgba8$"),
        ({"width": 0}, r"^/cam: image is 0x6, expected at least 1x1$"),
        ({"step": 23}, r"^/cam: step is 23 bytes, expected at least 24 for 8 px of rgb8$"),
        ({"height": 7}, r"^/cam: data has 144 bytes, expected at least 168 \(step 24 x height 7\)$"),
    ],
)
def test_layouts_that_cannot_be(change: dict[str, Any], line: str) -> None:
    bad = message(RGB, "rgb8")
    for name, value in change.items():
        setattr(bad, name, value)
    with pytest.raises(ImageError, match=line):
        ImageDecoder(no_bridge).decode(bad, "/cam")


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (RGB[..., ::-1], RGB),
        (GRAY, GRAY),
        (np.dstack([RGB[..., ::-1], ALPHA]), RGB),
        (SIXTEEN, CASES["mono16"][1]),
    ],
    ids=["bgr", "gray", "bgra", "gray16"],
)
def test_compressed(pixels: np.ndarray, expected: np.ndarray) -> None:
    compressed = CompressedImage(format="png")
    compressed.data.frombytes(cv2.imencode(".png", pixels)[1].tobytes())
    np.testing.assert_array_equal(ImageDecoder(no_bridge).decode(compressed, "topic"), expected)


@pytest.mark.parametrize(
    ("image_format", "is_mosaic"),
    [
        ("bayer_grbg8; png compressed ", True),
        ("bayer_grbg8; jpeg compressed bayer_grbg8", True),
        ("bayer_grbg8; jpeg compressed mono8", False),  # which the publisher made gray
        ("mono8; png compressed ", False),
        ("bayer_other; png compressed ", False),
        ("png", False),
    ],
)
def test_compressed_mosaic(image_format: str, is_mosaic: bool) -> None:
    """compressed_image_transport keeps a mosaic unless its format says mono8."""
    pixels = mosaic("grbg")
    compressed = CompressedImage(format=image_format)
    compressed.data.frombytes(cv2.imencode(".png", pixels)[1].tobytes())
    decoded = ImageDecoder(no_bridge).decode(compressed, "topic")
    np.testing.assert_array_equal(decoded, UNIFORM if is_mosaic else pixels)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "/cam: 0 bytes of format 'jpeg' cannot be decoded, expected JPEG or PNG"),
        (b"\xff\xd8rest", "/cam: 6 bytes of format 'jpeg' cannot be decoded, expected JPEG or PNG"),
        (cv2.imencode(".png", np.zeros((2, 2, 3), np.uint16))[1].tobytes(), "/cam: compressed pixels are uint16"),
    ],
)
def test_compressed_that_cannot_be_used(data: bytes, line: str) -> None:
    compressed = CompressedImage(format="jpeg")
    compressed.data.frombytes(data)
    with pytest.raises(ImageError) as caught:
        ImageDecoder(no_bridge).decode(compressed, "/cam")
    assert str(caught.value).startswith(line)


def test_image_message_of_a_view() -> None:
    """A view that is not contiguous arrives as its pixels, without padding."""
    header = Header(frame_id="camera")
    sent = image_message(RGB[::2, 1:5], "rgb8", header)
    assert (sent.height, sent.width, sent.step, sent.header) == (3, 4, 12, header)
    np.testing.assert_array_equal(ImageDecoder(no_bridge).decode(sent, "topic"), RGB[::2, 1:5])


def test_depth_message() -> None:
    depth_m = np.array([[0.0, 0.0004, 0.0006, 1.0], [2.0004, 65.535, 65.536, np.nan], [np.inf, -1.0, 2.5, 0.001]])
    metres = depth_draft(depth_m.astype(np.float32), "32FC1", Header()).whole()
    np.testing.assert_array_equal(np.frombuffer(metres.data, np.float32), depth_m.astype(np.float32).ravel())
    millimetres = depth_draft(depth_m.astype(np.float32), "16UC1", Header()).whole()
    assert (millimetres.encoding, millimetres.step) == ("16UC1", 8)
    assert millimetres.is_bigendian == int(sys.byteorder == "big")
    assert np.frombuffer(millimetres.data, np.uint16).tolist() == [0, 0, 1, 1000, 2000, 65535, 0, 0, 0, 0, 2500, 1]
