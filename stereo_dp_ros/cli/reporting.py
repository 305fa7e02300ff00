"""What the commands that end in a report share: progress, the table, the exit code."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.report import Report
from stereo_dp_ros.replay.ros_domain import own_domain
from stereo_dp_ros.replay.session import Progress
from stereo_dp_ros.ros.dds_profile import dds_environment

__all__ = ["frame_progress", "print_report", "require_modules", "ros_domain_id", "ros_environment"]

_HIGHEST_DOMAIN = 232
_held = ExitStack()  # to this process's end
_REMEDIES = {
    "rclpy": "source a ROS 2 installation or install the package's ROS wheels",
    "skimage": "install scikit-image",
}


def require_modules(*names: str) -> None:
    """Raise DataError, with the remedy, if a module that a command needs is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise DataError(f"{name} is not installed, which this command needs: {_REMEDIES[name]}")


def ros_domain_id() -> int:
    """The user's ROS domain, else one that other runs do not share, the same throughout this process.

    Raises
    ------
    DataError
        ROS_DOMAIN_ID is set to something else than a domain, or no domain can be had.
    """
    text = os.environ.get("ROS_DOMAIN_ID", "")
    if not text:
        return _own_domain_id()
    if not text.isdigit() or int(text) > _HIGHEST_DOMAIN:
        raise DataError(f"ROS_DOMAIN_ID is {text!r}, expected a number from 0 to {_HIGHEST_DOMAIN}")
    return int(text)


@cache
def _own_domain_id() -> int:
    return _held.enter_context(own_domain())


def ros_environment() -> dict[str, str]:
    """Variables for processes of ours that use ROS: a DDS profile for images, and no talk beyond this machine.

    What the user has set is left alone.
    """
    chosen = any(os.environ.get(name) for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"))
    return {**dds_environment(), **({} if chosen else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"})}


@contextmanager
def frame_progress(frames: int) -> Iterator[Progress]:
    """A progress bar over so many frames."""
    with tqdm(total=frames, unit="frame", dynamic_ncols=True, mininterval=0.5, smoothing=0.1) as bar:

        def progress(stage: str, frames: int = 0, more: int = 0) -> None:
            bar.set_description(stage, refresh=False)
            bar.total = (bar.total or 0) + more
            bar.update(frames)

        yield progress


def print_report(report: Report, folder: Path) -> int:
    """Print the table, where the report is, and each check that failed; returns the exit code, 0 or 1."""
    width = max(16, *(len(bag.name) + 1 for bag in report.bags)) if report.bags else 16
    print(
        f"\n{'bag':{width}}{'in':>7}{'out':>7}{'dropped':>9}{'unmatched':>11}{'out Hz':>8}{'p50 ms':>8}{'p99 ms':>8}"
        f"{'EPE px':>8}{'bad-2.0 %':>11}{'D1 %':>7}  checks"
    )
    for bag in report.bags:
        count, latency, metrics = bag.count, bag.latency, bag.evaluation.metrics or {}
        cells = (
            f"{_cell(bag.output_rate_hz, 8, 1)}{_cell(latency and latency.p50_ms, 8, 0)}"
            f"{_cell(latency and latency.p99_ms, 8, 0)}{_cell(metrics.get('epe'), 8, 2)}"
            f"{_cell(metrics.get('bad_2'), 11, 1)}{_cell(metrics.get('d1_all'), 7, 1)}"
        )
        passed = f"{sum(check.passed for check in bag.checks)} of {len(bag.checks)}"
        dropped = sum(count.dropped.values())
        print(f"{bag.name:{width}}{count.played:7}{count.published:7}{dropped:9}{count.unmatched:11}{cells}  {passed}")
        found = bag.results.get("highest_rate")
        if found is not None and found["trials"]:
            print(f"  highest rate with less than {found['drop_limit_percent']:g} % drops:{_rate(found)}")
    print(f"\nreport: {folder / 'report.html'} and report.json")
    for line in report.failed_checks:
        print(f"check failed: {line}", file=sys.stderr)
    return 0 if report.passed else 1


def _rate(found: Mapping[str, Any]) -> str:
    tried = f"in {len(found['trials'])} trials"
    if found["rate_hz"] is None:
        return f" none {tried}"
    return f" {found['rate_hz']:.2f} Hz {tried}{', what the player can' if found['player_limited'] else ''}"


def _cell(value: object, width: int, digits: int) -> str:
    return f"{value:{width}.{digits}f}" if isinstance(value, float) else f"{'–':>{width}}"
