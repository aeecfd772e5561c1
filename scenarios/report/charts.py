"""Pictures as SVG in the page: curves with bands, stacked bars, and the transcript.

Colours come from the page's style by class, so that they follow light and dark; each goes with a style of line or a
pattern, so that none is needed to read a picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from scenarios.report.seen import Flow

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 38
STYLES = 8  # of lines, in page.css
SWATCH = Markup('<svg class="swatch" viewBox="0 0 32 10" aria-hidden="true">{}</svg>')
PICTURE = Markup('<svg role="img" aria-labelledby="{0}-t" viewBox="0 0 {1} {2}"><title id="{0}-t">{3}</title>{4}</svg>')


@dataclass(frozen=True)
class Curve:
    """One line: round, value, and the ends of its band, which are the value where there is none."""

    label: str
    points: Sequence[tuple[int, float, float, float]]


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from below `low` to above `high`."""
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / count))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= count)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def curves(name: str, lines: Sequence[Curve], title: str) -> Markup:
    """One line for each configuration over rounds, with its band."""
    points = [point for line in lines for point in line.points]
    heights = ticks(min(p[2] for p in points), max(p[3] for p in points))
    first, last = min(p[0] for p in points), max(p[0] for p in points)

    def x(round: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((round - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - heights[0]) / (heights[-1] - heights[0])

    grid = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
    height = Markup('<text class="up" x="{}" y="{:.1f}">{:g}</text>')
    parts = [
        grid.format(LEFT, WIDTH - RIGHT, y(h), y(h)) + height.format(LEFT - 6, y(h) + 4, round(h, 10)) for h in heights
    ]
    for round_ in sorted({round(t) for t in ticks(first, last) if first <= round(t) <= last}):
        parts.append(Markup('<text class="across" x="{:.1f}" y="{}">{}</text>').format(x(round_), HEIGHT - 20, round_))
    parts.append(Markup('<text class="across" x="{}" y="{}">round</text>').format((WIDTH + LEFT) // 2, HEIGHT - 4))
    for number, line in enumerate(lines):
        style = number % STYLES
        if any(low != high for _, _, low, high in line.points):
            above = [f"{x(r):.1f},{y(high):.1f}" for r, _, _, high in line.points]
            below = [f"{x(r):.1f},{y(low):.1f}" for r, _, low, _ in reversed(line.points)]
            parts.append(Markup('<polygon class="band s{}" points="{}"/>').format(style, " ".join(above + below)))
        middle = " ".join(f"{x(r):.1f},{y(value):.1f}" for r, value, _, _ in line.points)
        parts.append(Markup('<polyline class="line s{}" points="{}"/>').format(style, middle))
        if len(line.points) == 1:
            parts.append(
                Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="4"/>')
                .format(style, x(line.points[0][0]), y(line.points[0][1]))
            )  # fmt: skip
    return _picture(name, title, WIDTH, HEIGHT, parts)


def stacked(name: str, bars: Mapping[str, Mapping[str, float]], title: str, unit: str) -> Markup:
    """A bar for each label, of parts by name, all to one scale."""
    names = list(dict.fromkeys(part for bar in bars.values() for part in bar))
    most = max((sum(bar.values()) for bar in bars.values()), default=0.0) or 1.0
    row, parts = 46, []
    rect = Markup(
        '<rect class="bar s{}" x="{:.1f}" y="{}" width="{:.1f}" height="20"><title>{}: {:,.4g} {}</title></rect>'
    )
    for number, (label, bar) in enumerate(bars.items()):
        top, left = number * row, 0.0
        total = sum(bar.values())
        parts.append(Markup('<text x="0" y="{}">{}: {:,.4g} {}</text>').format(top + 14, label, total, unit))
        for part, value in bar.items():
            wide = WIDTH * value / most
            parts.append(rect.format(names.index(part) % STYLES, left, top + 19, wide, part, value, unit))
            left += wide
    return _picture(name, title, WIDTH, max(1, len(bars)) * row, parts)


def transcript(name: str, flows: Sequence[Flow], title: str) -> Markup:
    """A row for each flow: over rounds, columns as high as its bytes, to one scale."""
    rounds = max((max(flow.rounds) for flow in flows), default=0)
    slots = min(rounds + 1, 60)
    binned = [_binned(flow, rounds, slots) for flow in flows]
    most = max((max(bins) for bins in binned), default=0) or 1
    row, left, high = 44, 232, 30
    wide = (WIDTH - left) / slots
    parts = []
    for number, (flow, bins) in enumerate(zip(flows, binned, strict=True)):
        base = number * row + high + 6
        parts.append(
            Markup('<text x="0" y="{}">{} → {}</text><text x="0" y="{}" class="small">{}: {}</text>')
            .format(base - 16, flow.sender, flow.recipient, base - 2, flow.kind, flow.readable)
        )  # fmt: skip
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(left, WIDTH, base, base))
        for slot, size in enumerate(bins):
            if size:
                tall = max(1.0, high * size / most)
                parts.append(
                    Markup('<rect class="seen {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>')
                    .format(flow.readable.replace(" ", "-"), left + slot * wide, base - tall, max(1, wide - 1), tall)
                )  # fmt: skip
    bottom = len(flows) * row + 20
    parts.append(Markup('<text x="{}" y="{}" class="small">before</text>').format(left, bottom))
    parts.append(Markup('<text x="{}" y="{}" class="up">round {}</text>').format(WIDTH, bottom, rounds))
    return _picture(name, title, WIDTH, bottom + 8, parts)


def _binned(flow: Flow, rounds: int, slots: int) -> list[int]:
    bins = [0] * slots
    for round, size in flow.rounds.items():
        bins[round * slots // (rounds + 1)] += size
    return bins


def swatch(number: int) -> Markup:
    """A piece of a line, for a legend."""
    return SWATCH.format(Markup('<polyline class="line s{}" points="0,5 32,5"/>').format(number % STYLES))


def box(number: int) -> Markup:
    """A piece of a bar, for a legend."""
    return SWATCH.format(Markup('<rect class="bar s{}" width="32" height="10"/>').format(number % STYLES))


def _picture(name: str, title: str, width: int, height: int, parts: Sequence[Markup]) -> Markup:
    return PICTURE.format(name, width, height, title, Markup("\n").join(parts))
