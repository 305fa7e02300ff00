"""Organised PointCloud2 messages from arrays, packed without a Python loop."""

from __future__ import annotations

import array
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
        self._kept = _KeptBytes()

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
        data = self._kept.of_size(sum(plane.nbytes for plane in planes))
        points = _records(planes, names, data)
        fields = _fields(names)
        if self._create_cloud is not None:
            return self._create_cloud(header, fields, points)
        return _builtin_cloud(header, fields, points.shape, data)


class _KeptBytes:
    """Bytes that are filled again once nobody else holds them: half the time of packing goes into fresh ones."""

    def __init__(self) -> None:
        self._bytes = array.array("B")
        self._own_references = sys.getrefcount(self._bytes)

    def of_size(self, size: int) -> array.array[int]:
        """Return `size` bytes of any content."""
        if len(self._bytes) != size or sys.getrefcount(self._bytes) > self._own_references:
            self._bytes = array.array("B", b"\0") * size
        return self._bytes


def _load_create_cloud() -> CreateCloud:
    from sensor_msgs_py.point_cloud2 import create_cloud

    found: CreateCloud = create_cloud
    return found


def _working_create_cloud(load: Callable[[], CreateCloud]) -> tuple[CreateCloud | None, str]:
    planes, names = _planes(list(np.arange(18, dtype=np.float32).reshape(3, 2, 3)), None, "none")
    data = array.array("B", bytes(72))
    probe, fields = _records(planes, names, data), _fields(names)
    try:
        create_cloud = load()
        cloud = create_cloud(Header(), fields, probe)
    except ImportError as error:
        return None, f"sensor_msgs_py is not installed ({error})"
    except Exception as error:  # whatever a mismatch of its NumPy and ours raises
        return None, f"sensor_msgs_py fails ({type(error).__name__}: {error})"
    if cloud != _builtin_cloud(Header(), fields, probe.shape, data):
        return None, f"sensor_msgs_py packs a cloud of 3x2 points as {cloud.width}x{cloud.height}"
    return create_cloud, ""


def _planes(
    xyz_m: Sequence[Float32Array], color: NDArray[np.uint8] | None, kind: str
) -> tuple[list[Float32Array], list[str]]:
    """Return x, y, z and the fourth field, float32 (H, W) each, with their names."""
    if kind == "none":
        return list(xyz_m), ["x", "y", "z"]
    return [*xyz_m, _packed_rgb(color) if kind == "rgb" else _gray(color)], ["x", "y", "z", kind]


def _records(planes: Sequence[Float32Array], names: Sequence[str], data: array.array[int]) -> NDArray[Any]:
    """Return (H, W) records in `data`, which has their size, filled with the planes' values."""
    merged = np.frombuffer(data, np.float32).reshape(*planes[0].shape, len(planes))
    cv2.merge(planes, merged)  # several times faster than assigning to slices
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


def _builtin_cloud(
    header: Header, fields: list[PointField], shape: tuple[int, ...], data: array.array[int]
) -> PointCloud2:
    height, width = shape
    cloud = PointCloud2(header=header, height=height, width=width, fields=fields, is_dense=False, data=data)
    cloud.is_bigendian = sys.byteorder == "big"
    cloud.point_step = 4 * len(fields)
    cloud.row_step = cloud.point_step * width
    return cloud
