"""The demo: writes its bags, plays them through a node, scores what comes back, and reports."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.counts import count_pairs
from stereo_dp_ros.replay.demo_bags import NAMESPACE, TOPICS, DemoBag
from stereo_dp_ros.replay.page import write_html
from stereo_dp_ros.replay.report import BagReport, Report, node_facts, write_json
from stereo_dp_ros.replay.session import NodeSetup, Progress, Session

__all__ = ["run_demo"]

_NEEDED_BYTES = 3_000_000_000
_BAD_2_LIMIT_PERCENT = 50.0  # any matcher stays far below; swapped or shifted images do not


def run_demo(
    out: Path,
    bags: Sequence[DemoBag],
    *,
    parameters: Mapping[str, object],
    domain_id: int,
    facts: Mapping[str, str],
    environment: Mapping[str, str],
    progress: Progress,
) -> Report:
    """Run the demo and leave report.html, report.json, bags and logs in `out`.

    Parameters
    ----------
    parameters : of the node
    domain_id : ROS domain to keep to
    facts : what the report says about the machine, label → value
    environment : variables for the processes that use ROS, such as a DDS profile

    Raises
    ------
    StereoDpError
        Something cannot be written, or the node does not work.
    """
    log_folder, bag_folder = _folders(out)
    reports: list[BagReport] = []
    for bag in bags:
        path, recorded_path = bag_folder / bag.name, bag_folder / f"{bag.name}_out"
        progress(f"drawing {bag.name}")
        bag.write(path, lambda name=bag.name: progress(f"drawing {name}", 1))  # type: ignore[misc]
        progress(f"starting the node for {bag.name}")
        session = Session(
            name=bag.name,
            title=bag.title,
            description=bag.description,
            path=path,
            recorded_path=recorded_path,
            topics=TOPICS,
            namespace=NAMESPACE,
            pictured=bag.pictured,
            bad_2_limit_percent=_BAD_2_LIMIT_PERCENT,
        )
        run = session.play(NodeSetup(log_folder, parameters, domain_id, environment), progress)
        reports.append(session.score(run, count_pairs(run), progress))
    report = Report(
        title="stereo_dp_ros: what the node made of two bags",
        created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        environment={**facts, **node_facts(reports)},
        bags=reports,
    )
    progress("writing the report")
    write_json(report, out / "report.json")
    write_html(report, out / "report.html")
    return report


def _folders(out: Path) -> tuple[Path, Path]:
    """Folders for logs and for bags, made where they are not there and there is room."""
    log_folder, bag_folder = out / "log", out / "bags"
    try:
        for folder in (log_folder, bag_folder):
            folder.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(out).free
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}), expected a folder for the demo") from error
    if free_bytes < _NEEDED_BYTES:
        raise DataError(f"{out}: {free_bytes / 1e9:.1f} GB are free, expected {_NEEDED_BYTES / 1e9:.0f} GB for bags")
    return log_folder, bag_folder
