"""The report's plots over time, and the trials of the search for the highest rate."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from stereo_dp_ros.replay.page_parts import card, figure, table
from stereo_dp_ros.replay.plots import line_plot
from stereo_dp_ros.replay.report import BagReport

__all__ = ["plots_section", "trials_section"]

# figure of a frame → title and unit, in the order in which they are shown
_ACCURACY = {"epe": ("EPE", "px"), "bad_2": ("bad-2.0", "%")}
_PROXIES = {
    "photometric_error": ("Photometric difference*", "levels of 255"),
    "temporal_change_px": ("Change where nothing moves*", "px"),
}
_ALWAYS = {"mean_confidence": ("Mean confidence", "0…1")}


def plots_section(bag: BagReport) -> str:
    """Curves over the bag's time, of all that there is a figure for."""
    chosen = {
        "latency_ms": (bag.latency_name.capitalize(), "ms"),
        **(_ACCURACY if bag.evaluation.metrics else _PROXIES),
        **_ALWAYS,
    }
    rows = bag.frame_rows()
    cards = []
    for name, (title, unit) in chosen.items():
        points = [(bag.seconds(row["stamp_ns"]), row[name]) for row in rows if row.get(name) is not None]
        if plot := line_plot([x for x, _ in points], [y for _, y in points], x_label="s", unit=unit):
            cards.append(f'<div class="card"><h3>{escape(title)}, {escape(unit)}</h3>{plot}</div>')
    return f'<div class="plots">{"".join(cards)}</div>'


def trials_section(found: Mapping[str, Any] | None) -> str:
    """A card of the rates that were tried; empty where none was."""
    if not found or not found["trials"]:
        return ""
    body = [
        (
            figure(trial["asked_hz"], 2),
            figure(trial["rate_hz"], 2),
            str(trial["pairs"]),
            figure(trial["drop_percent"], 1),
            "held" if trial["drop_percent"] < found["drop_limit_percent"] else "",
        )
        for trial in found["trials"]
    ]
    columns = (("asked", "Hz"), ("played", "Hz"), ("pairs", ""), ("dropped", "%"), ("", ""))
    note = (
        "The bag’s first pairs again and again, each rate to a node of its own; pairs count from the first answer on."
    )
    if found["player_limited"]:
        note += " The player could not go faster: the node may."
    return card("Rates that were tried", table(columns, body), note)
