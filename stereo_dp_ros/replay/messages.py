"""Messages of bags to arrays and back, without ROS: the classes come from rosbags' own type store.

The readers take any object with the message's fields, so they serve rclpy's classes as well.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import DataError

__all__ = [
    "CAMERA_INFO",
    "CLOUD",
    "DIAGNOSTICS",
    "DISPARITY",
    "IMAGE",
    "calibration_of",
    "CameraParameters",
    "camera_info_message",
    "cloud_message",
    "cloud_points",
    "color_pixels",
    "disparity_message",
    "disparity_pixels",
    "float_pixels",
    "image_message",
    "raw_stamp_ns",
    "rectified_cameras",
    "stamp_ns",
    "typestore",
]

IMAGE = "sensor_msgs/msg/Image"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
DISPARITY = "stereo_msgs/msg/DisparityImage"
CLOUD = "sensor_msgs/msg/PointCloud2"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"

_NS_PER_S = 1_000_000_000
_COLOR_CONVERSIONS: dict[str, int | None] = {
    "rgb8": None,
    "bgr8": cv2.COLOR_BGR2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
}
_FLOAT32_POINT_FIELD = 7  # sensor_msgs/PointField.FLOAT32


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """Types of ROS 2 Jazzy; those used here are the same in Humble."""
    return get_typestore(Stores.ROS2_JAZZY)


def stamp_ns(message: Any) -> int:
    """The header's stamp."""
    return int(message.header.stamp.sec) * _NS_PER_S + int(message.header.stamp.nanosec)


def raw_stamp_ns(data: bytes | memoryview) -> int:
    """The stamp of a serialized (CDR) message whose first field is a header."""
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


@dataclass(frozen=True)
class CameraParameters:
    """What a CameraInfo says of one camera: K (3, 3), distortion D, rotation R (3, 3), projection P (3, 4)."""

    width_px: int
    height_px: int
    k: NDArray[np.float64]
    d: NDArray[np.float64]
    r: NDArray[np.float64]
    p: NDArray[np.float64]
    distortion_model: str = "plumb_bob"


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
        roi=_window(0, 0),
    )


def disparity_message(
    disparity_px: NDArray[np.float32], calibration: StereoCalibration, stamp: int, frame_id: str
) -> Any:
    """A DisparityImage of plain disparity (NaN unknown), as the node publishes it.

    The message carries d + doffs, so that Z = f·T / d_msg; unknown pixels are min_disparity − 1.
    """
    adjusted = disparity_px + np.float32(calibration.doffs_px)
    known = np.isfinite(adjusted) & (adjusted > 0)
    if not known.any():
        raise DataError("no pixel of the disparity is known and in front of the cameras, expected at least one")
    lowest, highest = float(adjusted[known].min()), float(adjusted[known].max())
    pixels = np.where(known, adjusted, np.float32(lowest - 1.0)).astype(np.float32)
    height, width = pixels.shape
    return _type(DISPARITY)(
        header=_header(stamp, frame_id),
        image=image_message(pixels, "32FC1", stamp, frame_id),
        f=calibration.fx_px,
        t=calibration.baseline_m,
        valid_window=_window(width, height),
        min_disparity=lowest,
        max_disparity=highest,
        delta_d=0.0,
    )


