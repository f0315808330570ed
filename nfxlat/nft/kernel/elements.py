"""Interval sets changed element by element, over nfnetlink: never a chain, since removing one flushes every queue.

libnftables would read a whole set before it changes one element. Here what is in the set is known, as spans (first and
last address): disjoint, sorted, with a gap between any two, which is how `auto-merge` loads a list too. The kernel
holds a span as two elements, its start and, with a flag, the address behind its end (nft_set_rbtree.c).
"""

import os
from collections.abc import Iterable, Iterator

from nfxlat.errors import OperatorError
from nfxlat.nft.kernel import nf_tables
from nfxlat.nft.kernel.nf_tables import (
    NFT_MSG_DELSETELEM,
    NFT_MSG_GETSET,
    NFT_MSG_GETSETELEM,
    NFT_MSG_NEWSETELEM,
    NFT_SET_ELEM_INTERVAL_END,
    NFTA_DATA_VALUE,
    NFTA_LIST_ELEM,
    NFTA_SET_ELEM_FLAGS,
    NFTA_SET_ELEM_KEY,
    NFTA_SET_ELEM_LIST_ELEMENTS,
    NFTA_SET_ELEM_LIST_SET,
    NFTA_SET_ELEM_LIST_TABLE,
    NFTA_SET_NAME,
    NFTA_SET_TABLE,
)
from nfxlat.nft.language.sets import Contents, SetName
from nfxlat.wire.netlink import NLA_F_NESTED, NLM_F_CREATE, Request, attribute, attributes, be32, chosen, nested, string
from nfxlat.xlat.prefixes import Span

Mark = tuple[int, bool, int]
"""Of an element: its address, whether it is the start of a span, and how many octets the address has."""

INTERVAL_END = NFT_SET_ELEM_INTERVAL_END.to_bytes(4, "big")
_MARK, _VALUE = frozenset((NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_FLAGS)), frozenset((NFTA_DATA_VALUE,))
SPANS_A_MESSAGE = 900  # a list of elements is one attribute: 65535 octets at most


def change(former: Contents, wanted: Contents) -> int:
    """Make the sets hold `wanted` where they hold `former`, in one transaction; how many spans came or went.

    Raises OperatorError, and then nothing is changed.
    """
    removals: list[Request] = []
    additions: list[Request] = []
    count = 0
    for name, spans in wanted.items():
        old, new = set(former[name]), set(spans)
        gone, come = sorted(old - new), sorted(new - old)
        count += len(gone) + len(come)
        removals += _requests(NFT_MSG_DELSETELEM, 0, name, gone)
        additions += _requests(NFT_MSG_NEWSETELEM, NLM_F_CREATE, name, come)
    if requests := removals + additions:
        errno = nf_tables.commit(requests)
        if errno:
            where = f"set {', '.join(map(str, wanted))}"
            raise OperatorError(f"the kernel refused to change elements: {os.strerror(errno)}", where=where)
    return count


def read(name: SetName) -> list[Span] | None:
    """The spans that a set holds now; None where there is no such set."""
    family, table, text, bits = name
    body = string(NFTA_SET_ELEM_LIST_TABLE, table) + string(NFTA_SET_ELEM_LIST_SET, text)
    marks: list[Mark] = []
    found = None
    for _, answer in nf_tables.dump(NFT_MSG_GETSETELEM, nf_tables.NFPROTO[family], body):
        found = True
        for kind, data in attributes(answer):
            if kind == NFTA_SET_ELEM_LIST_ELEMENTS:
                marks += _marks(bits // 8, (element for _, element in attributes(data)))
    if found is None and not exists(name):
        return None
    return list(_spans(sorted(marks)))


def exists(name: SetName) -> bool:
    """Whether there is a set of this name."""
    family, table, text, _ = name
    body = string(NFTA_SET_TABLE, table)
    wanted = text.encode() + b"\0"
    found = nf_tables.dump(NFT_MSG_GETSET, nf_tables.NFPROTO[family], body)
    return any((NFTA_SET_NAME, wanted) in attributes(answer) for _, answer in found)


def _marks(octets: int, elements: Iterable[bytes]) -> Iterator[Mark]:
    """Where the key comes first, as the kernel lists it, the address has its place, and the rest is mostly the same."""
    key = attribute(NFTA_DATA_VALUE, bytes(octets))
    heads = {attribute(kind, key)[:8] for kind in (NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_KEY | NLA_F_NESTED)}
    starts: dict[bytes, bool] = {}  # by the rest
    end = 8 + octets
    for element in elements:
        if element[:8] in heads:
            rest = element[end:]
            start = starts.get(rest)
            if start is None:
                start = starts[rest] = _mark(element)[1]
            yield int.from_bytes(element[8:end], "big"), start, octets
        else:
            yield _mark(element)


def _mark(element: bytes) -> Mark:
    values = chosen(element, _MARK)
    address = chosen(values.get(NFTA_SET_ELEM_KEY, b""), _VALUE).get(NFTA_DATA_VALUE, b"")
    return int.from_bytes(address, "big"), values.get(NFTA_SET_ELEM_FLAGS) != INTERVAL_END, len(address)


def _spans(marks: Iterable[Mark]) -> Iterator[Span]:
    first: int | None = None
    last = 0
    for address, start, octets in marks:
        last = (1 << 8 * octets) - 1
        if start:
            first = address if first is None else first
        elif first is not None:  # an end without a start: nft's own mark in front of the first span
            yield first, address - 1
            first = None
    if first is not None:
        yield first, last


def _requests(kind: int, flags: int, name: SetName, spans: list[Span]) -> Iterator[Request]:
    family, table, text, bits = name
    head = string(NFTA_SET_ELEM_LIST_TABLE, table) + string(NFTA_SET_ELEM_LIST_SET, text)
    for at in range(0, len(spans), SPANS_A_MESSAGE):
        elements = b"".join(_elements(bits // 8, spans[at : at + SPANS_A_MESSAGE]))
        body = head + nested(NFTA_SET_ELEM_LIST_ELEMENTS, elements)
        yield nf_tables.request(kind, flags, family, body)


def _elements(octets: int, spans: Iterable[Span]) -> Iterator[bytes]:
    behind = 1 << 8 * octets
    key = nested(NFTA_SET_ELEM_KEY, attribute(NFTA_DATA_VALUE, bytes(octets)))
    end = be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END)
    # All elements are alike but for the address, which comes last.
    first_head, last_head = (nested(NFTA_LIST_ELEM, flags, key)[:-octets] for flags in (b"", end))
    for first, last in spans:
        yield first_head + first.to_bytes(octets, "big")
        if last + 1 < behind:
            yield last_head + (last + 1).to_bytes(octets, "big")
