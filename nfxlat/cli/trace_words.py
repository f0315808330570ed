"""What a command line asks `nfxlat trace` for: words, made a filter."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network

from nfxlat import ipaddresses
from nfxlat.datapath.trace_filter import ICMP, LARGEST_SNAP, LOST, TCP, UDP, Filter
from nfxlat.errors import OperatorError
from nfxlat.outcome import TRANSLATING, Reason

_PROTOCOLS = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMP}


def filter_of(words: Iterable[str], *, dropped: bool, reasons: Collection[str], rate: int, snap: int) -> Filter:
    """What the words of a command line ask for. Raises OperatorError."""
    networks, protocols, ports = [], set[int](), list[int]()
    rest = iter(words)
    for word in rest:
        if word in _PROTOCOLS:
            protocols.add(_PROTOCOLS[word])
        elif word == "proto":
            protocols.add(_number(next(rest, ""), 255, "proto"))
        elif word == "port":
            ports.append(_number(next(rest, ""), 65535, "port"))
        else:
            networks.append(_network(word))
    if len(networks) > 2 or len(ports) > 1:
        raise OperatorError("more than two addresses, or more than one port", where="filter")
    labels = {reason.label for reason in Reason}
    for reason in reasons:
        if reason not in labels:
            near = get_close_matches(reason, labels, 1)
            hint = f"did you mean {near[0]}?" if near else "nfxlat stats shows those that were met so far"
            raise OperatorError("no such reason", where=f"--reason {reason}", hint=hint)
    if dropped and (asked := frozenset(reasons)) and asked <= {reason.label for reason in TRANSLATING}:
        where = f"--reason {min(asked)}"
        raise OperatorError("is never a reason for a drop", where=where, hint="leave --dropped out")
    return Filter(
        tuple(networks),
        frozenset(protocols),
        ports[0] if ports else None,
        frozenset(reasons),
        frozenset(LOST if dropped else ()),
        rate,
        snap or LARGEST_SNAP,
    )


def _network(word: str) -> IPv4Network | IPv6Network:
    try:
        return ipaddresses.network(word)
    except ValueError as error:
        if "host bits" in str(error):
            inside = ipaddresses.network(word, strict=False)
            raise OperatorError("an address with a prefix length", where=f"filter: {word}", hint=f"{inside}?") from None
        hint = "an address, a prefix, tcp, udp, icmp, proto N or port N"
        raise OperatorError("not a word of a filter", where=f"filter: {word}", hint=hint) from None


def _number(text: str, most: int, where: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= most):
        raise OperatorError(f"needs a number from 0 to {most} behind it", where=f"filter: {where}")
    return int(text)
