"""The node in a process of its own: its arguments, its executor, and its end."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable

import cv2
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import LoggingSeverity, set_logger_level  # type: ignore[attr-defined]
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args

from stereo_dp_ros.ros.node import StereoNode

__all__ = ["run_node"]

_USAGE = "usage: stereo_node [--ros-args [--params-file FILE] [-p NAME:=VALUE] [-r FROM:=TO] ...]"
_FEW_CORES = 2  # OpenCV's threads spin for more work while the network needs them all, and gain 0.2 ms at 1280x720
_LARGEST_DOMAIN_ID = 232  # RTPS: its ports start at 7400 + 250 for each
_SWITCH_INTERVAL_S = 0.0005  # Python's default of 5 ms is what half of a pair's outputs take in two threads
_AFTER_A_FAILURE_S = 0.01  # what fails over and over does not take a whole core
_SOURCE_LOCATION = re.compile(r", at /\S+:\d+")


def run_node(argv: list[str], wait_for_signal: Callable[[], None]) -> int:
    """Run the node until `wait_for_signal` returns.

    Parameters
    ----------
    argv : the program's name and its arguments

    Returns
    -------
    0 after a signal; 2, with one line on stderr, if the node could not start
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
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
    domain = os.environ.get("ROS_DOMAIN_ID", "")
    if domain.isdecimal() and int(domain) > _LARGEST_DOMAIN_ID:  # Fast DDS would end the process itself
        return _refuse(f"ROS_DOMAIN_ID: found {domain}, expected 0 to {_LARGEST_DOMAIN_ID}")
    try:
        rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
        set_logger_level("rcl", LoggingSeverity.UNSET)
        node = StereoNode()
        if len(os.sched_getaffinity(0)) <= _FEW_CORES and not node.get_parameter("rectify").value:
            cv2.setNumThreads(1)
    except Exception as error:  # errors of rcl, of parameters and of values share no base
        return _refuse(str(error))
    return _spin_until(wait_for_signal, node)


def _refuse(reason: str) -> int:
    line = " ".join(_SOURCE_LOCATION.sub("", reason).split())
    sys.stderr.write(f"stereo_node: {line}\n")
    return 2


def _spin_until(wait_for_signal: Callable[[], None], node: StereoNode) -> int:
    """Spin in a thread of its own, so that a signal is answered even while a model loads."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            try:
                executor.spin_once()  # a timeout would cost a timer for each message
            except Exception as error:  # a callback's failure must not end the node silently
                node.report_failure(error)
                stop.wait(_AFTER_A_FAILURE_S)

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    wait_for_signal()
    stop.set()
    executor.create_task(lambda: None)  # which ends its waiting; after wake() it waits on
    thread.join()
    ended = node.close()
    node.destroy_node()
    rclpy.shutdown()
    if not ended:
        os._exit(0)  # native code still runs in the inference thread; the interpreter's end under it may crash
    return 0
