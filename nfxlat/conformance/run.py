"""Run cases through a link: send many at once, tell what comes out apart by the hosts' addresses, judge each.

Probes (a UDP datagram and a TCP segment each way) are sent ahead, until they cross, to tell that the translator works
and how many hops it takes off; and behind each batch, to tell that it is through with it. There is no sleep: what is
wanted is awaited up to a deadline, and then whatever is not wanted has a moment to show.

A translator that learns gets a datagram and a segment between the same hosts ahead of each packet, some times over;
the probes behind its batches are echo requests, which it has nothing to learn of.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from nfxlat.conformance.hosts import Hosts
from nfxlat.conformance.judge import Received, Sent, Verdict, family_of, judge, octets_of
from nfxlat.conformance.notation import parse
from nfxlat.conformance.octets import Builder
from nfxlat.conformance.suite import FIRST, Case, Domain
from nfxlat.errors import OperatorError

BATCH: Final = 64  # cases
READY = 30.0  # s, until the first probes have crossed
THROUGH = 30.0  # s, until the probes behind a batch have
PATIENCE = 1.0  # s at least, for what has not come when the probes have
QUIET = 0.1  # s at least, for what should not come
LESSONS = 5  # packets of a flow, each through before the next: noted, taught, waited for, crossed, and one more

_PROBES = (
    "ip {four} > {six} / udp / 8",
    "ip {four} > {six} / tcp / 8",
    "ip6 {six} > {four} / udp / 8",
    "ip6 {six} > {four} / tcp / 8",
)
_ECHOES = ("ip {four} > {six} / icmp 8/0 / 8", "ip6 {six} > {four} / icmp6 128/0 / 8")


class Link(Protocol):
    """Both sides of what is tested. `own4`, `own6`: its own addresses, from which it may send errors."""

    own4: tuple[bytes, ...]
    own6: tuple[bytes, ...]
    at_once: bool  # nothing has to be waited for

    def find(self) -> None:
        """Whom to send to. Raises OperatorError where nobody is there."""

    def send(self, sent: Sent) -> None:
        """An IP packet towards it, on the IPv4 side (4) or the IPv6 side (6)."""

    def receive(self, timeout: float) -> list[Received]:
        """What has come out; waits up to `timeout` seconds for the first."""


@dataclass(frozen=True, slots=True)
class Result:
    """Of one case."""

    case: Case
    verdict: Verdict


class Run:
    """One domain of one link. `learns`: of `drivers.Driver`."""

    def __init__(self, domain: Domain, link: Link, *, learns: bool = False) -> None:
        self.domain, self.link, self.learns = domain, link, learns
        self.hops = {(4, 6): 1, (6, 4): 1, (4, 4): 1, (6, 6): 1}
        self._rounds = 0

    def cases(self, cases: Sequence[Case]) -> list[Result]:
        """The result of each. Raises OperatorError where nobody is there, or not even the probes cross."""
        self._begin()
        results: dict[int, Result] = {}
        for start in range(0, len(cases), BATCH):
            results |= {result.case.number: result for result in self._batch(cases[start : start + BATCH])}
        absent = [case for case in cases if results[case.number].verdict.absent]
        for start in range(0, len(absent), BATCH):  # a packet may be lost: once more
            results |= {result.case.number: result for result in self._batch(absent[start : start + BATCH])}
        return [results[case.number] for case in cases]

    def _hosts(self, number: int) -> Hosts:
        return Hosts(number, self.domain.prefix6, self.link.own4, self.link.own6, self.domain.pool6791)

    def _probes(self, texts: Sequence[str]) -> tuple[set[bytes], list[Sent]]:
        """Marks of new probes, and their packets."""
        self._rounds += 1
        hosts = self._hosts(1 + self._rounds % (FIRST - 1))
        builder = Builder(hosts)
        sent: list[Sent] = []
        four, six = self.domain.probe
        for text in texts[: len(texts) // 2] if self.domain.one_way else texts:
            packet = parse(text.format(four=four, six=six))
            sent.append(Sent(family_of(packet), builder.build(packet)))
        return hosts.marks(builder.names), sent

    def _begin(self) -> None:
        self.link.find()
        deadline = time.monotonic() + READY
        while True:
            marks, sent = self._probes(_PROBES)
            for one in sent:
                self.link.send(one)
            found: list[Received] = []
            soon = time.monotonic() + 0.5
            while time.monotonic() < soon and len(found) < len(sent):
                found += [came for came in self.link.receive(0.05) if _mark_in(came[1], marks)]
            if len(found) >= len(sent):
                break
            if time.monotonic() > deadline:
                raise OperatorError(
                    f"after {READY:g} s not all of a UDP datagram and a TCP segment each way have crossed",
                    hint="nfxlat conformance --domains tells what has to be set up",
                )
        for _, octets in found:
            if octets[0] >> 4 == 4:
                self.hops[6, 4] = 64 - octets[8]
            else:
                self.hops[4, 6] = self.hops[6, 6] = 64 - octets[7]

    def _batch(self, cases: Sequence[Case]) -> list[Result]:
        owners: dict[bytes, int] = {}
        hosts = {case.number: self._hosts(case.number) for case in cases}
        received: dict[int, list[Received]] = {case.number: [] for case in cases}
        if self.learns:
            for _ in range(LESSONS):
                self._lesson(cases, hosts)
        self.link.receive(0)  # what is left of an earlier batch
        for case in cases:
            sent, names = octets_of(case, hosts[case.number])
            owners |= dict.fromkeys(hosts[case.number].marks(names), case.number)
            for one in sent:
                self.link.send(one)
        marks, probes = self._probes(_ECHOES if self.learns else _PROBES)
        for probe in probes:
            self.link.send(probe)

        verdicts = {case.number: judge(case, hosts[case.number], self.hops, []) for case in cases}
        by_number = {case.number: case for case in cases}
        missing_probes = len(probes)
        began = last = time.monotonic()
        through = 0.0  # when the probes were
        while True:
            wanting = any(verdict.absent for verdict in verdicts.values())
            if missing_probes > 0:
                deadline = began + THROUGH
            else:
                through = through or time.monotonic()
                took = through - began  # on a busy machine everything takes longer
                deadline = through + max(PATIENCE, 2 * took) if wanting else last + max(QUIET, took / 2)
                if self.link.at_once:
                    break
            if (left := deadline - time.monotonic()) <= 0:
                break
            came = self.link.receive(left)
            for side, octets in came:
                last = time.monotonic()
                if _mark_in(octets, marks):
                    missing_probes -= 1
                elif (number := _owner(octets, owners)) is not None:
                    received[number].append((side, octets))
            for number in {_owner(octets, owners) for _, octets in came} - {None}:
                assert number is not None
                verdicts[number] = judge(by_number[number], hosts[number], self.hops, received[number])
        return [Result(case, verdicts[case.number]) for case in cases]

    def _lesson(self, cases: Sequence[Case], hosts: dict[int, Hosts]) -> None:
        """A datagram and a segment of each pair of hosts that sends in the cases, and all that comes of them."""
        for case in cases:
            for ends in dict.fromkeys(f"{layer.kind} {' > '.join(layer.about)}" for layer, *_ in case.send):
                for kind in ("udp", "tcp"):
                    packet = parse(f"{ends} / {kind} / 8")
                    self.link.send(Sent(family_of(packet), Builder(hosts[case.number]).build(packet)))
        marks, probes = self._probes(_ECHOES)
        for probe in probes:
            self.link.send(probe)
        missing, deadline = len(probes), time.monotonic() + THROUGH
        while missing > 0 and time.monotonic() < deadline:
            missing -= sum(_mark_in(octets, marks) for _, octets in self.link.receive(QUIET))
        while self.link.receive(QUIET):
            pass


def _mark_in(octets: bytes, marks: Iterable[bytes]) -> bool:
    return any(end in marks for end in _ends(octets))


def _ends(octets: bytes) -> tuple[bytes, ...]:
    """Both addresses of a packet, and those of a packet that it quotes."""
    if octets[:1] and octets[0] >> 4 == 4:
        ends, icmp, at = (octets[12:16], octets[16:20]), octets[9:10] == b"\x01", 20
    else:
        ends, icmp, at = (octets[8:24], octets[24:40]), octets[6:7] == b"\x3a", 40
    quote = octets[at + 8 :]
    return (*ends, *_ends(quote)) if icmp and quote and quote[0] >> 4 in (4, 6) else ends


def _owner(octets: bytes, owners: dict[bytes, int]) -> int | None:
    return next((owners[end] for end in _ends(octets) if end in owners), None)
