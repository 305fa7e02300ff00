"""`stereo-dp replay`: run a model over a bag, or the bag through a node, and report."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from stereo_dp_ros.cli.accuracy_options import accuracy_from, add_accuracy_options
from stereo_dp_ros.cli.machine import machine_facts
from stereo_dp_ros.cli.options import add_model_options, estimator_from, positive_float
from stereo_dp_ros.cli.reporting import (
    frame_progress,
    print_report,
    require_modules,
    ros_domain_id,
    ros_environment,
)
from stereo_dp_ros.cli.topic_options import add_topic_options, stereo_topics_from
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.accuracy import Accuracy
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.counts import count_pairs
from stereo_dp_ros.replay.interrupts import Interruption
from stereo_dp_ros.replay.offline import count_offline
from stereo_dp_ros.replay.page import write_html
from stereo_dp_ros.replay.page_frames import disparity_range_px
from stereo_dp_ros.replay.report import BagReport, Report, node_facts, write_json
from stereo_dp_ros.replay.session import NodeSetup, Progress, Session
from stereo_dp_ros.replay.stereo_topics import StereoTopics
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
    add_topic_options(parser)
    add_model_options(parser)
    add_accuracy_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; 1 if a check failed, 130 after Ctrl-C (the report is of what was done)."""
    if arguments.find_rate and arguments.mode != "live":
        raise DataError("--find-rate measures a node, expected --mode live with it")
    if arguments.rate != 1.0 and arguments.mode != "live":
        raise DataError(f"--rate {arguments.rate:g} is of playing to a node, expected --mode live with it")
    if arguments.bag.name in ("", ".."):  # the folder itself has the name that outputs are called by
        arguments.bag = arguments.bag.resolve()
    out: Path = arguments.out.resolve()
    with BagReader(arguments.bag) as source:
        pairs = stereo_topics_from(arguments, source)
        images = sum(source.counts[topics.left_image] for topics in pairs)
    try:
        (out / "log").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}), expected a folder for the report") from error
    with frame_progress(2 * images) as progress, Interruption() as interruption:
        for bags in _replayed(arguments, out, pairs, interruption, progress):
            report = _report(arguments, bags)
            write_json(report, out / "report.json")
            write_csv(report, out / "frames.csv")
            write_html(report, out / "report.html")
    exit_code = print_report(report, arguments.out)
    errors = [bag.run.error for bag in bags if bag.run.error is not None]
    if errors:
        raise DataError(errors[0])
    return _INTERRUPTED if interruption.requested else exit_code


def _replayed(
    arguments: argparse.Namespace,
    out: Path,
    pairs: Sequence[StereoTopics],
    interruption: Interruption,
    progress: Progress,
) -> Iterator[list[BagReport]]:
    """What there is to report, each time that there is more; what comes later cannot lose it any more."""
    bags: list[BagReport] = []
    for topics in pairs:
        session = _session(arguments, out, topics, interruption, single=len(pairs) == 1)
        with accuracy_from(arguments, session.path, topics) as accuracy:
            bags.append((_live if arguments.mode == "live" else _offline)(session, arguments, progress, accuracy))
        yield bags
        if arguments.find_rate and not interruption.requested:
            found = session.find_highest_rate(_setup(session, arguments), progress)
            bags[-1] = replace(bags[-1], results={**bags[-1].results, "highest_rate": found.to_dict()})
            yield bags
        if arguments.video and not interruption.requested:
            progress("writing the video")
            _write_video(session, bags[-1], out / f"{session.name}.mp4")
        if interruption.requested:
            return


def _session(
    arguments: argparse.Namespace, out: Path, topics: StereoTopics, interruption: Interruption, *, single: bool
) -> Session:
    bag: Path = arguments.bag
    name = bag.stem if single else f"{bag.stem}_{topics.left_image.strip('/').replace('/', '_')}"
    return Session(
        name=name,
        title=bag.name if single else f"{bag.name}: {topics.left_image}",
        description=f"Images of {topics.left_image} and {topics.right_image}.",
        path=bag.resolve(),
        recorded_path=out / f"{name}_out",
        topics=topics,
        namespace=_NAMESPACE,
        stop=interruption,
    )


def _report(arguments: argparse.Namespace, bags: Sequence[BagReport]) -> Report:
    return Report(
        title=f"stereo_dp_ros: {arguments.mode} replay of {arguments.bag.name}",
        created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        environment={**machine_facts(), **node_facts(bags)},
        bags=list(bags),
    )


def _offline(session: Session, arguments: argparse.Namespace, progress: Progress, accuracy: Accuracy) -> BagReport:
    run = session.infer(estimator_from(arguments), progress)
    with BagReader(session.path) as source:
        count = count_offline(run, source, session.topics)
    return session.score(run, count, progress, accuracy)


def _live(session: Session, arguments: argparse.Namespace, progress: Progress, accuracy: Accuracy) -> BagReport:
    require_modules("rclpy")
    run = session.play(_setup(session, arguments), progress, rate=arguments.rate)
    return session.score(run, count_pairs(run), progress, accuracy)


def _setup(session: Session, arguments: argparse.Namespace) -> NodeSetup:
    width, height = arguments.inference_size or (0, 0)
    parameters = {
        "model": arguments.model,
        "backend": arguments.backend,
        "precision": arguments.precision,
        "threads": arguments.threads or 0,
        "inference_width": width,
        "inference_height": height,
    }
    return NodeSetup(session.recorded_path.parent / "log", parameters, ros_domain_id(), ros_environment())


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
