"""The configuration: TOML, command-line flags or the embedded default, to checked domains.

Everything is read and checked before anything is returned, so that a reload either swaps whole or changes nothing. Each
mistake of the operator is one `OperatorError`, whose `where` is the file and the dotted key (`siit.toml:
domain.siit0.prefix6`), the file and the line (`siit.eam:17`) or the flag (`--prefix6`).
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import chain
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Final, NoReturn

from nfxlat.errors import OperatorError
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt, Entry

DEFAULT: Final = """\
[domain.siit0]
prefix6 = "2001:db8:64::/96"
pool4 = ["198.51.100.0/24"]                  # IPv6 hosts reached through prefix6
eam = [["203.0.113.2", "2001:db8:2::2"]]     # an IPv6 host with an address of its own choice
rfc6791-v4 = ["203.0.113.240/28"]            # routers without an IPv4 address, in traceroute
"""


@dataclass(frozen=True, slots=True)
class Config:
    """A checked configuration. `text` is its TOML, `source` names where it came from."""

    domains: tuple[Domain, ...]
    text: str
    source: str

    def domain(self, name: str | None = None) -> Domain:
        """The domain of that name; without a name, the only one. Raises OperatorError if there is no such choice."""
        names = ", ".join(domain.name for domain in self.domains)
        if name is None:
            if len(self.domains) > 1:
                raise OperatorError("more than one domain", where=self.source, hint=f"name one of {names}")
            return self.domains[0]
        for domain in self.domains:
            if domain.name == name:
                return domain
        raise OperatorError(f"no domain {name!r}", where=self.source, hint=f"there is {names}")


def load(path: str | Path) -> Config:
    """The configuration in the file `path`."""
    return parse(_read(Path(path), str(path)), str(path), Path(path).parent)


def default() -> Config:
    """The embedded default configuration, `DEFAULT`."""
    return parse(DEFAULT, "embedded default")


def parse(text: str, where: str, base_dir: str | Path = ".") -> Config:
    """The configuration in TOML `text`; `where` names it in errors, `base_dir` is where a relative eam-file starts."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and what absurd numbers and nesting raise
        line = re.search(r"at line (\d+)", str(error))
        at = f"{where}:{line[1]}" if line else where
        raise OperatorError(f"not TOML: {error}", where=at) from error
    for name in tables:
        if name != "domain":
            raise OperatorError(
                f"no such table as [{name}]", where=f"{where}: {name}", hint="domains are named [domain.NAME]"
            )
    domains = tables.get("domain", {})
    if not isinstance(domains, dict) or not domains:
        raise OperatorError("no domain is configured", where=where, hint="write a table such as [domain.siit0]")
    built = (_build(name, table, _dotted(where, name), Path(base_dir)) for name, table in domains.items())
    return Config(tuple(built), text, where)


def _dotted(where: str, name: str) -> Callable[[str], str]:
    return lambda key: f"{where}: domain.{name}.{key}" if key else f"{where}: domain.{name}"


def from_flags(
    domain: str = "siit0",
    prefix6: str | None = None,
    eam: Sequence[str] = (),
    pool4: Sequence[str] = (),
    **more: Any,
) -> Config:
    """One domain from command-line flags. `eam` holds `V4=V6`; `more` holds other keys, `-` written as `_`.

    None and empty sequences count as not given. Errors name the flag, e.g. `--prefix6`.
    """
    pairs: list[list[str]] = []
    for text in eam:
        v4, equals, v6 = text.partition("=")
        if not equals:
            raise OperatorError(f"{text!r} is not V4=V6", where="--eam", hint="such as 192.0.2.2=2001:db8::2")
        pairs.append([v4, v6])
    given = {"prefix6": prefix6, "eam": pairs, "pool4": list(pool4)}
    given |= {key.replace("_", "-"): list(value) if isinstance(value, tuple) else value for key, value in more.items()}
    table = {key: value for key, value in given.items() if value is not None and value != []}
    built = _build(domain, table, lambda key: f"--{key or 'domain'}", Path())
    return Config((built,), render(built), "command line")


