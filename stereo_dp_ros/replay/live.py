"""Plays pairs through a running node and records what it publishes: three processes, watched from a fourth."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from stereo_dp_ros.core.errors import StereoDpError
from stereo_dp_ros.replay.bag import StereoTopics
from stereo_dp_ros.replay.looped_pairs import LoopedPairs
from stereo_dp_ros.replay.messages import DIAGNOSTICS, DISPARITY
from stereo_dp_ros.replay.repeated_pair import RepeatedPair
from stereo_dp_ros.replay.runs import OUTPUTS, Run

__all__ = ["NodeProcess", "node_command", "run_live"]

_DIAGNOSTICS_TOPIC = "/diagnostics"
_ERROR = 2  # diagnostic_msgs/DiagnosticStatus.ERROR
_START_TIMEOUT_S = 120.0
_SILENCE_TIMEOUT_S = 8.0  # after the last pair was played: the node's last outputs and its next diagnostics
_STOP_TIMEOUT_S = 5.0


def node_command(
    namespace: str, parameters: Mapping[str, object], remappings: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """The command that starts `stereo_node` in a namespace such as ``/stereo``, with names remapped to others."""
    command = [sys.executable, "-m", "stereo_dp_ros.ros.main", "--ros-args", "-r", f"__ns:={namespace}"]
    for name, other in remappings.items():
        command += ["-r", f"{name}:={other}"]
    for name, value in parameters.items():
        command += ["-p", f"{name}:={value}"]
    return command


class NodeProcess:
    """A node in a process of its own; leaving the context ends it, politely first.

    Parameters
    ----------
    log_path : where its output goes
    stop_signal : what it is asked to end with

    Attributes
    ----------
    exit_code, stop_s : once it has ended, how, and how long after it was asked to
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path,
        stop_signal: signal.Signals = signal.SIGINT,
    ) -> None:
        self.log_path = log_path
        self.exit_code: int | None = None
        self.stop_s: float | None = None
        self._stop_signal = stop_signal
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=dict(environment), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def require_alive(self) -> None:
        """Raise StereoDpError, with the last line of its log, if the node has ended."""
        if self._process.poll() is not None:
            lines = self.log_path.read_text(errors="replace").strip().splitlines()
            last = lines[-1] if lines else "no output"
            raise StereoDpError(f"stereo_node ended with exit code {self._process.returncode}: {last}")

    def stop(self) -> int:
        """End the node, by `stop_signal` first, then by stronger ones; returns its exit code."""
        begin_s = time.monotonic()
        for number in (self._stop_signal, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            self._process.send_signal(number)
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                continue
        if self.exit_code is None:
            self.exit_code = self._process.wait()
            self.stop_s = time.monotonic() - begin_s
        return self.exit_code

    def cpu_s(self) -> float | None:
        """Processor time so far; None where /proc does not tell."""
        try:
            text = Path(f"/proc/{self._process.pid}/stat").read_text()
        except OSError:
            return None
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def peak_memory_mb(self) -> float | None:
        """Peak resident memory so far, in MB (10⁶ bytes); None where /proc does not tell."""
        peak_kib = self._status("VmHWM")
        return None if peak_kib is None else peak_kib * 1024 / 1e6

    def memory_mb(self) -> float | None:
        """Resident memory now, in MB (10⁶ bytes), without what is shared; None where /proc does not tell.

        Fast DDS' shared memory has a fixed size, but its pages become resident only as they are first used.
        """
        resident_kib, shared_kib = self._status("VmRSS"), self._status("RssShmem")
        return None if resident_kib is None else (resident_kib - (shared_kib or 0)) * 1024 / 1e6

    def thread_count(self) -> int | None:
        """Threads of the process, native ones too; None where /proc does not tell."""
        return self._status("Threads")

    def _status(self, key: str) -> int | None:
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), None)


def run_live(
    source: Path | RepeatedPair | LoopedPairs,
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
        The node ended, or does not publish or subscribe; a bag cannot be read or written.
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
    played = 0
    deadline_s: float | None = None
    begin_s, begin_cpu_s = time.monotonic(), node.cpu_s()
    while deadline_s is None or time.monotonic() < deadline_s:
        node.require_alive()
        if stop() and not run.interrupted:
            run.interrupted = True
            player.pipe.send("stop")
        for pipe in wait([player.pipe, recorder.pipe], 0.1):
            kind, value = (player if pipe is player.pipe else recorder).receive()
            if kind == "published":
                played += 1
                on_progress(played)
            elif kind == "done":
                run.published_ns = value
                run.cpu_percent = _percent(begin_cpu_s, node.cpu_s(), time.monotonic() - begin_s)
                deadline_s = time.monotonic() + _SILENCE_TIMEOUT_S
            else:
                _take(run, kind, value)
        if deadline_s is not None and _is_settled(run):
            return


def _percent(begin_cpu_s: float | None, end_cpu_s: float | None, duration_s: float) -> float | None:
    return None if begin_cpu_s is None or end_cpu_s is None else 100.0 * (end_cpu_s - begin_cpu_s) / duration_s


def _take(run: Run, kind: str, value: Any) -> None:
    """Take an event of the recorder."""
    if kind == "diagnostics":
        run.diagnostics = value
    elif kind == "received":
        msgtype, stamp, received_ns = value
        run.completed_ns[stamp] = received_ns
        if msgtype == DISPARITY:
            run.repeated += stamp in run.received_ns
            run.received_ns.setdefault(stamp, received_ns)


def _is_settled(run: Run) -> bool:
    """Whether the node has told of every pair, and all that it published has come."""
    values = run.diagnostics
    received = [int(values.get(f"{side} received", 0)) for side in ("left", "right")]
    return (
        min(received) >= len(run.published_ns)
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
