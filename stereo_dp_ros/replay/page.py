"""The report as one HTML file that needs nothing else: no network, pictures and script inside."""

from __future__ import annotations

from html import escape
from pathlib import Path

from stereo_dp_ros.core.errors import DataError
from stereo_dp_ros.replay.accuracy_page import accuracy_section, comparison_section
from stereo_dp_ros.replay.gallery import Sample
from stereo_dp_ros.replay.page_frames import frames_section
from stereo_dp_ros.replay.page_plots import plots_section, trials_section
from stereo_dp_ros.replay.page_summary import overview, tiles, warnings
from stereo_dp_ros.replay.pictures import data_uri, view_cloud
from stereo_dp_ros.replay.report import BagReport, Report
from stereo_dp_ros.replay.style import STYLE
from stereo_dp_ros.replay.viewer import VIEWER_SCRIPT, cloud_canvas

__all__ = ["report_html", "write_html"]

_CLOUD_SIZE_PX = (1080, 608)
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
    ("Proxy (*)", "Needs no ground truth; a wrong disparity can satisfy it too."),
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
    bags = "".join(_bag_section(bag) for bag in report.bags)
    notes = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in _NOTES)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head><body><main>"
        f'<div class="head"><h1>{escape(report.title)}</h1>'
        f'<span class="verdict {_tone(report.passed)}">{_verdict(report)}</span></div>'
        f'<p class="soft">{escape(report.created)}</p><dl class="facts">{facts}</dl>'
        f"{overview(report.bags)}{bags}"
        f'<section><h2>How to read the figures</h2><div class="card"><dl class="notes">{notes}</dl></div></section>'
        f"</main><script>{VIEWER_SCRIPT}</script></body></html>\n"
    )


def _verdict(report: Report) -> str:
    if report.passed:
        return "All checks passed"
    failed = len(report.failed_checks)
    return f"{failed} check{'s' * (failed != 1)} failed" if failed else "Ended early"


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
        f"{warnings(bag)}{tiles(bag)}{comparison_section(bag.results.get('comparison'))}{_cloud(bag)}"
        f"{frames_section(bag)}{plots_section(bag)}{accuracy_section(bag.results)}"
        f"{trials_section(bag.results.get('highest_rate'))}{_checks(bag)}</section>"
    )


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


def _tone(passed: bool) -> str:
    return "good" if passed else "bad"
