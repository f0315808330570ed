"""The rule templates: nft files that load as they are, and that nfxlat fills in for a domain.

A template begins with `define NAME = VALUE` lines. `render` puts the values it is told in the place of each `$NAME`,
renames the table, and leaves an `elements` line out whose list is empty, since nft has no empty list. The defines
themselves go, so that several templates make one input and one transaction.
"""

import re
from collections.abc import Mapping, Sequence

from nfxlat.nft.language.sets import SetName
from nfxlat.nft.language.spread import spread
from nfxlat.nft.shipped import RULES
from nfxlat.wire.stamp import INJECTED_MARK
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.prefixes import Span

ROLES: Mapping[str, tuple[str, ...]] = {
    "router": ("router4", "router6"),
    "host": ("host",),
    "route": ("route4", "route6"),
    "device": ("device4", "device6"),
}
BITS = {"ip": 32, "ip6": 128}  # of an address in a set of a table of the family

_DEFINE = re.compile(r"^define (\w+) = .*\n", re.MULTILINE)
_TABLE = re.compile(r"\bnfxlat_siit0\b")

Value = str | int | Sequence[str]


def table(domain: Domain) -> str:
    """Name of the domain's tables, one in each family."""
    return f"nfxlat_{domain.name}"


def text(name: str) -> str:
    """The template rules/`name`.nft."""
    return (RULES / f"{name}.nft").read_text(encoding="utf-8")


def render(template: str, table_name: str, values: Mapping[str, Value]) -> str:
    """`template` with its defines replaced by `values` and its table named `table_name`; KeyError for one missing."""
    for name in _DEFINE.findall(template):
        value = values[name]
        if not value:
            template = re.sub(rf"^\s*elements = \${name}\n", "", template, flags=re.MULTILINE)
        template = re.sub(rf"\${name}\b", _nft(value), template)
    return _TABLE.sub(table_name, _DEFINE.sub("", template))


def _nft(value: Value) -> str:
    if isinstance(value, int):
        return f"{value:#x}"
    return f'"{value}"' if isinstance(value, str) else f"{{ {', '.join(value)} }}"


def values(template: str, domain: Domain) -> dict[str, Value]:
    """The values of the defines of template `template` for `domain`."""
    common: dict[str, Value] = {"domain_device": domain.name, "injected_mark": INJECTED_MARK}
    lists = {name: prefixes.span_texts(found, BITS[family]) for family, name, found in _sets(template, domain)}
    return common | lists


def _sets(template: str, domain: Domain) -> list[tuple[str, str, list[Span]]]:
    """(family, name, addresses) of each set of a template: all of it that depends on the domain's mappings."""
    translated6 = prefixes.spans(prefixes.translated6(domain))
    match template:
        case "route4" | "route6" | "device4" | "device6":  # routes select
            return []
        case "router4":
            return [("ip", "translated", prefixes.translated4_spans(domain))]
        case "router6":
            native6 = prefixes.merged(prefixes.spans(prefixes.native6(domain)))
            return [("ip6", "translated", translated6), ("ip6", "native", native6)]
        case "host":
            return [("ip6", "clat", prefixes.clat6_spans(domain)), ("ip6", "plat", translated6)]
    raise KeyError(template)


def sets(domain: Domain, role: str) -> dict[SetName, list[Span]]:
    """The sets of the domain's rules for `role`, and what they hold."""
    found = (item for name in ROLES[role] for item in _sets(name, domain))
    return {SetName(family, table(domain), name, BITS[family]): spans for family, name, spans in found}


def rules(domain: Domain, role: str, workers: int = 1) -> str:
    """All of the domain's rules for `role` (of `ROLES`) and so many workers, as one nft input."""
    return "\n".join(spread(render(text(name), table(domain), values(name, domain)), workers) for name in ROLES[role])
