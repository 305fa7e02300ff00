"""What is wrong at the moment: one throttled log line per cause, and the list for diagnostics."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Fault", "FaultLog", "Severity"]

_FAULTS_KEPT = 64
_NUMBER = re.compile(r"\d+")
_Key = tuple[str, str]  # cause, and its line without numbers


class Severity(IntEnum):
    """As DiagnosticStatus counts levels."""

    WARN = 1
    ERROR = 2


@dataclass
class Fault:
    """A kind of trouble: its latest line, when it was seen last, and how often since it was logged."""

    severity: Severity
    line: str
    seen_ns: int
    lasting: bool
    unlogged: int = 0


class FaultLog:
    """Logs a fault when it appears and then at most every `period_s`; remembers it until its cause is resolved.

    Two lines of one cause are the same fault if they differ in nothing but numbers. Time is the steady clock, so that
    neither simulated time nor a looping bag changes it. Safe to call from several threads.

    Parameters
    ----------
    log : called with severity and line
    period_s : seconds between two lines of one cause
    clock_ns : steady clock, replaced in tests
    """

    def __init__(
        self,
        log: Callable[[Severity, str], object],
        period_s: float = 10.0,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._log = log
        self._period_ns = int(period_s * 1e9)
        self._clock_ns = clock_ns
        self._lock = threading.Lock()
        self._faults: dict[_Key, Fault] = {}
        self._logged_ns: dict[_Key, int] = {}  # of resolved faults too

    def report(self, cause: str, line: str, severity: Severity = Severity.ERROR, *, lasting: bool = False) -> None:
        """Say that `cause` is there now, described by one `line`; a `lasting` one stays until it is resolved."""
        now_ns = self._clock_ns()
        key = (cause, _NUMBER.sub("#", line))
        with self._lock:
            fault = self._faults.setdefault(key, Fault(severity, line, now_ns, lasting))
            fault.severity, fault.line, fault.seen_ns = severity, line, now_ns
            logged_ns = self._logged_ns.get(key)
            if logged_ns is not None and now_ns - logged_ns < self._period_ns:
                fault.unlogged += 1
                return
            text = f"{line} ({fault.unlogged} more since the last line)" if fault.unlogged else line
            fault.unlogged = 0
            self._logged_ns.pop(key, None)  # the oldest stays first
            self._logged_ns[key] = now_ns
            while len(self._logged_ns) > _FAULTS_KEPT:
                oldest = next(iter(self._logged_ns))
                del self._logged_ns[oldest]
                self._faults.pop(oldest, None)
        self._log(severity, text)

    def resolve(self, *causes: str) -> None:
        """Say that `causes` are gone; one that flickers stays throttled."""
        with self._lock:
            for key in [key for key in self._faults if key[0] in causes]:
                del self._faults[key]

    def resolve_all(self) -> None:
        """Say that every cause is gone, and log the next one whatever it is."""
        with self._lock:
            self._faults.clear()
            self._logged_ns.clear()

    def current(self, within_s: float = float("inf")) -> list[Fault]:
        """Return lasting faults and those seen within `within_s` seconds, the worst and then the oldest first."""
        oldest_ns = self._clock_ns() - within_s * 1e9
        with self._lock:
            recent = [fault for fault in self._faults.values() if fault.lasting or fault.seen_ns >= oldest_ns]
        return sorted(recent, key=lambda fault: -fault.severity)
