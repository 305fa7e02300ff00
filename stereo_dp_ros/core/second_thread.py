"""A thread that works beside the one that asks, on another core."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["SecondThread"]

P = ParamSpec("P")
T = TypeVar("T")


def _find_sched_getcpu() -> Callable[[], int] | None:
    try:
        return ctypes.CDLL(None).sched_getcpu if hasattr(os, "sched_setaffinity") else None
    except (OSError, AttributeError):  # another C library
        return None


_current_core = _find_sched_getcpu()


class SecondThread(ThreadPoolExecutor):
    """An executor with one thread, which is kept off the core that its caller runs on.

    On a busy machine Linux hardly looks for an idle core when it wakes a thread: this one was seen to queue behind its
    caller, and the two to work in turns while another core had nothing to do. Where the system is another one, or the
    process has one core only, the thread runs where the system puts it.
    """

    def __init__(self, name: str) -> None:
        super().__init__(1, name)
        self._native_id: int | None = None  # of a thread that the first call starts

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have `fn(*args, **kwargs)` called in the thread; see `concurrent.futures.Executor.submit`."""
        if _current_core is not None:
            if self._native_id is None:
                self._native_id = super().submit(threading.get_native_id).result()
            _keep_off(self._native_id, _current_core())
        return super().submit(fn, *args, **kwargs)


def _keep_off(thread_id: int, core: int) -> None:
    """Leave the thread all cores of the process (of its main thread, which `taskset` sets) but this one."""
    cores = os.sched_getaffinity(os.getpid()) - {core}
    if cores:
        with contextlib.suppress(OSError):  # refused, or the thread has ended
            os.sched_setaffinity(thread_id, cores)
