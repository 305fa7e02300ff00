"""Ctrl-C as a request to end between two steps, so that what was done is kept whole."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType, TracebackType

__all__ = ["Interruption"]


class Interruption:
    """While it is entered, the first Ctrl-C is noted and the second one raises KeyboardInterrupt.

    Only the main thread can take signals; entered elsewhere, nothing changes.

    Attributes
    ----------
    requested : whether Ctrl-C was pressed
    """

    def __init__(self) -> None:
        self.requested = False
        self._main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Interruption:
        if self._main:
            self._previous = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._previous)

    def __call__(self) -> bool:
        """Whether to end after this step."""
        return self.requested

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\ninterrupted: reporting on what was done; once more to leave at once", file=sys.stderr, flush=True)
