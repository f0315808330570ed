"""What is known of translators as metrics of Prometheus: counters that only grow while a translator lives, and gauges.

Text for a scrape (OpenMetrics 1.0), or for the textfile collector of node_exporter, which reads the older form alone.
prometheus-client is imported by those who use it.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nfxlat import __version__
from nfxlat.errors import OperatorError
from nfxlat.outcome import REFUSING
from nfxlat.service.accounts import by_action
from nfxlat.service.answer import ENDED
from nfxlat.service.health import Health
from nfxlat.terms import DIRECTIONS

if TYPE_CHECKING:
    from prometheus_client.core import Metric

MOST_THINGS = 256  # of what a domain owns, each a series of its own; what is missing comes first
_MISSES = ("missed", "stale", "waiting", "diverted", "unfit", "failed")

Row = tuple[tuple[str, ...], float]

TOTALS = {  # label in the summary: name, what it is
    "injected": ("injected_packets", "Translated packets that left, a superframe as one"),
    "errors_sent": ("icmp_errors_sent", "ICMP errors made here that left"),
    "fast": ("fast_path_packets", "Packets that the fast path translated"),
    "superframes": ("superframes", "Superframes taken from the queues"),
    "segments": ("superframe_segments", "Segments in superframes taken from the queues"),
    "in_killed_hands": ("killed_hands_packets", "Packets in the hands of workers that were killed, at most"),
    "taught": ("offload_taught", "Pairs and flows taught to the program at ingress"),
}


def openmetrics(found: list[Health]) -> str:
    """For a scrape. Raises OperatorError without prometheus-client."""
    return _text("prometheus_client.openmetrics.exposition", found)


def textfile(found: list[Health]) -> str:
    """For the textfile collector. Raises OperatorError without prometheus-client."""
    return _text("prometheus_client.exposition", found)


def _text(module: str, found: list[Health]) -> str:
    try:
        exposition: Any = import_module(module)
    except ImportError:
        raise OperatorError(
            "needs the Python package prometheus-client",
            where="metrics",
            hint="apt install python3-prometheus-client, or pip install prometheus-client",
        ) from None
    octets: bytes = exposition.generate_latest(_registry(found))
    return octets.decode()


def _registry(found: list[Health]) -> Any:
    from prometheus_client import CollectorRegistry
    from prometheus_client.registry import Collector

    class Once(Collector):
        def collect(self) -> "Iterable[Metric]":
            return [*_families(found)]

        def describe(self) -> "Iterable[Metric]":
            return ()

    registry = CollectorRegistry()
    registry.register(Once())
    return registry


def _families(found: list[Health]) -> "Iterator[Metric]":
    """In the order in which they are shown; none without a row."""
    running = sum(one.one is not None for one in found)
    found = _one_each(found)
    told = [(one.domain, one.summary) for one in found if one.summary is not None]
    yield _info("build", "The nfxlat that tells this", [(("version",), (__version__,))])
    yield _gauge("translators", "Translators that run in this network namespace", (), [((), running)])
    up = [((one.domain,), float(one.summary is not None)) for one in found]
    if not up:
        return
    yield _gauge("up", "1: the domain's translator answers, 0: it does not, or does not run", ("domain",), up)
    for family in (*_traffic(told), *_offload(told), *_process(told), *_state(found)):
        if family.samples:
            yield family


def _one_each(found: list[Health]) -> list[Health]:
    """Of each domain the translator that has answered for the longest. While a successor gets ready there are two, and
    a sample that is told twice has the whole scrape refused."""
    best: dict[str, Health] = {}
    for one in found:
        best[one.domain] = max(best.get(one.domain, one), one, key=_seconds)
    return [*best.values()]


def _seconds(one: Health) -> float:
    return -1.0 if one.summary is None else float(one.summary["seconds"])


Told = list[tuple[str, dict[str, Any]]]


def _traffic(told: Told) -> "Iterator[Metric]":
    yield _counter(
        "packets",
        "Packets that workers took, by what became of them; a superframe is one, unless it was cut here",
        ("domain", "direction", "action", "reason"),
        [((domain, *row[:3]), row[3]) for domain, summary in told for row in by_action(summary)],
    )
    octets: list[Row] = []
    for domain, summary in told:
        for direction, label in zip(DIRECTIONS, ("octets4", "octets6"), strict=True):
            octets.append(((domain, direction, "workers"), summary["totals"].get(label, 0)))
            if summary.get("offload"):
                octets.append(((domain, direction, "offload"), summary["offload"][direction]["octets"]))
    yield _counter(
        "octets", "Octets behind the IP headers of what left translated", ("domain", "direction", "path"), octets
    )
    for label, (name, what) in TOTALS.items():
        yield _counter(name, what, ("domain",), [((domain,), one["totals"].get(label, 0)) for domain, one in told])
    yield _counter(
        "injection_errors",
        "Packets, further fragments and ICMP errors that the kernel refused to send",
        ("domain", "reason"),
        [
            ((domain, reason.label), sum(one["reasons"].get(reason.label, {}).values()))
            for domain, one in told
            for reason in sorted(REFUSING, key=lambda reason: reason.label)
        ],
    )
    lost: list[Row] = []
    waiting: list[Row] = []
    for domain, summary in told:
        for queue, row in summary["queues"].items():
            lost += [((domain, queue, cause), row[cause]) for cause in ("full", "socket")]
            if "waiting" in row:
                waiting.append(((domain, queue), row["waiting"]))
    yield _counter(
        "queue_lost_packets",
        "Packets that the kernel dropped since the queue was full, or the socket's buffer",
        ("domain", "queue", "cause"),
        lost,
    )
    yield _gauge("queue_waiting_packets", "Packets in the queue without a verdict", ("domain", "queue"), waiting)
    unexpected = [((domain,), one["unexpected"]) for domain, one in told if one.get("unexpected") is not None]
    yield _counter(
        "unexpected_packets", "Packets routed into the domain device that no rule had selected", ("domain",), unexpected
    )


def _offload(told: Told) -> "Iterator[Metric]":
    rows = [
        (domain, direction, one["offload"][direction])
        for domain, one in told
        if one.get("offload")
        for direction in DIRECTIONS
    ]
    labels = ("domain", "direction")
    for outcome, name, what in (
        ("translated", "offload_hits", "Packets translated at ingress, a superframe as one"),
        ("segments", "offload_segments", "Datagrams and segments in packets translated at ingress"),
        ("held", "offload_held_packets", "Packets dropped at ingress, since others of their flow wait in a full queue"),
    ):
        yield _counter(name, what, labels, [((domain, way), row[outcome]) for domain, way, row in rows])
    misses = [((domain, way, cause), row[cause]) for domain, way, row in rows for cause in _MISSES]
    yield _counter("offload_misses", "Packets that went on to the rules", (*labels, "cause"), misses)
    known = [
        ((domain,), one["offload"]["pairs"] + one["offload"]["flows"]) for domain, one in told if one.get("offload")
    ]
    yield _gauge("offload_entries", "Pairs and flows that the program at ingress knows now", ("domain",), known)
    ended = [((domain, why), one["offload"][why]) for domain, one in told if one.get("offload") for why in ENDED]
    yield _counter("offload_ended", "Pairs and flows that it knows no more", ("domain", "why"), ended)
    flushes: list[Row] = [
        ((domain, cause), number)
        for domain, one in told
        if one.get("offload")
        for cause, number in one["offload"].get("forgotten", {}).items()
    ]
    yield _counter("offload_flushes", "Times that all entries were made void", ("domain", "cause"), flushes)


def _process(told: Told) -> "Iterator[Metric]":
    def each(key: str, otherwise: float = 0) -> list[Row]:
        return [((domain,), one.get(key, otherwise)) for domain, one in told]

    yield _gauge("uptime_seconds", "Since the translator was started", ("domain",), each("seconds"))
    workers = [(domain, number, used) for domain, one in told for number, used in enumerate(_cpu(one))]
    yield _gauge("workers", "Worker processes that there are to be", ("domain",), each("workers"))
    yield _counter(
        "worker_restarts", "Workers that died and were started again", ("domain",), each("workers_restarted")
    )
    yield _counter(
        "worker_cpu_seconds",
        "Processor time of a worker and those before it",
        ("domain", "worker"),
        [((domain, str(number)), used) for domain, number, used in workers],
    )
    yield _counter(
        "supervisor_cpu_seconds", "Processor time of the supervisor", ("domain",), each("supervisor_cpu_seconds")
    )
    reloads = [
        ((domain, result), one["reloads"].get(result, 0))
        for domain, one in told
        if one.get("reloads")
        for result in ("done", "refused")
    ]
    yield _counter("reloads", "Configurations read again", ("domain", "result"), reloads)
    yield _counter("failures", "Things beside the data path that failed", ("domain",), each("failures"))
    yield _counter("lost_log_lines", "Lines that could not be written", ("domain",), each("lost_lines"))
    loaded = [(domain, one["configuration"]) for domain, one in told if one.get("configuration")]
    yield _info(
        "configuration",
        "The configuration that holds",
        [(("domain", "digest"), (domain, one["digest"])) for domain, one in loaded],
    )
    yield _gauge(
        "configuration_loaded_timestamp_seconds",
        "When the configuration was loaded",
        ("domain",),
        [((domain,), one["loaded"]) for domain, one in loaded],
    )


def _cpu(summary: dict[str, Any]) -> list[float]:
    return list(summary.get("worker_cpu_seconds", ()))


def _state(found: list[Health]) -> "Iterator[Metric]":
    things = [
        ((one.domain, thing.kind, thing.name), float(thing.there))
        for one in found
        for thing in sorted(one.things, key=lambda thing: thing.there)[:MOST_THINGS]
    ]
    yield _gauge("owned", "1: it is there, 0: it is missing", ("domain", "kind", "thing"), [*dict(things).items()])
    missing = [((one.domain,), float(len(one.missing))) for one in found if one.summary is not None]
    yield _gauge("missing_things", "Things that the domain needs and lacks", ("domain",), missing)
    off = [((one.domain,), float(len(one.account.off))) for one in found if one.account is not None]
    yield _gauge("sums_off", "Sums of packets that do not come to zero", ("domain",), off)


def _counter(name: str, what: str, labels: tuple[str, ...], rows: Iterable[Row]) -> "Metric":
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"nfxlat_{name}", f"{what}.", labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _gauge(name: str, what: str, labels: tuple[str, ...], rows: Iterable[Row]) -> "Metric":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(f"nfxlat_{name}", f"{what}.", labels=labels)
    for values, number in rows:
        family.add_metric(values, number)
    return family


def _info(name: str, what: str, rows: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> "Metric":
    from prometheus_client.core import InfoMetricFamily

    family = InfoMetricFamily(f"nfxlat_{name}", f"{what}.", labels=())
    for labels, values in rows:
        family.add_metric((), dict(zip(labels, values, strict=True)))
    return family
