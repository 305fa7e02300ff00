"""`stereo-dp demo`: play two stereo bags through the node and report on what it publishes."""

from __future__ import annotations

import argparse
from pathlib import Path

from stereo_dp_ros.cli.machine import machine_facts
from stereo_dp_ros.cli.reporting import (
    frame_progress,
    print_report,
    require_modules,
    ros_domain_id,
    ros_environment,
)
from stereo_dp_ros.core.models import load_model
from stereo_dp_ros.replay.demo import run_demo
from stereo_dp_ros.replay.demo_bags import DEMO_BAGS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--out", type=Path, default=Path("demo_out"), help="default: %(default)s")
    parser.add_argument("--model", default="default", help="of the node (default: %(default)s)")
    parser.add_argument("--backend", default="auto", help="of the node (default: %(default)s)")
    parser.add_argument("--precision", default="auto", help="of the node (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 1 if a check failed."""
    require_modules("rclpy", "skimage")
    load_model(arguments.model)  # before the bags are drawn, which takes longer than to see that it is not there
    domain_id = ros_domain_id()
    with frame_progress(3 * sum(bag.frame_count for bag in DEMO_BAGS)) as progress:  # drawn, played, scored
        report = run_demo(
            arguments.out.resolve(),
            DEMO_BAGS,
            parameters={key: getattr(arguments, key) for key in ("model", "backend", "precision")},
            domain_id=domain_id,
            facts=machine_facts(),
            environment=ros_environment(),
            progress=progress,
        )
    exit_code = print_report(report, arguments.out)
    print(f"bags, for RViz or Foxglove: {arguments.out / 'bags'}")
    return exit_code
