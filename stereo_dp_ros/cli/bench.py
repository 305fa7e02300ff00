"""`stereo-dp bench`: time the models beside OpenCV's matchers, or the node beside its model, in one run."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from stereo_dp_ros.cli.bench_methods import REFERENCE, BenchMethod, model_methods, opencv_methods, peer_methods
from stereo_dp_ros.cli.machine import machine_facts
from stereo_dp_ros.cli.options import positive_float, positive_int, size, thread_count
from stereo_dp_ros.core.calibration import StereoCalibration
from stereo_dp_ros.core.errors import BackendError, DataError, ImageError
from stereo_dp_ros.core.evaluation import score_pairs, set_rows
from stereo_dp_ros.core.maps import MAPS, MapRequest
from stereo_dp_ros.core.models import list_models
from stereo_dp_ros.core.pairs import PairFolder, find_pairs
from stereo_dp_ros.core.timing import interleaved_ms, textured_pair

__all__ = ["add_arguments", "run"]

_MIN_WIDTH_PX = 144  # more than the disparities that OpenCV's matchers search
_MIN_HEIGHT_PX = 15  # the block of OpenCV's block matching
_REST_S = 0.1
_ACCURACY = ("epe", "bad_2", "bad_3", "d1_all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--size", type=size, metavar="WxH", action="append", help="may be given again (default: 640x480)"
    )
    parser.add_argument("--model", action="append", help="may be given again (default: all that ship)")
    parser.add_argument(
        "--backend", action="append", default=[], help="runtime or runtime:device; may be given again (default: all)"
    )
    parser.add_argument(
        "--onnx", action="append", default=[], metavar="FILE", help="another two-image network to time beside ours"
    )
    parser.add_argument("--pairs", metavar="DIR", help="score each model's configuration on these pairs as well")
    parser.add_argument("--stages", action="store_true", help="time each stage of the torch backend as well")
    parser.add_argument("--rounds", type=positive_int, default=15, help="counted ones (default: %(default)s)")
    parser.add_argument("--threads", type=thread_count, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--node", action="store_true", help="time the node over DDS beside the estimator alone (needs rclpy)"
    )
    parser.add_argument(
        "--seconds", type=positive_float, default=20.0, help="of each trial with --node (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    sizes: list[tuple[int, int]] = arguments.size or [(640, 480)]
    if arguments.node:
        given = [f"--{name}" for name in ("backend", "onnx", "pairs", "stages") if getattr(arguments, name)]
        if given:
            raise DataError(f"{', '.join(given)} is not of --node, expected --model, --size, --threads, --seconds")
        if len(sizes) > 1:
            raise DataError(f"{len(sizes)} sizes are given with --node, expected one")
        from stereo_dp_ros.cli import bench_node  # needs what plays and records bags

        arguments.size = sizes[0]
        return bench_node.run(arguments)
    for width, height in sizes:
        if width < _MIN_WIDTH_PX:
            raise ImageError(f"size is {width}x{height}, expected at least {_MIN_WIDTH_PX} px of width for SGBM")
        if height < _MIN_HEIGHT_PX:
            raise ImageError(f"size is {width}x{height}, expected at least {_MIN_HEIGHT_PX} px of height for BM")
    pairs = find_pairs(arguments.pairs) if arguments.pairs else []
    cv2.setNumThreads(arguments.threads)
    methods = opencv_methods()
    methods += model_methods(arguments.model or list_models(), arguments.backend, arguments.threads)
    methods += peer_methods(arguments.onnx, arguments.threads)
    rows = [row for image_size in sizes for row in _timed(methods, image_size, arguments)]
    if pairs:
        _add_accuracy(rows, methods, pairs)
    report = {
        "machine": machine_facts()["machine"],
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "rows": rows,
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        _print_table(report)
    return 0


def _timed(
    methods: list[BenchMethod], image_size: tuple[int, int], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """A row for each method that runs at this size, all of them timed in turn; what does not is told on stderr."""
    left, right = textured_pair(image_size)
    methods = [method for method in methods if _runs(method, left, right)]
    calls = {str(index): lambda method=method: method.call(left, right) for index, method in enumerate(methods)}
    progress = tqdm(
        interleaved_ms(calls, arguments.rounds, rest_s=_REST_S),
        desc=f"{image_size[0]}x{image_size[1]}",
        total=arguments.rounds,
        unit="round",
        disable=not sys.stderr.isatty(),
        leave=False,
    )
    rounds = list(progress)
    times = [[found[str(index)] for found in rounds] for index in range(len(methods))]
    medians = [float(np.median(values)) for values in times]
    reference = next(m for method, m in zip(methods, medians, strict=True) if method.method == REFERENCE)
    rows = []
    for method, median, values in zip(methods, medians, times, strict=True):
        row: dict[str, Any] = {
            "method": method.method,
            "model": method.model,
            "backend": method.backend,
            "precision": method.precision,
            "device": method.device,
            "size": f"{image_size[0]}x{image_size[1]}",
            "median_ms": median,
            "p90_ms": float(np.percentile(values, 90)),
            "ratio_to_sgbm": median / reference,
        }
        if arguments.stages and method.estimator is not None and method.backend == "torch":
            row["stages_ms"] = _stages(method, left, right, arguments.rounds)
        rows.append(row)
    return rows


def _runs(method: BenchMethod, left: NDArray[np.uint8], right: NDArray[np.uint8]) -> bool:
    """Whether the method answers the pair: an engine is of one size."""
    try:
        method.call(left, right)
    except BackendError as error:
        what = f"{method.model} on {method.backend} {method.precision} at {left.shape[1]}x{left.shape[0]}"
        print(f"left out {what}: {error}", file=sys.stderr)
        return False
    return True


def _stages(method: BenchMethod, left: NDArray[np.uint8], right: NDArray[np.uint8], rounds: int) -> dict[str, float]:
    """Times of the torch backend's stages, all maps wanted."""
    from stereo_dp_ros.backends.torch_backend import TorchBackend
    from stereo_dp_ros.backends.torch_stages import stage_times_ms

    estimator = method.estimator
    assert estimator is not None and isinstance(estimator.backend, TorchBackend)
    height, width = left.shape[:2]
    camera = StereoCalibration(width, height, 0.8 * width, 0.8 * width, width / 2, width / 2, height / 2, 0.1)
    request = MapRequest(estimator.plan(width, height), frozenset(MAPS), camera)
    return stage_times_ms(estimator.backend, left, right, request, rounds)


