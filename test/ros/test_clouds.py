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

XYZ = np.random.default_rng(2).normal(size=(3, 3, 5)).astype(np.float32)
RGB = np.random.default_rng(3).integers(0, 256, (3, 5, 3), np.uint8)


def absent() -> Any:
    raise ImportError("not here")


def fields_of(cloud: PointCloud2) -> np.ndarray:
    return np.frombuffer(cloud.data, np.float32).reshape(cloud.height, cloud.width, cloud.point_step // 4)


def test_rgb_is_packed_as_pcl_reads_it() -> None:
    xyz = XYZ.copy()
    xyz[:, 1, 2] = np.nan
    cloud = CloudPacker(absent).pack(xyz, RGB, "rgb", Header(frame_id="left"))
    assert (cloud.header.frame_id, cloud.height, cloud.width) == ("left", 3, 5)
    assert (cloud.point_step, cloud.row_step, cloud.is_dense) == (16, 80, False)
    assert cloud.is_bigendian is (sys.byteorder == "big")
    assert [(f.name, f.offset, f.datatype, f.count) for f in cloud.fields] == [
        ("x", 0, PointField.FLOAT32, 1),
        ("y", 4, PointField.FLOAT32, 1),
        ("z", 8, PointField.FLOAT32, 1),
        ("rgb", 12, PointField.FLOAT32, 1),
    ]
    packed = fields_of(cloud)
    np.testing.assert_array_equal(packed[..., :3], np.moveaxis(xyz, 0, -1))
    bits = packed.view(np.uint32)[..., 3]
    np.testing.assert_array_equal(np.stack([bits >> 16, bits >> 8 & 255, bits & 255], -1), RGB)
    assert (bits >> 24 == 0).all()


def test_gray_and_intensity() -> None:
    gray = RGB[..., 1]
    packer = CloudPacker(absent)
    bits = fields_of(packer.pack(XYZ, gray, "rgb", Header())).view(np.uint32)[..., 3]
    np.testing.assert_array_equal(bits, gray * np.uint32(0x010101))
    cloud = packer.pack(XYZ, gray, "intensity", Header())
    assert cloud.fields[3].name == "intensity"
    np.testing.assert_array_equal(fields_of(cloud)[..., 3], gray)
    luma = fields_of(packer.pack(XYZ, RGB, "intensity", Header()))[..., 3]
    np.testing.assert_allclose(luma, RGB @ np.array([0.299, 0.587, 0.114]), rtol=1e-6)
    assert packer.pack(XYZ, None, "none", Header()).point_step == 12


def test_whatever_is_installed_agrees() -> None:
    """The packer that the node would take here: the real sensor_msgs_py where there is one that is right."""
    packed = CloudPacker().pack(XYZ, RGB, "rgb", Header(frame_id="left"))
    assert packed == CloudPacker(absent).pack(XYZ, RGB, "rgb", Header(frame_id="left"))


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
    expected = CloudPacker(absent).pack(XYZ, RGB, "rgb", Header(frame_id="left"))
    assert packer.pack(XYZ, RGB, "rgb", Header(frame_id="left")) == expected


def test_a_message_is_filled_again_once_nobody_holds_it() -> None:
    packer = CloudPacker(absent)
    first = packer.pack(XYZ, RGB, "rgb", Header())
    values = first.data.tobytes()
    second = packer.pack(-XYZ, RGB, "rgb", Header())
    assert second is not first
    assert first.data.tobytes() == values
    place = second.data.buffer_info()[0]
    del second
    third = packer.pack(XYZ, RGB, "rgb", Header())
    assert third.data.buffer_info()[0] == place
    assert third == first
    del third
    assert len(packer.pack(XYZ, None, "none", Header()).data) == 3 * 5 * 12, "another size"
