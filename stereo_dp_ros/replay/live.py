"""Plays pairs through a running node and records what it publishes: three processes, watched from a fourth."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.core.memory import keep_freed_memory
from stereo_dp_ros.replay.looped_pairs import LoopedPairs
from stereo_dp_ros.replay.messages import DIAGNOSTICS, DISPARITY
from stereo_dp_ros.replay.node_process import NodeProcess
from stereo_dp_ros.replay.runs import OUTPUTS, Run
from stereo_dp_ros.replay.stereo_topics import StereoTopics

__all__ = ["run_live"]

_DIAGNOSTICS_TOPIC = "/diagnostics"
_ERROR = 2  # diagnostic_msgs/DiagnosticStatus.ERROR
_START_TIMEOUT_S = 120.0
_SILENCE_TIMEOUT_S = 8.0  # after the last pair was played, or the last output since: another, or the node's count
_STOP_TIMEOUT_S = 5.0


def run_live(
    source: Path | LoopedPairs,
    topics: StereoTopics,
    recorded_path: Path | None,
    node: NodeProcess,
    *,
    namespace: str,
    domain_id: int,
    outputs: Mapping[str, str] = OUTPUTS,
    environment: Mapping[str, str] = MappingProxyType({}),
    rate: float = 1.0,
    on_progress: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Run:
    """Play pairs to a node that is starting or running, record its outputs, and wait until its count is told.

    After the first pair the bag's clock stands still until the node has answered it or told why not, 10 s at most.

    Parameters
    ----------
    source : a bag's path, or pairs that are published again and again
    recorded_path : bag to write, None to receive the outputs and let them go
    namespace : of the node, such as ``/stereo``
    outputs : names in there → types, to subscribe to; `disparity` must be among them
    environment : variables to set for the player and the recorder, such as a DDS profile
    rate : 1 is the bag's own speed
    on_progress : called with the number of pairs played
    stop : asked again and again; once it holds the player ends, and the run is of what was played until then

    Raises
    ------
    StereoDpError
        The node ended, or does not publish or subscribe; a bag cannot be read or written. What is wrong with the bag
        after pairs of it were played is the run's `error` instead.
    """
    recorded = {f"{namespace}/{name}": msgtype for name, msgtype in outputs.items()}
    run = Run()
    with (
        _Child(
            "record", environment, recorded_path, {**recorded, _DIAGNOSTICS_TOPIC: DIAGNOSTICS}, domain_id
        ) as recorder,
        _Child("play", environment, source, topics, rate, domain_id) as player,
    ):
        _wait_ready(recorder, node, f"does not publish {', '.join(recorded)}")
        _wait_ready(player, node, f"does not subscribe to {', '.join(topics.inputs)}")
        player.pipe.send("start")
        _watch(run, player, recorder, node, on_progress, stop)
        run.memory_mb = node.peak_memory_mb()
        recorder.pipe.send("stop")
        run.counts = _await_counts(run, recorder)
    run.exit_code = node.stop()
    return run


class _Child:
    """One of dds.py's functions in a process of its own, at the other end of a pipe."""

    def __init__(self, name: str, environment: Mapping[str, str], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_child, args=(name, dict(environment), theirs, *arguments), name=name, daemon=True
        )
        self.process.start()
        theirs.close()

    def __enter__(self) -> _Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pipe.close()  # which ends the child
        self.process.join(_STOP_TIMEOUT_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def receive(self) -> tuple[str, Any]:
        """The next event; raises the child's error."""
        try:
            kind, value = self.pipe.recv()
        except EOFError:
            raise StereoDpError(f"the process that should {self.process.name} ended unexpectedly") from None
        if kind == "error":
            raise StereoDpError(value)
        return kind, value


def _child(name: str, environment: Mapping[str, str], pipe: Connection, *arguments: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent then closes the pipe
    os.environ.update(environment)  # before the middleware is loaded
    keep_freed_memory()  # else fetching it for each message takes time from the node that is measured
    from stereo_dp_ros.replay import dds  # only here, for it needs rclpy

    run: Callable[..., None] = dds.play if name == "play" else dds.record
    run(pipe, *arguments)


def _wait_ready(child: _Child, node: NodeProcess, complaint: str) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        node.require_alive()
        if child.pipe.poll(0.1):
            kind, value = child.receive()
            if kind == "ready":
                return
            if kind == "diagnostics" and value["level"] >= _ERROR and value.get("state") == "unconfigured":
                raise StereoDpError(f"stereo_node: {value['message']}")
    raise StereoDpError(f"stereo_node {complaint} after {_START_TIMEOUT_S:.0f} s, see {node.log_path}")


def _watch(
    run: Run,
    player: _Child,
    recorder: _Child,
    node: NodeProcess,
    on_progress: Callable[[int], None],
    stop: Callable[[], bool],
) -> None:
    """Take events until the bag is played and the node's count of it is in, or nothing comes any more."""
    deadline_s: float | None = None
    is_warm = False
    begin_s, begin_cpu_s = time.monotonic(), node.cpu_s()
    while deadline_s is None or time.monotonic() < deadline_s:
        node.require_alive()
        if stop() and not run.interrupted:
            run.interrupted = True
            player.pipe.send("stop")
        # a player that told its error closes its pipe, which must not be taken for another error
        for pipe in wait([recorder.pipe] if deadline_s else [player.pipe, recorder.pipe], 0.1):
            kind, value = _receive(run, player) if pipe is player.pipe else recorder.receive()
            if kind == "published":
                stamp, published_ns = value
                if stamp not in run.received_ns:  # else an answer would be older than its question
                    run.published_ns[stamp] = published_ns
                on_progress(len(run.published_ns))
            elif kind == "images":
                run.images = value
            elif kind == "done":
                run.cpu_percent = _percent(begin_cpu_s, node.cpu_s(), time.monotonic() - begin_s)
                deadline_s = time.monotonic() + _SILENCE_TIMEOUT_S
            else:
                _take(run, kind, value)
                if deadline_s is not None and kind == "received":
                    deadline_s = time.monotonic() + _SILENCE_TIMEOUT_S
        if not is_warm and (run.received_ns or run.diagnostics.get("pairs dropped", "0") != "0"):
            is_warm = True
            with suppress(BrokenPipeError):  # it ended meanwhile, and told why
                player.pipe.send("go on")
        if deadline_s is not None and _is_settled(run):
            return


def _receive(run: Run, player: _Child) -> tuple[str, Any]:
    """The player's next event; an error after pairs were played ends the playing and is kept."""
    try:
        return player.receive()
    except StereoDpError as error:
        if not run.published_ns:
            raise
        run.error = str(error)
        return "done", None


def _percent(begin_cpu_s: float | None, end_cpu_s: float | None, duration_s: float) -> float | None:
    return None if begin_cpu_s is None or end_cpu_s is None else 100.0 * (end_cpu_s - begin_cpu_s) / duration_s


def _take(run: Run, kind: str, value: Any) -> None:
    """Take an event of the recorder."""
    if kind == "diagnostics":
        run.diagnostics = value
    elif kind == "received":
        for msgtype, stamp, received_ns in value:
            run.completed_ns[stamp] = received_ns
            if msgtype == DISPARITY:
                run.repeated += stamp in run.received_ns
                run.received_ns.setdefault(stamp, received_ns)


def _is_settled(run: Run) -> bool:
    """Whether the node has told of every pair, and all that it published has come."""
    values = run.diagnostics
    received = [int(values.get(f"{side} received", 0)) for side in ("left", "right")]
    return (
        all(came >= played for came, played in zip(received, run.played, strict=True))
        and values.get("pairs in flight") == "0"
        and int(values.get("pairs published", 0)) <= len(run.received_ns) + run.repeated
    )


def _await_counts(run: Run, recorder: _Child) -> dict[str, int]:
    while True:
        kind, value = recorder.receive()
        if kind == "done":
            counts: dict[str, int] = value
            return counts
        _take(run, kind, value)
