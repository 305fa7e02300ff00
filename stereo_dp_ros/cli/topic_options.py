"""Options of `stereo-dp replay` that say which topics make a pair."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from stereo_dp_ros.cli.options import positive_float
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.stereo_topics import StereoTopics, find_stereo_topics, named_stereo_topics

__all__ = ["add_topic_options", "stereo_topics_from"]


def add_topic_options(parser: argparse.ArgumentParser) -> None:
    """Add --left, --right, --left-info, --right-info, --all-pairs, --rectified and --sync-tolerance-ms."""
    parser.add_argument("--left", metavar="TOPIC", help="left images, where the bag has several pairs")
    parser.add_argument("--right", metavar="TOPIC", help="right images, where names do not tell what pairs with --left")
    parser.add_argument("--left-info", metavar="TOPIC", help="with --right (default: camera_info beside the images)")
    parser.add_argument("--right-info", metavar="TOPIC", help="as --left-info")
    parser.add_argument("--all-pairs", action="store_true", help="replay every stereo pair of the bag, one by one")
    parser.add_argument("--rectified", action="store_true", help="the images are, though their topic does not say so")
    parser.add_argument(
        "--sync-tolerance-ms",
        type=positive_float,
        metavar="MS",
        help="pair images whose stamps differ by less (default: equal stamps only)",
    )


def stereo_topics_from(arguments: argparse.Namespace, source: BagReader) -> list[StereoTopics]:
    """The pairs to replay: those that were asked for, else the first that is found.

    Raises
    ------
    DataError
        The options contradict each other, or the bag has no such pair.
    """
    tolerance_ms: float | None = arguments.sync_tolerance_ms
    return [
        replace(
            pair,
            rectified=True if arguments.rectified else None,
            sync_tolerance_ns=None if tolerance_ms is None else round(tolerance_ms * 1e6),
        )
        for pair in _chosen(arguments, source)
    ]


def _chosen(arguments: argparse.Namespace, source: BagReader) -> list[StereoTopics]:
    infos = (arguments.left_info, arguments.right_info)
    if arguments.all_pairs and arguments.left is not None:
        raise DataError("--all-pairs and --left are given, expected one of them")
    if arguments.right is not None:
        if arguments.left is None:
            raise DataError("--right is given without --left, expected both")
        return [named_stereo_topics(source, arguments.left, arguments.right, *infos)]
    if infos != (None, None):
        raise DataError("--left-info or --right-info is given without --right, expected --left and --right with it")
    pairs = find_stereo_topics(source)
    if arguments.all_pairs:
        return pairs
    lefts = ", ".join(pair.left_image for pair in pairs)
    chosen = [pair for pair in pairs if arguments.left in (None, pair.left_image)]
    if not chosen:
        raise DataError(
            f"{source.path}: {arguments.left} is not the left of a pair that names tell, expected one of {lefts}, or "
            "--right with it"
        )
    if arguments.left is None and len(pairs) > 1:
        print(
            f"{source.path} has several pairs ({lefts}): taking {chosen[0].left_image} (--all-pairs takes all)",
            file=sys.stderr,
        )
    return chosen[:1]
