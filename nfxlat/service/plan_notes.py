"""A plan as one does it by hand: what `nfxlat rules compile` says beside the rules, and `load` leaves to others."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial

from nfxlat import config
from nfxlat.nft.check.selection import output_interface
from nfxlat.nft.language.program import Program
from nfxlat.plan.facts import MAIN, Facts
from nfxlat.plan.plan import Plan, plan
from nfxlat.plan.routes import DEFAULT4, Ends, Place, Route
from nfxlat.plan.sysctls import FORWARD4, FORWARD6, dotted
from nfxlat.queues import Queues
from nfxlat.terms import Role
from nfxlat.xlat.domain import Domain

SHOWN = 16  # routes, addresses; twice as many lines of a domain
PURPOSE = {"router": "forwarding:", "masquerade": "forwarding, into the device:"}


def plans(
    program: Program, queues: Mapping[str, Queues], facts: Callable[[Domain, Role, Ends], Facts]
) -> dict[str, Plan]:
    """The plan of each domain that a program of rules uses, by name. Raises OperatorError."""
    found = {}
    for name, domain in program.domains.items():
        role = program.role(domain)
        made = plan(domain, role, "hook", queues[name], partial(facts, domain, role))
        if role == "host" and _led_by_another(program, domain):
            made = replace(made, routes=tuple(route for route in made.routes if route.network != str(DEFAULT4)))
        found[name] = made
    return found


def _led_by_another(program: Program, domain: Domain) -> bool:
    """Whether its IPv4 is routed into the device of another domain, where rules choose: that one has the route."""
    named = {output_interface(program.source, statement) for statement in program.of(domain, "to")}
    return domain.name not in named and bool(named & program.domains.keys())


def plan_notes(found: Iterable[Plan], offloaded: Collection[str] = ()) -> dict[str, list[str]]:
    """The lines for each domain, by name; what several have is told once. `offloaded`: see `run_options`."""
    told: set[tuple[Place, str]] = set()
    notes = {}
    for one in found:
        vrf = one.device.vrf  # offline the tables of two VRFs have no numbers to tell them apart
        routes = [route for route in one.routes if (route.place, vrf) not in told]
        told.update((route.place, vrf) for route in routes)
        options = run_options(one.rules.queues, one.name in offloaded)
        notes[one.name] = _notes(one, [_command(one, route) for route in routes], options)
    return notes


def _command(one: Plan, route: Route) -> str:
    """The ip(8) command that makes it; offline nobody knows the number of a VRF's table."""
    return f"{route.command} vrf {one.device.vrf}" if one.device.vrf and route.table == MAIN else route.command


def run_options(queues: Queues, offloaded: bool) -> str:
    """What `nfxlat run` needs to read these queues; `offloaded`: rules say offload, and the domain does not."""
    workers = f" --workers {queues.workers}" if queues.workers > 1 else ""
    return f"--queue {queues.first}{workers}{' --offload' if offloaded else ''}"


def _notes(one: Plan, routes: list[str], options: str) -> list[str]:
    role, device = one.rules.role, one.device.name
    run = f"nfxlat run --config FILE --domain {one.name} {options}"
    lines = [f"domain {one.name}, as {role}:", *_indented(_brief(one.domain))]
    lines += ["translator, which creates the device:", f"    {run}{'' if role == 'router' else ' --role host'}"]
    if one.addresses:
        addresses = [f"ip address add {address}/32 dev {device}" for address in one.addresses[:SHOWN]]
        lines += ["addresses of this host:", *_indented(addresses)]
    lines.append("terminal routes: without them the kernel sends no ICMP errors, and a dead translator leaks:")
    lines += _indented(routes[:SHOWN])
    if len(routes) > SHOWN:
        lines.append(f"    ... and {len(routes) - SHOWN} more")
    if forwarding := _settings(one, lambda group: group in (FORWARD4, FORWARD6)):
        lines += [PURPOSE[role], forwarding]
    if one.proxies:
        entries = [f"ip neigh add {proxy}" for proxy in one.proxies[:SHOWN]]
        lines += ["addresses that neighbours believe to be on their own link:", *_indented(entries)]
        if len(one.proxies) > SHOWN:
            lines.append(f"    ... and {len(one.proxies) - SHOWN} more")
    if speaking := _settings(one, lambda group: group not in ("", FORWARD4, FORWARD6)):
        lines += ["what has this host answer for addresses on a link:", speaking]
    return lines


def _settings(one: Plan, of: Callable[[str], bool]) -> str:
    """The command for the sysctls of some groups; empty without one."""
    words = [f"{dotted(sysctl.key)}={sysctl.value}" for sysctl in one.sysctls if of(sysctl.group)]
    return f"    sysctl -w {' '.join(words)}" if words else ""


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _brief(domain: Domain) -> list[str]:
    """The domain as TOML, cut where its EAMT is long."""
    lines = config.render(domain).splitlines()
    if len(lines) <= 2 * SHOWN:
        return lines
    return [*lines[: 2 * SHOWN], f"  ... and {len(lines) - 2 * SHOWN} more lines"]
