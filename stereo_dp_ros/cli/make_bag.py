"""`stereo-dp make-bag`: turn a folder of stereo images into a bag."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tqdm import tqdm

from stereo_dp_ros.cli.options import positive_float, positive_int
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.layouts import LAYOUTS, LayoutOptions, read_layout
from stereo_dp_ros.replay.make_bag import make_bag

__all__ = ["add_arguments", "run"]

_NAMESPACE = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)*")  # what ROS takes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = LayoutOptions()
    parser.add_argument("source", type=Path, help="folder of images and their calibration")
    parser.add_argument("bag", type=Path, help="folder of the bag to write (rosbag2, mcap)")
    parser.add_argument(
        "--layout",
        choices=sorted(LAYOUTS),
        help="euroc: cam0, cam1 with sensor.yaml; kitti: image_2, image_3 (or the like) with calib.txt; pairs: one "
        "scene's im0.png, im1.png, calib.txt, held still; images: two patterns and a calibration (default: by the "
        "folder's own names)",
    )
    parser.add_argument("--left", default=defaults.left, help="pattern of the left images (default: %(default)s)")
    parser.add_argument("--right", default=defaults.right, help="pattern of the right images (default: %(default)s)")
    parser.add_argument("--calib", type=Path, help="calibration with Middlebury's or KITTI's keys")
    parser.add_argument(
        "--rate",
        type=positive_float,
        default=defaults.rate_hz,
        help="Hz, where there are no stamps (default: %(default)s)",
    )
    parser.add_argument(
        "--repeat", type=positive_int, default=defaults.repeat, help="of a single pair (default: %(default)s)"
    )
    parser.add_argument("--namespace", default="/stereo", help="of the topics (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace a bag that is there")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    namespace = f"/{arguments.namespace.strip('/')}".rstrip("/")
    if not _NAMESPACE.fullmatch(namespace):
        raise DataError(
            f"--namespace is {arguments.namespace!r}, expected names of letters, digits and _ with / between, such as "
            "/robot/stereo"
        )
    options = LayoutOptions(
        arguments.left, arguments.right, arguments.calib, rate_hz=arguments.rate, repeat=arguments.repeat
    )
    sequence = read_layout(arguments.source, arguments.layout, options)
    with tqdm(total=len(sequence.pairs), unit="pair", dynamic_ncols=True, mininterval=0.5) as bar:
        make_bag(
            sequence,
            arguments.bag,
            namespace=namespace,
            overwrite=arguments.overwrite,
            on_pair=bar.update,
        )
    kind = "rectified" if sequence.rectified else "raw"
    print(f"{arguments.bag}: {len(sequence.pairs)} {kind} pairs")
    return 0
