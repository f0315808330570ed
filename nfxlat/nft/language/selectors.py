"""What a rule may look at, where its decision is to be repeated at ingress, and why at nothing else.

`PAIR`: what is the same of all packets of an interface between two addresses; `FLOW`: of all packets of a flow.
"""

from typing import Final

_ADDRESSES: Final = ("saddr", "daddr", "version")
_INTERFACE: Final = ("iif", "iifname", "iiftype", "iifkind", "pkttype")
PAIR: Final = frozenset(
    (
        *(("ip", one) for one in _ADDRESSES),
        *(("ip6", one) for one in _ADDRESSES),
        *((one,) for one in _INTERFACE),
        *(("meta", one) for one in (*_INTERFACE, "nfproto", "protocol")),
        ("ether", "type"),
    )
)
FLOW: Final = frozenset(
    (
        ("ip", "protocol"),
        ("ip6", "nexthdr"),
        ("meta", "l4proto"),
        *((header, port) for header in ("tcp", "udp", "th") for port in ("sport", "dport")),
    )
)
PROTOCOL: Final = (("ip", "protocol"), ("ip6", "nexthdr"), ("meta", "l4proto"))
FAMILY: Final = (("meta", "nfproto"), ("meta", "protocol"), ("ether", "type"))
_TAKEN: Final = ("6", "17")  # protocols that the program takes: TCP, UDP
_ICMP: Final = ("icmp", "icmpv6", "ipv6-icmp")
OF_OTHERS: Final = ("type", "code", "sport", "dport", "spi", "id", "mtu")  # their fields
NEVER: Final = (*_ICMP, "sctp", "dccp", "udplite", "esp", "ah", "comp", "igmp", "arp", "gre")
OTHER: Final = {"ip": ("ip6", "ipv6"), "ip6": ("ip", "ipv4")}  # the other family: of headers, of nfproto
VERDICTS: Final = ("accept", "drop", "reject", "return", "continue", "queue", "jump", "goto", "xlat")
_OFFSET: Final = ("ip", "frag-off", "&")
FRAGMENTS: Final[dict[tuple[str, ...], bool]] = {  # whether fragments alone match
    ("exthdr", "frag", "exists"): True,
    ("exthdr", "frag", "missing"): False,
    **{(*_OFFSET, mask, sign, "0"): sign == "!=" for mask in ("0x3fff", "0x1fff") for sign in ("==", "!=")},
}
HEADERS: Final = ("tcp", "udp", "th", "ip", "ip6", "ether", "meta")  # a field of them follows
DOING: Final = frozenset(("set", "add", "update", "delete", "counter", "log", "dup", "fwd"))  # not matching
BETWEEN: Final = ("and", "or", "xor", "lshift", "rshift")  # two halves of a value
OPERATORS: Final = ("==", "!=", "<", ">", "<=", ">=", "eq", "ne", "lt", "gt", "le", "ge")

# kinds of addresses (fib ... type) that no route decides
KINDS: Final = frozenset(("local", "multicast", "anycast"))

STATE: Final = "it changes from packet to packet, and the first decision would be repeated"
SEES: Final = "what is offloaded does not pass it, and is missing from it"
MARK: Final = "marks are given behind ingress, where packets are offloaded: none has one yet"
PACKET: Final = "packets of one flow differ in it, and the first decision would be repeated for all"
ROUTE: Final = "routes change without a word, and the former decision would be repeated"
SOCKET: Final = "packets from an interface have none"
VARIABLE: Final = "this file does not say what it stands for, or says it in several ways: it may be anything"
NATURE: Final = "addresses, interfaces, protocol and ports are all that is looked at when it is repeated"
LEAVE_OUT: Final = "match addresses, interfaces, protocol and ports alone, or leave offload out"
BEHIND: Final = "put it behind, or into the forward chain, or leave offload out"

WHY: Final = {
    **dict.fromkeys(("ct", "limit", "quota", "numgen", "last", "jhash", "symhash", "random", "synproxy"), STATE),
    **dict.fromkeys(("time", "day", "hour"), STATE),
    **dict.fromkeys(("mark", "priority"), MARK),
    **dict.fromkeys(("skuid", "skgid", "socket", "cgroup", "osf"), SOCKET),
    **dict.fromkeys(("tcp", "udp", "th", "ip", "ip6", "ether", "length", "vlan", "exthdr", "frag"), PACKET),
    **dict.fromkeys(("fib", "oif", "oifname", "rt", "rtclassid"), ROUTE),
    **dict.fromkeys(("log", "nftrace", "dup", "fwd", "add", "update", "set", "delete"), SEES),
}


def is_other(protocol: str) -> bool:
    """Whether it is one that the program never takes, beyond doubt: other names, and ranges, may be of TCP or UDP."""
    number = protocol.isdecimal() and protocol[0] != "0"  # else it may be octal
    return protocol in NEVER or (number and protocol not in _TAKEN)