def _add_accuracy(rows: list[dict[str, Any]], methods: list[BenchMethod], pairs: list[PairFolder]) -> None:
    """Give each model's rows the scores of its configuration, by set; every pixel with ground truth counts."""
    for method in methods:
        if method.estimator is None:
            continue
        scores = set_rows(
            score_pairs(method.estimator.infer, tqdm(pairs, disable=not sys.stderr.isatty(), leave=False))
        )
        accuracy = {row["name"]: {name: row[name] for name in _ACCURACY} for row in scores}
        for row in rows:
            if (row["model"], row["backend"], row["precision"], row["device"]) == (
                method.model,
                method.backend,
                method.precision,
                method.device,
            ):
                row["accuracy"] = accuracy


def _print_table(report: dict[str, Any]) -> None:
    print(f"{report['machine']}, {report['threads']} threads, medians of {report['rounds']} rounds, methods in turn")
    sets = list(next((row["accuracy"] for row in report["rows"] if "accuracy" in row), {}))
    heading = "".join(f"{'bad_2 ' + name:>{len(name) + 8}}" for name in sets)
    print(f"{'method':38}{'device':14}{'size':>10}{'median ms':>11}{'p90 ms':>9}{'ratio to SGBM':>15}{heading}")
    for row in report["rows"]:
        label = f"{row['model'] or row['method']} {row['backend']} {row['precision']}"
        figures = f"{row['median_ms']:11.2f}{row['p90_ms']:9.2f}{row['ratio_to_sgbm']:15.3f}"
        scores = "".join(f"{row['accuracy'][name]['bad_2']:{len(name) + 8}.2f}" for name in sets if "accuracy" in row)
        print(f"{label:38}{row['device'][:13]:14}{row['size']:>10}{figures}{scores}")
        for stage, milliseconds in row.get("stages_ms", {}).items():
            print(f"    {stage:58}{milliseconds:11.3f}")
