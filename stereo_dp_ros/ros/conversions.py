"""Images between messages and arrays: sensor_msgs/Image and CompressedImage in, Image and DisparityImage out.

Where cv_bridge is installed and works it decodes; otherwise a built-in equivalent does. "Works" is decided by a small
conversion of each encoding: a cv_bridge that was built against another NumPy imports and then fails, and the one on
PyPI lacks some encodings.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
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

__all__ = ["ImageDecoder", "depth_message", "disparity_message", "image_message"]

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


def _fill_data(message: Any, array: NDArray[Any]) -> None:
    """Copy the bytes of `array` once into the empty `data` of `message`.

    Assigning the array itself, or ``array.array('B', ndarray)``, walks it element by element.
    """
    message.data.frombytes(np.ascontiguousarray(array).data.cast("B"))


def image_message(array: NDArray[Any], encoding: str, header: Header) -> Image:
    """Return an Image of a (H, W) or (H, W, C) array in native byte order, without row padding."""
    message = Image(header=header, encoding=encoding)
    message.height, message.width = array.shape[:2]
    message.is_bigendian = int(_NATIVE_IS_BIG_ENDIAN and array.dtype.itemsize > 1)
    message.step = array.nbytes // array.shape[0]
    _fill_data(message, array)
    return message


def depth_message(depth_m: Float32Array, encoding: str, header: Header) -> Image:
    """Return a depth image after REP 118.

    Parameters
    ----------
    depth_m : float32 (H, W), NaN unknown
    encoding : ``32FC1`` keeps m and NaN; ``16UC1`` is mm, rounded, 0 unknown or beyond 65.535 m
    """
    if encoding == "32FC1":
        return image_message(depth_m, encoding, header)
    depth_mm = np.rint(depth_m * np.float32(1000.0))
    known = (depth_mm >= 1.0) & (depth_mm <= 65535.0)
    return image_message(np.where(known, depth_mm, 0.0).astype(np.uint16), encoding, header)


def disparity_message(
    adjusted_px: Float32Array,
    header: Header,
    *,
    focal_px: float,
    baseline_m: float,
    min_disparity_px: float,
    max_disparity_px: float,
    valid_window: tuple[int, int, int, int],
    delta_px: float,
) -> DisparityImage:
    """Return a DisparityImage, all fields set.

    Parameters
    ----------
    adjusted_px : float32 (H, W), d + doffs, so that depth = focal_px · baseline_m / adjusted_px; finite, below
        `min_disparity_px` where there is no answer
    min_disparity_px, max_disparity_px : searched range, doffs included
    valid_window : x, y, width, height in px
    delta_px : nominal disparity resolution
    """
    x_px, y_px, width_px, height_px = valid_window
    message = DisparityImage(header=header, image=image_message(adjusted_px, "32FC1", header))
    message.f = float(focal_px)
    message.t = float(baseline_m)
    message.valid_window = RegionOfInterest(x_offset=x_px, y_offset=y_px, width=width_px, height=height_px)
    message.min_disparity = float(min_disparity_px)
    message.max_disparity = float(max_disparity_px)
    message.delta_d = float(delta_px)
    return message
