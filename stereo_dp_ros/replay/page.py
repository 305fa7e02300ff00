"""The report as one HTML file that needs nothing else: no network, pictures and script inside."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from pathlib import Path

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.accuracy_page import accuracy_section
from stereo_dp_ros.replay.gallery import Sample
from stereo_dp_ros.replay.page_frames import frames_section
from stereo_dp_ros.replay.pictures import data_uri, view_cloud
from stereo_dp_ros.replay.plots import line_plot
from stereo_dp_ros.replay.report import BagReport, Report
from stereo_dp_ros.replay.style import STYLE
from stereo_dp_ros.replay.viewer import VIEWER_SCRIPT, cloud_canvas

__all__ = ["report_html", "write_html"]

_NONE = "–"
_CLOUD_SIZE_PX = (1080, 608)
_COLUMNS = (
    ("pairs in", ""),
    ("out", ""),
    ("dropped", ""),
    ("unmatched", ""),
    ("rate out", "Hz"),
    ("latency p50", "ms"),
    ("latency p99", "ms"),
    ("EPE", "px"),
    ("bad-2.0", "%"),
    ("D1", "%"),
)
_NOTES = (
    (
        "EPE",
        "Mean of |d − ground truth| over the pixels with ground truth that have an answer, per frame, then over "
        "frames.",
    ),
    ("bad-2.0", "Share of the pixels with ground truth whose error is above 2 px; no answer counts as bad."),
    (
        "D1",
        "Share of the pixels with ground truth whose error is above 3 px and above 5 % of the true disparity; no "
        "answer counts.",
    ),
    (
        "Time per pair",
        "Offline: from reading a pair to having all of its messages, in one process.",
    ),
    (
        "Latency",
        "From handing a pair’s later image to DDS in the player’s process to having its disparity in the recorder’s, "
        "on the steady clock, found by stamp. The first pair, which warms the network up, is told apart.",
    ),
    ("Jitter", "Mean of |latency − the one before|, the first pair left out."),
    (
        "Highest rate",
        "The bag’s first pairs are played again and again at rising rates, each to a node of its own; pairs count from "
        "the first answer on.",
    ),
    (
        "Dropped",
        "Pairs that the node let go, mostly because a newer one had come (superseded): it processes the newest and "
        "never falls behind.",
    ),
    (
        "Count",
        "Pairs in = out + dropped + unmatched, by the node’s own diagnostics beside what was played and received.",
    ),
)


def write_html(report: Report, path: Path) -> None:
    """Write the page.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    try:
        path.write_text(report_html(report), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from error


def report_html(report: Report) -> str:
    """The whole page."""
    facts = "".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in report.environment.items()
    )
    failed = len(report.failed_checks)
    verdict = "All checks passed" if report.passed else f"{failed} check{'s' * (failed != 1)} failed"
    bags = "".join(_bag_section(bag) for bag in report.bags)
    notes = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in _NOTES)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head><body><main>"
        f'<div class="head"><h1>{escape(report.title)}</h1>'
        f'<span class="verdict {_tone(report.passed)}">{verdict}</span></div>'
        f'<p class="soft">{escape(report.created)}</p><dl class="facts">{facts}</dl>'
        f'<div class="card scroll">{_table(report.bags)}</div>{bags}'
        f'<section><h2>How to read the figures</h2><div class="card"><dl class="notes">{notes}</dl></div></section>'
        f"</main><script>{VIEWER_SCRIPT}</script></body></html>\n"
    )


