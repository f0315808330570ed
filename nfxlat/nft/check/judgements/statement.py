"""What may be wrong with one `xlat` statement: its place, what it names, what its rule matches on."""

from enum import unique

from nfxlat.judgement import Judgement, Severity

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE

_UNREACHED = "no packet ever reaches this rule"
_HOOK = "xlat {direction} at hook {hook}"
_DEFRAGMENTED = (
    "fragments arrive reassembled, IPv6 ones without Fragment header and identification; translated, they exceed the "
    "MTU and are fragmented again or rejected"
)
_TWO_ADDRESSES = "a packet has two addresses, and both must change family: this one cannot be translated"
_SIDE = "{network} is not a destination that domain {domain} translates here"
_TRANSLATED = "one that is translated: {translated}"
_ROUTED = (
    "a packet gets here by an IPv4 route to that link: an IPv6-only uplink has none, and the rule is never reached; "
    "with one, the original leaves beside its translation, since postrouting must accept it"
)
_OIFNAME = "oifname {device}, and a default route into that device"


@unique
class Place(Judgement):
    """The chain and the table in which it stands. `good` is the base chain to write."""

    UNREACHED = (
        "unreached",
        ERROR,
        "no base chain in this file leads to chain {chain}",
        _UNREACHED,
        "jump to it from a chain with a hook, or give it one",
    )
    DORMANT = (
        "unreached",
        WARNING,
        "table {table} is dormant",
        _UNREACHED + " until the table is awake",
        "leave out flags dormant",
    )
    FAMILY = (
        "family",
        ERROR,
        "xlat {direction} takes {version} packets, and table {table} sees none",
        _UNREACHED,
        "a table of family {family} or inet, or xlat {other}",
    )
    FAMILY_BELOW_IP = (
        "family",
        ERROR,
        "xlat in a table of family {found}",
        "its hooks are outside the IP layer: netdev has no queue, and no route lookup follows",
        "a table of family {family} or inet",
    )
    NAT_CHAIN = (
        "nat-chain",
        ERROR,
        "xlat in a chain of type nat",
        (
            "nat chains see only the first packet of a connection: once the first translated reply is injected, every "
            "later packet leaves untranslated, as do all that conntrack calls invalid or untracked; without conntrack "
            "they see nothing"
        ),
        "{good}",
    )
    TYPE = (
        "type",
        WARNING,
        "xlat in a chain of type {type}",
        (
            "a mark set in it does not reroute a queued packet: what the domain does not map comes back from the queue "
            "and keeps its first route"
        ),
        "{good}",
    )
    HOOK_INPUT = (
        "hook",
        ERROR,
        _HOOK,
        "only packets to this node's own addresses get here, and those are not to be translated",
        "{good}",
    )
    HOOK_FORWARD = (
        "hook",
        ERROR,
        _HOOK,
        (
            "TTL or Hop Limit is already decremented, and forwarding in the other family takes a second hop; a packet "
            "gets here only by a route of its own family, whose MTU has been applied; if that leads into the device, "
            "it is rejected there"
        ),
        "{good}",
    )
    HOOK_POSTROUTING = (
        "hook",
        ERROR,
        _HOOK,
        (
            "an IPv6 packet to prefix6 needs an IPv6 route to get here, has lost a hop, and has been through "
            "conntrack; there is no source NAT to wait for"
        ),
        "{good}",
    )
    HOOK_OTHER = ("hook", ERROR, _HOOK, "no IP packet is routed from here", "{good}")
    PRIORITY_UNKNOWN = (
        "priority",
        WARNING,
        "the value of this priority is not known here",
        "it may be after defragmentation or conntrack",
        "{good}",
    )
    PRIORITY_SRCNAT = (
        "priority",
        ERROR,
        "priority {priority} is not after srcnat",
        "the packet still has its source from before source NAT, so replies match no NAT entry",
        "{good}",
    )
    PRIORITY_DEFRAGMENTATION = (
        "priority",
        ERROR,
        "priority {priority} is after defragmentation (-400)",
        _DEFRAGMENTED,
        "{good} (where that is meant, say so: xlat {direction} ... reassembled)",
    )
    PRIORITY_CONNTRACK = (
        "priority",
        ERROR,
        "priority {priority} is after defragmentation (-400) and conntrack (-200)",
        _DEFRAGMENTED + "; conntrack sees one half of each connection in each family: `ct state invalid drop` ends TCP",
        "{good}",
    )
    REASSEMBLED_HOOK = (
        "hook",
        ERROR,
        "xlat {direction} ... reassembled at hook {hook}",
        "this node's own packets are fragmented behind this hook, not ahead of it, and others have no mark here",
        "{good}",
    )
    REASSEMBLED_TOO_EARLY = (
        "priority",
        ERROR,
        "priority {priority} is not after defragmentation (-400)",
        "nothing has been put together here: fragments are taken one by one, and those of ICMP dropped",
        "{good}",
    )
    REASSEMBLED_TOO_LATE = (
        "priority",
        ERROR,
        "priority {priority} is after conntrack (-200)",
        (
            "conntrack sees one half of each connection in each family: `ct state invalid drop` ends TCP; and what "
            "says that a packet was fragments is gone (-201), so that a large one is answered with the MTU"
        ),
        "{good}",
    )
    FRAGMENTS_TAKEN = (
        "unreached",
        WARNING,
        "the rule at line {line} takes all of {destination}, fragments too",
        "this rule never sees any",
        "in the earlier rule: {whole}",
    )
    PRIORITY_STAMP = (
        "priority",
        NOTE,
        "priority {priority} is after -450",
        "the stamps of superframe sizes are gone by then (-449): correct, but slower",
        "{good}",
    )


