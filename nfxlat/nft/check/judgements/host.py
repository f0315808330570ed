"""What may be wrong with the host that rules are to run on: device, routes, addresses, sysctls, neighbours."""

from enum import unique

from nfxlat.judgement import Judgement, Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

_ADD_ROUTE = "{ip} route add {network} dev {domain}"
_ON_LINK = "translated by {domain}, and on the link of {interface} ({link})"
_UNANSWERED = "neighbours there ask for it by {protocol}, nobody answers, and their packets never get here"
_LEAVE = ", or leave it if they have a route through this node"
_FORWARDING4 = "sysctl -w net.ipv4.conf.{conf}.forwarding=1"
_FORWARDING6 = "sysctl -w net.ipv6.conf.{conf}.forwarding=1 net.ipv6.conf.{conf}.proxy_ndp=1"


@unique
class Host(Judgement):
    """The calling thread's network namespace. `conf` is an interface's name as sysctl has it."""

    DEVICE = (
        "device",
        WARNING,
        "no such device",
        "terminal routes have nothing to lead into, and nothing can be injected",
        "nfxlat run --domain {domain} creates it",
    )
    MANAGER = (
        "manager",
        NOTE,
        "{manager} is running, and not told to ignore it",
        "it may add addresses to {domain} and remove its routes",
        "{remedy}",
    )
    TERMINAL_ROUTE = (
        "terminal-route",
        ERROR,
        "no terminal route",
        (
            "the kernel sends no ICMP errors to {network}, for want of a route; with no translator running, packets "
            "take some other route; and rp_filter may drop packets from {domain} with such a source"
        ),
        _ADD_ROUTE,
    )
    TERMINAL_ROUTE_HOST = (
        "terminal-route",
        ERROR,
        "no terminal route",
        "packets are routed elsewhere, or nowhere, and never reach the rule at postrouting",
        _ADD_ROUTE,
    )
    FAIL_CLOSED = (
        "fail-closed",
        WARNING,
        "no unreachable route behind the terminal one",
        "if {domain} goes, its route goes too, and packets follow a shorter prefix untranslated",
        "{ip} route add unreachable {network} metric 4294967295",
    )
    LOCAL_ADDRESS = (
        "local-address",
        ERROR,
        "an address of this node, but inside {network} of {domain}",
        "packets to it end here untranslated, and never reach the host that it stands for",
        "remove it from this node, or from the domain",
    )
    LOCAL_ADDRESS_OF_MANY = (
        "local-address",
        WARNING,
        "an address of this node, and inside {network} of {domain}",
        "packets to it end here untranslated, as if it were not in the domain",
        "nothing, if that is meant; else remove it from this node, or take it out of the domain",
    )
    LOCAL_HOST = (
        "local-address",
        WARNING,
        "an address of this node, and inside {network}, whose IPv6 hosts {domain} maps to IPv4 addresses",
        "IPv4 hosts that send to its counterpart reach this node, not another host",
        "nothing, if that is meant; else remove it from this node, or from the domain",
    )
    ALL_TAKEN = (
        "taken-route",
        ERROR,
        "{domain} translates all of {version}",
        "the default route would lead into {domain}, and all that this host sends and forwards with it",
        "narrower prefixes; for a host whose own IPv4 is to be translated, --role host",
    )
    ROUTE_TAKEN = (
        "taken-route",
        WARNING,
        "there is a route to it already ({way}), and that of {domain} comes first",
        "packets to {network} are translated, not sent that way",
        "remove it, or take the prefix out of the domain",
    )
    POLICY_RULE_SELECTS = (
        "policy-rule",
        ERROR,
        "{rule} comes before table main, and leads packets to {network} elsewhere ({way})",
        "they never reach {domain}, and are not translated",
        "{remedy}",
    )
    POLICY_RULE = (
        "policy-rule",
        WARNING,
        "{rule} comes before table main, and leads packets to {network} elsewhere ({way})",
        (
            "those that it concerns take no route into {domain}: ICMP errors and rp_filter go by the wrong route, and "
            "while no translator runs, they leave untranslated"
        ),
        "{remedy}",
    )
    FORWARDING = (
        "forwarding",
        ERROR,
        "is 0",
        "packets injected through {domain} are dropped, not forwarded",
        "sysctl -w {key}=1, or nfxlat run --inject ip",
    )
    RP_FILTER = (
        "rp-filter",
        NOTE,
        "is 1",
        (
            "IPv4 packets from {domain} pass only if the route to their source leads back into it: terminal routes do; "
            "with any other route they are dropped silently"
        ),
        "keep the terminal routes, 192.0.0.8 and rfc6791-v4 among them; or set it to 2 (loose)",
    )
    ACCEPT_LOCAL = (
        "accept-local",
        WARNING,
        "is 1",
        "packets from {domain} with an address of this node as source are taken for its own",
        "sysctl -w {key}=0: nfxlat sends those by raw socket",
    )
    FWMARK_REFLECT = (
        "fwmark-reflect",
        WARNING,
        "is 1",
        (
            "a kernel ICMP error carries the mark of its packet: if a rule at output before -449 rejects what nfxlat "
            "sends by raw socket, the error carries nfxlat's mark and is not translated"
        ),
        "sysctl -w {key}=0",
    )
    RULESET = ("ruleset", WARNING, "cannot be read: {fault}", "other rules may drop translated packets")
    LEGACY = (
        "legacy-iptables",
        NOTE,
        "iptables-legacy has a filter table, which nft does not show",
        "its FORWARD chain may drop translated packets",
        "see {tool}-legacy -S FORWARD, or move to iptables-nft",
    )
    NEIGHBOUR4_ADDRESS = (
        "neighbour",
        WARNING,
        _ON_LINK,
        _UNANSWERED,
        "ip neigh add proxy {network} dev {interface}; " + _FORWARDING4 + _LEAVE,
    )
    NEIGHBOUR4_PREFIX = (
        "neighbour",
        WARNING,
        _ON_LINK,
        _UNANSWERED,
        _FORWARDING4 + " net.ipv4.conf.{conf}.proxy_arp=1" + _LEAVE,
    )
    NEIGHBOUR6_ADDRESS = (
        "neighbour",
        WARNING,
        _ON_LINK,
        _UNANSWERED,
        "ip -6 neigh add proxy {network} dev {interface}; " + _FORWARDING6 + _LEAVE,
    )
    NEIGHBOUR6_PREFIX = (
        "neighbour",
        WARNING,
        _ON_LINK,
        _UNANSWERED,
        "on the neighbours, ip -6 route add {network} via this node: entries are for single addresses" + _LEAVE,
    )
    INPUT_RP_FILTER = (
        "input-rp-filter",
        WARNING,
        "this host checks the source of packets (rp_filter), and the rule takes them before that",
        "a packet whose source no route leads back to is translated, where this host would drop it",
        "ahead of it: {rule}",
    )
    INPUT_FORWARDING = (
        "input-forwarding",
        WARNING,
        "{interfaces} must not forward IPv4 (forwarding is 0), and the rule takes packets before that is asked",
        "what comes in there is translated and sent on",
        "ahead of it: {rule}",
    )
    INPUT_IPSEC = (
        "input-ipsec",
        WARNING,
        "an IPsec policy (dir {way}) refuses plaintext from {source} to {destination}, and the rule is before that",
        "what comes in as plaintext is translated, where this host would drop it",
        "ahead of it: {rule}",
    )
    INPUT_BRIDGE = (
        "input-bridge",
        WARNING,
        "br_netfilter shows rules what {interfaces} passes on to others",
        "packets for another gateway behind that bridge are translated here",
        "ahead of it: {rule}",
    )
    PASSED_OVER = (
        "passed-over",
        WARNING,
        "{chain} {sees} packets before the rules of {names}, which say offload",
        "packets of pairs and flows that are known pass it by: it does not count, limit or drop them",
        "do that in a forward chain, or leave offload out",
    )
    INPUT_VRF = (
        "input-vrf",
        WARNING,
        "{domain} is in VRF {vrf}, and the rule asks for no interface",
        "packets of other VRFs to the same addresses are translated, and go on in {vrf}",
        "ahead of it: {rule}",
    )
