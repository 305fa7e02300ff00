"""Arrays from messages of bags, without ROS; the readers take any object with a message's fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.camera_info import delivered_projection, delivered_size
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.image_messages import decode_compressed, decode_image
from stereo_dp_ros.replay.messages import FLOAT32_POINT_FIELD, FLOAT64_POINT_FIELD

__all__ = [
    "calibration_of",
    "cloud_colors",
    "cloud_points",
    "color_pixels",
    "disparity_pixels",
    "float_pixels",
    "image_pixels",
]


def calibration_of(left_info: Any, right_info: Any) -> StereoCalibration:
    """The rectified pair's geometry from its two CameraInfo messages.

    Region of interest and binning apply as in image_geometry: P is moved by the one, then divided by the other.

    Raises
    ------
    CalibrationError
        See `StereoCalibration.from_projections`.
    """
    left, right = delivered_projection(left_info), delivered_projection(right_info)
    return StereoCalibration.from_projections(left, right, *delivered_size(left_info))


def image_pixels(message: Any, name: str = "image") -> NDArray[np.uint8]:
    """Pixels of an Image or CompressedImage, called `name` in errors: uint8 gray (H, W) or RGB (H, W, 3).

    Raises
    ------
    ImageError
        See `decode_image` and `decode_compressed`.
    """
    return decode_image(message, name) if hasattr(message, "encoding") else decode_compressed(message, name)


def color_pixels(message: Any) -> NDArray[np.uint8]:
    """As `image_pixels`, with gray as RGB."""
    pixels = image_pixels(message)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8) if pixels.ndim == 2 else pixels


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
    return np.ascontiguousarray(_rows(message, np.dtype(f"{order}f4")), np.float32)


def millimetre_pixels(message: Any) -> NDArray[np.float32]:
    """Depth of a 16UC1 Image in mm: float32 (H, W) m, 0 where it is unknown; DataError on less data than expected."""
    order = ">" if message.is_bigendian else "<"
    return np.asarray(_rows(message, np.dtype(f"{order}u2")), np.float32) / np.float32(1000.0)


def disparity_pixels(message: Any) -> NDArray[np.float32]:
    """What a DisparityImage carries, d + doffs: float32 (H, W), NaN where it is below min_disparity."""
    pixels = float_pixels(message.image)
    return np.where(pixels >= np.float32(message.min_disparity), pixels, np.float32(np.nan))


def cloud_points(message: Any) -> NDArray[np.float32] | NDArray[np.float64]:
    """x, y, z of a PointCloud2, in any order and place among its fields: (height, width, 3) m.

    Raises
    ------
    DataError
        x, y or z is missing or neither float32 nor float64, or there is less data than the size asks for.
    """
    kinds = {FLOAT32_POINT_FIELD: "f4", FLOAT64_POINT_FIELD: "f8"}
    return np.stack([_cloud_field(message, name, kinds) for name in "xyz"], axis=-1)


def cloud_colors(message: Any) -> NDArray[np.uint8]:
    """RGB of a PointCloud2, uint8 (height, width, 3), from its field `rgb`; DataError where it has none."""
    packed = _cloud_field(message, "rgb", {FLOAT32_POINT_FIELD: "u4"})
    return np.stack([(packed >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)], axis=-1)


def _cloud_field(message: Any, name: str, kinds: Mapping[int, str]) -> NDArray[Any]:
    """A field's values (height, width); `kinds`: a PointField's datatype → how its bytes are read."""
    field = next((field for field in message.fields if field.name == name and field.datatype in kinds), None)
    if field is None:
        found = ", ".join(f"{field.name} (datatype {field.datatype})" for field in message.fields) or "none"
        wanted = " or ".join(str(kind) for kind in kinds)
        raise DataError(f"cloud has the fields {found}, expected {name} of datatype {wanted}")
    dtype = np.dtype(f"{'>' if message.is_bigendian else '<'}{kinds[field.datatype]}")
    height, width, offset = int(message.height), int(message.width), int(field.offset)
    point_step, row_step = int(message.point_step), int(message.row_step)
    data = memoryview(message.data).cast("B")
    if point_step < offset + dtype.itemsize or row_step < width * point_step or len(data) < row_step * height:
        raise DataError(
            f"cloud of {width}x{height} points with steps {point_step} and {row_step} has {len(data)} bytes and {name} "
            f"at {offset}, expected at least {max(row_step, width * max(point_step, offset + dtype.itemsize)) * height}"
        )
    if not height * width:
        return np.empty((height, width), dtype.newbyteorder("="))
    values = np.ndarray((height, width), dtype, data, offset, (row_step, point_step))
    return values.astype(dtype.newbyteorder("="))


def _rows(message: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A view (H, W) of a one-channel Image's data, without row padding."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = memoryview(message.data).cast("B")
    if step < width * dtype.itemsize or len(data) < step * height:
        raise DataError(
            f"image of {width}x{height} {message.encoding} with step {step} has {len(data)} bytes, "
            f"expected at least {max(step, width * dtype.itemsize) * height}"
        )
    return np.ndarray((height, width), dtype, data, 0, (step, dtype.itemsize))
