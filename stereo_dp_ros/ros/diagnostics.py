"""Health once a second: what is measured, what is wrong, and one sentence of what to do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from stereo_dp_ros.ros.camera import SIDES
from stereo_dp_ros.ros.faults import FaultLog, Severity
from stereo_dp_ros.ros.inputs import Input
from stereo_dp_ros.ros.outputs import Outputs
from stereo_dp_ros.ros.parameters import NodeParameters
from stereo_dp_ros.ros.run import ActiveRun

__all__ = ["RunMonitor", "diagnostic_array"]

SILENCE_S = 2.0  # without a message for this long an input is missing
ANSWER_S = 3.0  # since the last answer, until which pairs are being processed
STALL_S = 10.0  # on one pair, after which the network is said to hang
FAULT_MEMORY_S = 3.0  # a fault stays in the diagnostics for this long after it was seen


def diagnostic_array(
    stamp: Time, name: str, hardware_id: str, faults: FaultLog, idle: str, values: Mapping[str, object]
) -> DiagnosticArray:
    """Return a DiagnosticArray of one status.

    Its level and message are those of the worst recent fault; without one it is OK, with `idle` as its message.
    """
    recent = faults.current(FAULT_MEMORY_S)
    status = DiagnosticStatus(name=name, hardware_id=hardware_id)
    status.level = bytes([recent[0].severity]) if recent else DiagnosticStatus.OK
    status.message = recent[0].line if recent else idle
    status.values = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
    status.values += [KeyValue(key=f"fault {i}", value=fault.line) for i, fault in enumerate(recent[1:], 2)]
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class _Counts:
    """Totals at one moment, from which rates are taken."""

    at_ns: int
    left: int
    right: int
    matched: int
    published: int
    too_old: int
    dropped: int
    not_begun: int

    @property
    def in_flight(self) -> int:
        """Pairs that wait or are worked on."""
        return self.matched - self.published - self.dropped

    @property
    def ended(self) -> int:
        """Pairs that the inference thread is done with."""
        return self.published + self.dropped - self.not_begun


class RunMonitor:
    """Watches an `ActiveRun` and its outputs, and lists what is measured.

    Reports silent inputs, stamps that never match, pairs that all wait too long, a network that hangs, and
    subscribers that get nothing.
    """

    def __init__(self, run: ActiveRun, outputs: Outputs, faults: FaultLog, parameters: NodeParameters) -> None:
        self._run = run
        self._outputs = outputs
        self._faults = faults
        self._parameters = parameters
        self._unserved_before: set[str] = set()
        self._before = self._paired = self._answered = self._moved = self._counts()

    @property
    def idle(self) -> str:
        """What to say when nothing is wrong, as of the last look."""
        if not self._outputs.subscribed():
            return "nobody subscribes to an output, so none is computed"
        if self._answered.published == 0:
            return "no pair has been processed yet"
        seconds = (self._before.at_ns - self._answered.at_ns) * 1e-9
        return "pairs are processed" if seconds <= ANSWER_S else f"no pair has been processed for {seconds:.0f} s"

    def tick(self) -> dict[str, object]:
        """Look once, a second or so after the last time; return the values for diagnostics."""
        now, before = self._counts(), self._before
        self._before = now
        if now.published > self._answered.published:
            self._answered = now
        silent = self._report_silence(now.at_ns)
        self._report_mismatch(now, before, silent)
        self._report_age(now, before)
        self._report_stall(now)
        self._report_unserved()
        return {**self._rates(now, before), **self._pairs(), **self._stamps(), **self._latencies()}

    def _counts(self) -> _Counts:
        left, right = self._run.synchronizer.received
        matched, published, dropped = self._run.counts.snapshot()
        return _Counts(
            time.monotonic_ns(),
            left,
            right,
            matched,
            published,
            too_old=dropped.get("too_old", 0),
            dropped=sum(dropped.values()),
            not_begun=dropped.get("superseded", 0) + dropped.get("rate_limit", 0),
        )

    def _report_silence(self, now_ns: int) -> set[str]:
        """Report inputs that are missing; return their topics."""
        run = self._run
        silent = {
            subscribed.topic: subscribed
            for subscribed in run.images
            if now_ns - subscribed.received_ns > SILENCE_S * 1e9
        }
        # camera_info may be slow or latched: only one that never came is missing.
        if now_ns - run.started_ns > SILENCE_S * 1e9:
            silent.update({info.topic: info for info in run.camera_infos if info.received == 0})
        severity = Severity.ERROR if len(silent) < 4 and any(image.received for image in run.images) else Severity.WARN
        for subscribed in (*run.images, *run.camera_infos):
            if subscribed.topic in silent:
                self._faults.report(f"silent {subscribed.topic}", self._silence_line(subscribed, now_ns), severity)
            else:
                self._faults.resolve(f"silent {subscribed.topic}")
        return set(silent)

    def _silence_line(self, subscribed: Input, now_ns: int) -> str:
        offered = subscribed.offered_types
        if not offered:
            return (
                f"{subscribed.topic}: nobody publishes this topic, expected {subscribed.type_name} "
                "(start the camera or remap the topic)"
            )
        if subscribed.type_name not in offered:
            found = ", ".join(sorted(offered))
            return f"{subscribed.topic}: is of type {found}, expected {subscribed.type_name}"
        seconds = (now_ns - subscribed.received_ns) * 1e-9
        return f"{subscribed.topic}: no message for {seconds:.0f} s though it has a publisher, expected a steady stream"

    def _report_mismatch(self, now: _Counts, before: _Counts, silent: set[str]) -> None:
        """Report images that come on both sides and do not pair, however slow they come."""
        if now.matched > self._paired.matched or not silent.isdisjoint(image.topic for image in self._run.images):
            self._paired = now
            self._faults.resolve("stamps")
            return
        left, right = now.left - self._paired.left, now.right - self._paired.right
        if min(left, right) < 2 or (now.left, now.right) == (before.left, before.right):
            return
        offset_ns = self._run.synchronizer.last_offset_ns
        if offset_ns is None:
            return
        expected = (
            "equal stamps (set approximate_sync, synchronize the cameras, or raise queue_size if one side is late)"
        )
        if self._parameters.approximate_sync:
            expected = f"less than {self._parameters.sync_tolerance_s * 1e3:g} ms (raise sync_tolerance_s)"
        left_topic, right_topic = (image.topic for image in self._run.images)
        self._faults.report(
            "stamps",
            f"{left_topic} and {right_topic}: no pair in {left} and {right} images, stamps differ by "
            f"{offset_ns * 1e-6:.3f} ms, expected {expected}",
        )

    def _report_age(self, now: _Counts, before: _Counts) -> None:
        if now.published > before.published:
            self._faults.resolve("too_old")
        elif now.too_old > before.too_old:
            self._faults.report(
                "too_old",
                f"{now.too_old - before.too_old} pairs were dropped and none was answered, as they had waited longer "
                "than max_age_s (raise it, or have the network work at a smaller inference_width and inference_height)",
                Severity.WARN,
            )

    def _report_stall(self, now: _Counts) -> None:
        if now.in_flight == 0 or now.ended > self._moved.ended:
            self._moved = now
        seconds = (now.at_ns - self._moved.at_ns) * 1e-9
        if seconds <= STALL_S:
            self._faults.resolve("stall")
            return
        self._faults.report(
            "stall",
            f"the network has worked on one pair for {seconds:.0f} s, expected an answer (take a smaller "
            "inference_width and inference_height; if its device hangs: deactivate, clean up, configure and activate)",
        )

    def _report_unserved(self) -> None:
        """Report subscribers that are known but not matched in two looks, for matching takes a moment."""
        unserved = self._outputs.unserved()
        for topic, count in unserved.items():
            if count and topic in self._unserved_before:
                self._faults.report(
                    f"unserved {topic}",
                    f"{topic}: {count} subscribers get nothing, expected them to ask for its type and for "
                    f"{self._parameters.output_reliability} (output_reliability), volatile or less",
                    Severity.WARN,
                )
            else:
                self._faults.resolve(f"unserved {topic}")
        self._unserved_before = {topic for topic, count in unserved.items() if count}

    def _rates(self, now: _Counts, before: _Counts) -> dict[str, object]:
        seconds = (now.at_ns - before.at_ns) * 1e-9
        return {
            "left rate (Hz)": (now.left - before.left) / seconds,
            "right rate (Hz)": (now.right - before.right) / seconds,
            "output rate (Hz)": (now.published - before.published) / seconds,
        }

    def _pairs(self) -> dict[str, object]:
        synchronizer = self._run.synchronizer
        matched, published, dropped = self._run.counts.snapshot()
        per_side = {
            f"{side} {what}": number
            for what, numbers in (
                ("received", synchronizer.received),
                ("unmatched", synchronizer.unmatched),
                ("waiting", synchronizer.waiting),
            )
            for side, number in zip(SIDES, numbers, strict=True)
        }
        return {
            **per_side,
            "pairs matched": matched,
            "pairs published": published,
            "pairs dropped": sum(dropped.values()),
            **{f"pairs dropped: {cause}": number for cause, number in sorted(dropped.items())},
            "pairs in flight": matched - published - sum(dropped.values()),
            "time jumps": synchronizer.time_jumps,
        }

    def _stamps(self) -> dict[str, object]:
        values: dict[str, object] = {}
        for subscribed in (*self._run.images, *self._run.camera_infos):
            stamp = subscribed.last_stamp
            if stamp is not None:
                values[f"{subscribed.topic} last stamp (s)"] = f"{stamp.sec}.{stamp.nanosec:09d}"
            values[f"{subscribed.topic} reliability"] = subscribed.reliability
            if subscribed.lost:
                values[f"{subscribed.topic} messages lost"] = subscribed.lost
        if self._run.synchronizer.last_offset_ns is not None:
            values["left - right stamp (ms)"] = self._run.synchronizer.last_offset_ns * 1e-6
        return values

    def _latencies(self) -> dict[str, object]:
        return {
            f"{stage} p50 / p99 (ms)": f"{p50:.2f} / {p99:.2f}"
            for stage, (p50, p99) in self._run.latencies.percentiles().items()
        }
