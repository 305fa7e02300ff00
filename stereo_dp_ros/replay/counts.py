"""What became of the pairs that were played, and how long their disparities took."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.runs import Run

__all__ = ["Check", "Latency", "PairCount", "count_pairs", "latency"]


@dataclass(frozen=True)
class Check:
    """Something that must hold; `detail` says what was looked at, or the first thing found wrong."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class PairCount:
    """What became of every pair that was played: played = published + dropped + unmatched, if all is well.

    `played` counts images without a partner too, of the side that has more; `unmatched` are these, and pairs whose
    images came but still waited for each other; `lost` are pairs of which an image never reached the node; `dropped`
    says how many by cause.
    """

    played: int
    published: int
    dropped: dict[str, int]
    unmatched: int
    lost: int
    recorded: int

    @property
    def closes(self) -> bool:
        """Whether every pair is accounted for, and all that was published was received."""
        accounted = self.published + sum(self.dropped.values()) + self.unmatched
        return self.lost == 0 and accounted == self.played and self.recorded == self.published

    def check(self) -> Check:
        """The count as a check."""
        dropped = sum(self.dropped.values())
        line = f"{self.played} in = {self.published} out + {dropped} dropped + {self.unmatched} unmatched"
        if self.lost:
            line += f", and {self.lost} never reached the node"
        if self.recorded != self.published:
            line += f"; {self.recorded} of the {self.published} were received"
        return Check("the count of pairs closes", self.closes, line)


@dataclass(frozen=True)
class Latency:
    """Time from the publishing of a pair's later image to the receipt of its disparity, in ms.

    `first_ms` is the first pair's, which also warms the network up; the others are of the rest. `jitter_ms` is the mean
    of |latency − the one before|.
    """

    first_ms: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    jitter_ms: float


def count_pairs(run: Run) -> PairCount:
    """The node's own count of a run, beside what was played and recorded."""
    values = run.diagnostics
    if "pairs matched" not in values:
        raise DataError("the node's diagnostics have no 'pairs matched', expected the count of pairs")
    prefix = "pairs dropped: "
    dropped = {key[len(prefix) :]: int(value) for key, value in values.items() if key.startswith(prefix)}
    in_flight = int(values.get("pairs in flight", 0))
    if in_flight:
        dropped["still in flight"] = in_flight
    sides = [
        (int(values[f"{side} received"]), int(values[f"{side} unmatched"]) + int(values[f"{side} waiting"]))
        for side in ("left", "right")
    ]
    return PairCount(
        played=max(run.played),
        published=int(values["pairs published"]),
        dropped=dropped,
        unmatched=max(unmatched for _, unmatched in sides),
        lost=max(0, *(played - received for played, (received, _) in zip(run.played, sides, strict=True))),
        recorded=len(run.received_ns) + run.repeated,
    )


def latency(run: Run) -> Latency | None:
    """Latency over a run; None if no disparity of a played pair came."""
    stamps = sorted(set(run.received_ns) & set(run.published_ns))
    if not stamps:
        return None
    times_ms = [(run.received_ns[stamp] - run.published_ns[stamp]) * 1e-6 for stamp in stamps]
    rest = times_ms[1:] or times_ms
    p50, p99 = np.percentile(rest, (50, 99))
    jitter = float(np.abs(np.diff(rest)).mean()) if len(rest) > 1 else 0.0
    return Latency(times_ms[0], float(p50), float(p99), max(rest), jitter)