@unique
class Meaning(Judgement):
    """What it names. The language says the fault, since `compile` and `load` refuse it in the same words."""

    PREFIX = ("prefix", ERROR, "{fault}", "", "{remedy}")
    DOMAIN = ("domain", ERROR, "{fault}", "without a domain the statement means nothing", "{remedy}")
    OPEN_ADDRESS = ("open-address", ERROR, "{fault}", _TWO_ADDRESSES, "{remedy}")
    OPEN_ADDRESS_TOO = (
        "open-address",
        ERROR,
        "even as {guess} it maps one address only, and nothing says how to map the {side}",
        _TWO_ADDRESSES,
        "{remedy}",
    )


@unique
class Match(Judgement):
    """What its rule, and those on the way to it, match on. `good` is the match to write."""

    TWO_PREFIXES = (
        "prefix",
        ERROR,
        "{matched} is matched, but {named} is named: different prefixes",
        "what is matched is not in the prefix that is taken off",
        "one of them, once, as prefix6 of a domain",
    )
    NO_DESTINATION = (
        "destination",
        ERROR,
        "no match on the destination that is translated",
        "every packet of the family is queued",
        "{good}",
    )
    SOURCE_ALONE = (
        "destination",
        ERROR,
        "the source is matched, not the destination that is translated",
        "every packet from there is taken, whatever its destination; those that the domain does not map are lost",
        "{good}",
    )
    SOURCE_ALONE_6TO4 = (
        "destination",
        ERROR,
        "the source is matched, not the destination that is translated",
        (
            "ICMPv6 errors about translated packets come from routers with addresses of their own, outside the prefix: "
            "Packet Too Big and Time Exceeded are missed, and large packets vanish silently"
        ),
        "{good}",
    )
    ERRORS_MISSED = (
        "errors-missed",
        WARNING,
        "the source is matched too",
        (
            "ICMPv6 errors come from routers with addresses of their own: Packet Too Big and Time Exceeded from "
            "outside the prefix are missed"
        ),
        (
            "a second rule: {good} icmpv6 type {{ destination-unreachable, packet-too-big, time-exceeded, "
            "parameter-problem }} ..."
        ),
    )
    SIDE_UNMAPPED = ("side", ERROR, _SIDE, "nfxlat would hand these packets back untranslated", _TRANSLATED)
    SIDE_IN_PREFIX6 = (
        "side",
        ERROR,
        _SIDE,
        "they would become addresses in prefix6, which are routed into the domain's own device and rejected",
        _TRANSLATED,
    )
    SIDE_WRONG = (
        "side",
        ERROR,
        "{network} is the wrong side of domain {domain}",
        "these are hosts of this family: packets to them need no translation",
        _TRANSLATED,
    )
    LOOP = (
        "loop",
        ERROR,
        'iifname "{domain}"',
        "packets from the domain's own device are translated already and never taken again: this matches nothing",
        "match the interface that they come from",
    )
    SEED = (
        "seed",
        WARNING,
        "jhash without a seed",
        "each load draws another, and who went by this rule goes elsewhere",
        "seed 0x1eb, or any other number, behind mod",
    )
    INTERFACE_AT_PREROUTING = (
        "interface",
        ERROR,
        "oifname at prerouting",
        "there is no output interface before the route lookup: this matches nothing",
        "leave it out; the destination decides, or its route: fib daddr oifname",
    )
    INTERFACE_BY_FIB_AT_OUTPUT = (
        "interface",
        ERROR,
        "fib daddr oifname at output",
        "the kernel looks up output interfaces at prerouting only, and refuses the rule",
        "a separate rule at output with oifname alone: the route is known there",
    )
    NO_ROUTE = ("route", ERROR, "no match on the output interface", _ROUTED, _OIFNAME)
    ROUTE_ELSEWHERE = ("route", ERROR, 'oifname "{found}", not the device of the domain', _ROUTED, _OIFNAME)
    HOST_SOURCE = (
        "host-source",
        ERROR,
        "domain {domain} has no explicit mapping for this host's own address",
        "the source of what leaves is mapped into prefix6, which belongs to the far translator: no reply comes here",
        'eam = [["192.0.0.1", "2001:db8:2::2"]]',
    )


@unique
class Offload(Judgement):
    """Whether its decision can be repeated at ingress, as `offload` says. The language says the fault."""

    FAULT = ("offload", ERROR, "{what}, on the way to {written}", "{why}", "{remedy}")
    HOOK = (
        "offload",
        ERROR,
        "offload at hook {hook}",
        "only what comes in by an interface, and is taken at prerouting, is offloaded: here it does nothing",
        "leave it out, or xlat at prerouting",
    )
    LATE = (
        "offload",
        ERROR,
        "offload at priority {priority}, after -450",
        "stamps are taken off at -449, and with them the word that a decision may be repeated: here it does nothing",
        "priority -450, or leave it out",
    )
    ROLE = (
        "offload",
        WARNING,
        "offload in a domain that is no router's",
        "what {domain} translates comes from this host, goes to it, or through its NAT: nothing is ever offloaded",
        "leave it out",
    )
    COUNTED = (
        "offload-counter",
        NOTE,
        "counter, on the way to {written}",
        "it counts what the rules see; what is offloaded passes them by",
        "nfxlat stats --offload has the rest",
    )
