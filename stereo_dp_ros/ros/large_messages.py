"""Messages of an image or a cloud, whose values are written once, right into the bytes that go out."""

from __future__ import annotations

import array
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message

from stereo_dp_ros.ros.rcl import publish_serialized

__all__ = ["LargeMessage", "LargePublisher"]

_MARKER = os.urandom(16)  # found in no message that does not hold it on purpose
_LENGTH_BYTES = 4  # before a sequence's elements CDR has their number
_CDR_ALIGNMENT = 8


@dataclass(frozen=True)
class LargeMessage:
    """A message whose `data` are still to be written.

    Attributes
    ----------
    message : Image, DisparityImage or PointCloud2 with empty data
    shape, dtype : of the values that its data are the bytes of
    write : called with an array of that shape and dtype, contiguous, to set every value of it
    """

    message: Any
    shape: tuple[int, ...]
    dtype: DTypeLike
    write: Callable[[NDArray[Any]], object]

    @property
    def data_bytes(self) -> int:
        """Length of the data."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def _holder(self) -> Any:
        return getattr(self.message, "image", self.message)

    def write_to(self, data: NDArray[np.uint8]) -> None:
        """Write the values into `data_bytes` contiguous bytes."""
        self.write(data.view(self.dtype).reshape(self.shape))

    def whole(self) -> Any:
        """Return the message with its data."""
        values = np.empty(self.data_bytes, np.uint8)
        self.write_to(values)
        data = array.array("B")
        data.frombytes(values.data)
        self._holder.data = data
        return self.message

    def around_data(self) -> tuple[bytes, bytes]:
        """Return what comes before the data in the serialized message, their length included, and what comes after.

        The middleware itself serializes the message, around a marker that ends as far from a multiple of CDR's largest
        alignment as the data do.
        """
        marker = _MARKER + bytes(self.data_bytes % _CDR_ALIGNMENT)
        self._holder.data = array.array("B", marker)
        serialized = serialize_message(self.message)
        self._holder.data = array.array("B")
        start = serialized.index(marker)
        length = np.array(self.data_bytes, np.uint32).tobytes()
        return serialized[: start - _LENGTH_BYTES] + length, serialized[start + len(marker) :]


class LargePublisher:
    """Publishes large messages from one piece of memory, which is used again. For one thread at a time."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._serialized = np.empty(0, np.uint8)

    def publish(self, large: LargeMessage) -> None:
        """Publish `large`; as rclpy does it where there is no quicker way."""
        before, after = large.around_data()
        size = len(before) + large.data_bytes + len(after)
        if self._serialized.nbytes != size:
            self._serialized = np.empty(size, np.uint8)
        data = slice(len(before), len(before) + large.data_bytes)
        self._serialized[: data.start] = np.frombuffer(before, np.uint8)
        self._serialized[data.stop :] = np.frombuffer(after, np.uint8)
        large.write_to(self._serialized[data])
        if not publish_serialized(self._publisher, self._serialized):
            self._publisher.publish(large.whole())
