"""The sysctls that translation needs.

Some are the node's, and so are shared by all domains on it. They come in groups: turning forwarding on rewrites every
interface's own `forwarding` (devinet.c inet_forward_change, addrconf.c addrconf_forward_change), and IPv6 forwarding
makes interfaces with accept_ra 1 forget their default router, so those get accept_ra 2 first.
"""

from collections.abc import Iterator
from typing import NamedTuple

from nfxlat.plan.facts import Facts
from nfxlat.terms import Role

FORWARD4, FORWARD6 = "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"


class Sysctl(NamedTuple):
    """`key` ("net/ipv4/ip_forward") is to be `value`. `group`: the shared setting that it is a part of; "" for the
    device's own, which go with it."""

    key: str
    value: str
    group: str = ""

    def __str__(self) -> str:
        return f"{dotted(self.key)} {self.value}"


def sysctls(role: Role, device: str, facts: Facts) -> Iterator[Sysctl]:
    """In the order in which they are to be set. A host forwards nothing; behind masquerade only IPv4 is forwarded into
    the device."""
    yield Sysctl(f"net/ipv6/conf/{device}/disable_ipv6", "0")
    if role == "host":
        return
    if role == "router":
        yield from accept_ra(facts, FORWARD6)
    yield Sysctl(FORWARD4, "1", FORWARD4)
    yield Sysctl(f"net/ipv4/conf/{device}/forwarding", "1")
    if role == "router":
        yield Sysctl(FORWARD6, "1", FORWARD6)


def accept_ra(facts: Facts, group: str) -> Iterator[Sysctl]:
    """What keeps default routers that came by advertisement, where an interface begins to forward."""
    for name in facts.advertised:
        yield Sysctl(f"net/ipv6/conf/{name}/accept_ra", "2", group)


def dotted(key: str) -> str:
    """As sysctl(8) prints it; an interface's own dots become slashes."""
    return key.translate(str.maketrans("./", "/."))
