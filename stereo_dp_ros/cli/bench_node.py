"""`stereo-dp bench --node`: what the node adds to the bare estimator, both timed in one run."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from stereo_dp_ros.backends import load_estimator
from stereo_dp_ros.cli.machine import machine_facts
from stereo_dp_ros.cli.reporting import frame_progress, require_modules, ros_domain_id, ros_environment
from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.memory import keep_freed_memory
from stereo_dp_ros.replay.machine_load import MachineLoad
from stereo_dp_ros.replay.node_timing import Goal, NodeTimer, goals, node_trials

__all__ = ["run"]

_LARGE_PX = (1280, 720)


def run(arguments: argparse.Namespace) -> int:
    """Run the trials; 0 whether or not the goals are met, for they are of a quiet machine with 2 cores.

    Raises
    ------
    StereoDpError
        rclpy is missing, more than one model is named, or the node does not work.
    """
    require_modules("rclpy")
    models = arguments.model or ["default"]
    if len(models) > 1:
        raise DataError(f"--model is {', '.join(models)}, expected one with --node")
    keep_freed_memory()  # as the node does, for the estimator alone
    estimator = load_estimator(models[0], threads=arguments.threads)
    backend = estimator.backend
    parameters = {
        "model": models[0],
        "backend": backend.name,
        "precision": backend.precision,
        "threads": arguments.threads,
    }
    trials = node_trials(arguments.size, _LARGE_PX)
    with tempfile.TemporaryDirectory(prefix="stereo-dp-bench-") as folder, frame_progress(0) as progress:
        timer = NodeTimer(estimator, parameters, arguments.seconds, Path(folder), ros_domain_id(), ros_environment())
        load = MachineLoad()
        rows = []
        for trial in trials:
            timer.on_pair = lambda name=trial.name: progress(name, 1)  # type: ignore[misc]
            rows.append(timer.run(trial))
    report = {
        "machine": machine_facts()["machine"],
        "threads": arguments.threads,
        "model": estimator.model.name,
        "backend": backend.name,
        "precision": backend.precision,
        "others_percent": load.others_percent(),
        "rows": rows,
        "goals": [_goal_row(goal) for goal in goals(rows)],
    }
    if arguments.json:
        print(json.dumps(report, indent=1))
    else:
        _print_table(report)
    return 0


def _goal_row(goal: Goal) -> dict[str, Any]:
    return {
        "goal": goal.name,
        "value": goal.value,
        "limit": goal.limit,
        "at_least": goal.at_least,
        "unit": goal.unit,
        "met": goal.met,
    }


def _print_table(report: dict[str, Any]) -> None:
    print(f"{report['machine']}, {report['threads']} threads")
    print(f"{report['model']} on {report['backend']} {report['precision']}, the node beside the estimator alone")
    if report["others_percent"] is not None:
        print(f"other processes took {report['others_percent']:.0f} % of the machine meanwhile")
    print()
    print(
        f"{'trial':18}{'size':>10}{'in Hz':>8}{'out Hz':>8}{'alone Hz':>10}{'ratio':>7}{'inference ms':>14}"
        f"{'latency p50':>13}{'max':>8}{'out':>6}{'dropped':>9}{'steady':>9}"
    )
    for row in report["rows"]:
        print(
            f"{row['trial']:18}{row['size']:>10}{row['input_hz']:8.1f}{row['output_hz']:8.1f}{row['estimator_hz']:10.1f}"
            f"{row['rate_ratio']:7.2f}{row['inference_p50_ms']:14.1f}{row['latency_p50_ms']:13.1f}"
            f"{row['latency_max_ms']:8.1f}{row['pairs_published']:6}{sum(row['pairs_dropped'].values()):9}"
            f"{row['steady_rounds']:4} of {row['rounds']}"
        )
    print()
    for goal in report["goals"]:
        bound = "at least" if goal["at_least"] else "at most"
        value, limit = (f"{goal[key]:.2f} {goal['unit']}".strip() for key in ("value", "limit"))
        print(f"{goal['goal']:50}{value:>12}  {bound} {limit:12}{'met' if goal['met'] else 'NOT MET'}")
