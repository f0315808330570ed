"""What a value of the configuration may be: as TOML has it, as a word on the command line, and as a field of Domain."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Final

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value. `expected` finishes the sentence "expected ..."; `plural` and `name` are for the manual.

    `read` makes the field's value of TOML's, which is of one of `types`; `from_word` makes TOML's value of a word of
    the command line. Both raise OperatorError without `where`.
    """

    name: str
    plural: str
    expected: str
    types: tuple[type, ...]
    read: Callable[[Any], object]
    from_word: Callable[[str], object] = str

    def fits(self, value: object) -> bool:
        """Whether `value` is of a type that `read` takes. A boolean is no number."""
        return type(value) in self.types


def noun(value: object) -> str:
    """What TOML calls the type of `value`, with its article."""
    nouns = {bool: "a boolean", int: "an integer", float: "a float", str: "a string", list: "an array", dict: "a table"}
    return nouns.get(type(value), "a date or time")


def network4(text: str) -> IPv4Network:
    """An IPv4 prefix without host bits; /32 if it has no length."""
    number, length = prefix4(text)
    network = IPv4Network((number, length), strict=False)
    if int(network.network_address) != number:
        raise OperatorError(f"{text} has host bits set", hint=f"did you mean {network}?")
    return network


def network6(text: str) -> IPv6Network:
    """An IPv6 prefix without host bits; /128 if it has no length."""
    number, length = prefix6(text)
    network = ipaddresses.network6((number, length), strict=False)
    if int(network.network_address) != number:
        raise OperatorError(f"{text} has host bits set", hint=f"did you mean {network}?")
    return network


def prefix4(text: str) -> tuple[int, int]:
    """Address and length (32 if omitted) as numbers; host bits are the caller's to judge."""
    address, slash, length = text.partition("/")
    try:
        return int.from_bytes(inet_pton(AF_INET, address), "big"), _length(length, 32) if slash else 32
    except (OSError, ValueError) as error:
        raise OperatorError(f"{text!r} is not an IPv4 prefix", hint="for example, 192.0.2.0/24") from error


def prefix6(text: str) -> tuple[int, int]:
    """Address and length (128 if omitted) as numbers; host bits are the caller's to judge."""
    address, slash, length = text.partition("/")
    try:
        return int.from_bytes(inet_pton(AF_INET6, address), "big"), _length(length, 128) if slash else 128
    except (OSError, ValueError) as error:
        raise OperatorError(f"{text!r} is not an IPv6 prefix", hint="for example, 2001:db8:64::/96") from error


def pair_of(text: str) -> list[str]:
    """`V4=V6` of the command line, as TOML has a mapping: [V4, V6]."""
    v4, equals, v6 = text.partition("=")
    if not equals:
        raise OperatorError(f"{text!r} is not V4=V6", hint="for example, 192.0.2.2=2001:db8::2")
    return [v4, v6]


def pair(value: object) -> tuple[str, str]:
    """TOML's form of a mapping: both prefixes as text."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], str):
        return value[0], value[1]
    raise OperatorError("expected a pair of prefixes", hint='for example, ["192.0.2.2", "2001:db8::2"]')


def _length(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= most):  # int() alone takes "+24" and "2_4"
        raise ValueError(text)
    return int(text)


def _address4(text: str) -> IPv4Address:
    try:
        return IPv4Address(inet_pton(AF_INET, text))
    except (OSError, ValueError) as error:
        raise OperatorError(f"{text!r} is not an IPv4 address", hint="for example, 192.0.2.1") from error


def _address6(text: str) -> IPv6Address:
    try:
        return ipaddresses.address6(inet_pton(AF_INET6, text))
    except (OSError, ValueError) as error:
        raise OperatorError(f"{text!r} is not an IPv6 address", hint="for example, 2001:db8::1") from error


def _file_name(text: str) -> str:
    if "\0" in text:
        raise OperatorError(f"{text!r} is not a file name")
    return text


def _number(text: str) -> object:
    if not (text.isascii() and text.isdecimal()):
        raise OperatorError(f"{text!r} is not a number")
    return int(text)


def _number_or_word(text: str) -> object:
    return int(text) if text.isascii() and text.isdecimal() else text


def _yes_or_no(text: str) -> object:
    if text not in ("true", "false"):
        raise OperatorError(f"{text!r} is neither true nor false")
    return text == "true"


def _as_it_is(value: object) -> object:
    return value


PREFIX4: Final = Kind("IPv4 prefix", "IPv4 prefixes", "an IPv4 prefix in quotes", (str,), network4)
PREFIX6: Final = Kind("IPv6 prefix", "IPv6 prefixes", "an IPv6 prefix in quotes", (str,), network6)
ADDRESS4: Final = Kind("IPv4 address", "IPv4 addresses", "an IPv4 address in quotes", (str,), _address4)
ADDRESS6: Final = Kind("IPv6 address", "IPv6 addresses", "an IPv6 address in quotes", (str,), _address6)
PAIR: Final = Kind(
    "pair of an IPv4 and an IPv6 prefix",
    "pairs of an IPv4 and an IPv6 prefix",
    "a pair of prefixes",
    (list,),
    pair,
    pair_of,
)
FILE: Final = Kind("file name", "file names", "a file name in quotes", (str,), _file_name)
NUMBER: Final = Kind("integer", "integers", "an integer", (int,), _as_it_is, _number)
BOOLEAN: Final = Kind("boolean", "booleans", "true or false", (bool,), _as_it_is, _yes_or_no)
WORD: Final = Kind("word", "words", "a word in quotes", (str,), _as_it_is)
WORD_OR_NUMBER: Final = Kind(
    "word or integer", "words or integers", "a word in quotes or an integer", (str, int), _as_it_is, _number_or_word
)
