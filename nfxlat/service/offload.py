"""`--offload`, as the supervisor sees it: which pairs of addresses the program at ingress may translate, until when.

The workers teach it (nfxlat.datapath.teacher); here it is told when all that it knows is void: rules, addresses,
interfaces or mappings have changed. That is one number in memory that the kernel reads with every packet. The program
translates only while this process is alive: `beat`.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from nfxlat.errors import OperatorError
from nfxlat.host.device import DomainDevice
from nfxlat.host.ingress import Table, has_own_clock
from nfxlat.host.stamp import Stamp
from nfxlat.nft.kernel import listing
from nfxlat.nft.kernel.base_chains import BaseChain, ahead_of
from nfxlat.nft.language.chains import guard_chain
from nfxlat.nft.language.needs import FIRST
from nfxlat.nft.language.repeat import Repeat
from nfxlat.nft.language.statement import TAKES
from nfxlat.offload import table
from nfxlat.service.messages import Message, Teach
from nfxlat.service.options import Options
from nfxlat.terms import Report
from nfxlat.xlat.domain import Domain

BEAT_SECONDS = 1.0
SWEEP_SECONDS = 30.0
NOTHING = Teach(0, frozenset())

Tell = Callable[[Message], None]


def refused(options: Options) -> str | None:
    """Why what is asked for has no offload; None where it can have."""
    for what, lacks in (
        ("packets of the host role come from this host, not from an interface", options.role != "router"),
        ("results have to go in through the domain device, not by --inject ip", options.inject != "device"),
        ("the source netfilterqueue does not tell what waits in a queue", options.source != "netlink"),
        ("it is made for the hook model", options.model != "hook"),
        ("what it knows are addresses, which other VRFs may have too", options.domain.vrf is not None),
        ("this time namespace has a clock of its own, and the kernel's is needed", has_own_clock()),
    ):
        if lacks:
            return what
    return None


def allowed_by_rules(domain: Domain) -> bool:
    """Whether rules are loaded whose decision may be repeated."""
    kinds: tuple[Repeat, ...] = ("pair", "flow")
    wanted = {guard_chain(domain, direction, kind) for direction in TAKES for kind in kinds}
    try:
        return any(rule.chain in wanted for rule in listing.rules())
    except OperatorError:  # they cannot be listed, of which others tell
        return True


def passed_over() -> list[BaseChain]:
    """Chains that would see packets before the rules that select them, and do not see those of pairs that are known."""
    try:
        return ahead_of(FIRST)
    except OperatorError:  # they cannot be listed, of which others tell
        return []


class Offload:
    """`tell` sends a message to the workers. `teach` is what a new worker is told. `by_packet` tells whether the rules
    decide by what the program cannot see: with IPsec policies, whether a packet came in ESP or AH. It rests then: none
    is taught.
    """

    def __init__(
        self,
        table: Table,
        stamp: Stamp,
        tell: Tell,
        report: Report,
        by_packet: Callable[[], bool] = lambda: False,
    ) -> None:
        self._report, self._by_packet, self._rests = report, by_packet, False
        self._table, self._stamp, self._tell = table, stamp, tell
        self._forgotten: dict[str, int] = {}
        self._ended = dict.fromkeys(
            ("expired", "flushed", "narrowed"), 0
        )  # here; the workers count those that they meet
        self._attached = stamp.landscape, stamp.translates
        self._target: tuple[int, int, bytes, bytes] | None = None  # of `Table.configure`; None: suspended
        self.teach = NOTHING
        if stamp.how:
            report(f"offload: pairs that are known are translated at ingress, {stamp.offloads}")
        if passed := passed_over():
            report(f"offload: these chains see no packets of known pairs: {', '.join(map(str, passed))}")

    def begin(self, domain: Domain, device: DomainDevice) -> None:
        """From now on pairs are taught, for this domain and device."""
        self._target = device.ifindex, domain.lowest_ipv6_mtu, device.near_mac, device.far_mac
        self._go_on()

    def suspend(self, why: str) -> None:
        """All pairs are void, and none is taught until `begin`."""
        self._target = None
        self._stop(why)

    @property
    def suspended(self) -> bool:
        """Whether `begin` is to come."""
        return self._target is None

    def forget(self, why: str) -> None:
        """All pairs are void, and are taught anew. Something has changed: it may have to rest now, or need not any
        more."""
        if self._target is None:
            return
        if self._rests:
            self._go_on()
        elif self._has_to_rest():
            self._stop(why)
        else:
            self._count(why)
            self._teach(self._table.forget())

    def interfaces_changed(self) -> None:
        """Some may have come, gone, changed their name or master, or have the program only now."""
        attached = self._stamp.landscape, self._stamp.translates
        if attached != self._attached:
            self._attached = attached
            self.forget("interfaces")

    def beat(self) -> None:
        """To be called every BEAT_SECONDS."""
        self._table.beat()

    def summary(self, totals: Mapping[str, int]) -> dict[str, Any]:
        """{direction: {outcome: n}}, how many pairs and flows are known, have been learnt, and have gone, why, and how
        often all were forgotten, by the cause. `totals` are the workers'.

        Raises OSError.
        """
        generation, there = self._table.generation, 0
        known = {"pairs": 0, "flows": 0}
        for key, pair in self._table.pairs():
            if not pair.by_flow:
                there += 1
                known["flows" if table.is_flow(key) else "pairs"] += pair.generation == generation
        ended = {name: totals[name] + self._ended[name] for name in self._ended}
        return {
            "what": self._stamp.offloads,
            "table": self._table.number,
            "generation": generation,
            **known,
            "learnt": totals["taught"],
            **ended,
            "evicted": max(0, totals["taught"] - there - sum(ended.values())),  # by the kernel, which does not tell
            "forgotten": self._forgotten,
            **self._table.counts(),
        }

    def sweep(self) -> None:
        """Take out what is void, so that it is counted, and its room is free. To be called every SWEEP_SECONDS. Raises
        OSError."""
        generation, now = self._table.generation, time.monotonic_ns()
        for key, pair in list(self._table.pairs()):
            if pair.counts(generation, now) or not self._table.remove(key) or pair.by_flow:
                continue
            self._ended["expired" if pair.generation == generation else "flushed"] += 1

    def _go_on(self) -> None:
        """Teach for the target, unless it has to rest."""
        if self._target is not None and not self._has_to_rest():
            self._teach(self._table.configure(*self._target))

    def _stop(self, why: str) -> None:
        self._count(why)
        self._table.forget()
        self.teach = NOTHING
        self._tell(self.teach)

    def _has_to_rest(self) -> bool:
        if self._by_packet() != self._rests:
            self._rests = not self._rests
            if self._rests:
                self._report("offload: rests while IPsec policies decide packet by packet")
        return self._rests

    def _count(self, why: str) -> None:
        self._forgotten[why] = self._forgotten.get(why, 0) + 1

    def _teach(self, generation: int) -> None:
        self.teach = Teach(generation, self._stamp.translates)
        self._tell(self.teach)
