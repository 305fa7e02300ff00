"""Organised clouds: layout, colour, and sensor_msgs_py beside the built-in way."""

from __future__ import annotations

import array
import sys
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from stereo_dp_ros.ros.clouds import CloudPacker
from stereo_dp_ros.ros.large_messages import LargeMessage

DEPTH_M = np.random.default_rng(2).uniform(0.5, 9.0, (3, 5)).astype(np.float32)
RAYS = (np.linspace(-0.5, 0.5, 5, dtype=np.float32), np.linspace(-0.3, 0.3, 3, dtype=np.float32))
RGB = np.random.default_rng(3).integers(0, 256, (3, 5, 3), np.uint8)


def packed(
    packer: CloudPacker,
    kind: str,
    color: np.ndarray | None = RGB,
    header: Header | None = None,
    depth_m: np.ndarray = DEPTH_M,
) -> PointCloud2:
    """The whole message, whoever makes it."""
    cloud = packer.pack(depth_m, RAYS, color, kind, header or Header(frame_id="left"))
    return cloud.whole() if isinstance(cloud, LargeMessage) else cloud


def absent() -> Any:
    raise ImportError("not here")


def fields_of(cloud: PointCloud2) -> np.ndarray:
    return np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, cloud.point_step // 4)


def test_rgb_is_packed_as_pcl_reads_it() -> None:
    depth_m = DEPTH_M.copy()
    depth_m[1, 2] = np.nan
    cloud = packed(CloudPacker(absent), "rgb", depth_m=depth_m)
    assert (cloud.header.frame_id, cloud.height, cloud.width) == ("left", 3, 5)
    assert (cloud.point_step, cloud.row_step, cloud.is_dense) == (16, 80, False)
    assert cloud.is_bigendian is (sys.byteorder == "big")
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ("x", 0, PointField.FLOAT32, 1),
        ("y", 4, PointField.FLOAT32, 1),
        ("z", 8, PointField.FLOAT32, 1),
        ("rgb", 12, PointField.FLOAT32, 1),
    ]
    fields = fields_of(cloud)
    np.testing.assert_array_equal(fields[..., 0], depth_m * RAYS[0])
    np.testing.assert_array_equal(fields[..., 1], depth_m * RAYS[1][:, None])
    np.testing.assert_array_equal(fields[..., 2], depth_m)
    assert np.isnan(fields[1, 2, :3]).all()
    bits = fields.view(np.uint32)[..., 3]
    np.testing.assert_array_equal(np.stack([bits >> 16, bits >> 8 & 255, bits & 255], -1), RGB)
    assert (bits >> 24 == 0).all()


def test_gray_and_intensity() -> None:
    gray = RGB[..., 1]
    packer = CloudPacker(absent)
    bits = fields_of(packed(packer, "rgb", gray)).view(np.uint32)[..., 3]
    np.testing.assert_array_equal(bits, gray * np.uint32(0x010101))
    cloud = packed(packer, "intensity", gray)
    assert cloud.fields[3].name == "intensity"
    np.testing.assert_array_equal(fields_of(cloud)[..., 3], gray)
    luma = fields_of(packed(packer, "intensity"))[..., 3]
    np.testing.assert_allclose(luma, RGB @ np.array([0.299, 0.587, 0.114]), rtol=1e-6)
    assert packed(packer, "none", None).point_step == 12
    with pytest.raises(TypeError, match="points with rgb need an image"):
        packed(packer, "rgb", None)


@pytest.mark.parametrize("width", [1, 700, 40000])
def test_strips_of_any_number_of_rows(width: int) -> None:
    """Points are written strip by strip, the last of which may have fewer rows; the image is part of a larger one."""
    random = np.random.default_rng(4)
    depth_m = random.uniform(1.0, 2.0, (98, 2 * width)).astype(np.float32)[::2, ::2]
    color = random.integers(0, 256, (98, 2 * width, 3), np.uint8)[::2, ::2]
    rays = (random.normal(size=width).astype(np.float32), random.normal(size=49).astype(np.float32))
    cloud = CloudPacker(absent).pack(depth_m, rays, color, "rgb", Header())
    assert isinstance(cloud, LargeMessage)
    fields = fields_of(cloud.whole())
    expected = np.stack([depth_m * rays[0], depth_m * rays[1][:, None], depth_m], -1)
    np.testing.assert_array_equal(fields[..., :3], expected)
    weights = np.array([1 << 16, 1 << 8, 1], np.uint32)
    np.testing.assert_array_equal(fields.view(np.uint32)[..., 3], color.astype(np.uint32) @ weights)


def test_whatever_is_installed_agrees() -> None:
    """The packer that the node would take here: the real sensor_msgs_py where there is one that is right."""
    assert packed(CloudPacker(), "rgb") == packed(CloudPacker(absent), "rgb")


def create_cloud(header: Header, fields: list[PointField], points: np.ndarray) -> PointCloud2:
    """A create_cloud that is right for organised clouds."""
    cloud = PointCloud2(header=header, height=points.shape[0], width=points.shape[1], fields=fields, is_dense=False)
    cloud.point_step, cloud.row_step = points.dtype.itemsize, points.dtype.itemsize * points.shape[1]
    cloud.data = array.array("B", points.tobytes())
    return cloud


def swapped(header: Header, fields: list[PointField], points: np.ndarray) -> PointCloud2:
    """As common_interfaces' create_cloud: the first axis is taken for the width."""
    cloud = create_cloud(header, fields, points)
    cloud.width, cloud.height = points.shape
    return cloud


def failing(*_: Any) -> PointCloud2:
    raise ValueError("numpy.dtype size changed")


@pytest.mark.parametrize(
    ("load", "backend", "reason"),
    [
        (lambda: create_cloud, "sensor_msgs_py", ""),
        (lambda: swapped, "builtin", "sensor_msgs_py packs a cloud of 3x2 points as 2x3"),
        (lambda: failing, "builtin", "sensor_msgs_py fails (ValueError: numpy.dtype size changed)"),
        (absent, "builtin", "sensor_msgs_py is not installed (not here)"),
    ],
)
def test_sensor_msgs_py_is_used_where_it_is_right(load: Any, backend: str, reason: str) -> None:
    packer = CloudPacker(load)
    assert (packer.backend, packer.reason) == (backend, reason)
    assert packed(packer, "rgb") == packed(CloudPacker(absent), "rgb")
