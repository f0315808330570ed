"""The cases and domains of `cases/*.toml`, read and checked.

title = "RFC 7915 4.1: the IPv6 header"

[[case]]
name = "Traffic Class is TOS {tos}"         # unique within the file
clause = "RFC 7915 4.1"                     # where it stands
level = "RULE"                              # MUST, SHOULD, ...; RULE: of the algorithm; ADV: the text is silent
holds = ["4.1-06"]                          # rows of tests/REQUIREMENTS.md
domain = "base"                             # the default
why = "All 8 bits of the TOS octet are copied."
send = "ip A > B tos {tos} / udp / 20"      # or a list
want = "ip6 A > B tclass {tos} / udp / 20"  # or a list, or "nothing"
or = ["nothing"]                            # other outcomes that the text allows, each like `want`
each = ''' tos                              # a case for each row, columns separated by |
           0x00
           0x28 '''
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Final

from nfxlat.conformance.hosts import NUMBERS
from nfxlat.conformance.notation import Packet, parse
from nfxlat.errors import OperatorError

CASES: Final = Path(__file__).parent / "cases"
LEVELS: Final = ("MUST", "MUSTNOT", "SHOULD", "SNOT", "MAY", "RULE", "OTHER", "ADV")
NOTHING: Final = "nothing"
FIRST: Final = 16  # number of the first case; those below are the probes'

_KEYS: Final = {"name", "clause", "level", "holds", "domain", "why", "send", "want", "or", "each", "ordered"}
_NEEDED: Final = ("name", "clause", "level", "send", "want")
_SETTINGS: Final = {"lowest-ipv6-mtu", "udp-zero-checksum", "traffic-class", "hairpin", "well-known-prefix"}
_DOMAIN_KEYS: Final = {"about", "prefix6", "pool4", "eam", "rfc6791-v4", "mtu4", "mtu6", "probe", "one-way", *_SETTINGS}


@dataclass(frozen=True, slots=True)
class Domain:
    """What a translator is set up with. `settings` beyond prefix and mappings have the names of nfxlat.toml(5).

    `mtu4`, `mtu6`: of its links; `probe`: an IPv4 and an IPv6 host between which any packet crosses, with `one_way`
    from IPv4 to IPv6 only.
    """

    name: str
    about: str
    prefix6: IPv6Network | None
    pool4: tuple[str, ...]
    eam: tuple[tuple[str, str], ...]
    pool6791: tuple[IPv4Network, ...]
    settings: dict[str, str | int]
    mtu4: int
    mtu6: int
    probe: tuple[str, str]
    one_way: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `outcomes`: what is wanted first, then what is allowed as well; () is nothing."""

    number: int
    section: str  # name of its file
    name: str
    clause: str
    level: str
    holds: tuple[str, ...]
    domain: str
    why: str
    send: tuple[Packet, ...]
    outcomes: tuple[tuple[Packet, ...], ...]
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)  # `send` and `want` as written
    others: tuple[tuple[str, ...], ...] = ()  # what else is allowed, as written
    ordered: bool = False

    @property
    def id(self) -> str:
        """Of the case, for the command line and reports."""
        return f"{self.section}: {self.name}"


@dataclass(frozen=True, slots=True)
class Suite:
    """All of it. `titles`: of the sections, in order."""

    titles: dict[str, str]
    domains: dict[str, Domain]
    cases: tuple[Case, ...]


def load(folder: Path = CASES) -> Suite:
    """The suite in `folder`. Raises OperatorError that names file, case and fault."""
    domains = {name: _domain(name, table, "domains.toml") for name, table in _read(folder / "domains.toml").items()}
    titles: dict[str, str] = {}
    cases: list[Case] = []
    for path in sorted(folder.glob("*.toml")):
        if path.name == "domains.toml":
            continue
        table = _read(path)
        titles[path.stem] = str(table.get("title", path.stem))
        names: set[str] = set()
        for entry in table.get("case", []):
            for values in _rows(entry, path.name):
                case = _case(entry, values, path.stem, FIRST + len(cases), domains)
                if case.name in names:
                    raise OperatorError(f"two cases are named {case.name!r}", where=path.name)
                names.add(case.name)
                cases.append(case)
    if FIRST + len(cases) > NUMBERS:
        raise OperatorError(f"more than {NUMBERS - FIRST} cases", where=str(folder))
    return Suite(titles, domains, tuple(cases))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise OperatorError(str(error), where=path.name) from None


