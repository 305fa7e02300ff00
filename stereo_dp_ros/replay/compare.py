"""Two methods side by side, frame by frame: another matcher on the same pairs, or an earlier report of the bag."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stereo_dp_ros.core.disparity import DisparityMap
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.metrics import disparity_metrics
from stereo_dp_ros.core.sgbm import fill_holes
from stereo_dp_ros.core.sparsification import confidence_metrics
from stereo_dp_ros.replay.measures import Frame
from stereo_dp_ros.replay.proxies import Proxies

__all__ = [
    "COMPARED_NAMES",
    "Comparison",
    "Difference",
    "MethodComparison",
    "ReportComparison",
    "is_report",
    "paired_differences",
]

Matcher = Callable[[NDArray[np.uint8], NDArray[np.uint8]], DisparityMap]
Figures = Mapping[str, float]

# in the order in which they are shown
COMPARED_NAMES = (
    "epe",
    "bad_1",
    "bad_2",
    "bad_3",
    "d1_all",
    "bad_2_at_80",
    "ause_bad_2",
    "density",
    "photometric_error",
    "temporal_change_px",
    "plane_residual_px",
    "infer_ms",
    "latency_ms",
)
_TIMES = ("infer_ms", "latency_ms")


@dataclass(frozen=True)
class Difference:
    """One metric of two methods over the frames that both have it.

    `ours` and `theirs` are means; `difference` is the mean of ours − theirs, frame by frame, and `sd` the standard
    deviation of that over the frames (with N − 1), NaN of a single frame.
    """

    metric: str
    ours: float
    theirs: float
    difference: float
    sd: float
    frames: int


def paired_differences(ours: Mapping[int, Figures], theirs: Mapping[int, Figures]) -> list[Difference]:
    """Differences of the metrics in COMPARED_NAMES that frames of both have, by stamp.

    The first frame, which warms both up, is left out of times.
    """
    common = [(ours[stamp], theirs[stamp]) for stamp in sorted(ours) if stamp in theirs]
    found = []
    for name in COMPARED_NAMES:
        counted = common[1:] if name in _TIMES else common
        pairs = np.array([(a[name], b[name]) for a, b in counted if _both_known(a, b, name)], np.float64)
        if len(pairs):
            step = pairs[:, 0] - pairs[:, 1]
            sd = float(step.std(ddof=1)) if len(step) > 1 else math.nan
            mean_ours, mean_theirs = pairs.mean(axis=0)
            found.append(Difference(name, float(mean_ours), float(mean_theirs), float(step.mean()), sd, len(pairs)))
    return found


def _both_known(a: Figures, b: Figures, name: str) -> bool:
    values = (a.get(name), b.get(name))
    return all(isinstance(value, (int, float)) and math.isfinite(value) for value in values)


class Comparison(Protocol):
    """Something that frames of this run are held against."""

    def add(self, frame: Frame) -> Figures:
        """Take a frame; it has no figures of its own."""
        ...

    def against(self, ours: Mapping[int, Figures]) -> dict[str, Any]:
        """The comparison as report.json holds it, with this run's figures by stamp."""
        ...


class MethodComparison:
    """Runs another method on each pair as it is scored, so that both see the same frames.

    Parameters
    ----------
    label : what the report calls it
    match : the method
    fill : fill its holes before scoring, as `stereo-dp evaluate` does for SGBM; density counts before filling
    """

    def __init__(self, label: str, match: Matcher, *, fill: bool) -> None:
        self._label, self._match, self._fill = label, match, fill
        self._proxies = Proxies()
        self._theirs: dict[int, Figures] = {}

    def add(self, frame: Frame) -> Figures:
        """See `Comparison`."""
        left, right = frame.left, frame.right
        if left is None or right is None:
            return {}
        answer = self._match(left, right)
        filled_px = fill_holes(answer.disparity_px) if self._fill else answer.disparity_px
        figures: dict[str, float] = {"density": 100.0 * float(np.isfinite(answer.disparity_px).mean())}
        if frame.ground_truth_px is not None:
            density = disparity_metrics(answer.disparity_px, frame.ground_truth_px)["density"]
            figures |= {**disparity_metrics(filled_px, frame.ground_truth_px), "density": density}
            if not self._fill:
                figures |= confidence_metrics(filled_px, answer.confidence, frame.ground_truth_px)
        figures |= self._proxies.add(
            replace(frame, read_images=lambda: (left, right), disparity_px=filled_px, confidence=answer.confidence)
        )
        if answer.timing_ms:
            figures["infer_ms"] = sum(answer.timing_ms.values())
        self._theirs[frame.stamp_ns] = figures
        return {}

    def against(self, ours: Mapping[int, Figures]) -> dict[str, Any]:
        """See `Comparison`."""
        return _as_json(self._label, paired_differences(ours, self._theirs))


class ReportComparison:
    """An earlier report.json of the same bag.

    Parameters
    ----------
    stamps_ns, left_image : stamps and topic of the left images. Of several bags in the report the one that has most of
        the stamps is taken; where several have as many, the one of the topic.

    Raises
    ------
    DataError
        The file is not such a report, no frame of it is among `stamps_ns`, or several bags of it have as many, none of
        them of `left_image`.
    """

    def __init__(self, path: Path, stamps_ns: Collection[int], left_image: str = "") -> None:
        self._path = path
        report = _read_report(path)
        common = [len({frame["stamp_ns"] for frame in bag["frames"]} & set(stamps_ns)) for bag in report["bags"]]
        most = max(common, default=0)
        bags = [bag for bag, number in zip(report["bags"], common, strict=True) if number == most > 0]
        if len(bags) > 1:  # cameras of one trigger: `--all-pairs` names each pair in its title
            titles = [str(bag.get("title", "")) for bag in bags]
            bags = [bag for bag, title in zip(bags, titles, strict=True) if title.endswith(f": {left_image}")]
            if len(bags) != 1:
                raise DataError(f"{path}: has these stamps in {'; '.join(titles)}, expected one of {left_image}")
        self._theirs: dict[int, Figures] = {frame["stamp_ns"]: frame for bag in bags for frame in bag["frames"]}
        if not self._theirs:
            known = [frame["stamp_ns"] for bag in report["bags"] for frame in bag["frames"]]
            raise DataError(
                f"{path}: none of its {len(known)} frames is in this bag, expected a report of the same bag; "
                f"it begins at {min(known, default=0)}, the bag at {min(stamps_ns, default=0)}"
            )
        created = report.get("created")
        self._label = f"{path.name} of {created}" if created else path.name

    def add(self, frame: Frame) -> Figures:
        """See `Comparison`."""
        return {}

    def against(self, ours: Mapping[int, Figures]) -> dict[str, Any]:
        """See `Comparison`."""
        return _as_json(self._label, paired_differences(ours, self._theirs))


def is_report(path: Path) -> bool:
    """Whether a JSON file is a report rather than something else, such as a model's manifest."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True  # neither: to read it as a report tells what is wrong
    return isinstance(content, dict) and "bags" in content


def _as_json(label: str, differences: Iterable[Difference]) -> dict[str, Any]:
    return {"with": label, "metrics": [asdict(difference) for difference in differences]}


def _read_report(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        frames = [frame for bag in report["bags"] for frame in bag["frames"]]
        if not all(isinstance(frame["stamp_ns"], int) for frame in frames):
            raise TypeError
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), expected a report.json of stereo-dp") from error
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path}: is not a report of `stereo-dp replay`, expected its report.json") from None
    return dict(report)
