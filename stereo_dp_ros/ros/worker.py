"""One thread that works on the newest item it was given."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar, cast

__all__ = ["NewestWorker", "RateLimit"]

_RATE_SLACK = 0.25  # of a period that an item may be early: jitter of an input at the very rate costs nothing

Item = TypeVar("Item")


class NewestWorker(Generic[Item]):
    """Calls `process(item)` in its own thread; of the items that come meanwhile only the newest is kept.

    Parameters
    ----------
    process : must not raise
    name : of the thread
    """

    def __init__(self, process: Callable[[Item], None], name: str) -> None:
        self._process = process
        self._condition = threading.Condition()
        self._chores: deque[Callable[[], None]] = deque()
        self._next: Item | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> Item | None:
        """Have `item` processed next; return the one it replaces, or `item` itself if stopped."""
        with self._condition:
            if self._stopping:
                return item
            replaced, self._next = self._next, item
            self._condition.notify()
            return replaced

    def run_first(self, chore: Callable[[], None]) -> None:
        """Have `chore`, which must not raise, called before the next item is processed; not if stopped."""
        with self._condition:
            self._chores.append(chore)
            self._condition.notify()

    @property
    def ended(self) -> bool:
        """Whether the thread has ended."""
        return not self._thread.is_alive()

    def stop(self, timeout_s: float) -> Item | None:
        """End the thread, waiting at most `timeout_s` for the item at work; return the one not begun."""
        with self._condition:
            self._stopping = True
            left_over, self._next = self._next, None
            self._condition.notify()
        self._thread.join(timeout_s)
        return left_over

    def _run(self) -> None:
        while (work := self._await_work()) is not None:
            work()
            del work  # its item is not held while waiting for the next

    def _await_work(self) -> Callable[[], None] | None:
        """Return what is to be done next, or None once stopped."""
        with self._condition:
            while not self._stopping and not self._chores and self._next is None:
                self._condition.wait()
            if self._stopping:
                return None
            if self._chores:
                return self._chores.popleft()
            item, self._next = self._next, None
            return partial(self._process, cast(Item, item))


class RateLimit:
    """Lets through at most `rate_hz` items a second, evenly (two of three for 15 Hz and a limit of 10)."""

    def __init__(self) -> None:
        self._due_ns = -math.inf

    def allows(self, rate_hz: float, now_ns: int) -> bool:
        """Say whether an item at `now_ns` (steady clock) passes; 0 is no limit."""
        if rate_hz <= 0.0:
            return True
        period_ns = 1e9 / rate_hz
        if self._due_ns > now_ns + (1.0 + _RATE_SLACK) * period_ns:
            self._due_ns = now_ns  # left over from a lower rate, which is not to be waited for
        if now_ns < self._due_ns - _RATE_SLACK * period_ns:
            return False
        # On a grid, so that the mean rate is the limit; after a pause a new one begins, and nothing is caught up with.
        paused = now_ns - self._due_ns > period_ns
        self._due_ns = (now_ns if paused else self._due_ns) + period_ns
        return True
