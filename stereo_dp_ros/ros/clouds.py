"""Organised PointCloud2 messages from arrays, packed without a Python loop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from stereo_dp_ros.ros.large_messages import LargeMessage

__all__ = ["CloudPacker"]

Float32Array = NDArray[np.float32]
Rays = tuple[Float32Array, Float32Array]
CreateCloud = Callable[..., PointCloud2]

_STRIP_PIXELS = 16384  # all that one strip's points are made of lies in a second-level cache of 512 KiB


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

    def pack(
        self, depth_m: Float32Array, rays: Rays, color: NDArray[np.uint8] | None, kind: str, header: Header
    ) -> LargeMessage | PointCloud2:
        """Return an organised cloud of float32 x, y, z and, after `kind`, a fourth float32 field.

        Parameters
        ----------
        depth_m : z, float32 (H, W), NaN invalid, which x and y are then too
        rays : x/z by column, float32 (W,), and y/z by row, (H,)
        color : uint8 (H, W) gray or (H, W, 3) RGB; not read for ``none``
        kind : ``rgb`` packs 0x00RRGGBB into `rgb` (gray thrice), ``intensity`` is 0…255, ``none`` leaves it out
        """
        if kind != "none" and color is None:
            raise TypeError(f"points with {kind} need an image")
        points = _Points(depth_m, rays, color, kind)
        if self._create_cloud is None:
            return _builtin_cloud(header, points)
        merged = np.empty((*depth_m.shape, len(points.names)), np.float32)
        points.write(merged)
        records = merged.view(np.dtype([(name, np.float32) for name in points.names]))[..., 0]
        return self._create_cloud(header, _fields(points.names), records)


@dataclass(frozen=True)
class _Points:
    """A cloud's values, see `CloudPacker.pack`."""

    depth_m: Float32Array
    rays: Rays
    color: NDArray[np.uint8] | None
    kind: str

    @property
    def names(self) -> list[str]:
        return ["x", "y", "z"] if self.kind == "none" else ["x", "y", "z", self.kind]

    def write(self, cloud: Float32Array) -> None:
        """Write the points into contiguous (H, W, fields), a strip of rows that fits in the cache at a time."""
        rays_x, rays_y = self.rays
        height, width = self.depth_m.shape
        rows = max(1, _STRIP_PIXELS // width)
        for top in range(0, height, rows):
            strip = slice(top, top + rows)
            depth_m = np.ascontiguousarray(self.depth_m[strip])
            planes = [depth_m * rays_x, depth_m * rays_y[strip, None], depth_m]
            if self.color is not None and self.kind != "none":
                planes.append((_packed_rgb if self.kind == "rgb" else _gray)(self.color[strip]))
            cv2.merge(planes, cloud[strip])


def _builtin_cloud(header: Header, points: _Points) -> LargeMessage:
    height, width = points.depth_m.shape
    names = points.names
    cloud = PointCloud2(header=header, height=height, width=width, fields=_fields(names), is_dense=False)
    cloud.is_bigendian = sys.byteorder == "big"
    cloud.point_step = 4 * len(names)
    cloud.row_step = cloud.point_step * width
    return LargeMessage(cloud, (height, width, len(names)), np.float32, points.write)


def _load_create_cloud() -> CreateCloud:
    from sensor_msgs_py.point_cloud2 import create_cloud

    found: CreateCloud = create_cloud
    return found


def _working_create_cloud(load: Callable[[], CreateCloud]) -> tuple[CreateCloud | None, str]:
    values = np.arange(6, dtype=np.float32)
    points = _Points(values.reshape(2, 3), (values[:3], values[:2]), None, "none")
    records = np.empty((2, 3), np.dtype([(name, np.float32) for name in points.names]))
    points.write(records.view(np.float32).reshape(2, 3, 3))
    try:
        create_cloud = load()
        cloud = create_cloud(Header(), _fields(points.names), records)
    except ImportError as error:
        return None, f"sensor_msgs_py is not installed ({error})"
    except Exception as error:  # whatever a mismatch of its NumPy and ours raises
        return None, f"sensor_msgs_py fails ({type(error).__name__}: {error})"
    if cloud != _builtin_cloud(Header(), points).whole():
        return None, f"sensor_msgs_py packs a cloud of 3x2 points as {cloud.width}x{cloud.height}"
    return create_cloud, ""


def _packed_rgb(color: NDArray[np.uint8]) -> Float32Array:
    """Return 0x00RRGGBB in the bits of a float32, as PCL reads it."""
    if color.ndim == 2:
        packed = color.astype(np.uint32) * np.uint32(0x010101)
    elif sys.byteorder == "little":
        packed = cv2.cvtColor(np.ascontiguousarray(color), cv2.COLOR_RGB2BGRA).view(np.uint32)[..., 0]
        packed &= np.uint32(0x00FFFFFF)
    else:
        packed = color.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    return packed.view(np.float32)


def _gray(color: NDArray[np.uint8]) -> Float32Array:
    if color.ndim == 2:
        return color.astype(np.float32)
    weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as OpenCV's RGB2GRAY
    return np.asarray(color @ weights, np.float32)


def _fields(names: Sequence[str]) -> list[PointField]:
    return [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(names)
    ]
