"""Packets in one line, as the cases write them.

    ip A > B ttl 9 tos 0x28 df / udp 4000 > 53 / 20
    ip6 A > B hlim 8 tclass 0x28 / udp 4000 > 53 / 20
    ip6 R > B / icmp6 3/0 len 16 / [ ip6 B > A hlim 1 / udp / 100 ] pad 128 / obj 1/1 03e81101

A packet is layers between slashes; a layer is its name, what it is about (addresses, ports, type/code), and fields by
name. A field that is left out has its natural value: lengths, next headers, checksums follow from the rest. `?` is a
value that is free. [ ... ] is a packet within a packet, the quote of an ICMP error. A bare number is so many octets of
data. contrib/conformance.md has the whole list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from nfxlat.errors import OperatorError

FREE: Final = "?"
WHOLE: Final = 1 << 16  # octets: an end behind every datagram's

# of `part`: first octet, end, and whether it may be cut in any way
Value = int | str | bytes | tuple[int, int, bool]

NUMBER, FLAG, HEX, PART, SUM, HOST = "number", "flag", "hex", "part", "sum", "host"
_IP = {"version": NUMBER, "ihl": NUMBER, "tos": NUMBER, "len": NUMBER, "id": NUMBER, "res": FLAG, "df": FLAG}
_IP |= {"mf": FLAG, "off": NUMBER, "ttl": NUMBER, "proto": NUMBER, "sum": SUM, "opt": HEX, "part": PART, "max": NUMBER}
_IP6 = {"version": NUMBER, "tclass": NUMBER, "flow": NUMBER, "len": NUMBER, "next": NUMBER, "hlim": NUMBER}
_IP |= {"super": NUMBER}
_IP6 |= {"super": NUMBER}
_FRAG = {"next": NUMBER, "res": NUMBER, "off": NUMBER, "res2": NUMBER, "more": FLAG, "id": NUMBER, "part": PART}
_ICMP = {"id": NUMBER, "seq": NUMBER, "mtu": NUMBER, "ptr": NUMBER, "len": NUMBER, "rest": HEX, "sum": SUM}
_TCP = {"seq": NUMBER, "ack": NUMBER, "flags": NUMBER, "win": NUMBER, "urg": NUMBER, "opt": HEX, "sum": SUM}

# what stands behind the name of a layer, without a name of its own
ADDRESSES, PORTS, TYPE_CODE, OCTETS, NOTHING = "SRC > DST", "SPORT > DPORT", "TYPE/CODE", "HEX", ""
LAYERS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "ip": (ADDRESSES, _IP),
    "ip6": (ADDRESSES, _IP6),
    "hbh": (NOTHING, {"next": NUMBER, "len": NUMBER, "opt": HEX}),
    "dstopt": (NOTHING, {"next": NUMBER, "len": NUMBER, "opt": HEX}),
    "rt": (NOTHING, {"next": NUMBER, "len": NUMBER, "type": NUMBER, "left": NUMBER, "body": HEX}),
    "frag": (NOTHING, _FRAG | {"max": NUMBER}),
    "udp": (PORTS, {"len": NUMBER, "sum": SUM}),
    "udplite": (PORTS, {"cov": NUMBER, "sum": SUM}),
    "tcp": (PORTS, _TCP),
    "dccp": (PORTS, {"sum": SUM}),
    "icmp": (TYPE_CODE, _ICMP),
    "icmp6": (TYPE_CODE, _ICMP),
    "quote": (NOTHING, {"cut": NUMBER, "pad": NUMBER}),
    "obj": (TYPE_CODE, {"data": HEX, "node": HOST, "sum": SUM}),
    "data": (NOTHING, {"size": NUMBER, "from": NUMBER}),
    "hex": (OCTETS, {}),
    "fit": (NOTHING, {}),
    "tail": (OCTETS, {}),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as written. `about`: both ends, or type and code; `inner`: the layers of a quote."""

    kind: str
    about: tuple[str, ...] = ()
    fields: dict[str, Value] = field(default_factory=dict)
    inner: Packet = ()