def render(domain: Domain) -> str:
    """`domain` as TOML that `parse` reads back to an equal one, EAMT included. An unknown MTU has no TOML form."""
    standard = Domain(domain.name, eamt=Eamt([(0, 32, 0, 128)]))
    lines = [f"[domain.{domain.name}]"]
    for key, (field, _) in _KEYS.items():
        value = getattr(domain, field)
        if value != getattr(standard, field):
            lines.append(f"{key} = {_toml(value)}")
    if len(domain.eamt):
        lines += ["eam = [", *(f'  ["{v4}", "{v6}"],' for v4, v6 in domain.eamt), "]"]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _read(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        _unreadable(error, where)


def _unreadable(error: OSError | UnicodeDecodeError, where: str) -> NoReturn:
    what = error.strerror if isinstance(error, OSError) else f"not UTF-8: {error.reason}"
    raise OperatorError(f"cannot be read: {what}", where=where) from error


# --- one domain ---------------------------------------------------------------------------------------------------


def _build(name: str, table: object, where: Callable[[str], str], base_dir: Path) -> Domain:
    """The domain of one table. `where` names the place of a key of it, "" being the table itself."""
    if not isinstance(table, dict):
        raise OperatorError(f"{_kind(table)} where a table belongs", where=where(""), hint=f"write [domain.{name}]")
    fields: dict[str, Any] = {}
    for key, value in table.items():
        if key in _KEYS:
            field, read = _KEYS[key]
            fields[field] = read(value, where(key))
        elif key not in ("eam", "eam-file"):
            near = get_close_matches(key, [*_KEYS, "eam", "eam-file"], 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join([*_KEYS, 'eam', 'eam-file'])}"
            raise OperatorError("unknown key", where=where(key), hint=hint)
    if eamt := _eamt(table, where, base_dir):
        fields["eamt"] = eamt
    try:
        return Domain(name, **fields)
    except OperatorError as error:
        key = error.where.removeprefix(f"domain.{name}").removeprefix(".")
        raise OperatorError(error.what, where=where("" if key == "domain" else key), hint=error.hint) from error


def _eamt(table: Mapping[str, object], where: Callable[[str], str], base_dir: Path) -> Eamt | None:
    """The EAMT of the keys eam and eam-file together."""
    place = _Place()
    sources: list[Iterator[Entry]] = []
    if "eam" in table:
        sources.append(_inline_eam(_array(table["eam"], where("eam")), where("eam"), place))
    if "eam-file" in table:
        path = base_dir / _file_name(table["eam-file"], where("eam-file"))
        sources.append(_eam_file(path, where("eam-file"), place))
    if not sources:
        return None
    try:
        return Eamt(chain(*sources))
    except OperatorError as error:
        raise OperatorError(error.what, where=error.where or str(place), hint=error.hint) from error


class _Place:
    """Where the EAMT that is being built stands: the n-th entry of an array, or a line of a file."""

    __slots__ = ("form", "number")

    def __init__(self) -> None:
        self.form, self.number = "{}", 0

    def __str__(self) -> str:
        return self.form.format(self.number)


def _inline_eam(pairs: Iterable[object], where: str, place: _Place) -> Iterator[Entry]:
    place.form = f"{_braced(where)}[{{}}]"
    for place.number, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(prefix, str) for prefix in pair):
            raise OperatorError("not a pair of prefixes", hint='such as ["192.0.2.2", "2001:db8::2"]')
        yield *_prefix4(pair[0]), *_prefix6(pair[1])


def _eam_file(path: Path, where: str, place: _Place) -> Iterator[Entry]:
    """One "v4-prefix v6-prefix" a line; what follows `#` is a comment."""
    try:
        with path.open(encoding="utf-8") as file:
            place.form = f"{_braced(str(path))}:{{}}"
            for place.number, line in enumerate(file, 1):
                if "#" in line:
                    line = line.partition("#")[0]
                words = line.split()
                if not words:
                    continue
                if len(words) != 2:
                    raise OperatorError("not a pair of prefixes", hint='such as "192.0.2.2 2001:db8::2"')
                yield *_prefix4(words[0]), *_prefix6(words[1])
    except (OSError, UnicodeDecodeError) as error:
        _unreadable(error, f"{where}: {path}")


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


# --- values: each reader takes what TOML gave, and the place for its error -------------------------------------------


def _kind(value: object) -> str:
    kinds = {bool: "a boolean", int: "an integer", float: "a float", str: "a string", list: "an array", dict: "a table"}
    return kinds.get(type(value), "a date or time")


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise OperatorError(f"{_kind(value)} where a string belongs", where=where)
    return value


def _file_name(value: object, where: str) -> str:
    if "\0" in (name := _string(value, where)):
        raise OperatorError(f"{name!r} cannot be the name of a file", where=where)
    return name


