"""What is measured: figures, and the measurements that give them. A measurement treats every model alike."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from nfxlat.bench import stats
from nfxlat.bench.agent import Failed
from nfxlat.bench.frames import Stream
from nfxlat.bench.models import Model, Way
from nfxlat.bench.procs import cpu_seconds, memory
from nfxlat.bench.program_time import program_time
from nfxlat.terms import DIRECTIONS, Direction

FLOOD = 2e6  # datagrams a second that no sender here reaches
DRAINED = 0.01  # seconds after the sender's end by which the last datagram is there, or the translator was behind
SMALL, LARGE = 64, 1400  # octets of UDP payload
LIGHT, FEW = 40_000.0, 4_000.0  # datagrams a second: what every model carries, alone on the machine
SHARE = 20_000.0  # a worker
FIRST_PAIRS = "198.19.0.0"  # source addresses nobody has (RFC 2544 C.2.2)
MOST_PAIRS = 4000
# of UDP: how many at first, and where these are the limit; of two processors a second one takes the translator's
SENDERS, MORE_SENDERS = (1, 2) if (os.cpu_count() or 1) <= 2 else (2, 2)
ENDLESS = 600.0  # seconds; ended by whoever began it


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the report. `of_process`: it is about the translator's processes, which plain forwarding lacks."""

    key: str
    title: str
    unit: str
    better: Literal["higher", "lower"] = "higher"
    of_process: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """How long: seconds of a TCP transfer, of a trial at one rate, of a look at CPU time; round trips; most trials."""

    tcp: float = 1.0
    trial: float = 0.4
    cpu: float = 0.8
    rtts: int = 800
    trials: int = 14
    resolution: float = stats.RESOLUTION

    @classmethod
    def quick(cls) -> Settings:
        return cls(tcp=0.15, trial=0.05, cpu=0.1, rtts=40, trials=4, resolution=0.3)