def _table(bags: Iterable[BagReport]) -> str:
    head = "".join(f"<th>{escape(name)}<small>{escape(unit) or '&nbsp;'}</small></th>" for name, unit in _COLUMNS)
    rows = []
    for bag in bags:
        metrics, latency = bag.evaluation.metrics or {}, bag.latency
        cells = [
            str(bag.count.played),
            str(bag.count.published),
            str(sum(bag.count.dropped.values())),
            str(bag.count.unmatched),
            _figure(bag.output_rate_hz, 1),
            _figure(latency.p50_ms if latency else None, 0),
            _figure(latency.p99_ms if latency else None, 0),
            _figure(metrics.get("epe"), 2),
            _figure(metrics.get("bad_2"), 1),
            _figure(metrics.get("d1_all"), 1),
        ]
        rows.append(f"<tr><td>{escape(bag.title)}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return f"<table><thead><tr><th>bag</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _bag_section(bag: BagReport) -> str:
    calibration = bag.evaluation.calibration
    parts = [f"{calibration.width_px}×{calibration.height_px}"]
    if bag.rate_hz is not None:
        parts += [f"{bag.rate_hz:.4g} Hz", f"{bag.count.played / bag.rate_hz:.1f} s"]
    parts += [f"focal length {calibration.fx_px:.1f} px", f"baseline {calibration.baseline_m * 100:.1f} cm"]
    facts = ", ".join(parts)
    return (
        f"<section><h2>{escape(bag.title)}</h2><p>{escape(bag.description)}<br>"
        f'<span class="soft">{escape(facts)}</span></p>'
        f"{_tiles(bag)}{_cloud(bag)}{frames_section(bag)}{_plots(bag)}{accuracy_section(bag.results)}{_checks(bag)}</section>"
    )


def _tiles(bag: BagReport) -> str:
    metrics, latency = bag.evaluation.metrics or {}, bag.latency
    share = 100.0 * bag.count.published / bag.count.played if bag.count.played else None
    figures = (
        ("EPE", _figure(metrics.get("epe"), 2), "px"),
        ("bad-2.0", _figure(metrics.get("bad_2"), 1), "%"),
        ("D1", _figure(metrics.get("d1_all"), 1), "%"),
        (f"{bag.latency_name} p50", _figure(latency.p50_ms if latency else None, 0), "ms"),
        ("jitter", _figure(latency.jitter_ms if latency else None, 1), "ms"),
        ("highest rate, drops < 5 %", _figure((bag.results.get("highest_rate") or {}).get("rate_hz"), 1), "Hz"),
        ("first pair", _figure(latency.first_ms if latency else None, 0), "ms"),
        ("pairs answered", _figure(share, 0), "%"),
        ("node’s processor time", _figure(bag.run.cpu_percent, 0), "% of a core"),
        ("node’s peak memory", _figure(bag.run.memory_mb, 0), "MB"),
    )
    tiles = "".join(
        f'<div class="tile"><b>{value}<small>{unit}</small></b><span>{escape(name)}</span></div>'
        for name, value, unit in figures
        if value != _NONE
    )
    return f'<div class="tiles">{tiles}</div>'


def _cloud(bag: BagReport) -> str:
    sample = _middle(bag)
    if sample is None or sample.points_m is None or sample.point_colors is None:
        return ""
    cloud = (sample.points_m, sample.point_colors, bag.evaluation.calibration.fx_px, _CLOUD_SIZE_PX)
    picture = data_uri(view_cloud(*cloud))
    return (
        f'<figure class="cloud"><div><img src="{picture}" alt="Point cloud of {escape(bag.title)}">'
        f"{cloud_canvas(*cloud)}</div>"
        f"<figcaption>The published cloud at {bag.seconds(sample.stamp_ns):.1f} s, seen from beside and above the "
        "cameras; what the left one did not see stays dark. Drag to turn it, Ctrl and the wheel zoom, a double click "
        "goes back.</figcaption></figure>"
    )


def _plots(bag: BagReport) -> str:
    latency_ms = bag.latency_ms_by_stamp()
    plots = [(f"{bag.latency_name.capitalize()}, ms", line_plot(*_series(bag, latency_ms), x_label="s", unit="ms"))]
    epe_px = {frame.stamp_ns: frame.metrics["epe"] for frame in bag.evaluation.frames if frame.metrics}
    plots.append(("EPE, px", line_plot(*_series(bag, epe_px), x_label="s", unit="px")))
    cards = "".join(f'<div class="card"><h3>{escape(name)}</h3>{plot}</div>' for name, plot in plots if plot)
    return f'<div class="plots">{cards}</div>'


def _series(bag: BagReport, values: dict[int, float]) -> tuple[list[float], list[float]]:
    return [bag.seconds(stamp) for stamp in values], list(values.values())


def _checks(bag: BagReport) -> str:
    items = "".join(
        f'<li><span class="mark {_tone(check.passed)}">{"✓" if check.passed else "✗"}</span>'
        f'<span>{escape(check.name)}<br><span class="soft">{escape(check.detail)}</span></span></li>'
        for check in bag.checks
    )
    dropped = ", ".join(f"{number} {escape(cause)}" for cause, number in sorted(bag.count.dropped.items()) if number)
    causes = f'<p class="soft">Dropped: {dropped}.</p>' if dropped else ""
    paths = f"<code>{escape(str(bag.path))}</code> → <code>{escape(str(bag.recorded_path))}</code>"
    return f'<div class="card"><h3>Checks</h3><ul class="checks">{items}</ul>{causes}<p class="soft">{paths}</p></div>'


def _middle(bag: BagReport) -> Sample | None:
    samples = bag.evaluation.gallery.samples
    return samples[len(samples) // 2] if samples else None


def _figure(value: float | None, digits: int) -> str:
    return _NONE if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _tone(passed: bool) -> str:
    return "good" if passed else "bad"
