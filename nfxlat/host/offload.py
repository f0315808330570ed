"""The GRO settings that make superframes out of small packets, per interface: read, tuned, and put back.

Without GRO on the receiving interface every packet comes alone. UDP is coalesced for forwarding only where
rx-udp-gro-forwarding says so (net/ipv4/udp_offload.c); rx-gro-list chains packets instead, which nobody can cut by a
size. A veth has no interrupts to wait for, so what its NAPI has collected goes at once unless a timer holds it back
(gro_flush_timeout, napi_defer_hard_irqs; Documentation/networking/napi.rst); real network cards keep theirs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.ethtool import Ethtool

from nfxlat.errors import OperatorError
from nfxlat.host import addresses, state
from nfxlat.host.device import NEAR_MAC
from nfxlat.host.interfaces import IFF_LOOPBACK, IFF_UP, below, listed
from nfxlat.host.interfaces import Interface as Link
from nfxlat.host.links import link_of
from nfxlat.host.rtnetlink import RT_SCOPE_UNIVERSE
from nfxlat.terms import Report

SYSFS = Path("/sys/class/net")
VERSION = 1  # of the record; the first had none written in it
STATE = ":tune"  # in the place of a domain's name, and none: no device can have a colon

FEATURES = {"rx-gro": "on", "rx-udp-gro-forwarding": "on", "rx-gro-list": "off"}
TIMERS = {"gro_flush_timeout": "50000", "napi_defer_hard_irqs": "1"}  # ns; polls without work before an interrupt

Settings = dict[str, str]


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that packets arrive on: what is set, what superframes want. Settings are those of `FEATURES` and
    `TIMERS`, as far as the interface has them.
    """

    name: str
    ifindex: int
    settings: Settings
    wanted: Settings
    gro_max_size: int  # octets of the largest superframe that GRO makes

    @property
    def changes(self) -> Settings:
        """What is wanted otherwise than it is."""
        return {key: value for key, value in self.wanted.items() if self.settings[key] != value}


def interfaces(names: list[str] | None = None) -> list[Interface]:
    """Those with `names`, else all that are worth tuning: network cards and veths that are up and have an address, or
    stand below one that has (VLAN, bridge, bond, tunnel).

    Raises OperatorError for a name that does not exist.
    """
    links = {link.name: link for link in listed().values()}
    if names is None:
        addressed = {one.ifindex for one in addresses.listed() if one.scope == RT_SCOPE_UNIVERSE}
        used = below(addressed, {link.index: link for link in links.values()})
        names = [name for name, link in links.items() if link.index in used and _worth_it(link)]
    found = []
    with Ethtool() as ethtool:
        for name in names:
            if name not in links:
                raise OperatorError("no such interface", where=name)
            found.append(_interface(ethtool, links[name]))
    return found


def _worth_it(link: Link) -> bool:
    """Up, a network card (no kind) or a veth, and no domain device."""
    return (
        link.flags & (IFF_UP | IFF_LOOPBACK) == IFF_UP
        and link.kind in ("", "veth")
        and link.address != NEAR_MAC.hex(":")
    )


def _interface(ethtool: Any, link: Link) -> Interface:
    settings = read(ethtool, link.name)
    wanted = {key: value for key, value in FEATURES.items() if key in settings}
    if link.kind == "veth":
        wanted |= {key: value for key, value in TIMERS.items() if key in settings}
    return Interface(link.name, link.index, settings, wanted, link.gro_max_size)


def read(ethtool: Any, name: str) -> Settings:
    """The settings of interface `name` that it has and that can be changed."""
    features = ethtool.get_features(name).features
    settings = {
        key: "on" if features[key].enable else "off" for key in FEATURES if key in features and features[key].available
    }
    directory = SYSFS / name
    if _is_of(directory, name):
        settings |= {key: (directory / key).read_text().strip() for key in TIMERS if (directory / key).exists()}
    return settings


def _is_of(directory: Path, name: str) -> bool:
    """Whether the /sys that is mounted here shows the interface of this namespace, and not another's of that name."""
    try:
        shown = (directory / "ifindex").read_text().strip(), (directory / "address").read_text().strip()
    except OSError:
        return False
    with IPRoute() as ipr:
        link = link_of(ipr, name)
    return link is not None and shown == (str(link["index"]), link.get_attr("IFLA_ADDRESS"))


def write(ethtool: Any, name: str, settings: Mapping[str, str]) -> None:
    """Set them. Raises OperatorError where one is refused."""
    features = ethtool.get_features(name)
    for key in FEATURES.keys() & settings.keys():
        features.features[key].enable = settings[key] == "on"
    try:
        ethtool.set_features(name, features)
        for key in TIMERS.keys() & settings.keys():
            (SYSFS / name / key).write_text(settings[key])
    except OSError as error:
        raise OperatorError(
            os.strerror(error.errno or 0), where=f"{name} {', '.join(settings)}", hint="run as root"
        ) from None
    refused = [key for key, value in read(ethtool, name).items() if settings.get(key, value) != value]
    if refused:
        raise OperatorError("not supported by the driver", where=f"{name} {', '.join(refused)}")


def tune(chosen: list[Interface], report: Report) -> None:
    """Set what is wanted, having noted in /run/nfxlat what was; `undo` puts that back."""
    kept = state.State(STATE)
    noted: dict[str, Any] = _noted(kept)
    try:
        with Ethtool() as ethtool:
            for interface in (one for one in chosen if one.changes):
                former = noted.get(str(interface.ifindex), {})
                noted[str(interface.ifindex)] = {key: interface.settings[key] for key in interface.changes} | former
                kept.save({"version": VERSION, "interfaces": noted})
                write(ethtool, interface.name, interface.changes)
                for key, value in interface.changes.items():
                    report(f"{interface.name} {key} {interface.settings[key]} -> {value}")
    finally:
        kept.close(remove=not noted)


def _noted(kept: state.State) -> dict[str, Any]:
    """Former settings by interface index. Raises OperatorError where the record is not one of these."""
    if kept.found is None:
        return {}
    try:
        state.refuse_others(kept.path, {"version": VERSION} | kept.found, VERSION, ("interfaces",))
        found = kept.found.get("interfaces")
        if not isinstance(found, dict):
            raise state.unreadable(kept.path, "it is damaged")
    except OperatorError:
        kept.close(remove=False)
        raise
    return found


def is_tuned() -> bool:
    """Whether `tune` has left something to undo in this namespace."""
    return state.path_of(STATE).exists()


def undo(report: Report) -> None:
    """Put back what `tune` has noted, on the interfaces that are still there."""
    kept = state.State(STATE)
    done = False
    try:
        links = listed()
        with Ethtool() as ethtool:
            for index, former in _noted(kept).items():
                if (link := links.get(int(index))) is None:
                    continue
                name = link.name
                now = read(ethtool, name)
                changes = {key: value for key, value in former.items() if now.get(key, value) != value}
                write(ethtool, name, changes)
                for key, value in changes.items():
                    report(f"{name} {key} {now[key]} -> {value}")
        done = True
    finally:
        kept.close(remove=done)
