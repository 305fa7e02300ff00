"""What rclpy leaves out of rcl: to publish bytes from where they lie, without holding the interpreter's lock."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.publisher import Publisher

__all__ = ["publish_serialized"]


class _UInt8Array(ctypes.Structure):
    """rcutils_uint8_array_t, which rcl_serialized_message_t is another name for."""

    _fields_ = [
        ("buffer", ctypes.c_void_p),
        ("buffer_length", ctypes.c_size_t),
        ("buffer_capacity", ctypes.c_size_t),
        ("allocator", ctypes.c_void_p * 5),  # four functions and a state; publishing allocates nothing with it
    ]


def _find(name: str) -> Callable[..., Any] | None:
    """Return the function of that name in the libraries that rclpy itself is linked with, None where it is not."""
    try:
        return getattr(ctypes.CDLL(rclpy_implementation.__file__), name, None)
    except (OSError, AttributeError, TypeError):
        return None


_rcl_publish = _find("rcl_publish_serialized_message")


def publish_serialized(publisher: Publisher, serialized: NDArray[np.uint8]) -> bool:
    """Publish a serialized message; return whether that was possible.

    rclpy's ``publish(bytes)`` copies them once more, and with messages and bytes alike no other thread runs Python
    while DDS copies them into shared memory.

    Parameters
    ----------
    serialized : uint8 (N,), contiguous, the message with its encapsulation header; free to change after the call
    """
    if _rcl_publish is None:
        return False
    message = _UInt8Array(serialized.ctypes.data, serialized.nbytes, serialized.nbytes)
    with publisher.handle:
        pointer = ctypes.c_void_p(publisher.handle.pointer)
        return _rcl_publish(pointer, ctypes.byref(message), None) == 0
