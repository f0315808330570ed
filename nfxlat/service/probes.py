"""What this kernel can do, found out by doing it in a network namespace that is thrown away afterwards."""

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Literal

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from nfxlat.datapath.nfqueue import NetlinkQueue
from nfxlat.errors import OperatorError
from nfxlat.host.ingress import Table
from nfxlat.host.scratch import in_scratch
from nfxlat.host.stamp import How, Stamp
from nfxlat.host.udp_superframes import takes_udp_superframes
from nfxlat.nft.kernel import compat, load

ENTRIES = 64  # of a map that is made to be tried
QUEUE = 0  # of the scratch namespace: nobody else's


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the probes found; a text is why something does not work, "" that it does."""

    queue: str  # NFQUEUE with superframes
    tables: str  # nft tables of both families, through the bindings
    rule_path: Literal["native", "compat"] | None
    expressions: dict[str, str]  # nft expression of the rules: why not
    veth: str
    udp_l4: bool
    stamp: How | None
    stamp_udp: bool
    offload: str  # what can be translated at ingress: "TCP", "TCP and UDP", "" for nothing
    offload_lack: str  # why nothing


# what rules/ are made of, each with a rule that needs it
EXPRESSIONS = {
    "fib": "add rule ip probe c fib daddr type local",
    "notrack": "add rule ip probe c notrack",
    "jhash": "add rule ip probe c jhash tcp sport . tcp dport mod 2 vmap { 0 : accept }",
    "sets": "add set ip probe s { type ipv4_addr; flags interval; auto-merge; }",
    "reject": "add chain ip probe f { type filter hook forward priority 0; }; add rule ip probe f reject",
    "nat": "add chain ip probe n { type nat hook postrouting priority srcnat; }; add rule ip probe n masquerade",
}
_CHAIN = "add table ip probe; add chain ip probe c { type filter hook prerouting priority -450; }"


def kernel() -> Kernel:
    """Probe it. Raises OperatorError where no namespace can be made (without CAP_SYS_ADMIN)."""
    return in_scratch(_kernel)


def _kernel() -> Kernel:
    tables = _refusal(lambda: load.run(f"{_CHAIN}; add table ip6 probe"))
    expressions = {}
    if not tables:
        expressions = {name: _refusal(partial(load.run, rule, check=True)) for name, rule in EXPRESSIONS.items()}
    rule_path: Literal["native", "compat"] | None = None
    if not tables:
        if load.queue_expression_available():
            rule_path = "native"
        elif not _refusal(lambda: compat.insert_queue_rule("ip", "probe", "c", QUEUE, "probe")):
            rule_path = "compat"
    veth = _refusal(_veth)
    stamp, stamp_udp = (None, False) if veth else _stamp()
    offload, offload_lack = ("", veth) if veth else _offload()
    return Kernel(
        queue=_refusal(lambda: NetlinkQueue(QUEUE, superframes=True).close()),
        tables=tables,
        rule_path=rule_path,
        expressions=expressions,
        veth=veth,
        udp_l4=takes_udp_superframes(),
        stamp=stamp,
        stamp_udp=stamp_udp,
        offload=offload,
        offload_lack=offload_lack,
    )


def _refusal(probe: Callable[[], object]) -> str:
    """Why `probe` fails; "" if it does not."""
    try:
        probe()
    except OperatorError as error:
        return error.what
    except NetlinkError as error:
        return os.strerror(error.code)
    return ""


def _veth() -> None:
    with IPRoute() as ipr:
        ipr.link("add", ifname="probe", kind="veth", peer={"ifname": "probe2"})
        ipr.link("set", ifname="probe", state="up")


def _stamp() -> tuple[How | None, bool]:
    with closing(Stamp("probe2", lambda line: None, udp=True)) as found:
        return found.how, found.udp


def _offload() -> tuple[str, str]:
    """With its maps, on an interface: loaded, judged by the verifier, and attached."""
    told: list[str] = []
    try:
        with closing(Table(ENTRIES)) as table, closing(Stamp("probe2", told.append, udp=True, table=table)) as found:
            if found.how is not None and found.offloads:
                return found.offloads, ""
    except OperatorError as error:
        return "", error.what
    except OSError as error:
        return "", f"the kernel refuses BPF maps ({os.strerror(error.errno or 0)})"
    return "", next((line.partition(": ")[2] for line in told if line.startswith("no ")), "refused")
