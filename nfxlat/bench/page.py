"""The report as one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence

from nfxlat.bench.captions import caption, finding, title
from nfxlat.bench.models import TITLES
from nfxlat.bench.report import GENERATOR, Report, number
from nfxlat.bench.rounds import Result
from nfxlat.bench.stats import Spread
from nfxlat.bench.svg import Bar, chart
from nfxlat.bench.workloads import Figure

# told apart by readers with any kind of colour vision (Okabe and Ito 2008); the controls are grey
COLOURS = {
    "hook": "#0072b2",
    "offload": "#009e73",
    "device": "#56b4e9",
    "route": "#cc79a7",
    "tayga": "#d55e00",
    "plain": "#7f7f7f",
    "null": "#b5b5b5",
    "workers2": "#4b3fa0",
    "netfilterqueue": "#e69f00",
    "ip": "#8b6f00",
}
CHAPTERS = (
    ("Bulk TCP", ("tcp_",), "Gbit/s"),
    ("UDP without loss", ("udp",), "kpps"),
    ("Round trips", ("rtt",), "µs"),
    ("What it costs", ("tcp_", "cpu", "rss", "pss"), None),
)
SHORT = ("tcp_1_4to6", "udp64_256", "rtt_p50")  # what is told first, where it was measured
SAID = "As multiples of plain forwarding, of the null translator (which changes nothing), and of TAYGA."
READING = (
    "A bar is the median of the rounds, a dot is one round, and the line goes from the lowest to the highest. "
    f"{GENERATOR}: the sender could not offer more. "
    "Sender, translator and receiver share one machine, so ratios say more than rates."
)
RATIOS = (
    "The first model's figure divided by that of each other model, round by round: median (lowest-highest). Above 1 "
    "the first model's is larger, which is good only where higher is better."
)
STYLE = """
:root { color-scheme: light dark; --ink: #1d1f21; --soft: #555b62; --line: #dcdfe3; --paper: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #a9b0b8; --line: #3a4047; --paper: #15181c } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
body { max-width: 860px; margin: 2em auto; padding: 0 1em; overflow-wrap: anywhere }
h1 { font-size: 1.7em; margin-bottom: .2em } h2 { margin-top: 2.2em; border-bottom: 1px solid var(--line) }
table { border-collapse: collapse; margin: 1em 0; font-size: 13px; overflow-wrap: normal }
td, th { padding: 3px 9px; text-align: right; border-bottom: 1px solid var(--line) }
td:first-child, th:first-child { text-align: left } .wide { overflow-x: auto } .spread { white-space: nowrap }
figure { margin: 1.6em 0 } figcaption { color: var(--soft); font-size: 14px }
svg { display: block; max-width: 100%; min-width: 560px; height: auto; margin: .3em 0 }
svg { font: 12px system-ui, sans-serif }
svg text { fill: var(--ink) } svg .title { font-weight: 600; font-size: 14px } svg .value { font-size: 12px }
.base { stroke: var(--soft) } .whisker { stroke: var(--ink); stroke-width: 1; fill: none }
.round { fill: var(--paper); stroke: var(--ink) } .soft { color: var(--soft) }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: 2px }
dt { font-weight: 600 } dd { margin: 0 0 .4em 1.5em } li { margin: .3em 0 }
"""


def page(report: Report) -> str:
    """The whole file: what came out, how to read it, the plots; then all figures, and where they come from."""
    result = report.result
    took = f"{result.rounds} round{'s' * (result.rounds != 1)} in {result.seconds:.0f} s"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>nfxlat bench, {html.escape(report.date)}</title><style>{STYLE}</style></head><body>",
        "<h1>nfxlat bench</h1>",
        f'<p class="soft"><code>{html.escape(report.command)}</code>, {html.escape(report.date)}, {took}</p>',
    ]
    if short := _short(result):
        parts += ["<h2>In short</h2>", f"<p>{SAID}</p>", _list(short)]
    parts += ["<h2>What is compared</h2>", _models(result), f"<p>{READING}</p>"]
    for heading, prefixes, unit in CHAPTERS:
        charts = [_chart(result, figure) for figure in result.figures if _belongs(figure, prefixes, unit)]
        if charts:
            parts += [f"<h2>{heading}</h2>", *charts]
    parts += [
        "<h2>All figures</h2>",
        f"<p>Median (lowest-highest). {GENERATOR}: the sender's limit.</p>",
        f'<div class="wide">{_table(report.rows())}</div>',
    ]
    if rows := report.ratio_rows():
        parts += ["<h2>Ratios</h2>", f"<p>{RATIOS}</p>", f'<div class="wide">{_table(rows)}</div>']
    versions = {"versions": ", ".join(f"{k} {v}" for k, v in report.versions.items())}
    parts += ["<h2>Machine</h2>", _definitions(report.machine | versions)]
    parts += ["<h2>Kernel features in use</h2>", _list(report.features())]
    parts += ["<h2>Notes</h2>", _list(report.notes()), "</body></html>\n"]
    return "\n".join(parts)


def _short(result: Result) -> list[str]:
    """A line for each of the figures that most readers come for."""
    told = []
    for start in SHORT:
        figure = next((one for one in result.figures if one.key.startswith(start) and not one.of_process), None)
        if figure and (text := finding(result, figure)):
            told.append(f"{title(figure)}, {figure.better} is better: {text}")
    return told


def _models(result: Result) -> str:
    """The legend: colour, name, what it is."""
    lines = [
        f'<dt><span class="key" style="background:{COLOURS.get(model, "#666")}"></span>{html.escape(model)}</dt>'
        f"<dd>{html.escape(TITLES[model])}</dd>"
        for model in result.models
    ]
    return f"<dl>{''.join(lines)}</dl>"


def _belongs(figure: Figure, prefixes: Sequence[str], unit: str | None) -> bool:
    if unit is None:
        return figure.of_process and figure.key.startswith(tuple(prefixes))
    return figure.unit == unit and figure.key.startswith(tuple(prefixes)) and not figure.of_process


def _chart(result: Result, figure: Figure) -> str:
    plot = chart(f"{title(figure)}: {figure.unit}, {figure.better} is better", list(_bars(result, figure)))
    says = html.escape(caption(result, figure))
    return f'<figure><div class="wide">{plot}</div><figcaption>{says}</figcaption></figure>'


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
    lines += [f"<tr>{''.join(f'<td>{_cell(text)}</td>' for text in row)}</tr>" for row in body]
    return f"<table>{''.join(lines)}</table>"


def _cell(text: str) -> str:
    """A spread, such as (1.00-3.00), stays in one line."""
    return re.sub(r"\([\d.]+-[\d.]+\)", lambda found: f'<span class="spread">{found[0]}</span>', html.escape(text))


def _definitions(pairs: dict[str, str]) -> str:
    inside = "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in pairs.items())
    return f"<dl>{inside}</dl>"


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"
