"""The rules of `nfxlat run --setup`: programs with `xlat`, as anybody could write them, one for each role and model.

They name no address: what a domain translates is in its generated sets, so the text is short however many mappings
there are, and mappings change without a chain being touched. All goes into the tables `nfxlat_` and the domain's name,
one a family (`chains.home_table`).
"""

from nfxlat.nft.language import chains
from nfxlat.nft.language.chains import ERRORS, REJECT, home_table
from nfxlat.nft.language.compile import Compiled, compile_rules
from nfxlat.nft.language.inputs import FRAME, NO_INPUTS, Inputs
from nfxlat.nft.language.needs import needs_of
from nfxlat.nft.language.program import Program, program
from nfxlat.nft.language.sets import Contents, set_name
from nfxlat.nft.language.statement import TAKES
from nfxlat.queues import Queues
from nfxlat.terms import FAMILIES, Family, Model, Role
from nfxlat.xlat.domain import Domain

Table = dict[str, list[str]]  # what stands behind `type filter hook`: the rules

EARLY = "prerouting priority -450"
OWN = "output priority -450"


def text(name: str, role: Role, model: Model, *, offload: bool = False, in_vrf: bool = False) -> str:
    """The program of the domain `name`. Only the hook model has several roles, router and host; the router's decisions
    may be repeated at ingress (`offload`).

    In a VRF (router alone), what is this node's own is taken where it leaves by the device, since other VRFs may have
    the same addresses; what comes in, by its interface (nft.language.inputs).
    """
    if (role, model) == ("router", "hook"):
        tables = _router(name, offload, f'oifname "{name}" ' if in_vrf else "")
    else:
        tables = {"hook": _host, "route": _route, "device": _device}[model](name)
    return "\n".join(_table(family, home_table(name), rules) for family, rules in tables.items())


def owner(name: str) -> str:
    """The name of the chain that marks the tables of the domain `name`."""
    return f"{chains.MARK}domain_{name}"


def tables(name: str) -> tuple[tuple[Family, str], ...]:
    """(family, name) of those of the domain `name`."""
    return tuple((family, home_table(name)) for family in FAMILIES)


def contents(domain: Domain, role: Role, model: Model) -> Contents:
    """What the sets of the domain's rules hold."""
    found = _program(domain, role, model)
    return needs_of(
        found, {domain.name: role}, {domain.name: Queues()}, chains.owner_chain(owner(domain.name), "")
    ).contents


def compile_builtin(
    domain: Domain,
    role: Role,
    model: Model,
    queues: Queues,
    *,
    native: bool,
    explain: bool = False,
    inputs: Inputs = NO_INPUTS,
) -> Compiled:
    """The domain's rules on a host with such `inputs`, to be loaded in the place of any in the tables of their name.

    Not `native`: with queue chains that only drop, for the compat target to open.
    """
    return compile_rules(
        _program(domain, role, model),
        native=native,
        explain=explain,
        queues=queues,
        owner=owner(domain.name),
        origin="nfxlat run --setup",
        role=role,
        replace=True,
        inputs=inputs,
    )


def _program(domain: Domain, role: Role, model: Model) -> Program:
    return program(
        text(domain.name, role, model, offload=domain.offload and not domain.vrf, in_vrf=bool(domain.vrf)),
        f"rules {home_table(domain.name)}",
        (domain,),
    )


def _router(name: str, offload: bool, leaves: str) -> dict[str, Table]:
    early, own = (EARLY, "prerouting", "", f" {FRAME}", " offload" if offload else ""), (OWN, "output", leaves, "", "")
    return {
        family: {
            base: [
                _statement(name, direction, f"{first}{family} daddr @{set_name(name, direction)}{frame}", hook, more)
            ]
            for base, hook, first, frame, more in (early, own)
        }
        for direction, family in TAKES.items()
    }


def _host(name: str) -> dict[str, Table]:
    own, plat = f"ip6 daddr @{set_name(name, 'from')}", f"ip6 saddr @{set_name(name, 'prefix6')}"
    back = [
        _statement(name, "from", f"{own} {plat} {FRAME}", "prerouting"),
        "# Routers on the way have addresses of their own. Errors about this host's native IPv6 are let through.",
        _statement(name, "from", f'{own} iifname != "lo" {ERRORS["ip6"]} {FRAME}', "errors"),
    ]
    out = _statement(name, "to", f'oifname "{name}" iifname != "{name}"', "postrouting")
    return {"ip": {"postrouting priority srcnat + 1": [out]}, "ip6": {EARLY: back}}


def _route(name: str) -> dict[str, Table]:
    device = f'oifname "{name}"'
    return {
        family: {
            EARLY: [_statement(name, direction, f"fib daddr {device} {FRAME}", "prerouting")],
            OWN: [_statement(name, direction, device, "output")],
        }
        for direction, family in TAKES.items()
    }


def _statement(name: str, direction: str, matches: str, label: str, offload: str = "") -> str:
    return f'{matches} xlat {direction} {name}{offload} comment "xlat_{direction}_{name}-{label}"'


def _device(name: str) -> dict[str, Table]:
    def rules(family: str) -> Table:
        returning = f'iifname "{name}" oifname "{name}" counter reject with {REJECT[family]}'
        forged = f'oifname "{name}" fib saddr type local counter drop'
        return {
            "forward priority -450": [
                "# Already translated, and routed back into the device: it would loop until its TTL runs out.",
                f'{returning} comment "xlat_{name}-no-route"',
                "# From outside, with this node's address as source; its own packets are not forwarded.",
                f'{forged} comment "xlat_{name}-forged-source"',
            ]
        }

    return {family: rules(family) for family in REJECT}


def _table(family: str, name: str, chains: Table) -> str:
    blocks = []
    for base, rules in chains.items():
        lines = [f"type filter hook {base}; policy accept;", *rules]
        blocks.append("".join([f"\tchain {base.split()[0]} {{\n", *(f"\t\t{line}\n" for line in lines), "\t}\n"]))
    return f"table {family} {name} {{\n" + "\n".join(blocks) + "}\n"
