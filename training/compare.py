"""Models beside each other on the same pairs, as they are deployed, and how far the first is ahead of each.

`python -m training.compare MODEL MODEL ... [--pairs FOLDER ...] [--scenes N] [--scale S] [--min-area N]`

MODEL is a shipped model's name or a manifest's path. Prints a Markdown table: EPE in px and bad-2.0 in %, the mean over
the images of each set and of all pairs, and the ratio of the mean EPE to the first model's with its standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.backends import create_backend
from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.estimator import StereoEstimator
from stereo_dp_ros.core.evaluation import SceneScore, score_pairs
from stereo_dp_ros.core.models import load_model
from stereo_dp_ros.core.pairs import PairFolder, find_pairs
from training.command import Parser, above_0, at_least_0, at_least_1
from training.errors import TrainingError
from training.validation import validation_pairs

__all__ = ["compare", "ratio"]


def compare(estimators: Sequence[StereoEstimator], groups: Mapping[str, Sequence[PairFolder]]) -> str:
    """The table: a row for each set of each group of pairs, and one for a group of several sets."""
    names = [estimator.model.name for estimator in estimators]
    lines = [
        "| | scenes |" + "".join(f" {name}: EPE / bad-2.0 |" for name in names),
        "|---|---|" + "---|" * len(names),
    ]
    for group, pairs in groups.items():
        # Side by side, so that a scene is rendered once for all of them.
        scored = list(zip(*(score_pairs(estimator.infer, pairs) for estimator in estimators), strict=True))
        sets = list(dict.fromkeys(scores[0].set_name for scores in scored))
        for name in sets:
            lines.append(_line(name, [scores for scores in scored if scores[0].set_name == name]))
        if len(sets) > 1:
            lines.append(_line(group, scored))
    return "\n".join(lines)


def ratio(of: NDArray[np.float64], to: NDArray[np.float64]) -> tuple[float, float]:
    """Ratio of the means of two paired samples (N,), and its standard error; infinite for one pair.

    The error is the delta method's: that of the mean of `of - ratio · to`, over the mean of `to`.
    """
    value = float(of.mean() / to.mean())
    if len(of) < 2:
        return value, np.inf
    return value, float(np.std(of - value * to, ddof=1) / np.sqrt(len(of)) / to.mean())


def _line(name: str, scored: Sequence[tuple[SceneScore, ...]]) -> str:
    epe, bad_2 = (np.array([[score.metrics[m] for score in scores] for scores in scored]) for m in ("epe", "bad_2"))
    cells = [name, str(len(scored))]
    for k in range(epe.shape[1]):
        cell = f"{epe[:, k].mean():.3f} / {bad_2[:, k].mean():.2f}"
        if k:
            value, error = ratio(epe[:, k], epe[:, 0])
            cell += f"; × {value:.3f}" + (f" ± {error:.3f}" if error < np.inf else "")
        cells.append(cell)
    return f"| {' | '.join(cells)} |"


def _estimator(name: str, options: argparse.Namespace) -> StereoEstimator:
    model = load_model(name)
    given = model.manifest
    scale = given.scale if options.scale is None else options.scale
    min_area_px = given.min_area_px if options.min_area is None else options.min_area
    model = replace(model, manifest=replace(given, scale=scale, min_area_px=min_area_px))
    return StereoEstimator(
        model, create_backend(options.backend, model, precision=options.precision, threads=options.threads)
    )


def main(values: list[str] | None = None) -> int:
    """Command line; 2 and one line on stderr for bad input."""
    parser = Parser("compare", __doc__)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="name, or path of a manifest")
    parser.add_argument("--pairs", type=Path, nargs="+", default=[], metavar="FOLDER", help="folders of pairs")
    parser.add_argument("--scenes", type=at_least_0, default=0, help="validation scenes of the generator (%(default)s)")
    parser.add_argument("--scale", type=above_0, help="of images before the networks (default: each manifest's)")
    parser.add_argument("--min-area", type=at_least_0, help="px that they see at least (default: each manifest's)")
    parser.add_argument("--backend", default="auto", help="runtime (%(default)s)")
    parser.add_argument("--precision", default="auto", help="of the runtime (%(default)s)")
    parser.add_argument("--threads", type=at_least_1, help="CPU threads (default: the runtime's choice)")
    arguments = parser.parse_args(values)
    try:
        groups = {
            "all pairs": [pair for folder in arguments.pairs for pair in find_pairs(folder)],
            "all scenes": validation_pairs(arguments.scenes),
        }
        if not any(groups.values()):
            raise TrainingError("there is nothing to score; expected --pairs or --scenes")
        print(compare([_estimator(name, arguments) for name in arguments.models], groups))
    except StereoDpError as error:
        print(f"training.compare: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
