"""A run in figures: what report.json holds and what the page is drawn from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.core.json_values import without_nan
from stereo_dp_ros.replay.counts import Check, Latency, PairCount
from stereo_dp_ros.replay.evaluation import Evaluation
from stereo_dp_ros.replay.runs import Run

__all__ = ["BagReport", "Report", "node_facts", "write_json"]

_NODE_KEYS = ("model", "backend", "precision", "device", "synchronizer", "image decoder", "cloud packer")


@dataclass(frozen=True)
class BagReport:
    """One bag that was played: what was measured and found.

    `bad_2_limit_percent` is what bad-2.0 must stay under for the disparity to be that of the scene; None asks nothing.
    `results` are further figures, as `Accuracy.results`.
    """

    name: str
    title: str
    description: str
    path: Path
    recorded_path: Path
    rate_hz: float | None
    run: Run
    count: PairCount
    latency: Latency | None
    evaluation: Evaluation
    bad_2_limit_percent: float | None = None
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def checks(self) -> list[Check]:
        """Everything that had to hold."""
        return [
            self.count.check(),
            *self.evaluation.checks,
            *self._accuracy_checks(),
            *self._exit_checks(),
        ]

    def _exit_checks(self) -> list[Check]:
        code = self.run.exit_code
        return [] if code is None else [Check("the node ended cleanly", code == 0, f"exit code {code}")]

    def _accuracy_checks(self) -> list[Check]:
        metrics, limit = self.evaluation.metrics, self.bad_2_limit_percent
        if limit is None or metrics is None:
            return []
        line = f"bad-2.0 is {metrics['bad_2']:.1f} %, expected less than {limit:g} %"
        return [Check("the disparity is that of the scene", metrics["bad_2"] < limit, line)]

    @property
    def passed(self) -> bool:
        """Whether all of it held, and nothing was wrong with the bag."""
        return self.run.error is None and all(check.passed for check in self.checks)

    @property
    def latency_name(self) -> str:
        """What `latency` is: without a node, the time that a pair's work took."""
        return "time per pair" if self.run.exit_code is None else "latency"

    @property
    def input_rate_hz(self) -> float | None:
        """Rate of the pairs as they were played; None of fewer than three: the first one's answer is waited for."""
        return _rate_hz(dict(list(self.run.published_ns.items())[1:]))

    @property
    def output_rate_hz(self) -> float | None:
        """Rate of the disparities as they were received; None with fewer than two."""
        return _rate_hz(self.run.received_ns)

    def seconds(self, stamp_ns: int) -> float:
        """Time of a stamp since the first pair's, in s."""
        return (stamp_ns - min(self.run.published_ns, default=stamp_ns)) * 1e-9

    def latency_ms_by_stamp(self) -> dict[int, float]:
        """Latency of each disparity of a played pair."""
        run = self.run
        return {
            stamp: (received_ns - run.published_ns[stamp]) * 1e-6
            for stamp, received_ns in sorted(run.received_ns.items())
            if stamp in run.published_ns
        }

    def to_dict(self) -> dict[str, Any]:
        """The bag's part of report.json."""
        calibration = self.evaluation.calibration
        return {
            "name": self.name,
            "title": self.title,
            "bag": str(self.path),
            "recorded": str(self.recorded_path),
            "size": f"{calibration.width_px}x{calibration.height_px}",
            "calibration": {
                "focal_px": calibration.fx_px,
                "baseline_m": calibration.baseline_m,
                "cx_px": calibration.cx_left_px,
                "cy_px": calibration.cy_px,
                "doffs_px": calibration.doffs_px,
            },
            "passed": self.passed,
            "ended_early": self.run.ended_early,
            "pairs": {
                "in": self.count.played,
                "out": self.count.published,
                "dropped": dict(self.count.dropped),
                "unmatched": self.count.unmatched,
                "lost": self.count.lost,
                "received": self.count.recorded,
                "closes": self.count.closes,
            },
            "rate_hz": {"bag": self.rate_hz, "in": self.input_rate_hz, "out": self.output_rate_hz},
            "latency_ms": None
            if self.latency is None
            else {
                "first": self.latency.first_ms,
                "p50": self.latency.p50_ms,
                "p99": self.latency.p99_ms,
                "max": self.latency.max_ms,
                "jitter": self.latency.jitter_ms,
            },
            "metrics": self.evaluation.metrics,
            "node": {
                **{key.replace(" ", "_"): self.run.diagnostics.get(key) for key in _NODE_KEYS},
                "cpu_percent": self.run.cpu_percent,
                "peak_memory_mb": self.run.memory_mb,
            },
            "checks": [vars(check) for check in self.checks],
            **self.results,
            "frames": self.frame_rows(),
        }

    def frame_rows(self) -> list[dict[str, Any]]:
        """Every figure of each frame, in order of stamps."""
        latency_ms = self.latency_ms_by_stamp()
        return [
            {
                "stamp_ns": frame.stamp_ns,
                "latency_ms": latency_ms.get(frame.stamp_ns),
                **_if_known("infer_ms", self.run.infer_ms.get(frame.stamp_ns)),
                "density": frame.density,
                "mean_confidence": frame.mean_confidence,
                **(frame.metrics or {}),
                **frame.figures,
            }
            for frame in self.evaluation.frames
        ]


@dataclass(frozen=True)
class Report:
    """All bags of a run, and where it ran (`environment`: label → value, in the order to be shown)."""

    title: str
    created: str
    environment: dict[str, str]
    bags: Sequence[BagReport] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every check of every bag held, and there was a bag."""
        return bool(self.bags) and all(bag.passed for bag in self.bags)

    @property
    def failed_checks(self) -> list[str]:
        """One line for each check that did not hold."""
        return [
            f"{bag.name}: {check.name}: {check.detail}" for bag in self.bags for check in bag.checks if not check.passed
        ]

    def to_dict(self) -> dict[str, Any]:
        """What report.json holds; a figure that could not be measured is null."""
        return {
            "title": self.title,
            "created": self.created,
            "passed": self.passed,
            "environment": dict(self.environment),
            "bags": [bag.to_dict() for bag in self.bags],
        }


def _rate_hz(times_ns: Mapping[int, int]) -> float | None:
    """Mean rate of events by stamp; None of fewer than two."""
    if len(times_ns) < 2:
        return None
    return (len(times_ns) - 1) * 1e9 / (max(times_ns.values()) - min(times_ns.values()))


def node_facts(bags: Sequence[BagReport]) -> dict[str, str]:
    """What computed the disparities, for a report's environment."""
    values = bags[0].run.diagnostics if bags else {}
    return {key: str(values[key]) for key in ("model", "backend", "precision") if key in values}


def write_json(report: Report, path: Path) -> None:
    """Write report.json.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    text = json.dumps(without_nan(report.to_dict()), indent=1, ensure_ascii=False)
    try:
        path.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def _if_known(name: str, value: float | None) -> dict[str, float]:
    return {} if value is None else {name: value}
