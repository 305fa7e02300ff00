"""Ends this process after a while, whatever its threads are stuck in."""

from __future__ import annotations

import ctypes
import time

__all__ = ["end_process_after"]

# From glibc's sigevent.h, see timer_create(2) and sigevent(3).
_SIGEV_THREAD = 2
_SIGEVENT_BYTES = 64


class _SigEvent(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal_number", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_char * (_SIGEVENT_BYTES - 3 * ctypes.sizeof(ctypes.c_void_p) - 8)),
    )


class _TimerSpec(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns"))


def end_process_after(seconds: float) -> None:
    """Have the process end with exit code 0 after `seconds`; it cannot be taken back.

    A timer of the C library's, which calls ``_exit``: one of Python's would wait for the interpreter's lock, which a
    native library may hold, and there is none while the interpreter itself ends.

    Raises
    ------
    OSError : the timer cannot be had
    """
    library = ctypes.CDLL(None, use_errno=True)
    # The function is called with `value`, which for _exit is the exit code.
    event = _SigEvent(value=0, notify=_SIGEV_THREAD, function=ctypes.cast(library._exit, ctypes.c_void_p))
    timer = ctypes.c_void_p()
    whole_s, fraction_s = divmod(seconds, 1.0)
    spec = _TimerSpec(0, 0, int(whole_s), int(fraction_s * 1e9))
    if library.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) or library.timer_settime(
        timer, 0, ctypes.byref(spec), None
    ):
        raise OSError(ctypes.get_errno(), "no timer for the process's end")
