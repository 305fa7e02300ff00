"""`stereo-dp infer`: disparity of one pair of image files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from stereo_dp_ros.cli.options import add_model_options, estimator_from
from stereo_dp_ros.core.calib_file import read_calib_file
from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.geometry import depth_from_disparity, points_from_depth
from stereo_dp_ros.core.images import colorize_disparity, read_image, write_disparity, write_image, write_ply
from stereo_dp_ros.core.preprocessing import require_pair

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("left", help="rectified left image")
    parser.add_argument("right", help="rectified right image")
    parser.add_argument(
        "-o", "--output", required=True, help="disparity: .png (uint16 px × 256, 0 unknown), .pfm or .npy"
    )
    parser.add_argument("--calib", help="calib.txt with Middlebury's keys, for --points")
    parser.add_argument("--color", metavar="FILE", help="disparity in colours, to look at")
    parser.add_argument("--points", metavar="FILE.ply", help="point cloud in m, needs --calib")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON instead of a line")
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.points and not arguments.calib:
        raise StereoDpError("--points needs --calib, a file with cam0, cam1 and baseline")
    if arguments.points and not arguments.points.lower().endswith(".ply"):
        raise StereoDpError(f"--points is {arguments.points}, expected a .ply file")
    left, right = read_image(arguments.left), read_image(arguments.right)
    require_pair(left, right)
    height, width = left.shape[:2]
    calibration = read_calib_file(arguments.calib, (width, height)) if arguments.calib else None
    estimator = estimator_from(arguments)
    result = estimator.infer(left, right)
    write_disparity(arguments.output, result.disparity_px)
    if arguments.color:
        known = result.disparity_px[np.isfinite(result.disparity_px)]
        low, high = np.percentile(known, (1, 99)) if known.size else (0.0, 1.0)
        write_image(arguments.color, colorize_disparity(result.disparity_px, low, high)[..., ::-1])
    if arguments.points and calibration is not None:
        points = points_from_depth(depth_from_disparity(result.disparity_px, calibration), calibration)
        rgb = left if left.ndim == 3 else np.asarray(cv2.cvtColor(left, cv2.COLOR_GRAY2RGB), np.uint8)
        write_ply(arguments.points, points, rgb)
    summary = _summary(arguments.output, estimator, result)
    if arguments.json:
        print(json.dumps(summary))
    else:
        print(
            f"{arguments.output}: {width}x{height}, disparity {summary['disparity_px']['min']:.2f}…"
            f"{summary['disparity_px']['max']:.2f} px, {summary['model']} on {summary['backend']} "
            f"{summary['precision']}"
        )
    return 0


def _summary(output: str, estimator: StereoEstimator, result: DisparityMap) -> dict[str, Any]:
    height, width = result.disparity_px.shape
    known = result.disparity_px[np.isfinite(result.disparity_px)]
    statistics = {name: float(f(known)) if known.size else None for name, f in _STATISTICS.items()}
    return {
        "output": output,
        "width": width,
        "height": height,
        "model": estimator.model.name,
        "backend": estimator.backend.name,
        "precision": estimator.backend.precision,
        "disparity_px": statistics,
        "density": 100.0 * known.size / result.disparity_px.size,
        "mean_confidence": float(result.confidence.mean()),
        "timing_ms": result.timing_ms,
    }


_STATISTICS: dict[str, Callable[[Any], Any]] = {"min": np.min, "median": np.median, "max": np.max}