@dataclass(slots=True)
class Taken:
    """What one measurement of one model gave: values by figure; `generator`: figures that the sender limited."""

    values: dict[str, float] = field(default_factory=dict)
    generator: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One thing done with one model. `former`: what the last round gave, where a search may begin."""

    key: str
    title: str
    figures: tuple[Figure, ...]
    take: Callable[[Model, Settings, int, dict[str, float]], Taken]
    gro: bool = False
    seconds: Callable[[Settings], float] = lambda settings: settings.trial  # about how long, for the progress bar


def tcp(direction: Direction, flows: int) -> Measurement:
    key = f"tcp_{flows}_{direction}"
    what = f"TCP, {flows} flow{'s' * (flows > 1)}, {direction}"
    figures = [Figure(key, what, "Gbit/s")]
    if flows == 1:
        figures.append(Figure(f"{key}_cpu", f"worker CPU, {what}", "ms/GB", "lower", of_process=True))

    def take(model: Model, settings: Settings, number: int, former: dict[str, float]) -> Taken:
        way = model.ways[direction]
        with _cpu(model) as spent:
            octets, seconds = _transfer(way, flows, settings.tcp)
        taken = Taken({key: octets * 8 / seconds / 1e9})
        if flows == 1 and model.pids():
            taken.values[f"{key}_cpu"] = spent() * 1e3 / (octets / 1e9)
        return taken

    return Measurement(key, what, tuple(figures), take, seconds=lambda settings: settings.tcp + 0.1)


def udp(flows: int, size: int, *, gro: bool, direction: Direction = "4to6") -> Measurement:
    suffix = "" if direction == "4to6" else f"_{direction}"
    key = f"udp{size}_{flows}{'_gro' * gro}{suffix}"
    what = f"UDP {size} B, {flows} flow{'s' * (flows > 1)}, GRO {'on' if gro else 'off'}"
    what += f", {direction}" if suffix else ""

    best: dict[str, int] = {}  # senders, by model: as many from the first in the next round

    def take(model: Model, settings: Settings, number: int, former: dict[str, float]) -> Taken:
        senders = best.get(model.name, SENDERS)
        found = search(model, settings, former, senders)
        if found.generator and min(MORE_SENDERS, flows) > senders:
            more = search(model, settings, former, MORE_SENDERS)
            if more.rate > found.rate:
                found, best[model.name] = more, MORE_SENDERS
        return Taken({key: found.rate / 1e3}, {key} if found.generator else set())

    def search(model: Model, settings: Settings, former: dict[str, float], senders: int) -> stats.Found:
        with _listening(model.ways[direction], flows, size, senders=senders) as trial:
            return stats.search(
                lambda rate: trial(rate, settings.trial),
                FLOOD,
                guess=former.get(key, 0.0) * 1e3,
                most=settings.trials,
                resolution=settings.resolution,
            )

    figure = Figure(key, f"{what}, loss-free", "kpps")
    return Measurement(key, what, (figure,), take, gro=gro, seconds=lambda settings: 6 * (settings.trial + 0.1))


def rtt() -> Measurement:
    """Round trips of small datagrams through an otherwise idle translator."""
    figures = (
        Figure("rtt_p50", "RTT idle, p50", "µs", "lower"),
        Figure("rtt_p99", "RTT idle, p99", "µs", "lower"),
    )

    def take(model: Model, settings: Settings, number: int, former: dict[str, float]) -> Taken:
        return Taken(_round_trips(model.ways["4to6"], settings, "rtt"))

    return Measurement("rtt", "RTT idle", figures, take)


def rtt_loaded() -> Measurement:
    """The same while a TCP transfer runs."""
    figures = (
        Figure("rtt_load_p50", "RTT under one TCP flow, p50", "µs", "lower"),
        Figure("rtt_load_p99", "RTT under one TCP flow, p99", "µs", "lower"),
    )

    def take(model: Model, settings: Settings, number: int, former: dict[str, float]) -> Taken:
        way = model.ways["4to6"]
        besides = dataclasses.replace(way, sender=model.spare["router4"], receiver=model.spare["router6"])
        with _loaded(besides):
            return Taken(_round_trips(way, settings, "rtt_load"))

    return Measurement("rtt_load", "RTT under load", figures, take)


def cpu_small() -> Measurement:
    """What a 64-octet datagram costs a worker where nothing is coalesced, at a rate that all carry."""
    figure = Figure(
        "cpu_packet", f"worker CPU, UDP 64 B, 256 flows, {LIGHT / 1e3:.0f} kpps", "µs/packet", "lower", True
    )

    def take(model: Model, settings: Settings, number: int, former: dict[str, float]) -> Taken:
        return _cpu_of(model, figure.key, LIGHT, settings.cpu, flows=256)

    return Measurement(figure.key, figure.title, (figure,), take, seconds=lambda settings: settings.cpu)


def program_cost() -> Measurement:
    """What one packet costs the BPF program at ingress, at the same rate; of a kernel that tells."""
    figure = Figure("program", "BPF program at ingress, UDP 64 B, 256 flows", "µs/packet", "lower", True)

    def take(model: Model, settings: Settings, number: int, former: dict[str, float]) -> Taken:
        with program_time(model.pids()) as spent, _listening(model.ways["4to6"], 256, SMALL) as trial:
            trial(LIGHT, settings.trial)
            seconds = spent()
        return Taken({} if seconds is None else {figure.key: seconds * 1e6})

    return Measurement(figure.key, figure.title, (figure,), take)


def cpu_share() -> Measurement:
    """The same where each worker has as much to do as one alone would: batches, and so the cost, follow the rate."""
    figure = Figure(
        "cpu_worker", f"worker CPU, UDP 64 B, 256 flows, {SHARE / 1e3:.0f} kpps per worker", "µs/packet", "lower", True
    )

    def take(model: Model, settings: Settings, number: int, former: dict[str, float]) -> Taken:
        return _cpu_of(model, figure.key, SHARE * model.shares(), settings.cpu, flows=256)

    return Measurement(figure.key, figure.title, (figure,), take, seconds=lambda settings: settings.cpu)


def first_packets() -> Measurement:
    """Packets of pairs of addresses never seen before, and as few of a known pair."""
    known = Figure("cpu_few", f"worker CPU, a packet of a known pair, {FEW / 1e3:.0f} kpps", "µs/packet", "lower", True)
    first = Figure("cpu_first", "worker CPU, the first packet of a pair, as many", "µs/packet", "lower", True)

    def take(model: Model, settings: Settings, number: int, former: dict[str, float]) -> Taken:
        taken = _cpu_of(model, known.key, FEW, settings.cpu, flows=1)
        pairs = min(int(FEW * settings.cpu), MOST_PAIRS)
        offset = number * MOST_PAIRS % 60000
        new = _cpu_of(model, first.key, FEW, settings.cpu * 2, pairs=pairs, offset=offset)
        return Taken(taken.values | new.values)

    return Measurement("first", "first packets", (known, first), take, seconds=lambda settings: 2 * settings.cpu)


def memory_use() -> Measurement:
    """After all the rest of a round."""
    figures = (
        Figure("rss", "memory, resident", "MB", "lower", True),
        Figure("pss", "memory, proportional share", "MB", "lower", True),
    )

    def take(model: Model, settings: Settings, number: int, former: dict[str, float]) -> Taken:
        pids = model.pids()
        used = memory(pids)
        return Taken({"rss": used.rss / 1e6, "pss": used.pss / 1e6} if pids else {})

    return Measurement("memory", "memory", figures, take, seconds=lambda settings: 0.01)


def measurements(*, full: bool) -> list[Measurement]:
    """All of them, in the order of a round: as few changes of GRO as possible."""
    found = [tcp(direction, flows) for flows in (1, 8) for direction in DIRECTIONS]
    if full:
        found += [tcp(direction, 32) for direction in DIRECTIONS]
    found += [udp(flows, SMALL, gro=False) for flows in (1, 16, 256)]
    found += [udp(16, LARGE, gro=False), rtt(), cpu_small(), program_cost(), first_packets()]
    if full:
        found += [cpu_share(), rtt_loaded(), udp(4096, SMALL, gro=False), udp(16, SMALL, gro=False, direction="6to4")]
    found += [udp(flows, SMALL, gro=True) for flows in (1, 16, 256)]
    if full:
        found += [udp(16, LARGE, gro=True), udp(16, SMALL, gro=True, direction="6to4")]
    return [*found, memory_use()]


def warm_up(model: Model) -> None:
    """What happens once and is not to be measured: neighbours are resolved, the path MTU found, templates learnt."""
    for way in model.ways.values():
        _transfer(way, 1, 0.1)


@contextlib.contextmanager
def _cpu(model: Model) -> Iterator[Callable[[], float]]:
    """CPU seconds of the model's processes since the block began."""
    pids = model.pids()
    before = cpu_seconds(pids)
    yield lambda: cpu_seconds(pids) - before


