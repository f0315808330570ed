"""Domains to TOML and to words on the command line."""

import tomllib
from collections.abc import Iterator

from nfxlat.config.keys import KEYS, in_words_of, toml
from nfxlat.xlat.domain import Domain


def render(domain: Domain) -> str:
    """`domain` as TOML that `parse` reads back to an equal one, EAMT included, last. Defaults are left out.

    An MTU that is not known (None) has no TOML form.
    """
    lines = [f"[domain.{domain.name}]"]
    for key in KEYS.values():
        if key.field != "eamt":
            value = getattr(domain, key.field)
            if value is not None and value != key.default:
                lines.append(f"{key.name} = {toml(value)}")
    if len(domain.eamt):
        lines += ["eam = [", *(f'  ["{v4}", "{v6}"],' for v4, v6 in domain.eamt), "]"]
    return "\n".join(lines) + "\n"


def in_words(text: str) -> Iterator[str]:
    """The words of one domain's TOML, those that `from_words` reads."""
    ((_, table),) = tomllib.loads(text)["domain"].items()
    for name, value in table.items():
        yield from in_words_of(name, value)
