"""Bar charts as SVG, written by hand: a benchmark needs one kind of picture, and a file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, LABEL, MARGIN = 720, 118, 90  # pixels: the whole, the names on the left, figures on the right
BAR, GAP, HEAD = 18, 8, 26


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of length `value` with its text; `points` are the rounds, drawn as a whisker and dots."""

    label: str
    value: float
    text: str
    points: tuple[float, ...]
    colour: str


def chart(title: str, bars: Sequence[Bar]) -> str:
    """One chart, as an <svg> element that stands in a page; its text is there for readers and for search."""
    longest = max((max((bar.value, *bar.points)) for bar in bars), default=0.0) or 1.0
    height = HEAD + len(bars) * (BAR + GAP)

    def x(value: float) -> float:
        return LABEL + (WIDTH - LABEL - MARGIN) * value / longest

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img" xmlns="http://www.w3.org/2000/svg">',
        f"<title>{html.escape(title)}</title>",
        f'<text x="0" y="15" class="title">{html.escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        top = HEAD + number * (BAR + GAP)
        middle = top + BAR / 2
        end = x(bar.value)
        parts += [
            f'<text x="{LABEL - 8}" y="{middle + 4:.1f}" text-anchor="end">{html.escape(bar.label)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{end - LABEL:.1f}" height="{BAR}" fill="{bar.colour}"/>',
        ]
        if bar.points:
            low, high = x(min(bar.points)), x(max(bar.points))
            end = max(end, high)
            parts.append(f'<path d="M{low:.1f} {middle}H{high:.1f}" class="whisker"/>')
            parts += [f'<circle cx="{x(point):.1f}" cy="{middle}" r="2.5" class="round"/>' for point in bar.points]
        parts.append(f'<text x="{end + 8:.1f}" y="{middle + 4:.1f}" class="value">{html.escape(bar.text)}</text>')
    parts.append(f'<path d="M{LABEL} {HEAD - 3}V{height - GAP + 3}" class="base"/>')
    return "\n".join([*parts, "</svg>"])
