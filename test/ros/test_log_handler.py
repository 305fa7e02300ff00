"""The package's log in the node's log."""

from __future__ import annotations

import logging

from stereo_dp_ros.ros.log_handler import RosLogHandler


class Lines:
    """Stands for a node's logger: keeps what it was given."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def info(self, message: str) -> None:
        self.lines.append(("info", message))

    def warning(self, message: str) -> None:
        self.lines.append(("warning", message))

    def error(self, message: str) -> None:
        self.lines.append(("error", message))


def test_records_reach_the_nodes_log_while_attached() -> None:
    lines = Lines()
    handler = RosLogHandler(lines)
    log = logging.getLogger("stereo_dp_ros.backends.fallback")
    handler.attach()
    log.debug("left out")
    log.info("%s is not used", "tensorrt")
    log.warning("torch runs in fp32")
    log.error("broke")
    handler.detach()
    log.error("after")
    assert lines.lines == [
        ("info", "tensorrt is not used"),
        ("warning", "torch runs in fp32"),
        ("error", "broke"),
    ]
