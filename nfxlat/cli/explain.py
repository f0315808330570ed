"""`nfxlat explain`: what an address or a packet becomes, by which rule and arithmetic, or which check refuses it."""

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from nfxlat import ipaddresses
from nfxlat.cli.domain_arguments import add_domain_arguments, chosen_domain
from nfxlat.cli.screen import say
from nfxlat.errors import OperatorError
from nfxlat.offline import link, text
from nfxlat.offline.capture import STDIN, opened
from nfxlat.offline.packet import PacketExplanation, explain_packet
from nfxlat.offline.record import Fault, Record
from nfxlat.offline.translation import Judgement, judge_all
from nfxlat.xlat.explain import Explanation, explain
from nfxlat.xlat.translator import Translator


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "explain",
        help="explain what an address or a packet becomes, and why",
        description="For an ADDRESS: its counterpart, with the rule and the arithmetic, or the check that refuses it. "
        "For packets, as hex digits of the IP packet, a hex dump or in a capture (- for stdin): what each field "
        "becomes and why, or why the packet is not translated. The exit status is 0 in both cases.",
    )
    add_domain_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object per address or packet")
    parser.add_argument("--role", choices=("router", "host"), default="router", help="as for nfxlat run")
    parser.add_argument(
        "--hops", type=int, choices=(0, 1), default=1, help="hops taken off TTL or Hop Limit (default: 1)"
    )
    parser.add_argument(
        "--icmp-source",
        type=int,
        metavar="HOPS",
        help="treat ADDRESS as the source of an ICMP error that arrived with this TTL or Hop Limit (RFC 6791)",
    )
    parser.add_argument("what", metavar="ADDRESS|HEX|IN.pcap", help="what to explain")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """The command."""
    domain = chosen_domain(arguments)
    translator = Translator(domain.as_host() if arguments.role == "host" else domain)
    if arguments.icmp_source is not None and not 0 <= arguments.icmp_source <= 255:
        raise OperatorError(f"invalid TTL {arguments.icmp_source}", where="--icmp-source", hint="0 to 255")
    address = _address(arguments.what)
    if address is not None:
        told = explain(translator.addresses, address, error_hop_limit=arguments.icmp_source)
        say(*([json.dumps(told.as_json())] if arguments.json else _address_lines(told)))
        return 0
    for judgement in _judgements(translator, arguments.what, arguments.hops):
        explained = _explained(translator, judgement)
        if arguments.json:
            print(json.dumps(explained.as_json(judgement.number)))
        else:
            say(*explained.lines(judgement.number), "")
    return 0


def _address(text: str) -> IPv4Address | IPv6Address | None:
    with suppress(ValueError):
        return ipaddresses.address(text)  # without a zone
    return None


def _judgements(translator: Translator, what: str, hops: int) -> Iterator[Judgement]:
    if what != STDIN and not os.path.exists(what):
        found = _records(what)
        if not found:
            raise OperatorError("not an address, a packet in hex digits or a file", where=what)
        yield from judge_all(translator, found, hops)
        return
    with opened(what) as (capture, _):
        yield from judge_all(translator, capture, hops)


def _records(digits: str) -> list[Record]:
    """Of hex digits, with spaces or colons between them or not, or of a dump; none where it is neither."""
    with suppress(ValueError):
        octets = bytes.fromhex(digits.replace(":", " ").removeprefix("0x"))
        return [Record(link.RAW, 0, octets)] if octets else []
    try:
        return [Record(text.link_type_of(packet), 0, packet) for packet in text.packets(digits)]
    except Fault as fault:
        raise OperatorError(fault.what, where="the dump", hint=fault.hint) from None


def _explained(translator: Translator, judgement: Judgement) -> PacketExplanation:
    whole = judgement.superframe
    packet, outcome = (whole.first, whole.outcome) if whole else (judgement.packet, judgement.outcome)
    return replace(explain_packet(translator.addresses, packet, judgement.direction, outcome), superframe=whole)


def _address_lines(told: Explanation) -> list[str]:
    if told.counterpart is None:
        assert told.reason is not None
        lines = [f"{told.address} has no counterpart: {told.reason.label} ({told.rfc})"]
    else:
        assert told.rule is not None
        lines = [f"{told.address} is {told.counterpart}", f"  by {told.rule.value} {told.entry} ({told.rfc})"]
    return [*lines, f"  {told.arithmetic}", *(f"  {note}" for note in told.notes)]
