"""Pixels of image messages, read by their fields: the same for messages from DDS and from bags.

A `message` here is any object with the fields of sensor_msgs/Image or sensor_msgs/CompressedImage.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.errors import ImageError

__all__ = ["ENCODINGS", "decode_compressed", "decode_image", "image_rows", "require_layout"]

# encoding → (bytes per channel, channels, OpenCV's conversion to gray or RGB)
ENCODINGS: dict[str, tuple[int, int, int | None]] = {
    "mono8": (1, 1, None),
    "8UC1": (1, 1, None),
    "mono16": (2, 1, None),
    "rgb8": (1, 3, None),
    "bgr8": (1, 3, cv2.COLOR_BGR2RGB),
    "8UC3": (1, 3, cv2.COLOR_BGR2RGB),
    "rgba8": (1, 4, cv2.COLOR_RGBA2RGB),
    "bgra8": (1, 4, cv2.COLOR_BGRA2RGB),
    # OpenCV names a Bayer pattern by its second row's second and third pixel, ROS by its first two rows.
    "bayer_rggb8": (1, 1, cv2.COLOR_BayerBG2RGB),
    "bayer_bggr8": (1, 1, cv2.COLOR_BayerRG2RGB),
    "bayer_gbrg8": (1, 1, cv2.COLOR_BayerGR2RGB),
    "bayer_grbg8": (1, 1, cv2.COLOR_BayerGB2RGB),
}

MONO16_SCALE = 255.0 / 65535.0  # the full 16-bit range becomes the full 8-bit range, as in cv_bridge


def decode_image(message: Any, name: str) -> NDArray[np.uint8]:
    """Pixels of an Image, called `name` in errors.

    Returns
    -------
    pixels
        uint8 (H, W) for mono8, 8UC1 and mono16 (v · 255 / 65535, rounded), else (H, W, 3) RGB. 8UC3 is taken as BGR.
        May share memory with the message.

    Raises
    ------
    ImageError
        Empty image, unsupported encoding, rows or data shorter than they must be.
    """
    require_layout(message, name)
    rows = image_rows(message)
    if message.encoding == "mono16":
        return _scale_16_bit(rows)
    conversion = ENCODINGS[message.encoding][2]
    if conversion is None:
        return np.ascontiguousarray(rows)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(rows), conversion), np.uint8)


def decode_compressed(message: Any, name: str) -> NDArray[np.uint8]:
    """Pixels of a CompressedImage (JPEG, PNG), as `decode_image` returns them; ImageError if it cannot be decoded.

    Its `format` is that of compressed_image_transport, which alone says that gray pixels are a Bayer mosaic.
    """
    data = np.frombuffer(memoryview(message.data), np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error:  # a header whose size cannot be
        image = None
    if image is None:
        raise ImageError(
            f"{name}: {data.size} bytes of format {message.format!r} cannot be decoded, expected JPEG or PNG"
        )
    if image.dtype == np.uint16 and image.ndim == 2:
        return _scale_16_bit(image)
    if image.dtype != np.uint8:
        raise ImageError(f"{name}: compressed pixels are {image.dtype}, expected 8-bit, or 16-bit gray")
    if image.ndim == 2:
        mosaic = _mosaic_conversion(message.format)
        return np.asarray(image if mosaic is None else cv2.cvtColor(image, mosaic), np.uint8)
    conversion = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, conversion), np.uint8)


def _mosaic_conversion(image_format: str) -> int | None:
    """OpenCV's conversion to RGB where gray pixels are a mosaic; of `bayer_…; jpeg compressed mono8` they are not."""
    encoding, _, compression = image_format.partition(";")
    if not encoding.strip().startswith("bayer_") or compression.strip().endswith("mono8"):
        return None
    return ENCODINGS.get(encoding.strip(), (0, 0, None))[2]


def require_layout(message: Any, name: str) -> None:
    """Raise ImageError unless the encoding is one of ENCODINGS and the data holds what the other fields say."""
    width, height, step, size = message.width, message.height, message.step, len(message.data)
    if message.encoding not in ENCODINGS:
        raise ImageError(f"{name}: encoding is {message.encoding!r}, expected one of {', '.join(sorted(ENCODINGS))}")
    if width == 0 or height == 0:
        raise ImageError(f"{name}: image is {width}x{height}, expected at least 1x1")
    item_bytes, channels, _ = ENCODINGS[message.encoding]
    row_bytes = width * channels * item_bytes
    if step < row_bytes:
        raise ImageError(
            f"{name}: step is {step} bytes, expected at least {row_bytes} for {width} px of {message.encoding}"
        )
    if size < step * height:
        raise ImageError(
            f"{name}: data has {size} bytes, expected at least {step * height} (step {step} x height {height})"
        )


def image_rows(message: Any) -> NDArray[Any]:
    """A view (H, W) or (H, W, C) of an Image's data in its own byte order, without row padding."""
    item_bytes, channels, _ = ENCODINGS[message.encoding]
    dtype = np.dtype(f"{'>' if message.is_bigendian else '<'}u{item_bytes}")
    shape = (message.height, message.width) if channels == 1 else (message.height, message.width, channels)
    strides = (message.step, item_bytes * channels, item_bytes)[: len(shape)]
    return np.ndarray(shape, dtype, buffer=memoryview(message.data), strides=strides)


def _scale_16_bit(image: NDArray[Any]) -> NDArray[np.uint8]:
    native = np.ascontiguousarray(image, np.uint16)
    return np.asarray(cv2.convertScaleAbs(native, alpha=MONO16_SCALE), np.uint8)
