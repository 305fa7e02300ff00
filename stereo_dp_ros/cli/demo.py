"""`stereo-dp demo`: play two stereo bags through the node and report on what it publishes."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

from stereo_dp_ros import __version__
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.demo import run_demo
from stereo_dp_ros.replay.demo_bags import DEMO_BAGS
from stereo_dp_ros.replay.report import Report
from stereo_dp_ros.ros.dds_profile import dds_environment

__all__ = ["add_arguments", "run"]

_HIGHEST_SAFE_DOMAIN = 101  # from 102 on, ports of a domain overlap those that Linux hands out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="default: %(default)s")
    parser.add_argument("--model", default="default", help="of the node (default: %(default)s)")
    parser.add_argument("--backend", default="auto", help="of the node (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="of the node (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 1 if a check failed."""
    for module, remedy in (
        ("rclpy", "source a ROS 2 installation or install the package's ROS wheels"),
        ("skimage", "install scikit-image"),
    ):
        if importlib.util.find_spec(module) is None:
            raise DataError(f"{module} is not installed, which the demo needs: {remedy}, or run `make demo`")
    out: Path = arguments.out.resolve()
    domain_id = _domain_id()
    frames = sum(bag.frame_count for bag in DEMO_BAGS)
    with tqdm(total=3 * frames, unit="frame", dynamic_ncols=True, mininterval=0.5, smoothing=0.1) as bar:

        def progress(stage: str, frames: int = 0) -> None:
            bar.set_description(stage, refresh=False)
            bar.update(frames)

        report = run_demo(
            out,
            DEMO_BAGS,
            parameters={key: getattr(arguments, key) for key in ("model", "backend", "precision")},
            domain_id=domain_id,
            facts=_facts(),
            environment=dds_environment(),
            progress=progress,
        )
    _print_table(report)
    print(f"\nreport: {arguments.out / 'report.html'} and report.json")
    print(f"bags, for RViz or Foxglove: {arguments.out / 'bags'}")
    for line in report.failed_checks:
        print(f"check failed: {line}", file=sys.stderr)
    return 0 if report.passed else 1


def _domain_id() -> int:
    """The user's ROS domain, else one that two demos at the same time hardly share."""
    text = os.environ.get("ROS_DOMAIN_ID", "")
    if not text:
        return 1 + os.getpid() % _HIGHEST_SAFE_DOMAIN
    if not text.isdigit() or int(text) > 232:
        raise DataError(f"ROS_DOMAIN_ID is {text!r}, expected a number from 0 to 232")
    return int(text)


def _facts() -> dict[str, str]:
    """Where this runs, for the report."""
    distro = os.environ.get("ROS_DISTRO")
    try:
        wheels = f"wheels of rclpy {metadata.version('ros-rclpy')}"
    except metadata.PackageNotFoundError:
        wheels = "as found"
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "ROS 2": f"{distro} (installed)" if distro else wheels,
        "package": __version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _print_table(report: Report) -> None:
    print(
        f"\n{'bag':12}{'in':>5}{'out':>5}{'dropped':>9}{'unmatched':>11}{'out Hz':>8}{'p50 ms':>8}{'p99 ms':>8}"
        f"{'EPE px':>8}{'bad-2.0 %':>11}{'D1 %':>7}  checks"
    )
    for bag in report.bags:
        count, latency, metrics = bag.count, bag.latency, bag.evaluation.metrics or {}
        rate_hz = bag.output_rate_hz
        figures = (
            (rate_hz if rate_hz is not None else float("nan"), 8, 1),
            (latency.p50_ms if latency else float("nan"), 8, 0),
            (latency.p99_ms if latency else float("nan"), 8, 0),
            (metrics.get("epe", float("nan")), 8, 2),
            (metrics.get("bad_2", float("nan")), 11, 1),
            (metrics.get("d1_all", float("nan")), 7, 1),
        )
        cells = "".join(f"{value:{width}.{digits}f}" for value, width, digits in figures)
        dropped = sum(count.dropped.values())
        passed = f"{sum(check.passed for check in bag.checks)} of {len(bag.checks)}"
        print(f"{bag.name:12}{count.played:5}{count.published:5}{dropped:9}{count.unmatched:11}{cells}  {passed}")
