"""A sentence for each plot: what was done, and what came out."""

from __future__ import annotations

import re

from nfxlat.bench.ratios import ratio, subject
from nfxlat.bench.report import number
from nfxlat.bench.rounds import Result
from nfxlat.bench.workloads import Figure

WAYS = {"4to6": "IPv4 to IPv6", "6to4": "IPv6 to IPv4"}
REFERENCES = ("plain", "null", "tayga")  # what others are told by
OURS = ("hook", "offload", "device", "route")
# the first that matches the figure's key tells what was done
DONE = (
    (r"tcp_1_.*_cpu", "Processor time of the translator for a gigabyte of one bulk TCP flow."),
    (r"tcp_1_", "One bulk TCP flow: what a download gets."),
    (r"tcp_", "Several bulk TCP flows at once: what a busy link gets."),
    (
        r"udp.*_gro",
        "The highest rate without loss, with GRO joining the datagrams of a flow into packets of up to 64 KB.",
    ),
    (r"udp", "The highest rate without loss, each datagram on its own."),
    (r"rtt_load", "Round trip of one small datagram, while a bulk TCP flow fills the translator's queue."),
    (r"rtt_p99", "99 % of round trips are no longer than this: one small datagram at a time, and no other traffic."),
    (r"rtt", "The typical round trip: one small datagram at a time, and no other traffic."),
    (
        r"program",
        "Time that the BPF program at ingress takes to stamp or to translate a packet, as counted by the kernel.",
    ),
    (r"cpu_first", "Processor time for the first packet between a pair of addresses, before anything has learnt it."),
    (r"cpu_few", "Processor time for a packet of a known pair, at a low rate: each packet wakes the translator."),
    (r"cpu", "Processor time for each small datagram, at a rate that all models can carry."),
    (r"rss", "Memory of the translator's processes; shared memory counts for each of them."),
    (r"pss", "Memory of the translator's processes; shared memory counts once."),
)


def title(figure: Figure) -> str:
    """Its title with directions in words."""
    return re.sub("4to6|6to4", lambda found: WAYS[found[0]], figure.title)


def caption(result: Result, figure: Figure) -> str:
    """What was done, and how our models compare, by the median of ratios round by round."""
    return " ".join(filter(None, (done(figure), finding(result, figure))))


def done(figure: Figure) -> str:
    """What was done, in a sentence; "" of a figure that none is written for."""
    return next((text for pattern, text in DONE if re.match(pattern, figure.key)), "")


def finding(result: Result, figure: Figure) -> str:
    """For the first model and `offload`: how many times the figure of each reference; "" where there is none."""
    told = []
    for model in dict.fromkeys((subject(result), "offload")):
        if model in result.models and (model in OURS or model == subject(result)):
            times = _times(result, figure, model)
            if times:
                told.append(f"{model}: {', '.join(times)}.")
    return " ".join(told)


def _times(result: Result, figure: Figure, model: str) -> list[str]:
    row = result.series[figure.key]
    found = []
    for other in REFERENCES:
        if other in row and other != model:
            spread = ratio(row[model], row[other])
            if spread is not None and spread.median > 0:
                found.append(f"{number(spread.median)}\N{MULTIPLICATION SIGN} {other}")
    return found
