"""What a run's numbers become: ratios, tables, JSON, a page that stands alone."""

import dataclasses
import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from nfxlat.bench import captions
from nfxlat.bench.models import DEFAULT, FULL
from nfxlat.bench.page import COLOURS, page
from nfxlat.bench.ratios import ratios, subject
from nfxlat.bench.report import GENERATOR, Report, cell, number
from nfxlat.bench.rounds import Options, Result, Series, chosen_measurements
from nfxlat.bench.stats import Spread
from nfxlat.bench.svg import Bar, chart
from nfxlat.bench.workloads import Figure, measurements
from nfxlat.errors import OperatorError

TCP = Figure("tcp_1_4to6", "TCP, 1 flow, 4to6", "Gbit/s")
RTT = Figure("rtt_p50", "RTT idle, p50", "µs", "lower")
CPU = Figure("cpu_packet", "worker CPU, UDP 64 B", "µs/packet", "lower", True)
SHARE = Figure("cpu_worker", "worker CPU, UDP 64 B, 20 kpps per worker", "µs/packet", "lower", True)


def result(**values: dict[str, list[float | None]]) -> Result:
    """Series by figure and model; all that is not given is empty."""
    figures = [figure for figure in (TCP, RTT, CPU, SHARE) if figure.key in values]
    models = [*DEFAULT, *sorted({model for row in values.values() for model in row} - {*DEFAULT})]
    series = {key: {model: Series(list(row.get(model, []))) for model in models} for key, row in values.items()}
    return Result(figures, models, series, {"hook": ["ready", "stamp of gso_size by tcx"]}, rounds=3, seconds=9.0)


def report(of: Result) -> Report:
    return Report(of, "nfxlat bench <x>", "2026-01-01", {"kernel": "Linux 6.18"}, {"nfxlat": "0.1.0"})


def test_ratios_are_taken_round_by_round() -> None:
    of = result(tcp_1_4to6={"hook": [6.0, 9.0, 1.0], "plain": [10.0, 15.0, 10.0], "tayga": [1.0, 0.6, 1.0]})
    assert ratios(of) == {"tcp_1_4to6": {"tayga": Spread(6.0, 1.0, 15.0), "plain": Spread(0.6, 0.1, 0.6)}}


def test_a_round_that_one_side_lacks_does_not_count() -> None:
    of = result(tcp_1_4to6={"hook": [1.0, None, 8.0], "plain": [None, 10.0, 10.0]}, rtt_p50={"tayga": [3.0]})
    assert ratios(of) == {"tcp_1_4to6": {"plain": Spread(0.8, 0.8, 0.8)}}


def test_without_another_model_there_are_no_ratios() -> None:
    alone = Result([TCP], ["device"], {TCP.key: {"device": Series([1.0])}}, rounds=1)
    assert (subject(alone), ratios(alone), report(alone).ratio_rows()) == ("device", {}, [])
    assert "<h2>Ratios" not in page(report(alone))


def test_a_full_run_measures_all_of_a_default_run_and_no_figure_twice() -> None:
    full = [figure.key for measurement in measurements(full=True) for figure in measurement.figures]
    default = [figure.key for measurement in measurements(full=False) for figure in measurement.figures]
    assert set(default) < set(full)
    assert len(full) == len(set(full))


def test_a_run_of_named_measurements_leaves_the_others_out() -> None:
    assert {m.key for m in chosen_measurements(Options(only=("rtt", "memory")))} == {"rtt", "memory"}
    with pytest.raises(OperatorError, match="no such measurement"):
        chosen_measurements(Options(only=("sctp",)))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.456, "0.46"), (9.996, "10.00"), (12.34, "12.3"), (123.4, "123"), (1e5, "100000")],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


def test_a_cell_shows_the_median_its_spread_and_whose_limit_it_is() -> None:
    assert cell(Series([1.0, 3.0, 2.0])) == "2.00 (1.00-3.00)"
    assert cell(Series([2.0, 2.0], generator=1)) == f"{GENERATOR}2.00"
    assert cell(Series([None])) == ""


