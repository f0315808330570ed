"""The rule templates: nft files that load as they are, and that nfxlat fills in for a domain.

A template begins with `define NAME = VALUE` lines. `render` puts the values it is told in the place of each `$NAME`,
renames the table, and leaves an `elements` line out whose list is empty, since nft has no empty list. The defines
themselves go, so that several templates make one input and one transaction.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from nfxlat.nft.spread import spread
from nfxlat.xlat import prefixes
from nfxlat.xlat.domain import Domain

RULES = Path(__file__).resolve().parent.parent / "rules"  # in a checkout a link to the rules/ at its top

ROLES: Mapping[str, tuple[str, ...]] = {
    "router": ("router4", "router6"),
    "host": ("host",),
    "route": ("route4", "route6"),
    "device": ("device4", "device6"),
}
INJECTED_MARK = 0x6E667800  # SO_MARK of the raw sockets, "nfx"; the templates take it off at output

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
    match template:
        case "route4" | "route6":
            return common
        case "device4" | "device6":
            return {"domain_device": domain.name}
        case "router4":
            return common | {"translated": prefixes.texts(prefixes.translated4(domain))}
        case "router6":
            native = prefixes.texts(prefixes.native6(domain))
            return common | {"translated": prefixes.texts(prefixes.translated6(domain)), "native": native}
        case "host":
            plat = prefixes.texts(prefixes.translated6(domain))
            return common | {"clat": prefixes.texts(prefixes.clat6(domain)), "plat": plat}
    raise KeyError(template)


def rules(domain: Domain, role: str, workers: int = 1) -> str:
    """All of the domain's rules for `role` (of `ROLES`) and so many workers, as one nft input."""
    return "\n".join(spread(render(text(name), table(domain), values(name, domain)), workers) for name in ROLES[role])
