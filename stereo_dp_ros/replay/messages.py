"""Messages of bags from arrays, without ROS: the classes come from rosbags' own type store."""

from __future__ import annotations

import struct
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.rectification import CameraParameters

__all__ = [
    "CAMERA_INFO",
    "CLOUD",
    "COMPRESSED_IMAGE",
    "DIAGNOSTICS",
    "DISPARITY",
    "FLOAT32_POINT_FIELD",
    "FLOAT64_POINT_FIELD",
    "IMAGE",
    "as_ros2",
    "camera_info_message",
    "cloud_message",
    "disparity_message",
    "image_message",
    "raw_stamp_ns",
    "rectified_cameras",
    "ros1_typestore",
    "stamp_ns",
    "typestore",
]

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
DISPARITY = "stereo_msgs/msg/DisparityImage"
CLOUD = "sensor_msgs/msg/PointCloud2"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"

_NS_PER_S = 1_000_000_000
_HEADER_BYTES = 12  # encapsulation and stamp
FLOAT32_POINT_FIELD, FLOAT64_POINT_FIELD = 7, 8  # of sensor_msgs/PointField


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Types of ROS 2 Jazzy; those used here are the same in Humble."""
    return get_typestore(Stores.ROS2_JAZZY)


@lru_cache(maxsize=1)
def ros1_typestore() -> Typestore:
    """Types of ROS 1 Noetic."""
    return get_typestore(Stores.ROS1_NOETIC)


def as_ros2(message: Any) -> Any:
    """A ROS 1 message as the ROS 2 message of the same type; their fields differ in case and a header's `seq`.

    Raises
    ------
    KeyError
        ROS 2 has no such type.
    """
    if isinstance(message, list):
        return [as_ros2(item) for item in message]
    if not is_dataclass(message):
        return message
    found: Any = message
    wanted = _type(found.__msgtype__)
    values = {field.name.lower(): getattr(found, field.name) for field in fields(found)}
    return wanted(**{field.name: as_ros2(values[field.name.lower()]) for field in fields(wanted)})


def stamp_ns(message: Any) -> int:
    """The header's stamp."""
    return int(message.header.stamp.sec) * _NS_PER_S + int(message.header.stamp.nanosec)


def raw_stamp_ns(data: bytes | memoryview) -> int:
    """The stamp of a serialized (CDR) message whose first field is a header; DataError where it is too short."""
    if len(data) < _HEADER_BYTES:
        raise DataError(f"message has {len(data)} bytes, expected at least the {_HEADER_BYTES} up to its stamp")
    order = "<" if data[1] & 1 else ">"  # second byte of the encapsulation: 1 is little endian
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", data, 4)
    return int(seconds) * _NS_PER_S + int(nanoseconds)


def image_message(pixels: NDArray[Any], encoding: str, stamp: int, frame_id: str) -> Any:
    """An Image of a (H, W) or (H, W, C) array in native byte order, without row padding; `stamp` in ns."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels).view(np.uint8).reshape(-1)
    return _type(IMAGE)(
        header=_header(stamp, frame_id),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=data.size // height,
        data=data,
    )


def rectified_cameras(calibration: StereoCalibration) -> tuple[CameraParameters, CameraParameters]:
    """Parameters of the left and the right camera of a rectified pair, without distortion."""
    size = (calibration.width_px, calibration.height_px)
    left, right = (CameraParameters(*size, p[:, :3], np.zeros(5), np.eye(3), p) for p in calibration.to_projections())
    return left, right


def camera_info_message(camera: CameraParameters, stamp: int, frame_id: str) -> Any:
    """A CameraInfo; `stamp` in ns."""
    return _type(CAMERA_INFO)(
        header=_header(stamp, frame_id),
        height=camera.height_px,
        width=camera.width_px,
        distortion_model=camera.distortion_model,
        d=np.asarray(camera.d, np.float64),
        k=np.array(camera.k, np.float64).reshape(-1),
        r=np.array(camera.r, np.float64).reshape(-1),
        p=np.array(camera.p, np.float64).reshape(-1),
        binning_x=0,
        binning_y=0,
        roi=_window(0, 0, 0, 0),
    )


def disparity_message(
    disparity_px: NDArray[np.float32],
    calibration: StereoCalibration,
    stamp: int,
    frame_id: str,
    *,
    range_px: tuple[float, float] | None = None,
    delta_px: float = 0.0,
    valid_window: tuple[int, int, int, int] | None = None,
) -> Any:
    """A DisparityImage of plain disparity (NaN unknown), as the node publishes it.

    The message carries d + doffs, so that Z = f·T / d_msg; unknown pixels are min_disparity − 1.

    Parameters
    ----------
    range_px : lowest and highest d + doffs that was searched; what is lower is unknown. None takes the disparity's own
    delta_px : resolution of the disparity, 0 where there is no such thing
    valid_window : x, y, width and height of the part that can have answers; None is all of it

    Raises
    ------
    DataError
        No range is given and no pixel is known.
    """
    adjusted = disparity_px + np.float32(calibration.doffs_px)
    if range_px is None:
        known = np.isfinite(adjusted) & (adjusted > 0)
        if not known.any():
            raise DataError("no pixel of the disparity is known and in front of the cameras, expected at least one")
        range_px = (float(adjusted[known].min()), float(adjusted[known].max()))
    unknown = ~(adjusted >= np.float32(range_px[0]))
    pixels = np.where(unknown, np.float32(range_px[0] - 1.0), adjusted).astype(np.float32)
    height, width = pixels.shape
    return _type(DISPARITY)(
        header=_header(stamp, frame_id),
        image=image_message(pixels, "32FC1", stamp, frame_id),
        f=calibration.fx_px,
        t=calibration.baseline_m,
        valid_window=_window(*(valid_window or (0, 0, width, height))),
        min_disparity=range_px[0],
        max_disparity=range_px[1],
        delta_d=delta_px,
    )


def cloud_message(points_m: NDArray[np.float32], colors: NDArray[np.uint8], stamp: int, frame_id: str) -> Any:
    """An organised PointCloud2 of x, y, z (H, W, 3) m with NaN invalid, and RGB packed into `rgb` as 0x00RRGGBB."""
    height, width = points_m.shape[:2]
    packed = np.empty((height, width, 4), np.float32)
    packed[..., :3] = points_m
    red, green, blue = (colors[..., channel].astype(np.uint32) for channel in range(3))
    packed.view(np.uint32)[..., 3] = (red << 16) | (green << 8) | blue
    fields = [
        _type("sensor_msgs/msg/PointField")(name=name, offset=4 * index, datatype=FLOAT32_POINT_FIELD, count=1)
        for index, name in enumerate(("x", "y", "z", "rgb"))
    ]
    return _type(CLOUD)(
        header=_header(stamp, frame_id),
        height=height,
        width=width,
        fields=fields,
        is_bigendian=False,
        point_step=16,
        row_step=16 * width,
        data=packed.view(np.uint8).reshape(-1),
        is_dense=False,
    )


def _type(name: str) -> Any:
    return typestore().types[name]


def _header(stamp: int, frame_id: str) -> Any:
    time = _type("builtin_interfaces/msg/Time")(sec=stamp // _NS_PER_S, nanosec=stamp % _NS_PER_S)
    return _type("std_msgs/msg/Header")(stamp=time, frame_id=frame_id)


def _window(x: int, y: int, width: int, height: int) -> Any:
    return _type("sensor_msgs/msg/RegionOfInterest")(
        x_offset=x, y_offset=y, height=height, width=width, do_rectify=False
    )
