"""`stereo-dp evaluate`: score a model or SGBM on pairs with ground truth."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stereo_dp_ros.cli.options import add_model_options, estimator_from, given_model_options
from stereo_dp_ros.cli.pair_sheet import PairSheet
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.evaluation import Method, score_pairs, set_rows
from stereo_dp_ros.core.json_values import without_nan
from stereo_dp_ros.core.metrics import METRIC_NAMES
from stereo_dp_ros.core.pairs import find_pairs
from stereo_dp_ros.core.sgbm import SGBM_METHODS, Sgbm
from stereo_dp_ros.core.sparsification import CONFIDENCE_METRIC_NAMES

__all__ = ["add_arguments", "run"]

_COLUMNS = (*METRIC_NAMES, *CONFIDENCE_METRIC_NAMES, "ms")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("pairs", help="folder in the layout PAIRS/<set>/<scene>/{im0,im1,disp0}.png")
    parser.add_argument(
        "--method", choices=("model", *SGBM_METHODS), default="model", help="SGBM is scored with holes filled"
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write JSON; without FILE to stdout and nothing else",
    )
    parser.add_argument("--sheet", metavar="FILE", help="picture of every pair with SGBM's and this method's answer")
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    pairs = find_pairs(arguments.pairs)
    for path in (arguments.json, arguments.sheet):
        _require_folder(path)
    method, header = _method(arguments)
    scores = []
    sheet = PairSheet(header["model"]) if arguments.sheet else None
    show = None if sheet is None else sheet.add
    progress = tqdm(total=len(pairs), unit="pair", disable=not sys.stderr.isatty(), leave=False)
    with progress:
        for score in score_pairs(method, pairs, fill=arguments.method != "model", show=show):
            scores.append(score)
            progress.update()
    report = {**header, "scenes": [score.row() for score in scores], "sets": set_rows(scores)}
    if arguments.json != "-":
        _print_table(report)
    if arguments.json:
        _write_json(arguments.json, report)
    if sheet is not None:
        sheet.write(arguments.sheet)
    return 0


def _method(arguments: argparse.Namespace) -> tuple[Method, dict[str, Any]]:
    if arguments.method != "model":
        if given := given_model_options(arguments):
            raise DataError(f"--method {arguments.method} has no use for {', '.join(given)}, expected --method model")
        matcher = Sgbm(arguments.method)
        return matcher.infer, {"model": arguments.method, "backend": "opencv", "precision": "int16"}
    estimator = estimator_from(arguments)
    backend = estimator.backend
    return estimator.infer, {
        "model": estimator.model.name,
        "backend": backend.name,
        "precision": backend.precision,
    }


def _print_table(report: dict[str, Any]) -> None:
    print(f"{report['model']} on {report['backend']} {report['precision']}")
    print(f"{'':38}" + "".join(f"{name:>12}" for name in _COLUMNS if name in report["scenes"][0]))
    for row in report["scenes"]:
        _print_row(f"{row['set']}/{row['scene']}", row)
    for row in report["sets"]:
        _print_row(f"{row['name']}, mean of {row['scenes']}", row)


def _print_row(label: str, row: dict[str, Any]) -> None:
    print(f"{label:38}" + "".join(f"{row[name]:12.2f}" for name in _COLUMNS if name in row))


def _require_folder(path: str | None) -> None:
    """Tell before the scoring, which may take minutes, that what it finds cannot be written."""
    if path and path != "-" and not Path(path).parent.is_dir():
        raise DataError(f"{path}: cannot be written, expected a folder {Path(path).parent}")


def _write_json(path: str, report: dict[str, Any]) -> None:
    text = json.dumps(without_nan(report), indent=1)
    if path == "-":
        print(text)
        return
    try:
        Path(path).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error
