import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from stereo_dp_ros.core.errors import DataError, ImageError
from stereo_dp_ros.core.image_messages import decode_compressed
from stereo_dp_ros.core.images import (
    colorize_disparity,
    read_disparity,
    read_image,
    write_disparity,
    write_image,
    write_ply,
)

DISPARITY = np.array([[0.0, 1.5, np.nan], [100.25, 0.00390625, 3.0]], np.float32)


@pytest.mark.parametrize("suffix", [".pfm", ".npy"])
def test_float_formats_keep_every_value(tmp_path, suffix):
    path = tmp_path / f"d{suffix}"
    write_disparity(path, DISPARITY)
    np.testing.assert_array_equal(read_disparity(path), DISPARITY)


def test_pfm_rows_go_from_the_bottom_up_as_the_format_says(tmp_path):
    path = tmp_path / "d.pfm"
    write_disparity(path, DISPARITY)
    content = path.read_bytes()
    header, values = content[: -DISPARITY.nbytes], content[-DISPARITY.nbytes :]
    assert header.split()[:3] == [b"Pf", b"3", b"2"]
    byte_order = "<f4" if float(header.split()[3]) < 0 else ">f4"
    np.testing.assert_array_equal(np.frombuffer(values, byte_order)[:3], DISPARITY[1])


def test_pfm_values_are_pixels_whatever_the_scale_in_the_header(tmp_path):
    path = tmp_path / "middlebury.pfm"
    values = np.flipud(np.where(np.isnan(DISPARITY), np.float32(np.inf), DISPARITY)).astype("<f4")
    path.write_bytes(b"Pf\n3 2\n-0.003922\n" + values.tobytes())
    np.testing.assert_allclose(read_disparity(path), DISPARITY, rtol=1e-6)


def test_png_stores_256ths_and_keeps_zero_apart_from_unknown(tmp_path):
    path = tmp_path / "d.png"
    write_disparity(path, DISPARITY)
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored, [[1, 384, 0], [25664, 1, 768]])
    np.testing.assert_array_equal(np.isnan(read_disparity(path)), np.isnan(DISPARITY))


def test_a_disparity_that_no_png_holds_is_refused(tmp_path):
    path = tmp_path / "d.png"
    write_disparity(path, np.full((2, 2), 65535 / 256, np.float32))
    np.testing.assert_array_equal(read_disparity(path), np.full((2, 2), 65535 / 256, np.float32))
    with pytest.raises(
        ImageError, match=r"d\.png: disparity reaches 300\.00 px, .* 256\.00 px at most, expected \.pfm"
    ):
        write_disparity(path, np.full((2, 2), 300.0, np.float32))


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"no array at all"], ids=["empty", "zip", "cut", "text"]
)
def test_a_file_that_is_no_npy_is_named(tmp_path, content):
    path = tmp_path / "d.npy"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"d\.npy: cannot be read as \.npy"):
        read_disparity(path)


@pytest.mark.parametrize("array", [np.array([["a"]]), np.zeros((2, 2), complex), np.zeros(3)])
def test_an_npy_that_is_no_disparity_is_named(tmp_path, array):
    np.save(tmp_path / "d.npy", array)
    with pytest.raises(DataError, match=r"d\.npy: is .* with shape .*, expected numbers \(H, W\)"):
        read_disparity(tmp_path / "d.npy")


def test_a_compressed_image_whose_size_cannot_be_is_named():
    header = struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, 1 << 20, 1 << 20, 1, 24, 0, 0, 0, 0, 0, 0)
    message = SimpleNamespace(data=b"BM" + header + bytes(100), format="jpeg")
    with pytest.raises(ImageError, match="left: 154 bytes of format 'jpeg' cannot be decoded, expected JPEG or PNG"):
        decode_compressed(message, "left")


def test_unknown_suffix_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"suffix is \.jpg, expected \.png, \.pfm or \.npy"):
        write_disparity(tmp_path / "d.jpg", DISPARITY)


def test_images_are_rgb_gray_and_eight_bit(tmp_path):
    rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    write_image(tmp_path / "rgb.png", rgb)
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.png"), rgb)
    write_image(tmp_path / "gray.png", rgb[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png"), rgb[..., 0])
    cv2.imwrite(str(tmp_path / "deep.png"), np.array([[0x1234, 0xFF00]], np.uint16))
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), [[0x12, 0xFF]])


@pytest.mark.parametrize("content", [None, b"", b"not an image"])
def test_an_unreadable_image_is_named(tmp_path, content):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match="broken.png"):
        read_image(path)


@pytest.mark.parametrize("size", [b"wide high", b"-3 2", b"600000 400000"])
def test_a_pfm_whose_size_cannot_be_is_named(tmp_path, size):
    path = tmp_path / "broken.pfm"
    path.write_bytes(b"Pf\n" + size + b"\n-1\n" + bytes(24))
    with pytest.raises(ImageError, match=r"broken\.pfm: is no image that can be decoded"):
        read_disparity(path)


def test_an_image_that_is_no_disparity_is_refused(tmp_path):
    write_image(tmp_path / "gray.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(DataError, match="is uint8 .* expected one channel of uint16"):
        read_disparity(tmp_path / "gray.png")


def test_colours_run_from_blue_to_red_and_unknown_is_black():
    disparity = np.array([[2.0, 12.0, np.nan, -5.0, 99.0, 2.0 + 10.0 * 50 / 254]], np.float32)
    colored = colorize_disparity(disparity, 2.0, 12.0)
    turbo = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_TURBO)[:, 0]
    far, near = turbo[0], turbo[255]
    assert near[2] > near[0] and far[0] >= far[2]
    np.testing.assert_array_equal(colored[0], [far, near, [0, 0, 0], far, near, turbo[50]])


def test_ply_holds_the_finite_points(tmp_path):
    points = np.array([[[1, 2, 3], [np.nan, np.nan, np.nan]]], np.float32)
    rgb = np.array([[[10, 20, 30], [0, 0, 0]]], np.uint8)
    write_ply(tmp_path / "p.ply", points, rgb)
    header, body = (tmp_path / "p.ply").read_bytes().split(b"end_header\n")
    assert b"element vertex 1\n" in header
    assert body == np.array([1, 2, 3], "<f4").tobytes() + bytes([10, 20, 30])
