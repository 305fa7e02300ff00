"""`make soak`: hours in minutes for the node, with the default model, over DDS between processes.

A stream at 30 Hz with every output subscribed, ended by SIGINT, and a short one ended by SIGTERM; lifecycle cycles; a
camera that restarts. Prints what it measures, then each check; exit code 1 if one failed. Times and memory are asserted
here, not in `make test`, for they are this machine's.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import LoggingSeverity, set_logger_level
from ros_rig import Rig
from ros_scene import PlaneScene

from stereo_dp_ros.cli.machine import machine_facts
from stereo_dp_ros.cli.reporting import ros_domain_id, ros_environment
from stereo_dp_ros.core.timing import textured_pair
from stereo_dp_ros.replay.counts import count_pairs
from stereo_dp_ros.replay.live import run_live
from stereo_dp_ros.replay.looped_pairs import LoopedPairs
from stereo_dp_ros.replay.node_process import NodeProcess, node_command
from stereo_dp_ros.replay.node_timing import ALL_OUTPUTS
from stereo_dp_ros.replay.stereo_topics import StereoTopics
from stereo_dp_ros.ros.node import create_estimator

NAMESPACE = "/soak"
TOPICS = StereoTopics(
    *(f"{NAMESPACE}/{side}/{name}" for name in ("image_rect", "camera_info") for side in ("left", "right"))
)
SCENE = PlaneScene(width_px=640, height_px=480, fx_px=500.0, cx_left_px=320.0, cx_right_px=320.0, depth_m=5.0)
IMAGES = ("left/image_rect", "right/image_rect")

GROWTH_LIMIT_MB = 5.0
STOP_LIMIT_S = 2.0
WARMUP_S = 60.0  # the second look at the rectification, after 30 s, takes memory too
THROTTLE_S = 10.0
ANSWER_TIMEOUT_S = 30.0  # the first pair waits for the network to be compiled, which takes long on a busy machine
THREAD_END_S = 2.0
PAIR_EVERY = 5  # cycles

_LOG_LINE = re.compile(r"\[(?:WARN|ERROR)\] \[(\d+\.\d+)\] \[[^\]]*\]: ([^\x1b\n]*)")
_MORE = re.compile(r" \(\d+ more since the last line\)$")


@dataclass(frozen=True)
class Sample:
    """What a process had taken at a time."""

    at_s: float
    memory_mb: float
    threads: int


@dataclass(frozen=True)
class Check:
    """Something that must hold, and what was seen."""

    name: str
    passed: bool
    detail: str


def growth_mb(samples: list[Sample], warmup_s: float) -> float:
    """Return how much the median of the last tenth is above that of the first tenth after the warm-up."""
    warm = [sample for sample in samples if sample.at_s >= warmup_s]
    tenth = max(1, len(warm) // 10)
    first, last = (statistics.median(s.memory_mb for s in part) for part in (warm[:tenth], warm[-tenth:]))
    return last - first


def unthrottled(log: str, period_s: float = THROTTLE_S) -> list[str]:
    """Return the warnings and errors of a node's log that repeat sooner than `period_s`, but for their numbers."""
    last_s: dict[str, float] = {}
    repeated = []
    for stamp, text in _LOG_LINE.findall(log):
        kind = re.sub(r"\d+", "#", _MORE.sub("", text))
        if float(stamp) - last_s.get(kind, float("-inf")) < period_s - 0.5:
            repeated.append(text)
        last_s[kind] = float(stamp)
    return repeated


