"""A stereo_node in a process of its own: started, watched, and ended politely."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

from stereo_dp_ros.core.errors import StereoDpError

__all__ = ["NodeProcess", "node_command"]

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
