"""The report as one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from nfxlat.bench.models import TITLES
from nfxlat.bench.report import GENERATOR, Report, number
from nfxlat.bench.rounds import Result
from nfxlat.bench.stats import Spread
from nfxlat.bench.svg import Bar, chart
from nfxlat.bench.workloads import Figure

COLOURS = {
    "hook": "#1b6ca8",
    "device": "#5fa8d3",
    "tayga": "#c8553d",
    "plain": "#8a8d91",
    "null": "#bcbfc4",
    "netfilterqueue": "#588157",
    "ip": "#a3b18a",
}
CHAPTERS = (
    ("Bulk TCP", ("tcp_",), "Gbit/s"),
    ("UDP without loss", ("udp",), "kpps"),
    ("Round trips", ("rtt",), "µs"),
    ("What it costs", ("tcp_", "cpu", "rss", "pss"), None),
)
RATIOS = "Of the first model to each other, round by round: median (lowest-highest)."
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1d1f21; background: #fff }
body { max-width: 860px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.6em } h2 { margin-top: 2em; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px }
td, th { padding: 3px 9px; text-align: right; border-bottom: 1px solid #e4e4e4 }
td:first-child, th:first-child { text-align: left } .wide { overflow-x: auto }
svg { display: block; max-width: 100%; height: auto; margin: 1em 0; font: 12px system-ui, sans-serif }
svg text { fill: #1d1f21 } svg .title { font-weight: 600; font-size: 13px } svg .value { font-size: 11px }
.whisker { stroke: #1d1f21; stroke-width: 1; fill: none } .round { fill: #fff; stroke: #1d1f21 }
dt { font-weight: 600 } dd { margin: 0 0 .4em 1.5em } li { margin: .3em 0 }
"""


def page(report: Report) -> str:
    """The whole file."""
    result = report.result
    took = f"{result.rounds} rounds in {result.seconds:.0f} s"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>nfxlat bench, {html.escape(report.date)}</title><style>{STYLE}</style></head><body>",
        "<h1>nfxlat bench</h1>",
        f"<p><code>{html.escape(report.command)}</code>, {html.escape(report.date)}, {took}</p>",
        _definitions(report.machine | {"versions": ", ".join(f"{k} {v}" for k, v in report.versions.items())}),
        "<h2>Models</h2>",
        _definitions({model: TITLES[model] for model in result.models}),
    ]
    if rows := report.ratio_rows():
        parts += ["<h2>Ratios</h2>", f"<p>{RATIOS}</p>", f'<div class="wide">{_table(rows)}</div>']
    for heading, prefixes, unit in CHAPTERS:
        charts = [_chart(result, figure) for figure in result.figures if _belongs(figure, prefixes, unit)]
        if charts:
            parts += [f"<h2>{heading}</h2>", *charts]
    return "\n".join(
        [
            *parts,
            "<h2>All figures</h2>",
            f"<p>Median (lowest-highest). {GENERATOR}: the sender's limit.</p>",
            f'<div class="wide">{_table(report.rows())}</div>',
            "<h2>Kernel features in use</h2>",
            _list(report.features()),
            "<h2>Notes</h2>",
            _list(report.notes()),
            "</body></html>\n",
        ]
    )


def _belongs(figure: Figure, prefixes: Sequence[str], unit: str | None) -> bool:
    if unit is None:
        return figure.of_process and figure.key.startswith(tuple(prefixes))
    return figure.unit == unit and figure.key.startswith(tuple(prefixes)) and not figure.of_process


def _chart(result: Result, figure: Figure) -> str:
    return chart(f"{figure.title} [{figure.unit}], {figure.better} is better", list(_bars(result, figure)))


def _bars(result: Result, figure: Figure) -> Iterator[Bar]:
    for model in result.models:
        series = result.series[figure.key][model]
        if series.values:
            median = Spread.of(series.values).median
            text = (GENERATOR if series.generator else "") + number(median)
            yield Bar(model, median, text, tuple(series.values), COLOURS.get(model, "#666"))
        elif not (figure.of_process and model == "plain"):
            yield Bar(model, 0.0, "not measured", (), COLOURS.get(model, "#666"))


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [f"<tr>{''.join(f'<th>{html.escape(text)}</th>' for text in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in body]
    return f"<table>{''.join(lines)}</table>"


def _definitions(pairs: dict[str, str]) -> str:
    inside = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in pairs.items())
    return f"<dl>{inside}</dl>"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"