def stream(seconds: float, rate_hz: float, stop_signal: signal.Signals, folder: Path) -> list[Check]:
    """Feed a node of its own for so long, watch it, and end it by this signal while it still has work."""
    left, right = textured_pair((SCENE.width_px, SCENE.height_px))
    source = LoopedPairs.of_images(left, right, SCENE.calibration, TOPICS, rate_hz, max(2, round(seconds * rate_hz)))
    variables = {"ROS_LOG_DIR": str(folder / "ros"), **ros_environment()}
    domain_id = ros_domain_id()
    environment = {**os.environ, **variables, "ROS_DOMAIN_ID": str(domain_id)}
    samples: list[Sample] = []
    begin_s = time.monotonic()
    with NodeProcess(node_command(NAMESPACE, {}), environment, folder / f"{stop_signal.name}.log", stop_signal) as node:

        def watch(played: int) -> None:
            at_s = played / rate_hz
            if samples and at_s < samples[-1].at_s + 1.0:
                return
            memory_mb, threads = node.memory_mb(), node.thread_count()
            if memory_mb is not None and threads is not None:
                samples.append(Sample(at_s, memory_mb, threads))
                if len(samples) % 10 == 1:
                    print(f"{at_s:7.0f} s {memory_mb:8.1f} MB {threads:4} threads", flush=True)

        run = run_live(
            source,
            TOPICS,
            None,
            node,
            namespace=NAMESPACE,
            domain_id=domain_id,
            outputs=ALL_OUTPUTS,
            environment=variables,
            on_progress=watch,
        )
    count = count_pairs(run).check()
    log = node.log_path.read_text(errors="replace")
    repeated = unthrottled(log)
    warmup_s = min(WARMUP_S, 2 * seconds / 3)
    threads = {sample.threads for sample in samples if sample.at_s >= warmup_s}
    assert node.stop_s is not None
    name = f"{stop_signal.name} after {time.monotonic() - begin_s:.0f} s"
    checks = [
        Check(f"{name}: the count of pairs closes", count.passed, count.detail),
        Check(f"{name}: exit code 0", run.exit_code == 0, f"exit code {run.exit_code}"),
        Check(f"{name}: ends in time", node.stop_s < STOP_LIMIT_S, f"{node.stop_s:.2f} s, limit {STOP_LIMIT_S} s"),
        Check(f"{name}: no traceback", "Traceback" not in log, "log"),
        Check(f"{name}: warnings are throttled", not repeated, repeated[0] if repeated else "none repeats sooner"),
    ]
    if seconds >= WARMUP_S:
        grown_mb = growth_mb(samples, warmup_s)
        checks += [
            Check(f"{name}: memory", grown_mb < GROWTH_LIMIT_MB, f"{grown_mb:+.1f} MB, limit {GROWTH_LIMIT_MB} MB"),
            Check(f"{name}: threads", len(threads) == 1, f"{sorted(threads)} after {warmup_s:.0f} s"),
        ]
    return checks


def own(at_s: float = 0.0) -> Sample:
    """What this process has taken, without shared memory."""
    status = Path("/proc/self/status").read_text()
    values = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if len(line.split()) > 1}
    return Sample(at_s, (int(values["VmRSS"]) - int(values["RssShmem"])) * 1024 / 1e6, int(values["Threads"]))


def cycles(count: int) -> list[Check]:
    """Take a node with the default model through all its states so often; now and then a pair must be answered."""
    samples = []
    before = set(threading.enumerate())
    failed = unanswered = 0
    with quiet_rig() as rig:
        node = rig.start(factory=create_estimator)
        rig.connect(scene=SCENE)
        turn = (node.trigger_deactivate, node.trigger_cleanup, node.trigger_configure, node.trigger_activate)
        for index in range(count):
            failed += sum(trigger() != TransitionCallbackReturn.SUCCESS for trigger in turn)
            rig.spin()
            if index % PAIR_EVERY == PAIR_EVERY - 1:
                unanswered += not answered(rig)
            samples.append(own(index + 1))
    return [
        Check(f"{count} cycles: each transition", failed == 0, f"{failed} failed"),
        Check(f"{count} cycles: the subscriptions work", unanswered == 0, f"{unanswered} pairs without an answer"),
        *_leaks(f"{count} cycles", samples),
        _no_thread(f"{count} cycles", before),
    ]


