"""Console script of the node: ``stereo_node``, also ``python -m stereo_dp_ros.ros.main``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from stereo_dp_ros.core.memory import keep_freed_memory
from stereo_dp_ros.ros.exit_guard import end_process_after

__all__ = ["main"]

EXIT_TIMEOUT_S = 1.5  # a model that is still loading does not hold the process back for longer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM, after which the process ends within `EXIT_TIMEOUT_S`, come what may.

    Returns
    -------
    0 after a signal; 2, with one line on stderr, if the node could not start
    """
    signals = _SignalPipe()
    keep_freed_memory()
    # Importing rclpy and OpenCV takes a second or more, in which a signal is answered, too.
    from stereo_dp_ros.ros.process import run_node

    return run_node(list(sys.argv) if arguments is None else ["stereo_node", *arguments], signals.wait)


class _SignalPipe:
    """Lets the main thread wait for SIGINT or SIGTERM without polling and without a lock in the handler."""

    def __init__(self) -> None:
        self._read_fd, write_fd = os.pipe()
        os.set_blocking(write_fd, False)
        # Written by the C handler. A Python one does not run for a signal that comes right before read() blocks, as
        # where the main thread still hands the interpreter's lock over: it runs after read(), which this one ends.
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: end_process_after(EXIT_TIMEOUT_S))

    def wait(self) -> None:
        """Return once a signal has come."""
        os.read(self._read_fd, 1)


if __name__ == "__main__":
    sys.exit(main())
