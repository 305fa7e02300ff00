"""Facts of the machine, for every report; a module of its own, because `bench` needs no bags."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from stereo_dp_ros import __version__

__all__ = ["machine_facts"]


def machine_facts() -> dict[str, str]:
    """Where this runs, label → value."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "ROS 2": _ros(),
        "package": __version__,
    }


def _ros() -> str:
    if distro := os.environ.get("ROS_DISTRO"):
        return f"{distro} (installed)"
    try:
        return f"wheels of rclpy {metadata.version('ros-rclpy')}"
    except metadata.PackageNotFoundError:
        return "none"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