def test_markdown_has_a_row_a_figure_in_each_table() -> None:
    text = report(result(tcp_1_4to6={"hook": [6.0], "plain": [10.0]}, rtt_p50={"hook": [90.0]})).markdown()
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in tables[:4]}) == 1
    assert "| TCP, 1 flow, 4to6 | Gbit/s | 6.00 |  |  |  | 10.0 |  |" in tables
    assert "| hook, as a ratio to | better | offload | device | tayga | plain | null |" in tables
    assert "| TCP, 1 flow, 4to6 | higher |  |  |  | 0.60 |  |" in tables
    assert "`nfxlat bench <x>`" in text
    assert "- hook: stamp of gso_size by tcx" in text


def test_json_has_every_round_and_every_ratio() -> None:
    of = result(tcp_1_4to6={"hook": [6.0, 8.0], "plain": [10.0, 10.0]})
    of.troubles.append("round 2, tayga: it has ended")
    value = json.loads(json.dumps(report(of).as_json()))
    assert value["results"]["tcp_1_4to6"]["hook"] == {
        "median": 7.0,
        "low": 6.0,
        "high": 8.0,
        "rounds": [6.0, 8.0],
        "generator_limited_rounds": 0,
    }
    assert value["ratios"] == {
        "subject": "hook",
        "results": {"tcp_1_4to6": {"plain": {"median": 0.7, "low": 0.6, "high": 0.8}}},
    }
    assert value["complete"] is False
    assert "round 2, tayga: it has ended" in value["notes"]


class Page(HTMLParser):
    """Collects references, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.charts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.charts += tag == "svg"
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Nothing is left open."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_escapes_what_it_shows() -> None:
    text = page(report(result(tcp_1_4to6={"hook": [6.0], "plain": [10.0]}, rtt_p50={"hook": [90.0]})))
    parser = Page()
    parser.feed(text)
    assert parser.open == []
    assert parser.references == []
    assert parser.charts == 2
    assert "nfxlat bench &lt;x&gt;" in text
    assert "<script" not in text


def test_a_spread_is_not_broken_over_two_lines() -> None:
    text = page(report(result(tcp_1_4to6={"hook": [6.0, 8.0], "plain": [10.0, 10.0]})))
    assert '<td>7.00 <span class="spread">(6.00-8.00)</span></td>' in text


def test_each_plot_says_what_was_done_and_how_the_models_compare() -> None:
    of = result(tcp_1_4to6={"hook": [6.0, 6.0], "offload": [9.0, 9.0], "plain": [10.0, 10.0], "tayga": [0.5, 0.5]})
    (figure,) = [one for one in of.figures if one.key == "tcp_1_4to6"]
    assert captions.title(figure) == "TCP, 1 flow, IPv4 to IPv6"
    assert captions.caption(of, figure) == (
        "One bulk TCP flow: what a download gets. hook: 0.60× plain, 12.0× tayga. offload: 0.90× plain, 18.0× tayga."
    )
    assert f"<figcaption>{captions.caption(of, figure)}</figcaption>" in page(report(of))


@pytest.mark.parametrize("full", [False, True])
def test_each_figure_has_a_sentence_and_each_model_a_colour(full: bool) -> None:
    figures = [figure for one in chosen_measurements(Options(full=full)) for figure in one.figures]
    assert [figure.key for figure in figures if captions.done(figure) == ""] == []
    assert set(FULL) == set(COLOURS)
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_a_chart_is_well_formed_and_bars_are_to_scale() -> None:
    bars = [Bar("a&b", 10.0, "10", (9.0, 10.0), "#111"), Bar("c", 5.0, "5", (), "#222"), Bar("d", 0.0, "", (), "#333")]
    root = ElementTree.fromstring(chart("<title>", bars))
    widths = [float(element.attrib["width"]) for element in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[1] == pytest.approx(widths[0] / 2)
    assert widths[2] == 0
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 2


def test_a_figure_knows_whether_plain_forwarding_can_have_it() -> None:
    figures = {figure.key: figure for measurement in measurements(full=True) for figure in measurement.figures}
    assert {key for key, figure in figures.items() if figure.of_process} == {
        "tcp_1_4to6_cpu",
        "tcp_1_6to4_cpu",
        "cpu_packet",
        "cpu_worker",
        "cpu_few",
        "cpu_first",
        "program",
        "rss",
        "pss",
    }
    assert dataclasses.is_dataclass(figures["rss"])
