"""Organised PointCloud2 messages from arrays, packed without a Python loop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

__all__ = ["CloudPacker"]

Float32Array = NDArray[np.float32]
CreateCloud = Callable[..., PointCloud2]


class CloudPacker:
    """Packs organised clouds, with sensor_msgs_py where it is right and without it elsewhere.

    Its create_cloud takes the first axis of a two-dimensional array for the width; releases that do are found by
    one probe and not used.

    Attributes
    ----------
    backend : ``sensor_msgs_py`` or ``builtin``
    reason : why sensor_msgs_py is not used, empty if it is
    """

    def __init__(self, load_create_cloud: Callable[[], CreateCloud] | None = None) -> None:
        self._create_cloud, self.reason = _working_create_cloud(load_create_cloud or _load_create_cloud)
        self.backend = "builtin" if self._create_cloud is None else "sensor_msgs_py"
        self._builtin = _BuiltinClouds()

    def pack(
        self, xyz_m: Sequence[Float32Array], color: NDArray[np.uint8] | None, kind: str, header: Header
    ) -> PointCloud2:
        """Return an organised cloud of float32 x, y, z and, after `kind`, a fourth float32 field.

        Parameters
        ----------
        xyz_m : x, y and z, float32 (H, W) each, NaN invalid
        color : uint8 (H, W) gray or (H, W, 3) RGB; not read for ``none``
        kind : ``rgb`` packs 0x00RRGGBB into `rgb` (gray thrice), ``intensity`` is 0…255, ``none`` leaves it out
        """
        planes, names = _planes(xyz_m, color, kind)
        if self._create_cloud is None:
            return self._builtin.fill(header, planes, names)
        return self._create_cloud(header, _fields(names), _records(planes, names))


class _BuiltinClouds:
    """Packs right into a message's bytes, and into those of the last one again once nobody else holds it.

    Messages copy whatever is assigned to their data, so fresh ones cost as much again as the packing.
    """

    def __init__(self) -> None:
        self._cloud = PointCloud2()
        self._own_references = sys.getrefcount(self._cloud)

    def fill(self, header: Header, planes: Sequence[Float32Array], names: Sequence[str]) -> PointCloud2:
        """Return a cloud of these values, whose bytes nobody else holds."""
        height, width = planes[0].shape
        size = sum(plane.nbytes for plane in planes)
        if len(self._cloud.data) != size or sys.getrefcount(self._cloud) > self._own_references:
            self._cloud = PointCloud2(is_dense=False)
            self._cloud.data.frombytes(bytes(size))
        cloud = self._cloud
        cv2.merge(planes, np.frombuffer(cloud.data, np.float32).reshape(height, width, len(planes)))
        cloud.header, cloud.height, cloud.width, cloud.fields = header, height, width, _fields(names)
        cloud.is_bigendian = sys.byteorder == "big"
        cloud.point_step = 4 * len(planes)
        cloud.row_step = cloud.point_step * width
        return cloud


def _load_create_cloud() -> CreateCloud:
    from sensor_msgs_py.point_cloud2 import create_cloud

    found: CreateCloud = create_cloud
    return found


def _working_create_cloud(load: Callable[[], CreateCloud]) -> tuple[CreateCloud | None, str]:
    planes, names = _planes(list(np.arange(18, dtype=np.float32).reshape(3, 2, 3)), None, "none")
    try:
        create_cloud = load()
        cloud = create_cloud(Header(), _fields(names), _records(planes, names))
    except ImportError as error:
        return None, f"sensor_msgs_py is not installed ({error})"
    except Exception as error:  # whatever a mismatch of its NumPy and ours raises
        return None, f"sensor_msgs_py fails ({type(error).__name__}: {error})"
    if cloud != _BuiltinClouds().fill(Header(), planes, names):
        return None, f"sensor_msgs_py packs a cloud of 3x2 points as {cloud.width}x{cloud.height}"
    return create_cloud, ""


def _planes(
    xyz_m: Sequence[Float32Array], color: NDArray[np.uint8] | None, kind: str
) -> tuple[list[Float32Array], list[str]]:
    """Return x, y, z and the fourth field, float32 (H, W) each, with their names."""
    if kind == "none":
        return list(xyz_m), ["x", "y", "z"]
    return [*xyz_m, _packed_rgb(color) if kind == "rgb" else _gray(color)], ["x", "y", "z", kind]


def _records(planes: Sequence[Float32Array], names: Sequence[str]) -> NDArray[Any]:
    """Return (H, W) records of contiguous float32."""
    merged = np.asarray(cv2.merge(planes))  # several times faster than assigning to slices
    return merged.view(np.dtype([(name, np.float32) for name in names]))[..., 0]


def _packed_rgb(color: NDArray[np.uint8] | None) -> Float32Array:
    """Return 0x00RRGGBB in the bits of a float32, as PCL reads it."""
    if color is None:
        raise TypeError("points with color need an image")
    if color.ndim == 2:
        packed = color.astype(np.uint32) * np.uint32(0x010101)
    elif sys.byteorder == "little":
        packed = cv2.cvtColor(np.ascontiguousarray(color), cv2.COLOR_RGB2BGRA).view(np.uint32)[..., 0]
        packed &= np.uint32(0x00FFFFFF)
    else:
        packed = color.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    return packed.view(np.float32)


def _gray(color: NDArray[np.uint8] | None) -> Float32Array:
    if color is None:
        raise TypeError("points with intensity need an image")
    if color.ndim == 2:
        return color.astype(np.float32)
    weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as OpenCV's RGB2GRAY
    return np.asarray(color @ weights, np.float32)


def _fields(names: Sequence[str]) -> list[PointField]:
    return [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(names)
    ]
