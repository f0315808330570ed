"""The cells of the matrix: a translation point each, in the lab, with one flow in each direction.

host4 --- router4 --- [ translator ] --- router6 --- host6

The routes behind the translator are such that each direction meets an MTU there: 1500 in IPv6 (1480 in IPv4), and 1400
in IPv4 (1420 in IPv6).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from nfxlat.lab.matrix.observer import Observer
from nfxlat.lab.netns import Namespace
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4, HOST4_6, HOST6, HOST6_4, HOST6_EAM4, PLAIN_HOST6, TRANSLATOR, Lab, in_prefix6
from nfxlat.terms import DIRECTIONS

MTU4 = 1400  # of the route back to host4
OWN_4 = "198.51.100.77"  # the node's own IPv6 address, as IPv4 sees it
CLAT4, CLAT6 = "192.0.0.1", "2001:db8:1::64"


@dataclass(frozen=True, slots=True)
class Flow:
    """Where marked packets come from and go to. `families`: of the original, and of what arrives."""

    sender: Namespace
    source: str
    target: str
    receiver: Namespace
    families: tuple[int, int]
    last_hop: int = 2  # TTL or Hop Limit that runs out at the translator


@dataclass(frozen=True, slots=True)
class Running:
    """A cell in operation."""

    cell: Cell
    lab: Lab
    flows: dict[str, Flow]
    observer: Observer
    process: TranslatorProcess | None


@dataclass(frozen=True, slots=True)
class Cell:
    """A router, transit in both directions.

    `own`: the node's own packets are asked about too; `offload`: a flow is asked about once the kernel translates it.
    """

    name: str
    title: str
    arguments: tuple[str, ...] = ()
    own: bool = True
    offload: bool = False

    def prepare(self, lab: Lab) -> None:
        """Before the translator starts."""

    def complete(self, lab: Lab) -> None:
        """When it is ready."""

    def flows(self, lab: Lab) -> tuple[Flow, Flow]:
        """In the order of `DIRECTIONS`."""
        return (
            Flow(lab.host4, HOST4, HOST6_EAM4, lab.host6, (4, 6)),
            Flow(lab.host6, HOST6, HOST4_6, lab.host4, (6, 4)),
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """The lab with the cell in it, ready."""
        with Lab() as lab, contextlib.ExitStack() as stack:
            lab.translator.ip(f"route change 192.0.2.0/28 via 192.0.2.17 mtu {MTU4}")
            self.prepare(lab)
            process = stack.enter_context(self._translator(lab, stack))
            self.complete(lab)
            observer = stack.enter_context(Observer(lab.translator))
            flows: dict[str, Flow] = dict(zip(DIRECTIONS, self.flows(lab), strict=True))
            yield Running(self, lab, flows, observer, process)

    def _translator(
        self, lab: Lab, stack: contextlib.ExitStack
    ) -> contextlib.AbstractContextManager[TranslatorProcess | None]:
        return TranslatorProcess(lab.translator, lab.directory, *self.arguments)


class Own(Cell):
    """The router's own packets. Its IPv6 address is one that IPv4 knows."""

    __slots__ = ()

    def prepare(self, lab: Lab) -> None:
        lab.translator.ip(f"address add {in_prefix6(OWN_4)}/128 dev lo")

    def flows(self, lab: Lab) -> tuple[Flow, Flow]:
        return (
            Flow(lab.translator, TRANSLATOR[0], HOST6_EAM4, lab.host6, (4, 6), 1),
            Flow(lab.translator, in_prefix6(OWN_4), HOST4_6, lab.host4, (6, 4), 1),
        )


class Host(Cell):
    """A CLAT host, 192.0.0.1 being 2001:db8:1::64; host6 is the IPv4 Internet, 198.51.100.2."""

    __slots__ = ()

    def prepare(self, lab: Lab) -> None:
        lab.router6.ip(f"route add {CLAT6}/128 via {TRANSLATOR[1]}")

    def flows(self, lab: Lab) -> tuple[Flow, Flow]:
        return (
            Flow(lab.translator, CLAT4, HOST6_4, lab.host6, (4, 6), 1),
            Flow(lab.host6, in_prefix6(HOST6_4), CLAT6, lab.translator, (6, 4)),
        )


class Tethered(Host):
    """host4 behind it, masqueraded as its IPv4 address."""

    __slots__ = ()

    def complete(self, lab: Lab) -> None:
        lab.translator.sysctl("net.ipv4.ip_forward", 1)
        chain = "chain nat { type nat hook postrouting priority srcnat; oifname siit0 masquerade; }"
        lab.translator.run(["nft", f"table ip tether {{ {chain}; }}"])

    def flows(self, lab: Lab) -> tuple[Flow, Flow]:
        return (
            Flow(lab.host4, HOST4, HOST6_4, lab.host6, (4, 6)),
            Flow(lab.host6, in_prefix6(HOST6_4), CLAT6, lab.host4, (6, 4)),
        )


class Plain(Cell):
    """The control: the kernel forwards IPv4 along the same links; "4to6" is towards host6."""

    __slots__ = ()

    def flows(self, lab: Lab) -> tuple[Flow, Flow]:
        return (
            Flow(lab.host4, HOST4, PLAIN_HOST6, lab.host6, (4, 4)),
            Flow(lab.host6, PLAIN_HOST6, HOST4, lab.host4, (4, 4)),
        )

    def _translator(
        self, lab: Lab, stack: contextlib.ExitStack
    ) -> contextlib.AbstractContextManager[TranslatorProcess | None]:
        stack.enter_context(lab.plain_ipv4())
        lab.translator.ip(f"route change 198.18.1.0/30 via 198.18.0.2 mtu {MTU4}")
        return contextlib.nullcontext()


_HOST = ("--role", "host", "--prefix6", "2001:db8:64::/96", "--eam", f"{CLAT4}={CLAT6}")

CELLS = (
    Cell("router-device", "router, device injector"),
    Cell("router-ip", "router, ip injector", ("--inject", "ip")),
    Cell("router-offload", "router, device injector, offload", ("--offload",), offload=True),
    Own("own-device", "router's own packets, device injector", own=False),
    Own("own-ip", "router's own packets, ip injector", ("--inject", "ip"), own=False),
    Cell("device", "device model", ("--model", "device")),
    Cell("route", "route model", ("--model", "route")),
    Host("host", "host (CLAT), its own packets", _HOST, own=False),
    Tethered("tethered", "host (CLAT), masqueraded packets", _HOST, own=False),
    Plain("plain", "plain IPv4 forwarding (control)"),
)
