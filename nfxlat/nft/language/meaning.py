"""What a statement means: a domain of the configuration, one that the file makes itself, or none, and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from nfxlat import ipaddresses
from nfxlat.errors import OperatorError
from nfxlat.nft.language.prefix6 import meant_prefix6, prefix6_faults
from nfxlat.nft.language.source import Source
from nfxlat.nft.language.statement import MAPPED, Xlat
from nfxlat.nft.language.tokens import Token
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A statement without a domain: why (all faults), and what to write instead.

    malformed: it names no sound prefix; unknown: no domain of the configuration; open: a prefix that maps one of a
    packet's two addresses, and nothing says what becomes of the other.
    """

    kind: Literal["malformed", "unknown", "open"]
    faults: tuple[str, ...]
    remedy: str


def inline_domains(source: Source, found: Iterable[Xlat], configured: Sequence[Domain]) -> dict[IPv6Network, Domain]:
    """One domain for each prefix that statements give a mapping of the other address for: xlat0, xlat1 ..."""
    mapped: dict[IPv6Network, dict[tuple[IPv4Network, IPv6Network], Xlat]] = {}
    for statement in found:
        if not statement.mappings or not statement.names_prefix or prefix6_faults(statement.operand.text):
            continue
        entries = mapped.setdefault(ipaddresses.network6(statement.operand.text), {})
        for key, value in statement.mappings:
            v4, v6 = (key, value) if statement.direction == "to" else (value, key)
            entries[_network4(source, v4), _network6(source, v6)] = statement
    taken = {domain.name for domain in configured}
    names = (name for number in range(len(mapped) + len(taken)) if (name := f"xlat{number}") not in taken)
    made = {}
    for prefix6, entries in mapped.items():
        first = next(iter(entries.values()))
        try:
            made[prefix6] = Domain(next(names), prefix6=prefix6, eamt=Eamt(entries))
        except OperatorError as error:
            raise source.fault(error.what, first.at, error.hint) from error
    return made


def meaning_of(
    statement: Xlat, configured: Sequence[Domain], made: Mapping[IPv6Network, Domain]
) -> Domain | Unresolved:
    """The domain that a statement names, of the configuration or `made` by the file."""
    return _of_prefix(statement, configured, made) if statement.names_prefix else _of_name(statement, configured)


def _of_name(statement: Xlat, configured: Sequence[Domain]) -> Domain | Unresolved:
    name = statement.operand.text
    found = next((domain for domain in configured if domain.name == name), None)
    if found is None:
        known = ", ".join(domain.name for domain in configured)
        remedy = f"it has {known}; check --config" if known else "name the file that has it with --config FILE"
        return Unresolved("unknown", (f"no domain {name!r} in the configuration",), remedy)
    if statement.mappings:
        fault = f"the domain {name} has its own mappings; `with` is for a bare prefix"
        return Unresolved("unknown", (fault,), f"xlat {statement.direction} {name}, and eam in the configuration")
    return found


def _of_prefix(
    statement: Xlat, configured: Sequence[Domain], made: Mapping[IPv6Network, Domain]
) -> Domain | Unresolved:
    operand, side = statement.operand.text, MAPPED[statement.direction]
    if faults := prefix6_faults(operand):
        guess = meant_prefix6(operand)
        return Unresolved("malformed", tuple(faults), f"did you mean {guess}?" if guess else "such as 2001:db8:64::/96")
    prefix6 = ipaddresses.network6(operand)
    if prefix6 in made:
        return made[prefix6]
    same = [domain for domain in configured if domain.prefix6 == prefix6]
    if len(same) == 1:
        return same[0]
    fault = f"{operand} maps one address only, and nothing says how to map the {side}: SIIT keeps no state to decide it"
    if same:
        fault = f"{operand} is the prefix6 of several domains: {', '.join(domain.name for domain in same)}"
    return Unresolved("open", (fault,), both_addresses(statement))


def both_addresses(statement: Xlat) -> str:
    """What to write instead of a statement that names a bare prefix."""
    to = statement.direction == "to"
    example = "{ 192.0.0.1 : 2001:db8:2::2 }" if to else "{ 2001:db8:2::2 : 192.0.0.1 }"
    side = MAPPED[statement.direction]
    return f"name a domain (xlat {statement.direction} siit0), or add `with {side} {example}`"


def _network4(source: Source, token: Token) -> IPv4Network:
    """The IPv4 prefix of a word. Raises OperatorError."""
    try:
        return IPv4Network(token.text)
    except ValueError:
        raise source.fault(f"{token.text} is not an IPv4 prefix", token, "such as 192.0.0.1 or 192.0.2.0/24") from None


def _network6(source: Source, token: Token) -> IPv6Network:
    """The IPv6 prefix of a word. Raises OperatorError, naming every fault."""
    if faults := prefix6_faults(token.text, translation=False):
        raise source.fault("; ".join(faults), token)
    return ipaddresses.network6(token.text)
