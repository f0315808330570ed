"""`nfxlat domain`: domains by name, with a device that routes can lead into before anybody translates.

    add   check, store as TOML (nfxlat.host.registry), make the device: what is routed into it dies there
    del   exactly that, back; refused while a translator runs for it

In words a domain is written as ip(8) would: `prefix6 64:ff9b::/96 eam 192.0.2.1=2001:db8::1 mtu4 1400`.
"""

import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from nfxlat import config
from nfxlat.config import Config
from nfxlat.errors import OperatorError
from nfxlat.host import device, registry, tun
from nfxlat.host.links import link_of
from nfxlat.service import status
from nfxlat.terms import Model, Report
from nfxlat.xlat.domain import Domain

LISTS = ("pool4", "eam", "denylist4", "rfc6791-v4", "rfc6791-v6", "mtu-plateaus")
NUMBERS = ("lowest-ipv6-mtu", "mtu4", "mtu6", "mtu-plateaus", "traffic-class")
WORDS = ("prefix6", "eam-file", "address4", "address6", "udp-zero-checksum", "well-known-prefix", "hairpin")
KEYS = frozenset((*LISTS, *NUMBERS, *WORDS))


def from_words(name: str, words: Sequence[str]) -> Domain:
    """The domain of `KEY VALUE ...`, checked as a configuration file is. Raises OperatorError, naming the key."""
    table: dict[str, Any] = {}
    rest = list(words)
    while rest:
        key = rest.pop(0)
        taken: list[str] = []
        while rest and rest[0] not in KEYS and (key in LISTS or not taken):
            taken.append(rest.pop(0))
        if not taken:
            raise OperatorError(f"{key} what?", where=f"domain {name}", hint="KEY VALUE, such as prefix6 64:ff9b::/96")
        if key in table and key not in LISTS:
            raise OperatorError(f"{key} twice", where=f"domain {name}")
        values = [_value(name, key, text) for text in taken]
        table[key] = [*table.get(key, []), *values] if key in LISTS else values[0]
    lines = [f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table.items()]
    found = config.parse("\n".join([f"[domain.{json.dumps(name)}]", *lines]), "nfxlat domain add", Path.cwd())
    return found.domains[0]


def _value(name: str, key: str, text: str) -> object:
    if key == "eam":
        v4, equals, v6 = text.partition("=")
        if not equals:
            raise OperatorError(
                f"{text!r} is not V4=V6", where=f"domain {name}: eam", hint="such as 192.0.2.2=2001:db8::2"
            )
        return [v4, v6]
    return int(text) if key in NUMBERS and text.isascii() and text.isdecimal() else text


def in_words(toml: str) -> Iterator[str]:
    """The words of a domain's TOML, those that `from_words` reads."""
    ((_, table),) = tomllib.loads(toml)["domain"].items()
    for key, value in table.items():
        yield key
        for one in value if isinstance(value, list) else [value]:
            yield "=".join(one) if isinstance(one, list) else str(one)


def add(domain: Domain, model: Model, report: Report) -> None:
    """Store `domain` and make its device, fit for `model`. Raises OperatorError, having done nothing then."""
    name = domain.name
    _refuse_running(name)
    registry.store(name, config.render(domain))
    try:
        if model == "device":
            tun.create_or_adopt(name, report=report)
        else:
            device.create_or_adopt(name, report=report)
    except BaseException:
        registry.remove(name)
        raise


def delete(name: str, report: Report) -> None:
    """Take down what `add` made. Raises OperatorError where there is no such domain, or it is in use."""
    if registry.text(name) is None:
        raise _unknown(name)
    _refuse_running(name)
    if device.remove_named(name) or tun.remove_named(name):
        report(f"device {name} removed")
    elif _link(name) is not None:
        raise OperatorError("its device is in use, or somebody else's", where=f"domain {name}", hint="ip -d link show")
    registry.remove(name)


def configuration(name: str) -> Config | None:
    """The configuration of the domain that was added as `name`; None where there is none."""
    toml = registry.text(name)
    return None if toml is None else config.parse(toml, str(registry.path(name)))


def describe(name: str) -> dict[str, Any]:
    """A domain that was added, ready for JSON: its keys, its device's state, who translates. Raises OperatorError."""
    toml = registry.text(name)
    if toml is None:
        raise _unknown(name)
    pids = [one.pid for one in status.running() if one.domain == name]
    ((_, table),) = tomllib.loads(toml)["domain"].items()
    return {"name": name, "config": table, "words": list(in_words(toml)), "device": _device(name), "translators": pids}


def _device(name: str) -> dict[str, Any]:
    link = _link(name)
    if link is None:
        return {"kind": None, "state": "missing"}
    kind = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return {"kind": kind, "state": "up" if link["flags"] & device.IFF_UP else "down", "ifindex": link["index"]}


def _link(name: str) -> Any | None:
    with IPRoute() as ipr:
        return link_of(ipr, name)


def _refuse_running(name: str) -> None:
    if (one := status.other(name)) is not None:
        raise OperatorError("a translator runs for it", where=f"domain {name}", hint=f"stop it first (pid {one.pid})")


def _unknown(name: str) -> OperatorError:
    there = ", ".join(registry.names())
    hint = f"there is {there}" if there else f"nfxlat domain add {name} prefix6 PREFIX"
    return OperatorError("no such domain has been added", where=f"domain {name}", hint=hint)
