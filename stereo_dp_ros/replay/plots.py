"""Small line plots as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

__all__ = ["line_plot"]

_WIDTH, _HEIGHT = 460, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 28
_STRETCHES = 150


def line_plot(
    x: Sequence[float], y: Sequence[float], *, x_label: str, unit: str, reference: Sequence[float] = ()
) -> str:
    """A curve through finite (x, y), from 0 up; each point tells its values when pointed at.

    Of very many points each stretch keeps its lowest and its highest. `reference` is a second curve over x, dashed,
    that lies nowhere above the first one's highest.
    """
    points = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if not points:
        return ""
    points = _thinned(points)
    step = _nice_step(max(b for _, b in points) / 4)
    top = step * max(1, math.ceil(max(b for _, b in points) / step))
    first, last = points[0][0], points[-1][0]
    span = (last - first) or 1.0

    def at(a: float, b: float) -> tuple[float, float]:
        return (
            _LEFT + (a - first) / span * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - b / top * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">']
    for index in range(round(top / step) + 1):
        level = index * step
        height = at(first, level)[1]
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 7}" y="{height + 4:.1f}" text-anchor="end">{level:g}</text>')
    base = _HEIGHT - 8
    parts.append(f'<text x="{_LEFT}" y="{base}">{first:g}</text>')
    parts.append(
        f'<text x="{_WIDTH - _RIGHT}" y="{base}" text-anchor="end">{round(last, 1):g} {escape(x_label)}</text>'
    )
    places = [at(a, b) for a, b in points]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
    parts.append(f'<polyline class="curve" points="{path}"/>')
    if reference:
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(a, b) for a, b in zip(x, reference, strict=True)))
        parts.append(f'<polyline class="curve reference" points="{path}"/>')
    for (a, b), (px, py) in zip(points, places, strict=True):
        parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.2"><title>{a:.2f} {escape(x_label)}: ')
        parts.append(f"{b:.3g} {escape(unit)}</title></circle>")
    parts.append("</svg>")
    return "".join(parts)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points themselves, or the lowest and the highest of each of _STRETCHES."""
    if len(points) <= 2 * _STRETCHES:
        return points
    length = math.ceil(len(points) / _STRETCHES)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), length):
        stretch = points[start : start + length]
        kept += sorted({min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])})
    return kept


def _nice_step(rough: float) -> float:
    """1, 2 or 5 times a power of ten, at least `rough`."""
    if rough <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