def cloud_message(points_m: NDArray[np.float32], colors: NDArray[np.uint8], stamp: int, frame_id: str) -> Any:
    """An organised PointCloud2 of x, y, z (H, W, 3) m with NaN invalid, and RGB packed into `rgb` as 0x00RRGGBB."""
    height, width = points_m.shape[:2]
    packed = np.empty((height, width, 4), np.float32)
    packed[..., :3] = points_m
    red, green, blue = (colors[..., channel].astype(np.uint32) for channel in range(3))
    packed.view(np.uint32)[..., 3] = (red << 16) | (green << 8) | blue
    fields = [
        _type("sensor_msgs/msg/PointField")(name=name, offset=4 * index, datatype=_FLOAT32_POINT_FIELD, count=1)
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


def calibration_of(left_info: Any, right_info: Any) -> StereoCalibration:
    """The rectified pair's geometry from its two CameraInfo messages, binning and region of interest applied.

    Raises
    ------
    CalibrationError
        See `StereoCalibration.from_projections`.
    """
    left, right = (np.asarray(info.p, np.float64).reshape(3, 4) for info in (left_info, right_info))
    whole = StereoCalibration.from_projections(left, right, int(left_info.width), int(left_info.height))
    roi = left_info.roi
    if roi.width and roi.height:
        whole = whole.cropped(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height))
    binning = (max(int(left_info.binning_x), 1), max(int(left_info.binning_y), 1))
    if binning == (1, 1):
        return whole
    return whole.scaled(whole.width_px // binning[0], whole.height_px // binning[1])


def color_pixels(message: Any) -> NDArray[np.uint8]:
    """RGB pixels, uint8 (H, W, 3), of an rgb8, bgr8 or mono8 Image.

    Raises
    ------
    DataError
        Another encoding, or less data than the size asks for.
    """
    if message.encoding not in _COLOR_CONVERSIONS:
        expected = ", ".join(_COLOR_CONVERSIONS)
        raise DataError(f"image has encoding {message.encoding!r}, expected one of {expected}")
    channels = 3 if message.encoding in ("rgb8", "bgr8") else 1
    pixels = _rows(message, np.dtype(np.uint8), channels)
    conversion = _COLOR_CONVERSIONS[message.encoding]
    contiguous = np.ascontiguousarray(pixels)
    return contiguous if conversion is None else np.asarray(cv2.cvtColor(contiguous, conversion), np.uint8)


def float_pixels(message: Any) -> NDArray[np.float32]:
    """Pixels, float32 (H, W), of a 32FC1 Image.

    Raises
    ------
    DataError
        Another encoding, or less data than the size asks for.
    """
    if message.encoding != "32FC1":
        raise DataError(f"image has encoding {message.encoding!r}, expected 32FC1")
    order = ">" if message.is_bigendian else "<"
    return np.ascontiguousarray(_rows(message, np.dtype(f"{order}f4"), 1), np.float32)


def disparity_pixels(message: Any) -> NDArray[np.float32]:
    """What a DisparityImage carries, d + doffs: float32 (H, W), NaN where it is below min_disparity."""
    pixels = float_pixels(message.image)
    return np.where(pixels >= np.float32(message.min_disparity), pixels, np.float32(np.nan))


def cloud_points(message: Any) -> NDArray[np.float32]:
    """x, y, z of a PointCloud2: float32 (height, width, 3) m.

    Raises
    ------
    DataError
        x, y or z is missing or not float32, or there is less data than the size asks for.
    """
    offsets = {field.name: int(field.offset) for field in message.fields if field.datatype == _FLOAT32_POINT_FIELD}
    missing = [name for name in "xyz" if name not in offsets]
    if missing:
        found = ", ".join(field.name for field in message.fields) or "none"
        raise DataError(f"cloud has the fields {found}, expected float32 {', '.join(missing)}")
    height, width = int(message.height), int(message.width)
    data = memoryview(message.data).cast("B")
    if message.point_step < max(offsets.values()) + 4 or len(data) < message.row_step * height:
        raise DataError(f"cloud of {width}x{height} points has {len(data)} bytes, expected {message.row_step * height}")
    dtype = np.dtype(f"{'>' if message.is_bigendian else '<'}f4")
    strides = (int(message.row_step), int(message.point_step))
    axes = [np.ndarray((height, width), dtype, data, offsets[name], strides) for name in "xyz"]
    return np.stack(axes, axis=-1).astype(np.float32, copy=False)


def _rows(message: Any, dtype: np.dtype[Any], channels: int) -> NDArray[Any]:
    """A view of an Image's data, (H, W) or (H, W, C), without row padding."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = memoryview(message.data).cast("B")
    if step < width * channels * dtype.itemsize or len(data) < step * height:
        raise DataError(
            f"image of {width}x{height} {message.encoding} with step {step} has {len(data)} bytes, "
            f"expected at least {max(step, width * channels * dtype.itemsize) * height}"
        )
    shape = (height, width) if channels == 1 else (height, width, channels)
    strides = (step, channels * dtype.itemsize, dtype.itemsize)[: len(shape)]
    return np.ndarray(shape, dtype, data, 0, strides)


def _type(name: str) -> Any:
    return typestore().types[name]


def _header(stamp: int, frame_id: str) -> Any:
    time = _type("builtin_interfaces/msg/Time")(sec=stamp // _NS_PER_S, nanosec=stamp % _NS_PER_S)
    return _type("std_msgs/msg/Header")(stamp=time, frame_id=frame_id)


def _window(width: int, height: int) -> Any:
    return _type("sensor_msgs/msg/RegionOfInterest")(
        x_offset=0, y_offset=0, height=height, width=width, do_rectify=False
    )
