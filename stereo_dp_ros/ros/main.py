"""Console script of the node: ``stereo_node``, also ``python -m stereo_dp_ros.ros.main``."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Sequence

import cv2
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import LoggingSeverity, set_logger_level  # type: ignore[attr-defined]
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from stereo_dp_ros.core.memory import keep_freed_memory
from stereo_dp_ros.ros.exit_guard import end_process_after
from stereo_dp_ros.ros.node import StereoNode

__all__ = ["main"]

_USAGE = "usage: stereo_node [--ros-args [--params-file FILE] [-p NAME:=VALUE] [-r FROM:=TO] ...]"
EXIT_TIMEOUT_S = 1.5  # a model that is still loading does not hold the process back for longer
_FEW_CORES = 2  # OpenCV's threads spin for more work while the network needs them all, and gain 0.2 ms at 1280x720
_SOURCE_LOCATION = re.compile(r", at /\S+:\d+")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM, after which the process ends within `EXIT_TIMEOUT_S`, come what may.

    Returns
    -------
    0 after a signal; 2, with one line on stderr, if the node could not start
    """
    argv = list(sys.argv) if arguments is None else ["stereo_node", *arguments]
    set_logger_level("rcl", LoggingSeverity.FATAL)  # it would say what we say in lines of its own
    try:
        extra = remove_ros_args(argv)[1:]
    except Exception as error:  # rclpy's error for ROS arguments has no public name
        return _refuse(str(error))
    if extra in (["-h"], ["--help"]):
        sys.stdout.write(f"{_USAGE}\n")
        return 0
    if extra:
        return _refuse(f"unexpected arguments {' '.join(extra)}; {_USAGE}")
    signals = _SignalPipe()
    keep_freed_memory()
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        set_logger_level("rcl", LoggingSeverity.UNSET)
        node = StereoNode()
        if len(os.sched_getaffinity(0)) <= _FEW_CORES and not node.get_parameter("rectify").value:
            cv2.setNumThreads(1)
    except Exception as error:  # errors of rcl, of parameters and of values share no base
        return _refuse(str(error))
    return _spin_until(signals, node)


def _refuse(reason: str) -> int:
    line = " ".join(_SOURCE_LOCATION.sub("", reason).split())
    sys.stderr.write(f"stereo_node: {line}\n")
    return 2


class _SignalPipe:
    """Lets the main thread wait for SIGINT or SIGTERM without polling and without a lock in the handler."""

    def __init__(self) -> None:
        self._read_fd, write_fd = os.pipe()
        os.set_blocking(write_fd, False)
        # Written by the C handler. A Python one does not run for a signal that comes right before read() blocks, as
        # where the main thread still hands the interpreter's lock over: it would run after read(), that is never.
        signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: None)

    def wait(self) -> None:
        """Return once a signal has come."""
        os.read(self._read_fd, 1)


def _spin_until(signals: _SignalPipe, node: StereoNode) -> int:
    """Spin in a thread of its own, so that a signal is answered even while a model loads."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            try:
                executor.spin_once()  # a timeout would cost a timer for each message
            except Exception as error:  # a callback's failure must not end the node silently
                node.get_logger().error(f"{type(error).__name__}: {error}", throttle_duration_sec=10.0)

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    signals.wait()
    end_process_after(EXIT_TIMEOUT_S)
    stop.set()
    executor.create_task(lambda: None)  # which ends its waiting; after wake() it waits on
    thread.join()
    ended = node.close()
    node.destroy_node()
    rclpy.shutdown()
    if not ended:
        os._exit(0)  # native code still runs in the inference thread; the interpreter's end under it may crash
    return 0


if __name__ == "__main__":
    sys.exit(main())
