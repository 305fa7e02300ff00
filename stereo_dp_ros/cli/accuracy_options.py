"""Options of `stereo-dp replay` that say what a run is held against."""

from __future__ import annotations

import argparse
from pathlib import Path

from stereo_dp_ros.backends import BACKENDS, load_estimator
from stereo_dp_ros.cli.options import positive_float
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.models import list_models
from stereo_dp_ros.core.sgbm import SGBM_METHODS, Sgbm
from stereo_dp_ros.replay.accuracy import Accuracy
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.compare import Comparison, MethodComparison, ReportComparison, is_report
from stereo_dp_ros.replay.ground_truth import GroundTruth
from stereo_dp_ros.replay.lidar import LidarTruth
from stereo_dp_ros.replay.source_images import SourceImages
from stereo_dp_ros.replay.stereo_topics import StereoTopics
from stereo_dp_ros.replay.truth_folder import FolderTruth
from stereo_dp_ros.replay.truth_topics import TopicTruth

__all__ = ["accuracy_from", "add_accuracy_options"]

_SAME_MS = 1.0  # stamps that went through text or floats are a little off
_SCAN_MS = 50.0  # half the period of the usual 10 Hz


def add_accuracy_options(parser: argparse.ArgumentParser) -> None:
    """Add --ground-truth, --lidar, --stamp-tolerance-ms and --compare."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--ground-truth",
        metavar="TOPIC|DIR",
        help="topic of disparity (DisparityImage; Image 32FC1, px) or depth (Image 32FC1, m; 16UC1, mm), or a folder "
        "of disparity files (.png × 256, .pfm, .npy) named by stamp (default: a topic of that name in the bag)",
    )
    source.add_argument("--lidar", metavar="TOPIC", help="PointCloud2 to project into the left image by /tf_static")
    parser.add_argument(
        "--stamp-tolerance-ms",
        type=positive_float,
        metavar="MS",
        help=f"how far ground truth may be from its image (default: {_SAME_MS:g}, LiDAR {_SCAN_MS:g})",
    )
    parser.add_argument(
        "--compare",
        metavar="WHAT",
        help=f"{', '.join(SGBM_METHODS)}, another model or backend, or an earlier report.json of the bag",
    )


def accuracy_from(arguments: argparse.Namespace, path: Path, topics: StereoTopics) -> Accuracy:
    """What the options ask for; they are checked before anything is computed.

    Raises
    ------
    StereoDpError
        Ground truth or what to compare with is not there or does not fit the bag.
    """
    comparison = None if arguments.compare is None else _comparison(arguments, path, topics)
    truth = _truth(arguments, path, topics)
    if truth is not None:
        with BagReader(path) as bag:
            calibration = SourceImages(bag, topics).calibration
        truth.disparity_px(truth.first_image_ns, calibration)  # tells now if it does not fit, not after the inference
    return Accuracy(truth, comparison)


def _truth(arguments: argparse.Namespace, path: Path, topics: StereoTopics) -> GroundTruth | None:
    tolerance_ms = arguments.stamp_tolerance_ms or (_SAME_MS if arguments.lidar is None else _SCAN_MS)
    tolerance_ns = round(tolerance_ms * 1e6)
    if arguments.lidar is not None:
        return LidarTruth(path, arguments.lidar, topics.left_image, tolerance_ns)
    wanted = arguments.ground_truth or topics.ground_truth
    if wanted is None:
        return None
    with BagReader(path) as bag:
        known, listed = wanted in bag.topics, bag.describe()
    if known:
        return TopicTruth(path, wanted, topics.left_image, tolerance_ns)
    if Path(wanted).is_dir():
        return FolderTruth(Path(wanted), path, topics.left_image, tolerance_ns)
    raise DataError(f"{wanted} is neither a topic of {path} nor a folder, expected ground truth; the bag has {listed}")


def _comparison(arguments: argparse.Namespace, path: Path, topics: StereoTopics) -> Comparison:
    what: str = arguments.compare
    if what in SGBM_METHODS:
        return MethodComparison(what, Sgbm(what).infer, fill=True)
    runtimes = [info.name for info in BACKENDS]
    is_file = Path(what).suffix == ".json" and Path(what).is_file()
    if is_file and is_report(Path(what)):
        with BagReader(path) as bag:
            stamps = bag.stamps_ns(topics.left_image)
        return ReportComparison(Path(what), stamps, topics.left_image)
    if is_file or what in list_models():
        model, backend, precision = what, arguments.backend, arguments.precision
    elif what.partition(":")[0] in runtimes:
        model, backend, precision = arguments.model, what, "auto"
    else:
        raise DataError(
            f"--compare is {what!r}, expected {', '.join(SGBM_METHODS)}, a model ({', '.join(list_models())}), "
            f"a backend ({', '.join(runtimes)}), or a report.json or a model's manifest that exists"
        )
    estimator = load_estimator(
        model, backend, precision=precision, threads=arguments.threads, input_size=arguments.inference_size
    )
    runtime = estimator.backend
    return MethodComparison(
        f"{estimator.model.name} on {runtime.name} {runtime.precision}", estimator.infer, fill=False
    )
