"""The first look at a bag: what went wrong, and the figures that matter most."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from stereo_dp_ros.replay.page_parts import NONE, figure, table
from stereo_dp_ros.replay.report import BagReport

__all__ = ["overview", "tiles", "warnings"]


def overview(bags: Sequence[BagReport]) -> str:
    """One row a bag, where there are several; columns that no bag has a figure for are left out."""
    if len(bags) < 2:
        return ""
    columns = (
        ("pairs in", ""),
        ("out", ""),
        ("dropped", ""),
        ("unmatched", ""),
        ("rate out", "Hz"),
        (f"{bags[0].latency_name} p50", "ms"),
        (f"{bags[0].latency_name} p99", "ms"),
        ("EPE", "px"),
        ("bad-2.0", "%"),
        ("D1", "%"),
    )
    rows = [_row(bag) for bag in bags]
    kept = [index for index in range(len(columns)) if any(row[index] != NONE for row in rows)]
    body = [(bag.title, *(row[index] for index in kept)) for bag, row in zip(bags, rows, strict=True)]
    return f'<div class="card scroll">{table([("bag", ""), *(columns[index] for index in kept)], body)}</div>'


def _row(bag: BagReport) -> list[str]:
    metrics, times = bag.evaluation.metrics or {}, _times(bag)
    return [
        str(bag.count.played),
        str(bag.count.published),
        str(sum(bag.count.dropped.values())),
        str(bag.count.unmatched),
        figure(bag.output_rate_hz, 1),
        figure(times.get("p50_ms"), 0),
        figure(times.get("p99_ms"), 0),
        figure(metrics.get("epe"), 2),
        figure(metrics.get("bad_2"), 1),
        figure(metrics.get("d1_all"), 1),
    ]


def warnings(bag: BagReport) -> str:
    """Why a run is of a part of its bag only, and every check that did not hold."""
    lines = [] if bag.run.ended_early is None else [f"A part of the bag only: {bag.run.ended_early}."]
    lines += [f"Check failed: {check.name}: {check.detail}." for check in bag.checks if not check.passed]
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="warnings">{items}</ul>' if items else ""


def tiles(bag: BagReport) -> str:
    """The figures that matter most, accuracy first: against ground truth, else proxies."""
    share = 100.0 * bag.count.published / bag.count.played if bag.count.played else None
    figures = (
        *(_accuracy(bag) if bag.evaluation.metrics else _proxies(bag)),
        *_timing(bag),
        ("pairs answered", figure(share, 0), "%"),
        ("node’s processor time", figure(bag.run.cpu_percent, 0), "% of a core"),
        ("node’s peak memory", figure(bag.run.memory_mb, 0), "MB"),
    )
    shown = "".join(
        f'<div class="tile"><b>{value}<small>{escape(unit)}</small></b><span>{escape(name)}</span></div>'
        for name, value, unit in figures
        if value != NONE
    )
    return f'<div class="tiles">{shown}</div>'


def _accuracy(bag: BagReport) -> list[tuple[str, str, str]]:
    metrics = bag.evaluation.metrics or {}
    return [
        ("EPE", figure(metrics.get("epe"), 2), "px"),
        ("bad-2.0", figure(metrics.get("bad_2"), 1), "%"),
        ("D1", figure(metrics.get("d1_all"), 1), "%"),
        ("of the ground truth answered", figure(metrics.get("density"), 1), "%"),
    ]


def _proxies(bag: BagReport) -> list[tuple[str, str, str]]:
    proxies = bag.results.get("proxies") or {}
    return [
        ("vertical offset of features*", figure(proxies.get("row_offset_px"), 2), "px"),
        ("pixels with confidence ≥ 0.5*", figure(proxies.get("confident"), 1), "%"),
        ("photometric difference*", figure(proxies.get("photometric_error"), 1), "of 255"),
        ("change where nothing moves*", figure(proxies.get("temporal_change_px"), 2), "px"),
    ]


def _timing(bag: BagReport) -> list[tuple[str, str, str]]:
    times, highest = _times(bag), bag.results.get("highest_rate") or {}
    live = bag.run.exit_code is not None
    return [
        (f"{bag.latency_name} p50", figure(times.get("p50_ms"), 0), "ms"),
        (f"{bag.latency_name} p99", figure(times.get("p99_ms"), 0), "ms"),
        ("first pair", figure(times.get("first_ms"), 0), "ms"),
        ("jitter", figure(times.get("jitter_ms"), 1) if live else NONE, "ms"),
        ("rate out", figure(bag.output_rate_hz, 1) if live else NONE, "Hz"),
        ("highest rate, drops < 5 %", figure(highest.get("rate_hz"), 1), "Hz"),
    ]


def _times(bag: BagReport) -> dict[str, float]:
    return {} if bag.latency is None else dict(vars(bag.latency))
