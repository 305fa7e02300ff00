"""The demo: writes its bags, plays them through a node, scores what comes back, and reports."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.bag import BagReader
from stereo_dp_ros.replay.counts import count_pairs, latency
from stereo_dp_ros.replay.demo_bags import NAMESPACE, TOPICS, DemoBag
from stereo_dp_ros.replay.evaluation import evaluate
from stereo_dp_ros.replay.live import LiveRun, NodeProcess, node_command, run_live
from stereo_dp_ros.replay.page import write_html
from stereo_dp_ros.replay.report import BagReport, Report, write_json

__all__ = ["Progress", "run_demo"]

_NEEDED_BYTES = 3_000_000_000
_BAD_2_LIMIT_PERCENT = 50.0  # any matcher stays far below; swapped or shifted images do not


class Progress(Protocol):
    """Told what is being done, and after each frame of it."""

    def __call__(self, stage: str, frames: int = 0) -> None:
        """`frames` more frames of `stage` are done."""


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
    log_folder, bag_folder = out / "log", out / "bags"
    try:
        for folder in (log_folder, bag_folder):
            folder.mkdir(parents=True, exist_ok=True)
        free_bytes = shutil.disk_usage(out).free
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}), expected a folder for the demo") from error
    if free_bytes < _NEEDED_BYTES:
        raise DataError(f"{out}: {free_bytes / 1e9:.1f} GB are free, expected {_NEEDED_BYTES / 1e9:.0f} GB for bags")
    reports = []
    for bag in bags:
        path, recorded_path = bag_folder / bag.name, bag_folder / f"{bag.name}_out"
        progress(f"drawing {bag.name}")
        bag.write(path, lambda name=bag.name: progress(f"drawing {name}", 1))  # type: ignore[misc]
        progress(f"starting the node for {bag.name}")
        run = _play(bag, path, recorded_path, log_folder, parameters, domain_id, environment, progress)
        reports.append(_score(bag, path, recorded_path, run, progress))
    report = Report(
        title="stereo_dp_ros: what the node made of two bags",
        created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        environment={**facts, **_node_facts(reports)},
        bags=reports,
    )
    progress("writing the report")
    write_json(report, out / "report.json")
    write_html(report, out / "report.html")
    return report


def _play(
    bag: DemoBag,
    path: Path,
    recorded_path: Path,
    log_folder: Path,
    parameters: Mapping[str, object],
    domain_id: int,
    environment: Mapping[str, str],
    progress: Progress,
) -> LiveRun:
    stage = f"playing {bag.name}"
    variables = {"ROS_LOG_DIR": str(log_folder / "ros"), **environment}
    node_environment = {**os.environ, **variables, "ROS_DOMAIN_ID": str(domain_id)}
    command = node_command(NAMESPACE, parameters)
    with NodeProcess(command, node_environment, log_folder / f"{bag.name}.log") as node:
        return run_live(
            path,
            TOPICS,
            recorded_path,
            node,
            namespace=NAMESPACE,
            domain_id=domain_id,
            environment=variables,
            on_progress=lambda _: progress(stage, 1),
        )


def _score(bag: DemoBag, path: Path, recorded_path: Path, run: LiveRun, progress: Progress) -> BagReport:
    stage = f"scoring {bag.name}"
    progress(stage)
    with BagReader(path) as source, BagReader(recorded_path) as recorded:
        evaluation = evaluate(
            source, recorded, TOPICS, NAMESPACE, samples=bag.pictured, on_frame=lambda: progress(stage, 1)
        )
    progress(stage, bag.frame_count - len(evaluation.frames))  # those that the node dropped
    return BagReport(
        name=bag.name,
        title=bag.title,
        description=bag.description,
        path=path,
        recorded_path=recorded_path,
        rate_hz=bag.rate_hz,
        run=run,
        count=count_pairs(run),
        latency=latency(run),
        evaluation=evaluation,
        bad_2_limit_percent=_BAD_2_LIMIT_PERCENT,
    )


def _node_facts(reports: Sequence[BagReport]) -> dict[str, str]:
    values = reports[0].run.diagnostics if reports else {}
    return {key: str(values[key]) for key in ("model", "backend", "precision") if key in values}