def _integer(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise OperatorError(f"{_kind(value)} where an integer belongs", where=where)
    return value


def _array(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise OperatorError(f"{_kind(value)} where an array belongs", where=where, hint="put it in [ ]")
    return value


def _octet_or_word(value: object, where: str) -> str | int:
    return value if isinstance(value, str) else _integer(value, where)


def _integers(value: object, where: str) -> tuple[int, ...]:
    return tuple(_integer(item, f"{where}[{index}]") for index, item in enumerate(_array(value, where)))


def _address4(value: object, where: str) -> IPv4Address:
    text = _string(value, where)
    try:
        return IPv4Address(inet_pton(AF_INET, text))
    except (OSError, ValueError) as error:
        raise OperatorError(f"{text!r} is not an IPv4 address", where=where) from error


def _address6(value: object, where: str) -> IPv6Address:
    text = _string(value, where)
    try:
        return IPv6Address(inet_pton(AF_INET6, text))
    except (OSError, ValueError) as error:
        raise OperatorError(f"{text!r} is not an IPv6 address", where=where) from error


def _network4(value: object, where: str) -> IPv4Network:
    try:
        number, length = _prefix4(_string(value, where))
    except OperatorError as error:
        raise OperatorError(error.what, where=error.where or where, hint=error.hint) from error
    network = IPv4Network((number, length), strict=False)
    if int(network.network_address) != number:
        raise OperatorError(f"{value} has bits set behind its length", where=where, hint=f"did you mean {network}?")
    return network


def _network6(value: object, where: str) -> IPv6Network:
    try:
        number, length = _prefix6(_string(value, where))
    except OperatorError as error:
        raise OperatorError(error.what, where=error.where or where, hint=error.hint) from error
    network = IPv6Network((number, length), strict=False)
    if int(network.network_address) != number:
        raise OperatorError(f"{value} has bits set behind its length", where=where, hint=f"did you mean {network}?")
    return network


def _networks4(value: object, where: str) -> tuple[IPv4Network, ...]:
    return tuple(_network4(item, f"{where}[{index}]") for index, item in enumerate(_array(value, where)))


def _networks6(value: object, where: str) -> tuple[IPv6Network, ...]:
    return tuple(_network6(item, f"{where}[{index}]") for index, item in enumerate(_array(value, where)))


def _prefix4(text: str) -> tuple[int, int]:
    """Address and length (32 if omitted) as numbers; host bits are the caller's to judge."""
    address, slash, length = text.partition("/")
    try:
        return int.from_bytes(inet_pton(AF_INET, address), "big"), _length(length, 32) if slash else 32
    except (OSError, ValueError) as error:
        raise OperatorError(f"{text!r} is not an IPv4 prefix", hint="such as 192.0.2.0/24") from error


def _prefix6(text: str) -> tuple[int, int]:
    """Address and length (128 if omitted) as numbers; host bits are the caller's to judge."""
    address, slash, length = text.partition("/")
    try:
        return int.from_bytes(inet_pton(AF_INET6, address), "big"), _length(length, 128) if slash else 128
    except (OSError, ValueError) as error:
        raise OperatorError(f"{text!r} is not an IPv6 prefix", hint="such as 2001:db8:64::/96") from error


def _length(text: str, most: int) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= most):  # int() alone takes "+24" and "2_4"
        raise ValueError(text)
    return int(text)


# key: (field of Domain, reader); eam and eam-file make one field together, in _eamt()
_KEYS: Final[dict[str, tuple[str, Callable[[object, str], object]]]] = {
    "prefix6": ("prefix6", _network6),
    "pool4": ("pool4", _networks4),
    "denylist4": ("denylist4", _networks4),
    "address4": ("address4", _address4),
    "address6": ("address6", _address6),
    "rfc6791-v4": ("rfc6791_v4", _networks4),
    "rfc6791-v6": ("rfc6791_v6", _networks6),
    "lowest-ipv6-mtu": ("lowest_ipv6_mtu", _integer),
    "mtu4": ("mtu4", _integer),
    "mtu6": ("mtu6", _integer),
    "mtu-plateaus": ("mtu_plateaus", _integers),
    "udp-zero-checksum": ("udp_zero_checksum", _string),
    "well-known-prefix": ("well_known_prefix", _string),
    "hairpin": ("hairpin", _string),
    "traffic-class": ("traffic_class", _octet_or_word),
}
