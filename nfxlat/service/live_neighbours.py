"""Judge whether neighbours find what is translated: addresses on a link of this node, for which somebody must answer
(nfxlat.plan.neighbours).
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from nfxlat.host import neighbours, sysctl
from nfxlat.host.addresses import local_addresses
from nfxlat.judgement import Finding
from nfxlat.nft.check.judgements.host import Host
from nfxlat.plan import sysctls
from nfxlat.plan.facts import OnLink
from nfxlat.plan.neighbours import ENTRIES, Answers, Proxy, asked_for
from nfxlat.terms import Role
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

Network = IPv4Network | IPv6Network
NOTHING = Answers()


def unanswered(domain: Domain, role: Role, promised: Answers = NOTHING) -> Iterator[Finding]:
    """Translated addresses of the domain that lie on a link of the calling thread's namespace, and are not answered.
    What is `promised` counts as done."""
    local = local_addresses(domain.vrf)
    for link, network in asked_for(domain, role, neighbours.links(domain.vrf)):
        if not (promised.hold(link, network, local) or _answers(link, network, local)):
            yield _finding(domain, link, network)


def _answers(link: OnLink, network: Network, local: frozenset[bytes]) -> bool:
    left = []  # this node has the others
    if network.num_addresses <= ENTRIES:
        left = [Proxy(link.interface, str(address)) for address in network if address.packed not in local]
        if not left:
            return True
    ip, conf = ("ipv6", "proxy_ndp") if network.version == 6 else ("ipv4", "proxy_arp")
    own, everywhere = f"net/{ip}/conf/{link.interface}", f"net/{ip}/conf/all"
    if sysctl.read(f"{own}/forwarding") != "1":
        return False
    asked = "1" in (sysctl.read(f"{own}/{conf}"), sysctl.read(f"{everywhere}/{conf}"))
    if asked and network.version == 4:
        return True
    listed = bool(left) and neighbours.standing(left) == frozenset(left)
    return listed and (asked or network.version == 4)


def _finding(domain: Domain, link: OnLink, network: Network) -> Finding:
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
