"""The part of the report's page about accuracy: errors by range and confidence, proxies, the comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from stereo_dp_ros.replay.page_parts import NONE, card, figure, table
from stereo_dp_ros.replay.plots import line_plot

__all__ = ["accuracy_section", "comparison_section"]

# metric → its name, unit and digits
_METRICS = {
    "epe": ("EPE", "px", 3),
    "bad_1": ("bad-1.0", "%", 2),
    "bad_2": ("bad-2.0", "%", 2),
    "bad_3": ("bad-3.0", "%", 2),
    "d1_all": ("D1", "%", 2),
    "bad_2_at_80": ("bad-2.0 of the surest 80 %", "%", 2),
    "ause_bad_2": ("sparsification, distance from the oracle", "points", 2),
    "density": ("density", "%", 2),
    "photometric_error": ("photometric difference*", "levels of 255", 2),
    "temporal_change_px": ("change where nothing moves*", "px", 3),
    "plane_residual_px": ("distance from the dominant plane*", "px", 3),
    "plane_share": ("pixels on the dominant plane*", "%", 1),
    "row_offset_px": ("vertical offset of matching features*", "px", 2),
    "confident": ("pixels with confidence of 0.5 or more*", "%", 1),
    "infer_ms": ("time of the matcher", "ms", 1),
    "latency_ms": ("time per pair, or latency", "ms", 1),
}
_PROXY_NOTE = (
    "Means over the frames. * A proxy: it needs no ground truth, and a wrong disparity can satisfy it too. The "
    "photometric difference is between the left image and the right one moved by the disparity, exposure taken out; "
    "the change is measured between frames of a camera that stands still; the distance is the root mean square within "
    "1 px of the plane."
)


def accuracy_section(results: Mapping[str, Any]) -> str:
    """Cards for what `Accuracy.results` holds but the comparison; empty where there is nothing."""
    cards = (
        _by_range(results.get("depth_error"), results.get("ground_truth")),
        _by_confidence(results.get("confidence_error"), results.get("sparsification")),
        _proxies(results.get("proxies")),
    )
    return "".join(cards)


def _by_range(rows: Sequence[Mapping[str, Any]] | None, source: str | None) -> str:
    if not rows:
        return ""
    columns = (
        ("true depth", "m"),
        ("pixels", ""),
        ("answered", "%"),
        ("|error|", "m"),
        ("bias", "m"),
        ("RMSE", "m"),
        ("|error|", "% of depth"),
        ("EPE", "px"),
    )
    body = [
        (
            _span(row["from_m"], row["to_m"]),
            f"{row['pixels']:,}".replace(",", "\u202f"),
            figure(row["density"], 1),
            figure(row["mean_abs_m"], 3),
            figure(row["bias_m"], 3, sign=True),
            figure(row["rmse_m"], 3),
            figure(row["mean_relative"], 1),
            figure(row["epe"], 2),
        )
        for row in rows
    ]
    note = f"Ground truth: {source}. " if source else ""
    return card("Depth error by range", table(columns, body), f"{note}Pixels of all frames together.")


def _by_confidence(deciles: Sequence[Mapping[str, float]] | None, curves: Mapping[str, Any] | None) -> str:
    if not deciles or not curves:
        return ""
    tenths = [10.0 * (index + 1) for index in range(len(deciles))]
    bad_2 = [row["bad_2"] for row in deciles]
    plots = (
        ("bad-2.0 by confidence, %", line_plot(tenths, bad_2, x_label="% of the pixels, the surest last", unit="%")),
        (
            "bad-2.0 of what is left, % (dashed: an oracle)",
            line_plot(
                curves["dropped"],
                curves["bad_2"],
                x_label="% of the pixels dropped",
                unit="%",
                reference=curves["bad_2_oracle"],
            ),
        ),
    )
    cards = "".join(f'<div class="card"><h3>{escape(name)}</h3>{plot}</div>' for name, plot in plots)
    return f'<div class="plots">{cards}</div>'


def _proxies(proxies: Mapping[str, float] | None) -> str:
    if not proxies:
        return ""
    body = [(_name(name), figure(value, _METRICS[name][2])) for name, value in proxies.items()]
    return card("Proxies, which need no ground truth", table((("proxy", ""), ("mean", "")), body), _PROXY_NOTE)


def comparison_section(comparison: Mapping[str, Any] | None) -> str:
    """A card of both methods side by side; empty where there is no comparison."""
    if not comparison:
        return ""
    columns = (
        ("metric", ""),
        ("this run", ""),
        (comparison["with"], ""),
        ("this − other", "mean ± sd"),
        ("frames", ""),
    )
    body = []
    for row in comparison["metrics"]:
        digits = _METRICS[row["metric"]][2]
        spread = figure(row["sd"], digits)
        difference = figure(row["difference"], digits, sign=True)
        body.append(
            (
                _name(row["metric"]),
                figure(row["ours"], digits),
                figure(row["theirs"], digits),
                difference if spread == NONE else f"{difference} ± {spread}",
                str(row["frames"]),
            )
        )
    note = "Mean over the frames that both have; the difference is taken frame by frame, sd is its spread over them."
    return card(f"Compared with {comparison['with']}", table(columns, body), note)


def _name(metric: str) -> str:
    name, unit, _ = _METRICS[metric]
    return f"{name}, {unit}"


def _span(from_m: float, to_m: float) -> str:
    return f"{from_m:g} and more" if math.isinf(to_m) else f"{from_m:g}–{to_m:g}"
