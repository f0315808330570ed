"""What may be wrong around the statements: domains that are used together, and other rules, of the file or loaded."""

from enum import unique

from nfxlat.judgement import Judgement, Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

_INSIDE = "{network}, an IPv6 host of {domain}, is inside prefix6 of {other}"
_OUTSIDE = "give the host an address outside prefix6, or use pool4"


@unique
class Domains(Judgement):
    """Each domain in use, and each two of them."""

    NAME = (
        "name",
        ERROR,
        "table {table}",
        "load makes a table of that name for the domain, which replaces this one",
        "another name",
    )
    ONE_WAY = (
        "one-way",
        WARNING,
        "no rule says `xlat {direction} {domain}`",
        "the replies, {version} packets, are routed into the device and rejected there",
        "in a table {family}: {family} daddr ... xlat {direction} {domain}",
    )
    OUTPUT = (
        "output",
        NOTE,
        "no rule takes {version} packets of {domain} at output",
        (
            "this node's own packets, and its kernel's ICMP errors about translated packets (Packet Too Big, Time "
            "Exceeded), never pass prerouting"
        ),
        "nothing: load adds one, in table {family} {table}",
    )
    LOOP = (
        "loop",
        ERROR,
        _INSIDE,
        "what is translated to it is routed into the device it came from, and rejected",
        _OUTSIDE,
    )
    LOOP_OTHER = (
        "loop",
        ERROR,
        _INSIDE,
        "what is translated to it is taken by {other} too, which has no mapping for its source: rejected",
        _OUTSIDE,
    )
    OVERLAP = (
        "overlap",
        WARNING,
        "{one} and {two} overlap",
        (
            "the first rule that matches decides, and the reply may meet the other domain, which maps addresses "
            "differently; one route can lead into one device only"
        ),
        "separate prefixes, or one domain, or rules that tell them apart: iifname, oifname, a mark",
    )
    OVERLAP_OUTPUT = (
        "overlap",
        WARNING,
        "{one} and {two} overlap, and rules tell them apart for what comes in only",
        (
            "this node's own packets, and its kernel's ICMP errors about translated packets, meet rules at output that "
            "load adds: all of them go to {domain}, which maps what an error quotes differently"
        ),
        "rules at output too, of each, by the route or by a mark: {example}",
    )


@unique
class Others(Judgement):
    """Other rules: of the file, and with --live of the loaded ruleset."""

    BYPASS = (
        "bypass",
        ERROR,
        "queue with bypass",
        "while nobody listens, or the queue is full, packets pass untranslated, wherever a route leads",
        "queue without flags: it drops",
    )
    FLOWTABLE = (
        "flowtable",
        WARNING,
        "flow offload",
        (
            "what is tracked bypasses every hook once offloaded. What a router's rules take is dropped before "
            "conntrack, and its results are untracked: never offloaded. Flows of the device model are, and work. "
            "Behind source NAT, flows into the domain's device and their replies are lost then, and everywhere those "
            "that were offloaded before the rules were there"
        ),
        "with source NAT in front of the domain's device, exclude translated prefixes from `flow add`",
    )
    STATEFUL = (
        "stateful",
        WARNING,
        "chain {chain} filters forwarded packets by state, and accepts none from {device}",
        (
            "translated packets are untracked (notrack): never invalid, but never established, so all packets from "
            "{device} are dropped"
        ),
        "{remedy}: ahead of its ct rules, and narrowed to the translated prefixes if you like",
    )
    FORWARD_DROP = (
        "forward-drop",
        WARNING,
        "chain {chain} drops what is forwarded, unless a rule accepts it",
        "no rule of it names {device}: translated packets are forwarded from {device}, and dropped there",
        "{remedy}",
    )
    UNTRACKED_NAT = (
        "untracked-nat",
        WARNING,
        "{verdict} of addresses that {domain} translates to",
        "packets from {domain} are untracked: NAT does not happen, and they leave with those addresses",
        "translate behind NAT, at postrouting: rules/xlat/masquerade.nft",
    )
