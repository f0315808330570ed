"""Judge whether neighbours find what is translated: addresses on a link of this node, for which somebody must answer.

A router's neighbours ask (ARP, neighbour discovery) for what they believe to be on their own link. A translated address
is nobody's there, so this node has to answer in its place: in IPv4 by proxy_arp or an entry, in IPv6 by an entry for
each address (net/ipv4/arp.c arp_process, net/ipv6/ndisc.c ndisc_recv_ns).
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from nfxlat.host import neighbours, sysctl
from nfxlat.host.neighbours import Link
from nfxlat.nft.check.finding import Finding, Severity
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

ENTRIES_JUDGED = 256  # a prefix of more addresses is not covered by entries

Network = IPv4Network | IPv6Network


def unanswered(domain: Domain, role: Role) -> Iterator[Finding]:
    """Translated addresses of the domain that lie on a link of the calling thread's namespace, and are not answered."""
    entries = neighbours.proxies()
    for link in neighbours.links():
        if link.interface == domain.name or any(_inside(link.network, native) for native in prefixes.native6(domain)):
            continue
        for network in _translated(domain, role, link.network.version):
            if not network.overlaps(link.network):
                continue
            common = network if _inside(network, link.network) else link.network
            if not _answers(link, common, entries):
                yield _finding(domain, link, common)


def _translated(domain: Domain, role: Role, version: int) -> list[IPv4Network] | list[IPv6Network]:
    if role == "host":  # its own IPv4 is on no link
        return prefixes.clat6(domain) if version == 6 else []
    return prefixes.translated6(domain) if version == 6 else prefixes.translated4(domain)


def _inside(one: Network, other: Network) -> bool:
    return one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]


def _answers(link: Link, network: Network, entries: set[tuple[int, bytes]]) -> bool:
    ip, conf = ("ipv6", "proxy_ndp") if network.version == 6 else ("ipv4", "proxy_arp")
    own, everywhere = f"net/{ip}/conf/{link.interface}", f"net/{ip}/conf/all"
    if sysctl.read(f"{own}/forwarding") != "1":
        return False
    asked = "1" in (sysctl.read(f"{own}/{conf}"), sysctl.read(f"{everywhere}/{conf}"))
    if asked and network.version == 4:
        return True
    listed = network.num_addresses <= ENTRIES_JUDGED and all((link.ifindex, a.packed) in entries for a in network)
    return listed and (asked or network.version == 4)


def _finding(domain: Domain, link: Link, network: Network) -> Finding:
    [text], interface = prefixes.texts([network]), sysctl.dotted(link.interface)
    single = network.num_addresses == 1
    if network.version == 4:
        settings, question = f"sysctl -w net.ipv4.conf.{interface}.forwarding=1", "ARP"
        remedy = f"ip neigh add proxy {text} dev {link.interface}; {settings}"
        if not single:
            remedy = f"{settings} net.ipv4.conf.{interface}.proxy_arp=1"
    else:
        settings = f"sysctl -w net.ipv6.conf.{interface}.forwarding=1 net.ipv6.conf.{interface}.proxy_ndp=1"
        question, remedy = "neighbour discovery", f"ip -6 neigh add proxy {text} dev {link.interface}; {settings}"
        if not single:
            remedy = f"on the neighbours, ip -6 route add {text} via this node: entries are for single addresses"
    what = f"translated by {domain.name}, and on the link of {link.interface} ({link.network})"
    effect = f"neighbours there ask for it by {question}, nobody answers, and their packets never get here"
    kind = "address" if single else "prefix"
    remedy += ", or leave it if they have a route by way of this node"
    return Finding("neighbour", Severity.WARNING, f"{kind} {text}", what, effect, remedy)
