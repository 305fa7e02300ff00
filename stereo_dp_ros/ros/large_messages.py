"""Messages of an image or a cloud, whose values are written once, right into the bytes that go out."""

from __future__ import annotations

import array
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from rclpy.publisher import Publisher
from rclpy.serialization import serialize_message

from stereo_dp_ros.ros.rcl import publish_serialized

__all__ = ["LargeMessage", "LargePublisher", "SpareMemory"]

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


class SpareMemory:
    """Memory that is used again, whatever it held: what was used last is still in the processor's cache."""

    def __init__(self) -> None:
        self._spare: list[NDArray[np.uint8]] = []

    @contextmanager
    def borrow(self, size_bytes: int) -> Iterator[NDArray[np.uint8]]:
        """Lend uint8 (`size_bytes`,), contiguous, to one thread at a time."""
        try:
            memory = self._spare.pop()
        except IndexError:  # as many pieces as threads
            memory = np.empty(size_bytes, np.uint8)
        if memory.nbytes < size_bytes:
            memory = np.empty(size_bytes, np.uint8)
        try:
            yield memory[:size_bytes]
        finally:
            self._spare.append(memory)


class LargePublisher:
    """Publishes large messages from spare memory. For one thread at a time."""

    def __init__(self, publisher: Publisher, memory: SpareMemory) -> None:
        self._publisher = publisher
        self._memory = memory

    def publish(self, large: LargeMessage) -> None:
        """Publish `large`; as rclpy does it where there is no quicker way."""
        before, after = large.around_data()
        end = len(before) + large.data_bytes
        with self._memory.borrow(end + len(after)) as serialized:
            serialized[: len(before)] = np.frombuffer(before, np.uint8)
            serialized[end:] = np.frombuffer(after, np.uint8)
            large.write_to(serialized[len(before) : end])
            published = publish_serialized(self._publisher, serialized)
        if not published:
            self._publisher.publish(large.whole())
