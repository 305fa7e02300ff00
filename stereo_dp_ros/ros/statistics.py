"""Counts that close, and latencies."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping

import numpy as np

__all__ = ["Latencies", "PairCounts"]


class PairCounts:
    """What became of every matched pair: ``matched = published + dropped + in_flight`` at any time.

    Safe to call from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._matched = 0
        self._published = 0
        self._dropped: Counter[str] = Counter()

    def match(self) -> None:
        """Count a pair that came in."""
        with self._lock:
            self._matched += 1

    def publish(self) -> None:
        """Count a pair whose outputs were published."""
        with self._lock:
            self._published += 1

    def drop(self, cause: str) -> None:
        """Count a pair that was let go."""
        with self._lock:
            self._dropped[cause] += 1

    def snapshot(self) -> tuple[int, int, dict[str, int]]:
        """Return matched, published and the dropped by cause, all of one moment."""
        with self._lock:
            return self._matched, self._published, dict(self._dropped)


class Latencies:
    """Durations in ms by stage, over the last pairs. Safe to call from several threads."""

    def __init__(self, pairs_kept: int = 300) -> None:
        self._lock = threading.Lock()
        self._pairs_kept = pairs_kept
        self._stages: dict[str, deque[float]] = {}

    def add(self, durations_ms: Mapping[str, float]) -> None:
        """Add one pair's duration of each stage."""
        with self._lock:
            for stage, duration_ms in durations_ms.items():
                self._stages.setdefault(stage, deque(maxlen=self._pairs_kept)).append(duration_ms)

    def percentiles(self) -> dict[str, tuple[float, float]]:
        """Return (p50, p99) in ms of each stage that was measured."""
        with self._lock:
            stages = {stage: list(durations) for stage, durations in self._stages.items()}
        return {
            stage: (float(np.percentile(durations, 50)), float(np.percentile(durations, 99)))
            for stage, durations in stages.items()
        }
