"""A plan as one does it by hand: what `nfxlat rules compile` says beside the rules, and `load` leaves to others."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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
    return {
        one.name: _notes(one, routes, run_options(one.rules.queues, one.name in offloaded))
        for one, routes in _with_routes(found)
    }


def host_commands(found: Iterable[Plan]) -> list[str]:
    """All that plans ask of the host, as commands in order."""
    commands = []
    for one, routes in _with_routes(found):
        commands += [*_addresses(one), *routes]
        for group in (_forwarding, _speaking):
            commands += _settings(one, group)
        commands += _proxies(one)
    return commands


def _with_routes(found: Iterable[Plan]) -> Iterator[tuple[Plan, list[str]]]:
    """Each plan with the commands for its routes, but for those that one before it has."""
    told: set[tuple[Place, str]] = set()
    for one in found:
        vrf = one.device.vrf  # offline the tables of two VRFs have no numbers to tell them apart
        routes = [route for route in one.routes if (route.place, vrf) not in told]
        told.update((route.place, vrf) for route in routes)
        yield one, [_command(one, route) for route in routes]


def _command(one: Plan, route: Route) -> str:
    """The ip(8) command that makes it; offline nobody knows the number of a VRF's table."""
    return f"{route.command} vrf {one.device.vrf}" if one.device.vrf and route.table == MAIN else route.command


def run_options(queues: Queues, offloaded: bool) -> str:
    """What `nfxlat run` needs to read these queues; `offloaded`: rules say offload, and the domain does not."""
    workers = f" --workers {queues.workers}" if queues.workers > 1 else ""
    return f"--queue {queues.first}{workers}{' --offload' if offloaded else ''}"


def _notes(one: Plan, routes: list[str], options: str) -> list[str]:
    role = one.rules.role
    run = f"nfxlat run --config FILE --domain {one.name} {options}"
    lines = [f"domain {one.name}, as {role}:", *_indented(_brief(one.domain))]
    lines += ["translator, which creates the device:", f"    {run}{'' if role == 'router' else ' --role host'}"]
    if one.addresses:
        lines += ["addresses of this host:", *_cut(_addresses(one))]
    lines.append("terminal routes: without them the kernel sends no ICMP errors, and a dead translator leaks:")
    lines += _cut(routes)
    if forwarding := _settings(one, _forwarding):
        lines += [PURPOSE[role], *_indented(forwarding)]
    if one.proxies:
        lines += ["addresses that neighbours believe to be on their own link:", *_cut(_proxies(one))]
    if speaking := _settings(one, _speaking):
        lines += ["what has this host answer for addresses on a link:", *_indented(speaking)]
    return lines


def _addresses(one: Plan) -> list[str]:
    return [f"ip address add {address}/32 dev {one.device.name}" for address in one.addresses]


def _proxies(one: Plan) -> list[str]:
    return [f"ip neigh add {proxy}" for proxy in one.proxies]


def _forwarding(group: str) -> bool:
    return group in (FORWARD4, FORWARD6)


def _speaking(group: str) -> bool:
    return group not in ("", FORWARD4, FORWARD6)


def _settings(one: Plan, of: Callable[[str], bool]) -> list[str]:
    """The command for the sysctls of some groups; none without one."""
    words = [f"{dotted(sysctl.key)}={sysctl.value}" for sysctl in one.sysctls if of(sysctl.group)]
    return [f"sysctl -w {' '.join(words)}"] if words else []


def _cut(commands: list[str]) -> list[str]:
    more = len(commands) - SHOWN
    said = [f"... and {more} more: rules compile --commands prints all"] if more > 0 else []
    return _indented([*commands[:SHOWN], *said])


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _brief(domain: Domain) -> list[str]:
    """The domain as TOML, cut where its EAMT is long."""
    lines = config.render(domain).splitlines()
    if len(lines) <= 2 * SHOWN:
        return lines
    return [*lines[: 2 * SHOWN], f"  ... and {len(lines) - 2 * SHOWN} more lines"]
