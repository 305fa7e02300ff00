"""Pieces that every part of the report's page is built of: cards, tables and figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["NONE", "card", "figure", "table"]

NONE = "–"


def card(title: str, content: str, note: str = "") -> str:
    """A titled box whose content may be wider than a phone."""
    explained = f'<p class="soft note">{escape(note)}</p>' if note else ""
    return f'<div class="card figures"><h3>{escape(title)}</h3><div class="scroll">{content}</div>{explained}</div>'


def table(columns: Iterable[tuple[str, str]], body: Iterable[Sequence[str]]) -> str:
    """A table of columns (name, unit) and rows of text."""
    named = list(columns)
    blank = "&nbsp;" if any(unit for _, unit in named) else ""
    head = "".join(f"<th>{escape(name)}<small>{escape(unit) or blank}</small></th>" for name, unit in named)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in body)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def figure(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A number with so many decimals, with a plus where a sign is wanted; NONE where it is not known."""
    if value is None or not math.isfinite(value):
        return NONE
    rounded = round(value, digits) + 0.0  # no minus before a zero
    return f"{rounded:{'+' if sign and rounded else ''}.{digits}f}".replace("-", "−")
