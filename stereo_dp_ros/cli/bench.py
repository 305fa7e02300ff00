"""`stereo-dp bench`: time the models beside OpenCV's matchers, or the node beside its model, in one run."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from stereo_dp_ros.backends import load_estimator, usable_choices
from stereo_dp_ros.cli import bench_node
from stereo_dp_ros.cli.options import positive_float, positive_int, size
from stereo_dp_ros.core.errors import BackendError
from stereo_dp_ros.core.models import list_models
from stereo_dp_ros.core.timing import interleaved_ms, textured_pair

__all__ = ["add_arguments", "run"]

_DISPARITIES = 128
_REFERENCE = "MODE_SGBM"


@dataclass(frozen=True)
class _Entry:
    method: str
    model: str | None
    backend: str
    precision: str
    call: Callable[[], object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--size", type=size, metavar="WxH", default=(640, 480), help="default: 640x480")
    parser.add_argument("--model", action="append", help="may be given again (default: all that ship)")
    parser.add_argument("--rounds", type=positive_int, default=15, help="counted ones (default: %(default)s)")
    parser.add_argument("--threads", type=positive_int, default=os.cpu_count() or 1, help="default: all cores")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--node", action="store_true", help="time the node over DDS beside the estimator alone (needs rclpy)"
    )
    parser.add_argument(
        "--seconds", type=positive_float, default=20.0, help="of each trial with --node (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.node:
        return bench_node.run(arguments)
    cv2.setNumThreads(arguments.threads)
    left, right = textured_pair(arguments.size)
    entries = _opencv_entries(left, right)
    entries += _model_entries(arguments.model or list_models(), left, right, arguments.threads)
    methods = {str(index): entry.call for index, entry in enumerate(entries)}
    progress = tqdm(
        interleaved_ms(methods, arguments.rounds),
        total=arguments.rounds,
        unit="round",
        disable=not sys.stderr.isatty(),
        leave=False,
    )
    rounds = list(progress)
    times = [[times[str(index)] for times in rounds] for index in range(len(entries))]
    report = {
        "machine": _machine(),
        "threads": arguments.threads,
        "rows": _rows(entries, times, arguments.size),
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        _print_table(report)
    return 0


def _opencv_entries(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> list[_Entry]:
    gray = [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in (left, right)]
    matchers: dict[str, Any] = {"BM": cv2.StereoBM_create(_DISPARITIES, 15)}  # type: ignore[attr-defined]
    for mode in (_REFERENCE, "MODE_SGBM_3WAY", "MODE_HH"):
        matchers[mode] = cv2.StereoSGBM_create(  # type: ignore[attr-defined]
            numDisparities=_DISPARITIES,
            blockSize=5,
            P1=8 * 25,
            P2=32 * 25,
            disp12MaxDiff=1,
            uniquenessRatio=10,
            speckleWindowSize=100,
            speckleRange=2,
            mode=getattr(cv2, f"STEREO_SGBM_{mode}"),
        )
    return [
        _Entry(name, None, "opencv", "int16", lambda matcher=matcher: matcher.compute(*gray))  # type: ignore[misc]
        for name, matcher in matchers.items()
    ]


def _model_entries(names: list[str], left: NDArray[np.uint8], right: NDArray[np.uint8], threads: int) -> list[_Entry]:
    entries = []
    for name in names:
        for choice in usable_choices():
            for precision in choice.precisions:
                try:
                    estimator = load_estimator(name, choice.name, precision=precision, threads=threads)
                except BackendError as error:
                    print(f"left out {name} on {choice.name} {precision}: {error}", file=sys.stderr)
                    continue
                entries.append(
                    _Entry(
                        "model",
                        estimator.model.name,
                        estimator.backend.name,
                        estimator.backend.precision,
                        lambda estimator=estimator: estimator.infer(left, right),  # type: ignore[misc]
                    )
                )
    return entries


def _rows(entries: list[_Entry], times: list[list[float]], image_size: tuple[int, int]) -> list[dict[str, Any]]:
    medians = [float(np.median(values)) for values in times]
    reference = next(m for entry, m in zip(entries, medians, strict=True) if entry.method == _REFERENCE)
    return [
        {
            "method": entry.method,
            "model": entry.model,
            "backend": entry.backend,
            "precision": entry.precision,
            "size": f"{image_size[0]}x{image_size[1]}",
            "median_ms": median,
            "p90_ms": float(np.percentile(values, 90)),
            "ratio_to_sgbm": median / reference,
        }
        for entry, median, values in zip(entries, medians, times, strict=True)
    ]


def _machine() -> str:
    model = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass  # no such file outside Linux; the architecture then has to do
    return f"{model}, {os.cpu_count()} cores"


def _print_table(report: dict[str, Any]) -> None:
    print(f"{report['machine']}, {report['threads']} threads")
    print(f"{'method':34}{'size':>10}{'median ms':>11}{'p90 ms':>9}{'ratio to SGBM':>15}")
    for row in report["rows"]:
        label = f"{row['model'] or row['method']} {row['backend']} {row['precision']}"
        figures = f"{row['median_ms']:11.1f}{row['p90_ms']:9.1f}{row['ratio_to_sgbm']:15.2f}"
        print(f"{label:34}{row['size']:>10}{figures}")
