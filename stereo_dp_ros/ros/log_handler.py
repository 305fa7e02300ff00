"""What the package logs in Python, in the node's ROS log."""

from __future__ import annotations

import logging
from typing import Protocol

__all__ = ["RosLogHandler"]

_PACKAGE = "stereo_dp_ros"


class _RosLogger(Protocol):
    def info(self, message: str) -> object: ...

    def warning(self, message: str) -> object: ...

    def error(self, message: str) -> object: ...


class RosLogHandler(logging.Handler):
    """Passes the package's records from INFO on to a node's logger, from `attach` to `detach`."""

    def __init__(self, logger: _RosLogger) -> None:
        super().__init__(logging.INFO)
        self._ros_logger = logger

    def attach(self) -> None:
        """Start passing records on."""
        package = logging.getLogger(_PACKAGE)
        package.addHandler(self)
        package.setLevel(logging.INFO)

    def detach(self) -> None:
        """Stop passing records on."""
        logging.getLogger(_PACKAGE).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """One record; rclpy takes each severity only from a line of its own."""
        if record.levelno >= logging.ERROR:
            self._ros_logger.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._ros_logger.warning(record.getMessage())
        else:
            self._ros_logger.info(record.getMessage())
