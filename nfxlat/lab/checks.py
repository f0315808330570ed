"""The lines of the demo's table: what is tried between which addresses, and what counts as success."""

from __future__ import annotations

import contextlib
import http.client
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nfxlat.lab import datagram, probe, topology, transfer
from nfxlat.lab.netns import Namespace
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import Lab

CLOSED_PORT = 9
SUPERFRAME_SHARE = 0.9  # of the payload octets of a bulk transfer, at least


@dataclass(frozen=True, slots=True)
class Observation:
    """Whether a line holds, in words and in values (ready for JSON)."""

    ok: bool
    figure: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, still to be found out by `find`; `seconds`: about how long that takes."""

    what: str
    source: str
    target: str
    find: Callable[[], Observation]
    seconds: float = 0.2

    def finding(self) -> Observation:
        """What `find` says; what the network does to it is a finding too."""
        try:
            return self.find()
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Observation(False, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


@dataclass(frozen=True, slots=True)
class Load:
    """How much: octets of a download, seconds and rounds of a bulk measurement."""

    octets: int = 256 << 20
    seconds: float = 1.0
    rounds: int = 5


class Checks:
    """All lines for one lab with its translator; the servers they need run while the `with` block lasts."""

    def __init__(self, lab: Lab, process: TranslatorProcess, load: Load, *, superframes: bool = True) -> None:
        self._lab, self._process, self._load, self._superframes = lab, process, load, superframes
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Checks:
        host4, host6 = self._lab.host4, self._lab.host6
        with contextlib.ExitStack() as stack:
            self._echo = {
                address: stack.enter_context(datagram.UdpEcho(namespace, address)).port
                for namespace, address in (
                    (host4, topology.HOST4),
                    (host4, topology.HOST4_NARROW),
                    (host6, topology.HOST6_PREFIX),
                    (host6, topology.HOST6_NARROW),
                )
            }
            starting = [transfer.ServerProcess(host, self._load.octets) for host in (host4, host6)]
            for process in starting:
                stack.callback(process.close)
            self._server4, self._server6 = [process.ready() for process in starting]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def lines(self) -> Iterator[Line]:
        """In the order of the table."""
        host4, host6 = self._lab.host4, self._lab.host6
        t = topology
        for what, host, source, target in (
            ("ping (prefix6)", host4, t.HOST4, t.HOST6_4),
            ("ping (EAM)", host4, t.HOST4, t.HOST6_EAM4),
            ("ping (prefix6)", host6, t.HOST6_PREFIX, t.HOST4_6),
            ("ping (EAM)", host6, t.HOST6, t.HOST4_6),
        ):
            yield Line(what, source, target, self._bind(self._ping, host, source, target))
        echo4, echo6 = self._echo[t.HOST4], self._echo[t.HOST6_PREFIX]
        for what, size in (("UDP small", 100), ("UDP in fragments", 4000)):
            for host, source, target, port in (
                (host4, t.HOST4, t.HOST6_4, echo6),
                (host6, t.HOST6_PREFIX, t.HOST4_6, echo4),
            ):
                yield Line(what, source, target, self._bind(self._udp, host, source, target, port, size))
        routers4 = [t.in_prefix6(address) for address in t.ROUTER4]
        for host, source, target, first, last in (
            (host4, t.HOST4, t.HOST6_4, t.ROUTER4, t.ROUTER6),
            (host6, t.HOST6, t.HOST4_6, t.ROUTER6, routers4),
        ):
            yield Line("traceroute", source, target, self._bind(self._trace, host, source, target, first, last))
        for host, source, target, port, mtu in (
            (host4, t.HOST4, t.HOST6_NARROW_4, self._echo[t.HOST6_NARROW], t.NARROW_MTU - 20),
            (host6, t.HOST6, t.HOST4_NARROW_6, self._echo[t.HOST4_NARROW], t.NARROW_MTU + 20),
        ):
            yield Line("path MTU discovery", source, target, self._bind(self._mtu, host, source, target, port, mtu))
        for what, host, source, target, names in (
            ("closed UDP port", host4, t.HOST4, t.HOST6_4, ("ECONNREFUSED",)),
            ("closed UDP port", host6, t.HOST6, t.HOST4_6, ("ECONNREFUSED",)),
            ("unreachable host", host4, t.HOST4, t.DEAD6_4, ("EHOSTUNREACH",)),
            # 3/1 becomes 1/0 "no route" (RFC 7915 4.2), which sockets call a network
            ("unreachable host", host6, t.HOST6, t.DEAD4_6, ("ENETUNREACH", "EHOSTUNREACH")),
        ):
            yield Line(what, source, target, self._bind(self._error, host, source, target, names))
        for host, source, target, server in (
            (host4, t.HOST4, t.HOST6_4, self._server6),
            (host6, t.HOST6_PREFIX, t.HOST4_6, self._server4),
        ):
            find = self._bind(self._download, host, source, target, server)
            yield Line("HTTP download, SHA-256", source, target, find, 2.0)
        seconds = 2 * self._load.rounds * self._load.seconds + 1
        for sender, receiver, source, target, plain in (
            (host4, self._server6, t.HOST4, t.HOST6_4, (t.HOST4, t.PLAIN_HOST6)),
            (host6, self._server4, t.HOST6_PREFIX, t.HOST4_6, (t.PLAIN_HOST6, t.HOST4)),
        ):
            find = self._bind(self._bulk, sender, receiver, source, target, plain)
            yield Line("TCP bulk", source, target, find, seconds)

    @staticmethod
    def _bind(function: Callable[..., Observation], *arguments: object) -> Callable[[], Observation]:
        return lambda: function(*arguments)

    def _ping(self, host: Namespace, source: str, target: str) -> Observation:
        echo = host.call(probe.ping, target, source)
        figure = f"{len(echo.rtts)} of {echo.sent} came back"
        if echo.rtts:
            figure += f", {statistics.median(echo.rtts):.2f} ms"
        return Observation(echo.ok, figure, {"sent": echo.sent, "rtts": list(echo.rtts)})

    def _udp(self, host: Namespace, source: str, target: str, port: int, size: int) -> Observation:
        result = host.call(datagram.exchange, target, port, size, source)
        figure = f"{size} octets there and back, {result.rtt:.2f} ms" if result.rtt is not None else result.error
        return Observation(result.ok, figure, {"size": size, "rtt": result.rtt})

    def _trace(
        self, host: Namespace, source: str, target: str, first: Sequence[str], last: Sequence[str]
    ) -> Observation:
        """Router, translator, router, host: both routers by name, the translator by whatever address it has."""
        hops = host.call(probe.traceroute, target, source)
        seen = [(hop.address, hop.node) for hop in hops]
        ok = (
            len(seen) == 4
            and seen[0][0] in first
            and seen[1][0] not in (None, target)
            and not {*seen[2]}.isdisjoint(last)
            and seen[3][0] == target
        )
        return Observation(ok, " ".join(map(str, hops)), {"hops": [list(hop) for hop in seen]})

    def _mtu(self, host: Namespace, source: str, target: str, port: int, mtu: int) -> Observation:
        for family in ("-4", "-6"):
            host.ip(f"{family} route flush cache")
        result = host.call(datagram.path_mtu, target, port, source)
        figure = " > ".join(map(str, result.steps))
        figure += f", then {result.delivered} octets pass" if result.delivered else f", then {result.error}"
        ok = result.delivered == result.mtu == mtu and len(result.steps) > 1
        return Observation(ok, figure, {"steps": list(result.steps), "delivered": result.delivered})

    def _error(self, host: Namespace, source: str, target: str, names: Sequence[str]) -> Observation:
        name = host.call(datagram.icmp_error, target, CLOSED_PORT, source)
        return Observation(name in names, name, {"error": name})

    def _download(self, host: Namespace, source: str, target: str, server: transfer.Server) -> Observation:
        result = host.call(transfer.download, target, server, source)
        said = "equal" if result.intact else "differs"
        figure = f"{result.octets / 2**20:.0f} MiB, SHA-256 {said}, {result.gbps:.2f} Gbit/s"
        values = {"octets": result.octets, "intact": result.intact, "gbps": round(result.gbps, 3)}
        return Observation(result.intact and result.octets == self._load.octets, figure, values)

    def _bulk(
        self, sender: Namespace, receiver: transfer.Server, source: str, target: str, plain: tuple[str, str]
    ) -> Observation:
        """Translated and plainly forwarded transfers by turns, between the same two processes; medians."""
        translated, forwarded = [], []
        before = self._process.summary()["totals"]
        with self._lab.plain_ipv4():
            for _ in range(self._load.rounds):
                result = sender.call(transfer.send_bulk, plain[1], receiver, self._load.seconds, plain[0])
                forwarded.append(result.gbps)
                result = sender.call(transfer.send_bulk, target, receiver, self._load.seconds, source)
                translated.append(result.gbps)
        after = self._process.summary()["totals"]
        payload = after["tcp_payload"] - before["tcp_payload"]
        share = (after["superframe_payload"] - before["superframe_payload"]) / payload if payload else 0.0
        ours, kernel = statistics.median(translated), statistics.median(forwarded)
        ratio = ours / kernel if kernel else 0.0
        figure = f"{ours:.2f} Gbit/s, {ratio:.2f} of the plain kernel's {kernel:.2f}, {share:.0%} in superframes"
        values = {
            "gbps": round(ours, 3),
            "plain_gbps": round(kernel, 3),
            "ratio": round(ratio, 3),
            "superframe_share": round(share, 4),
            "rounds": {"gbps": translated, "plain_gbps": forwarded},
        }
        return Observation(ours > 0 and (share >= SUPERFRAME_SHARE or not self._superframes), figure, values)