def _domain(name: str, table: dict[str, Any], where: str) -> Domain:
    if unknown := set(table) - _DOMAIN_KEYS:
        raise OperatorError(f"{name} has no key {', '.join(sorted(unknown))}", where=where)
    prefix6 = table.get("prefix6")
    settings = {key: value for key, value in table.items() if key in _SETTINGS}
    four, six = table.get("probe", ("A", "B"))
    return Domain(
        name=name,
        about=table["about"],
        prefix6=None if prefix6 is None else IPv6Network(prefix6),
        pool4=tuple(table.get("pool4", ())),
        eam=tuple((left, right) for left, right in table.get("eam", ())),
        pool6791=tuple(map(IPv4Network, table.get("rfc6791-v4", ()))),
        settings=settings,
        mtu4=table.get("mtu4", 1500),
        mtu6=table.get("mtu6", 1500),
        probe=(four, six),
        one_way=bool(table.get("one-way", False)),
    )


def _rows(entry: dict[str, Any], where: str) -> list[dict[str, str]]:
    """The values of each case that `entry` stands for."""
    if "each" not in entry:
        return [{}]
    lines = [[cell.strip() for cell in line.split("|")] for line in entry["each"].strip().splitlines()]
    heads, *rows = lines
    for row in rows:
        if len(row) != len(heads):
            raise OperatorError(f"a row of {len(row)} cells under {len(heads)}: {' | '.join(row)}", where=where)
    return [dict(zip(heads, row, strict=True)) for row in rows]


def _case(entry: dict[str, Any], values: dict[str, str], section: str, number: int, domains: dict[str, Domain]) -> Case:
    where = f"{section}.toml, case {entry.get('name', '?')!r}"
    if unknown := set(entry) - _KEYS:
        raise OperatorError(f"no such key: {', '.join(sorted(unknown))}", where=where)
    if missing := [key for key in _NEEDED if key not in entry]:
        raise OperatorError(f"{', '.join(missing)} missing", where=where)
    if entry["level"] not in LEVELS:
        raise OperatorError(f"level {entry['level']}", where=where, hint=f"one of {', '.join(LEVELS)}")

    def text(value: str) -> str:
        for name, cell in values.items():
            value = value.replace("{" + name + "}", cell)
        if "{" in value:
            raise OperatorError(f"no column for {value!r}", where=where)
        return " ".join(value.split())

    def packets(value: str | list[str]) -> tuple[str, ...]:
        lines = tuple(text(one) for one in ([value] if isinstance(value, str) else value))
        return tuple(line for line in lines if line and line != NOTHING)

    domain = text(entry.get("domain", "base"))
    if domain not in domains:
        raise OperatorError(f"no such domain {domain!r}", where=where)
    send, want = packets(entry["send"]), packets(entry["want"])
    others = [packets(other) for other in entry.get("or", [])]
    try:
        return Case(
            number=number,
            section=section,
            name=text(entry["name"]),
            clause=text(entry["clause"]),
            level=entry["level"],
            holds=tuple(entry.get("holds", ())),
            domain=domain,
            why=text(entry.get("why", "")),
            send=tuple(map(parse, send)),
            outcomes=tuple(tuple(map(parse, one)) for one in (want, *others)),
            texts={"send": send, "want": want},
            others=tuple(others),
            ordered=bool(entry.get("ordered", False)),
        )
    except OperatorError as error:
        raise OperatorError(str(error), where=where) from None
