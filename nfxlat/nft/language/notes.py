"""What the host needs beside the rules, as comments: the domain, its device, its routes, sysctls, the translator."""

from collections.abc import Iterator, Mapping, Sequence

from nfxlat import config
from nfxlat.nft.language.program import Program
from nfxlat.queues import Queues
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

ROUTES_SHOWN = 16


def host_notes(program: Program, roles: Mapping[str, Role], queues: Mapping[str, Queues]) -> dict[str, list[str]]:
    """The lines for each domain in use, by name."""
    notes: dict[str, list[str]] = {}
    routed: set[tuple[str, bool]] = set()  # 192.0.0.8 is every domain's, and has one route
    for name, domain in program.domains.items():
        routes = [route for route in terminal_routes(domain, roles[name]) if _key(route) not in routed]
        routed.update(map(_key, routes))
        notes[name] = _notes(domain, roles[name], queues[name], routes)
    return notes


def _notes(domain: Domain, role: Role, queues: Queues, routes: Sequence[str]) -> list[str]:
    lines = [f"domain {domain.name}, as {role}:", *(f"    {line}" for line in _brief(domain))]
    run = f"nfxlat run --config FILE --domain {domain.name} {run_options(queues)}"
    lines += ["translator, which makes the device:", f"    {run}{'' if role == 'router' else ' --role host'}"]
    own = [n for n in prefixes.clat4(domain) if n.prefixlen == n.max_prefixlen] if role == "host" else []
    if own:
        lines += ["addresses of this host:", *(f"    ip address add {n} dev {domain.name}" for n in own[:ROUTES_SHOWN])]
    lines += ["terminal routes, without which kernel ICMP errors cannot be made and a dead translator leaks:"]
    lines += [f"    {route}" for route in routes[:ROUTES_SHOWN]]
    if len(routes) > ROUTES_SHOWN:
        lines.append(f"    ... and {len(routes) - ROUTES_SHOWN} more")
    if role == "router":
        lines += ["forwarding:", "    sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"]
    elif role == "masquerade":
        lines += ["forwarding, into the device:", "    sysctl -w net.ipv4.ip_forward=1"]
    return lines


def terminal_routes(domain: Domain, role: Role) -> Iterator[str]:
    """ip(8) commands: the unreachable route first, since it holds while the device is not there."""
    mtu4 = f"mtu {(domain.mtu6 or 1500) - 20}"
    mtu6 = f"mtu {(domain.mtu4 or 1500) + 20}"
    if role == "host":
        yield "ip route add unreachable default metric 4294967295"
        own = next((f" src {network[0]}" for network in prefixes.clat4(domain)), "")
        yield f"ip route add default dev {domain.name} metric 2048 {mtu4}{own}"
        networks4, networks6 = [], prefixes.clat6(domain)
    else:
        networks4, networks6 = prefixes.terminal4(domain), prefixes.terminal6(domain)
    for network in prefixes.texts(networks4):
        yield f"ip route add unreachable {network} metric 4294967295"
        yield f"ip route add {network} dev {domain.name} {mtu4}"
    for network in prefixes.texts(networks6):
        yield f"ip -6 route add unreachable {network} metric 4294967295"
        yield f"ip -6 route add {network} dev {domain.name} {mtu6}"


def run_options(queues: Queues) -> str:
    """What `nfxlat run` needs to read these queues."""
    return f"--queue {queues.first}" + (f" --workers {queues.workers}" if queues.workers > 1 else "")


def _key(route: str) -> tuple[str, bool]:
    """What tells the routes of `ip route add [unreachable] PREFIX ...` apart."""
    words = route.partition(" route add ")[2].split()
    return words[words[0] == "unreachable"], words[0] == "unreachable"


def _brief(domain: Domain) -> list[str]:
    """The domain as TOML, cut where its EAMT is long."""
    lines = config.render(domain).splitlines()
    if len(lines) <= 2 * ROUTES_SHOWN:
        return lines
    shown = lines[: 2 * ROUTES_SHOWN]
    return [*shown, f"  ... and {len(lines) - len(shown)} lines more"]
