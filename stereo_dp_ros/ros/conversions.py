"""Images between messages and arrays: sensor_msgs/Image and CompressedImage in, Image and DisparityImage out.

Where cv_bridge is installed and works it decodes; otherwise a built-in equivalent does. "Works" is decided by a small
conversion of each encoding: a cv_bridge that was built against another NumPy imports and then fails, and the one on
PyPI lacks some encodings.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_msgs.msg import Header
from stereo_msgs.msg import DisparityImage

from stereo_dp_ros.core.image_messages import (
    ENCODINGS,
    decode_compressed,
    decode_image,
    image_rows,
    require_layout,
)
from stereo_dp_ros.ros.large_messages import LargeMessage

__all__ = ["ImageDecoder", "depth_draft", "disparity_draft", "image_draft", "image_message"]

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

_NATIVE_IS_BIG_ENDIAN = sys.byteorder == "big"


class _CvBridge(Protocol):
    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = ...) -> Any: ...


class ImageDecoder:
    """Turns image messages into arrays, with cv_bridge where it works and without it elsewhere.

    Attributes
    ----------
    backend : ``cv_bridge`` or ``builtin``
    reason : why cv_bridge is not used, empty if it is
    """

    def __init__(self, load_bridge: Callable[[], _CvBridge] | None = None) -> None:
        self._bridge, self.reason = _working_bridge(load_bridge or _load_cv_bridge)
        self.backend = "builtin" if self._bridge is None else "cv_bridge"

    def decode(self, message: Image | CompressedImage, topic: str) -> UInt8Array:
        """Return the pixels of `message`, received on `topic`; see `decode_image` and `decode_compressed`."""
        if isinstance(message, CompressedImage):
            return decode_compressed(message, topic)
        if self._bridge is None:
            return decode_image(message, topic)
        require_layout(message, topic)
        return _decode_with_bridge(self._bridge, message)


def _load_cv_bridge() -> _CvBridge:
    from cv_bridge import CvBridge

    bridge: _CvBridge = CvBridge()
    return bridge


def _working_bridge(load: Callable[[], _CvBridge]) -> tuple[_CvBridge | None, str]:
    """Return a bridge that converts every encoding as we do, or None and why not."""
    try:
        bridge = load()
    except ImportError as error:
        return None, f"cv_bridge is not installed ({error})"
    except Exception as error:  # whatever loading a library built for another NumPy raises
        return None, f"cv_bridge fails ({type(error).__name__}: {error})"
    for encoding in ENCODINGS:
        probe = _probe(encoding)
        try:
            converted = _decode_with_bridge(bridge, probe)
        except Exception as error:  # its C++ throws what it likes
            return None, f"cv_bridge fails for {encoding} ({type(error).__name__}: {error})"
        if not np.array_equal(converted, decode_image(probe, "probe")):
            return None, f"cv_bridge converts {encoding} wrongly"
    return bridge, ""


def _probe(encoding: str) -> Image:
    item_bytes, channels, _ = ENCODINGS[encoding]
    values = np.arange(16 * channels, dtype=np.uint8 if item_bytes == 1 else np.uint16) * 5
    return image_message(values.reshape((4, 4) if channels == 1 else (4, 4, channels)), encoding, Header())


def _decode_with_bridge(bridge: _CvBridge, message: Image) -> UInt8Array:
    rows = image_rows(message)
    if message.encoding in ("mono8", "8UC1", "rgb8"):
        return np.ascontiguousarray(rows)
    encoding = "bgr8" if message.encoding == "8UC3" else message.encoding
    # A message with neither row padding nor foreign byte order: cv_bridge releases differ in both.
    native = np.ascontiguousarray(rows, rows.dtype.newbyteorder("="))
    plain = image_message(native, encoding, message.header)
    target = "mono8" if encoding == "mono16" else "rgb8"
    return np.ascontiguousarray(bridge.imgmsg_to_cv2(plain, desired_encoding=target))


def image_draft(
    shape: tuple[int, ...], dtype: DTypeLike, encoding: str, header: Header, write: Callable[[NDArray[Any]], object]
) -> LargeMessage:
    """Return an Image of (H, W) or (H, W, C) values in native byte order, without row padding; `write` sets them."""
    item_bytes = np.dtype(dtype).itemsize
    message = Image(header=header, encoding=encoding)
    message.height, message.width = shape[:2]
    message.is_bigendian = int(_NATIVE_IS_BIG_ENDIAN and item_bytes > 1)
    message.step = math.prod(shape[1:]) * item_bytes
    return LargeMessage(message, shape, dtype, write)


def image_message(array: NDArray[Any], encoding: str, header: Header) -> Image:
    """Return the Image of a (H, W) or (H, W, C) array."""
    image: Image = image_draft(array.shape, array.dtype, encoding, header, partial(np.copyto, src=array)).whole()
    return image


def depth_draft(depth_m: Float32Array, encoding: str, header: Header) -> LargeMessage:
    """Return a depth image after REP 118.

    Parameters
    ----------
    depth_m : float32 (H, W), NaN unknown
    encoding : ``32FC1`` keeps m and NaN; ``16UC1`` is mm, rounded, 0 unknown or beyond 65.535 m
    """
    if encoding == "32FC1":
        return image_draft(depth_m.shape, np.float32, encoding, header, partial(np.copyto, src=depth_m))
    return image_draft(depth_m.shape, np.uint16, encoding, header, partial(_write_millimetres, depth_m))


def _write_millimetres(depth_m: Float32Array, data: NDArray[Any]) -> None:
    depth_mm = np.rint(depth_m * np.float32(1000.0))
    known = (depth_mm >= 1.0) & (depth_mm <= 65535.0)
    data[...] = np.where(known, depth_mm, 0.0)


def disparity_draft(
    image: LargeMessage,
    *,
    focal_px: float,
    baseline_m: float,
    min_disparity_px: float,
    max_disparity_px: float,
    valid_window: tuple[int, int, int, int],
    delta_px: float,
) -> LargeMessage:
    """Return a DisparityImage, all fields set.

    Parameters
    ----------
    image : 32FC1 of d + doffs, so that depth = focal_px · baseline_m / (d + doffs); finite, below `min_disparity_px`
        where there is no answer
    min_disparity_px, max_disparity_px : searched range, doffs included
    valid_window : x, y, width, height in px
    delta_px : nominal disparity resolution
    """
    x_px, y_px, width_px, height_px = valid_window
    message = DisparityImage(header=image.message.header, image=image.message)
    message.f = float(focal_px)
    message.t = float(baseline_m)
    message.valid_window = RegionOfInterest(x_offset=x_px, y_offset=y_px, width=width_px, height=height_px)
    message.min_disparity = float(min_disparity_px)
    message.max_disparity = float(max_disparity_px)
    message.delta_d = float(delta_px)
    return replace(image, message=message)
