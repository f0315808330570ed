"""Judge whether neighbours find what is translated: addresses on a link of this node, for which somebody must answer.

A router's neighbours ask (ARP, neighbour discovery) for what they believe to be on their own link. No host there has a
translated address, so this node has to answer for it: in IPv4 by proxy_arp or an entry, in IPv6 by an entry for
each address (net/ipv4/arp.c arp_process, net/ipv6/ndisc.c ndisc_recv_ns).
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from nfxlat.host import neighbours, sysctl
from nfxlat.host.neighbours import Link
from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.host import Host
from nfxlat.plan import sysctls
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

ENTRIES_JUDGED = 256  # a prefix of more addresses is not covered by entries

Network = IPv4Network | IPv6Network


def unanswered(domain: Domain, role: Role) -> Iterator[Finding]:
    """Translated addresses of the domain that lie on a link of the calling thread's namespace, and are not answered."""
    entries, own = neighbours.proxies(), prefixes.native6(domain)
    for link in neighbours.links():
        if link.interface == domain.name or any(_inside(link.network, native) for native in own):
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
    [text] = prefixes.texts([network])
    single = network.num_addresses == 1
    if network.version == 4:
        judgement, protocol = Host.NEIGHBOUR4_ADDRESS if single else Host.NEIGHBOUR4_PREFIX, "ARP"
    else:
        judgement, protocol = Host.NEIGHBOUR6_ADDRESS if single else Host.NEIGHBOUR6_PREFIX, "neighbour discovery"
    return judgement.at(
        f"{'address' if single else 'prefix'} {text}",
        domain=domain.name,
        network=text,
        interface=link.interface,
        link=link.network,
        conf=sysctls.dotted(link.interface),
        protocol=protocol,
    )