def restarts(count: int) -> list[Check]:
    """Have the camera's publishers go and come so often; the first pair after each must be answered."""
    samples = []
    before = set(threading.enumerate())
    with quiet_rig() as rig:
        node = rig.start(factory=create_estimator)
        rig.connect(scene=SCENE)
        warm = answered(rig)
        for index in range(count):
            rig.received["disparity"].clear()
            rig.publish_scene(SCENE)
            rig.last("disparity")
            rig.unadvertise(*IMAGES)
            rig.advertise(IMAGES)
            samples.append(own(index + 1))
        subscriptions = len(list(node.subscriptions))
    return [
        Check(f"{count} restarts: a pair before the first", warm, "answered" if warm else "no answer"),
        Check(f"{count} restarts: subscriptions", subscriptions == 4, f"{subscriptions}, expected 4"),
        *_leaks(f"{count} restarts", samples),
        _no_thread(f"{count} restarts", before),
    ]


@contextmanager
def quiet_rig() -> Iterator[Rig]:
    """A rig whose node logs warnings only."""
    rig = Rig(ros_domain_id())
    set_logger_level("stereo_node", LoggingSeverity.WARN)
    try:
        yield rig
    finally:
        rig.close()
        set_logger_level("stereo_node", LoggingSeverity.UNSET)


def answered(rig: Rig) -> bool:
    """Publish camera_info and pairs until one is answered; the middleware takes a moment to match what is new."""
    rig.received["disparity"].clear()
    end_s = time.monotonic() + ANSWER_TIMEOUT_S
    while not rig.received["disparity"] and time.monotonic() < end_s:
        rig.publish_infos(SCENE)
        rig.publish_scene(SCENE)
        rig.pause(0.2)
    return bool(rig.received["disparity"])


def _leaks(name: str, samples: list[Sample]) -> list[Check]:
    if len(samples) < 40:
        return []
    grown_mb = growth_mb(samples, samples[-1].at_s / 4)
    counted = samples[len(samples) // 4 :]
    half = len(counted) // 2
    # The most of each half: a model's helper thread lives from its first pair to its cleanup, so not in every turn.
    early, late = (max(sample.threads for sample in part) for part in (counted[:half], counted[half:]))
    return [
        Check(f"{name}: memory", grown_mb < GROWTH_LIMIT_MB, f"{grown_mb:+.1f} MB, limit {GROWTH_LIMIT_MB} MB"),
        Check(f"{name}: threads", late <= early, f"at most {early} before, {late} after"),
    ]


def _no_thread(name: str, before: set[threading.Thread]) -> Check:
    """Look for threads of the node in this process, once it is closed: those that were not there before.

    A helper thread is told to end when the last reference to its executor goes, and nobody waits for it.
    """
    end_s = time.monotonic() + THREAD_END_S
    while (left := set(threading.enumerate()) - before) and time.monotonic() < end_s:
        time.sleep(0.01)
    return Check(f"{name}: no thread is left", not left, ", ".join(thread.name for thread in left) or "none")


def main() -> int:
    """Run all parts; 1 if a check failed."""
    parser = argparse.ArgumentParser(description="Soak test of stereo_node.")
    parser.add_argument("--seconds", type=float, default=600.0, help="of the stream (default: %(default)s)")
    parser.add_argument("--rate-hz", type=float, default=30.0, help="of the stream (default: %(default)s)")
    parser.add_argument("--cycles", type=int, default=200, help="lifecycle cycles (default: %(default)s)")
    parser.add_argument("--restarts", type=int, default=50, help="of the camera (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ.update(ros_environment())
    print(machine_facts()["machine"])
    with tempfile.TemporaryDirectory(prefix="stereo-dp-soak-") as name:
        folder = Path(name)
        checks = stream(arguments.seconds, arguments.rate_hz, signal.SIGINT, folder)
        checks += stream(min(10.0, arguments.seconds), arguments.rate_hz, signal.SIGTERM, folder)
    checks += cycles(arguments.cycles)
    checks += restarts(arguments.restarts)
    for check in checks:
        print(f"{'ok    ' if check.passed else 'FAILED'} {check.name}: {check.detail}")
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
