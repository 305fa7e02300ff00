"""`stereo-dp replay`: run a model over a bag, or the bag through a node, and report."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from stereo_dp_ros.cli.accuracy_options import accuracy_from, add_accuracy_options
from stereo_dp_ros.cli.options import add_model_options, estimator_from, positive_float
from stereo_dp_ros.cli.reporting import (
    frame_progress,
    machine_facts,
    print_report,
    require_modules,
    ros_domain_id,
    ros_environment,
)
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.accuracy import Accuracy
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.counts import count_pairs
from stereo_dp_ros.replay.interrupts import Interruption
from stereo_dp_ros.replay.offline import count_offline
from stereo_dp_ros.replay.page import write_html
from stereo_dp_ros.replay.page_frames import disparity_range_px
from stereo_dp_ros.replay.report import BagReport, Report, node_facts, write_json
from stereo_dp_ros.replay.session import Progress, Session
from stereo_dp_ros.replay.stereo_topics import StereoTopics, find_stereo_topics
from stereo_dp_ros.replay.table import write_csv
from stereo_dp_ros.replay.video import write_video

__all__ = ["add_arguments", "run"]

_NAMESPACE = "/replay"
_INTERRUPTED = 130
_STILL_RATE_HZ = 1.0  # of a video of a single frame


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("bag", type=Path, help="rosbag2 (mcap, sqlite3) or ROS 1 bag")
    parser.add_argument("--out", type=Path, default=Path("replay_out"), help="default: %(default)s")
    parser.add_argument(
        "--mode",
        choices=("offline", "live"),
        default="offline",
        help="offline: as fast as it goes, without ROS; live: over DDS to a node, to measure it (default: %(default)s)",
    )
    parser.add_argument("--rate", type=positive_float, default=1.0, help="of playing live (default: %(default)s)")
    parser.add_argument(
        "--find-rate", action="store_true", help="live: also find the highest rate with less than 5 %% drops"
    )
    parser.add_argument("--video", action="store_true", help="also write an MP4 of left image and disparity")
    parser.add_argument("--left", help="topic of the left images, where the bag has several pairs")
    parser.add_argument("--rectified", action="store_true", help="the images are, though their topic does not say so")
    add_model_options(parser)
    add_accuracy_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 1 if a check failed, 130 after Ctrl-C (the report is of what was done)."""
    if arguments.find_rate and arguments.mode != "live":
        raise DataError("--find-rate measures a node, expected --mode live with it")
    out: Path = arguments.out.resolve()
    with BagReader(arguments.bag) as source:
        topics = _topics(source, arguments)
        images = source.counts[topics.left_image]
    try:
        (out / "log").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}), expected a folder for the report") from error
    interruption = Interruption()
    session = Session(
        name=arguments.bag.stem,
        title=arguments.bag.name,
        description=f"Images of {topics.left_image} and {topics.right_image}.",
        path=arguments.bag.resolve(),
        recorded_path=out / f"{arguments.bag.stem}_out",
        topics=topics,
        namespace=_NAMESPACE,
        stop=interruption,
    )
    with accuracy_from(arguments, session.path, topics) as accuracy, frame_progress(2 * images) as progress:
        run_bag = _live if arguments.mode == "live" else _offline
        with interruption:
            bag = run_bag(session, arguments, progress, accuracy)
            if arguments.video and not interruption.requested:
                progress("writing the video")
                _write_video(session, bag, out / f"{session.name}.mp4")
    report = Report(
        title=f"stereo_dp_ros: {arguments.mode} replay of {arguments.bag.name}",
        created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        environment={**machine_facts(), **node_facts([bag])},
        bags=[bag],
    )
    write_json(report, out / "report.json")
    write_csv(report, out / "frames.csv")
    write_html(report, out / "report.html")
    exit_code = print_report(report, arguments.out)
    return _INTERRUPTED if bag.run.interrupted else exit_code


def _topics(source: BagReader, arguments: argparse.Namespace) -> StereoTopics:
    """The pair that was asked for, else the first."""
    pairs = find_stereo_topics(source)
    lefts = ", ".join(pair.left_image for pair in pairs)
    chosen = next((pair for pair in pairs if arguments.left in (None, pair.left_image)), None)
    if chosen is None:
        raise DataError(f"{source.path}: {arguments.left} is not the left of a pair, expected one of {lefts}")
    if arguments.left is None and len(pairs) > 1:
        print(f"{source.path} has several pairs ({lefts}): taking {chosen.left_image}", file=sys.stderr)
    return replace(chosen, rectified=True) if arguments.rectified else chosen


def _offline(session: Session, arguments: argparse.Namespace, progress: Progress, accuracy: Accuracy) -> BagReport:
    run = session.infer(estimator_from(arguments), progress)
    with BagReader(session.path) as source:
        count = count_offline(run, source, session.topics)
    return session.score(run, count, progress, accuracy)


def _live(session: Session, arguments: argparse.Namespace, progress: Progress, accuracy: Accuracy) -> BagReport:
    require_modules("rclpy")
    width, height = arguments.inference_size or (0, 0)
    parameters = {
        "model": arguments.model,
        "backend": arguments.backend,
        "precision": arguments.precision,
        "threads": arguments.threads or 0,
        "inference_width": width,
        "inference_height": height,
    }
    log_folder = session.recorded_path.parent / "log"
    ros = (log_folder, parameters, ros_domain_id(), ros_environment(), progress)
    run = session.play(*ros, rate=arguments.rate)
    bag = session.score(run, count_pairs(run), progress, accuracy)
    if not arguments.find_rate or session.stop():
        return bag
    return replace(bag, results={**bag.results, "highest_rate": session.find_highest_rate(*ros).to_dict()})


def _write_video(session: Session, bag: BagReport, path: Path) -> None:
    gallery = bag.evaluation.gallery
    with BagReader(session.path) as source, BagReader(session.recorded_path) as recorded:
        write_video(
            source,
            recorded,
            session.topics,
            session.namespace,
            path,
            rate_hz=bag.rate_hz or _STILL_RATE_HZ,
            range_px=disparity_range_px(gallery.samples),
            stop=session.stop,
        )