def _begin_transfer(way: Way, flows: int, seconds: float) -> None:
    way.receiver.begin("tcp_receive", family=way.arriving_family, flows=flows, seconds=seconds)
    port = way.receiver.hear(5.0)["port"]
    way.sender.begin("tcp_send", source=way.source, target=way.target, port=port, flows=flows, seconds=seconds + 5)


def _transfer(way: Way, flows: int, seconds: float) -> tuple[int, float]:
    """(octets, seconds) by the receiver's clock."""
    try:
        _begin_transfer(way, flows, seconds)
        result = way.receiver.hear(seconds + 10)
        way.sender.hear(10.0)
    except BaseException:
        _interrupt(way)
        raise
    return int(result["octets"]), float(result["seconds"])


@contextlib.contextmanager
def _loaded(way: Way) -> Iterator[None]:
    """One flow, for as long as the block lasts."""
    try:
        _begin_transfer(way, 1, ENDLESS)
        yield
    finally:
        _interrupt(way)


def _interrupt(way: Way) -> None:
    """Both ends are in the middle of something: their next command finds them started anew."""
    way.receiver.close()
    way.sender.close()


@contextlib.contextmanager
def _listening(
    way: Way, flows: int, size: int, pairs: int = 0, offset: int = 0, senders: int = 0
) -> Iterator[Callable[[float, float], stats.Trial]]:
    """A receiver, and what sends to it (0: SENDERS): `trial(rate, seconds)`."""
    with way.receiver.serving("udp_receive", family=way.arriving_family, size=size) as port:
        source = way.source
        if pairs:
            source = str(ipaddress.ip_address(FIRST_PAIRS) + offset)
        stream = Stream(way.interface, way.macs, source, way.target, port, size, flows, pairs)

        shares = list(zip((way.sender, way.helper), stream.shares(senders or SENDERS), strict=False))

        def trial(rate: float, seconds: float) -> stats.Trial:
            for agent, share in shares:
                each = rate * share.flows / flows
                agent.begin("udp_send", stream=dataclasses.asdict(share), rate=each, seconds=seconds)
            results = [agent.hear(seconds + 10) for agent, _ in shares]
            sent = sum(result["sent"] for result in results)
            took, ended = (max(result[key] for result in results) for key in ("seconds", "ended"))
            way.receiver.say(sent)
            came = way.receiver.hear(10.0)
            late = came["last"] - ended
            refused = any(result["refused"] for result in results)
            clean = came["received"] == sent > 0 and not refused and late <= DRAINED
            return stats.Trial(sent / took, came["received"] / max(took, took + late), clean, came["received"])

        yield trial


def _round_trips(way: Way, settings: Settings, key: str) -> dict[str, float]:
    with way.receiver.serving("udp_echo", address=way.arriving) as port:
        result = way.sender.ask(
            "udp_rtt", 30.0, source=way.source, target=way.target, port=port, count=settings.rtts, size=SMALL
        )
    times: list[Any] = result["us"]
    if result["lost"] > 3 or not times:
        raise Failed(f"{result['lost']} of {settings.rtts} round trips were lost")
    return {f"{key}_p50": stats.quantile(times, 0.5), f"{key}_p99": stats.quantile(times, 0.99)}


def _cpu_of(
    model: Model, key: str, rate: float, seconds: float, *, flows: int = 1, pairs: int = 0, offset: int = 0
) -> Taken:
    """CPU time a datagram that arrived."""
    if not model.pids():
        return Taken()
    with _listening(model.ways["4to6"], flows, SMALL, pairs, offset) as trial, _cpu(model) as spent:
        result = trial(rate, seconds)
        used = spent()
    if not result.count:
        raise Failed(f"of {rate:.0f} datagrams a second none arrived")
    return Taken({key: used * 1e6 / result.count})
