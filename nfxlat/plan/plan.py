"""The plan: all that one domain needs of its host, as a value that is computed in one place and in no other way.

Up, reload, repair, take-over and down apply it (nfxlat.service.setup); `nfxlat rules compile` prints it; `doctor`,
`check --live` and the watch compare it with what is there (nfxlat.plan.compare).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from nfxlat.errors import OperatorError
from nfxlat.plan import neighbours
from nfxlat.plan import routes as terminal
from nfxlat.plan import sysctls as settings
from nfxlat.plan.facts import NOTHING_KNOWN, Facts
from nfxlat.plan.neighbours import Proxy
from nfxlat.plan.routes import Ends, Route
from nfxlat.plan.sysctls import Sysctl
from nfxlat.queues import Queues
from nfxlat.terms import Model, Role
from nfxlat.xlat.domain import Domain

DeviceKind = Literal["veth", "tun"]


@dataclass(frozen=True, slots=True)
class Device:
    """The domain device: a veth whose far end is in a namespace of its own, or the device model's TUN.

    `kept`: `nfxlat domain add` made it, and it stays when the rest goes. `vrf`: the VRF that it is in, "" for none.
    """

    name: str
    kind: DeviceKind
    kept: bool = False
    vrf: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which rules: those that the built-in program of role and model compiles to, for these queues."""

    domain: Domain
    role: Role
    model: Model
    queues: Queues


@dataclass(frozen=True, slots=True)
class Plan:
    """What a domain needs of its host. `addresses` are the device's (IPv4, each /32); `shared` are prefixes whose
    routes other domains may have too. `proxies` are answered for on other interfaces. Two plans are equal when the host
    has nothing to change between them."""

    domain: Domain
    device: Device
    addresses: tuple[str, ...]
    routes: tuple[Route, ...]
    shared: frozenset[str]
    sysctls: tuple[Sysctl, ...]
    rules: Rules
    proxies: tuple[Proxy, ...] = ()

    @property
    def name(self) -> str:
        return self.domain.name


def plan(
    domain: Domain,
    role: Role,
    model: Model,
    queues: Queues,
    facts: Callable[[Ends], Facts] = lambda ends: NOTHING_KNOWN,
) -> Plan:
    """The plan of `domain` on a host of which `facts` tells what the routes' prefixes depend on.

    Whether it can be set up is another question: `check`. The checker of rules judges those of others.
    """
    ends = Ends.of(domain, role)
    known = facts(ends)
    spoken_for = neighbours.answers(domain, role, known)
    return Plan(
        domain,
        Device(domain.name, "tun" if model == "device" else "veth", known.kept, domain.vrf or ""),
        tuple(terminal.own_addresses(domain)) if role == "host" else (),
        tuple(terminal.routes(domain, role, known, ends, known.widest if model == "device" else 0)),
        terminal.shared(domain, role, ends),
        (*settings.sysctls(role, domain.name, known), *spoken_for.sysctls),
        Rules(domain, role, model, queues),
        spoken_for.proxies,
    )


def check(domain: Domain, role: Role, model: Model) -> None:
    """Raises OperatorError where the role cannot be had with the domain, or in the model."""
    if role == "host" and not len(domain.eamt):
        raise OperatorError(
            "the host role needs an EAM for this host's own address",
            where=f"domain.{domain.name}.eam",
            hint='for example eam = [["192.0.0.1", "2001:db8:2::2"]]',
        )
    if domain.vrf and role != "router":
        raise OperatorError(
            f"the {role} role cannot be had in a VRF",
            where=f"domain.{domain.name}.vrf",
            hint="leave it out, or use a network namespace in the place of the VRF",
        )
    if model != "hook" and role != "router":
        raise OperatorError(f"the {model} model has no {role} role", where="--role", hint="use --model hook")