Packet = tuple[Layer, ...]

_TOKEN = re.compile(r"\[|\]|[^\s\[\]]+")


def parse(text: str) -> Packet:
    """The layers of one packet. Raises OperatorError that names the word it does not understand."""
    words = _TOKEN.findall(text)
    try:
        layers, rest = _layers(words)
        if rest:
            raise OperatorError(f"unexpected {rest[0]!r}")
        if layers[0].kind not in ("ip", "ip6"):
            raise OperatorError("a packet begins with ip or ip6")
    except OperatorError as error:
        raise OperatorError(error.what, where=text) from None
    return layers


def _layers(words: list[str]) -> tuple[Packet, list[str]]:
    layers: list[Layer] = []
    while True:
        layer, words = _layer(words)
        layers.append(layer)
        if not words or words[0] != "/":
            return tuple(layers), words
        words = words[1:]


def _layer(words: list[str]) -> tuple[Layer, list[str]]:
    if not words:
        raise OperatorError("a layer is missing")
    name, *rest = words
    if name == "[":
        inner, rest = _layers(rest)
        if not rest or rest[0] != "]":
            raise OperatorError("] is missing")
        fields, rest = _fields("quote", rest[1:])
        return Layer("quote", (), fields, inner), rest
    if name.isdigit():
        fields, rest = _fields("data", rest)
        return Layer("data", (), {"size": int(name), **fields}), rest
    if name not in LAYERS or name == "quote":
        raise OperatorError(f"no such layer {name!r}")
    about: tuple[str, ...] = ()
    form = LAYERS[name][0]
    if form in (ADDRESSES, PORTS) and len(rest) > 2 and rest[1] == ">":
        about, rest = (rest[0], rest[2]), rest[3:]
    elif form == ADDRESSES:
        raise OperatorError(f"{name} needs {form}")
    elif form == TYPE_CODE:
        about = tuple(rest[0].split("/")) if rest else ()
        if len(about) != 2 or not about[0].isdigit() or not (about[1].isdigit() or about[1] == FREE):
            raise OperatorError(f"{name} needs {form}")
        rest = rest[1:]
    elif form == OCTETS:
        return Layer(name, (), {"octets": _hex(rest[0] if rest else "")}), rest[1:]
    fields, rest = _fields(name, rest)
    return Layer(name, about, fields), rest


def _fields(kind: str, words: list[str]) -> tuple[dict[str, Value], list[str]]:
    known = LAYERS[kind][1]
    fields: dict[str, Value] = {}
    while words and words[0] in known:
        name, *words = words
        form = known[name]
        value = words[0] if words else ""
        if form == FLAG:
            if value in ("0", "1", FREE):
                words = words[1:]
            else:
                value = "1"
        else:
            words = words[1:]
        fields[name] = _value(form, value, f"{kind} {name}")
    if words and words[0] not in ("/", "]"):
        raise OperatorError(f"{kind} has no field {words[0]!r}; it has {', '.join(known) or 'none'}")
    return fields, words


def _value(form: str, text: str, where: str) -> Value:
    if text == FREE or form == HOST:
        return text
    if form == HEX:
        return _hex(text)
    if form == PART:
        if text == "*":
            return 0, WHOLE, True
        start, dash, end = text.removesuffix("*").partition("-")
        if dash and start.isdigit() and end.isdigit():
            return int(start), int(end), text.endswith("*")
        raise OperatorError(f"{where}: {text!r} is not FIRST-END, in octets, FIRST-END* or *")
    if form == SUM and text == "wrong":
        return text
    try:
        return int(text, 0)
    except ValueError:
        raise OperatorError(f"{where}: {text!r} is not a number") from None


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise OperatorError(f"{text!r} is not hexadecimal") from None
