"""`nfxlat domain`: domains by name, with a device that routes can lead into before anybody translates.

    add   check, store as TOML (nfxlat.host.registry), make the device: what is routed into it dies there
    del   exactly that, back; refused while a translator runs for it

A domain lasts until the machine is rebooted and belongs to its network namespace.
"""

import tomllib
from typing import Any

from pyroute2 import IPRoute

from nfxlat import config
from nfxlat.errors import OperatorError
from nfxlat.host import device, netns, registry, state, tun
from nfxlat.host.interfaces import IFF_UP
from nfxlat.host.links import link_of
from nfxlat.service import status
from nfxlat.service.succession import Predecessor
from nfxlat.terms import Model, Report
from nfxlat.xlat.domain import Domain

STOP_SECONDS = 60.0


def add(domain: Domain, model: Model, report: Report) -> None:
    """Store `domain` and make its device, fit for `model`. Raises OperatorError, having done nothing then."""
    name = domain.name
    _refuse_running(name)
    registry.store(name, config.render(domain))
    try:
        if model == "device":
            tun.create_or_adopt(name, report=report, vrf=domain.vrf or "")
        else:
            device.create_or_adopt(name, report=report, vrf=domain.vrf or "")
    except BaseException:
        registry.remove(name)
        raise


def delete(name: str, report: Report) -> None:
    """Take down what `add` made. Raises OperatorError where there is no such domain, or it is in use."""
    _toml(name)
    _refuse_running(name)
    if device.remove_named(name) or tun.remove_named(name):
        report(f"device {name} removed")
    elif _link(name) is not None:
        raise OperatorError(
            "the device is in use, or not nfxlat's", where=f"domain {name}", hint=f"see ip -d link show {name}"
        )
    registry.remove(name)


def pin(name: str) -> None:
    """Make the namespace of the domain device's far end, and nothing else, for a service that may not mount. Raises
    OperatorError."""
    far = device.far_namespace(name)
    if not netns.is_pinned(far):
        netns.unpin(far)
        netns.pin_new(far)


def unpin(name: str) -> bool:
    """Take it away, unless something stands that needs it, or may be taken over; whether that was done. One that waits
    for a successor, and has been told that none comes, is taking down what stands."""
    if (last := Predecessor.of(name)) is not None:
        last.ended(STOP_SECONDS)
        last.close()
    if state.path_of(name).exists() or registry.text(name) is not None or _link(name) is not None:
        return False
    netns.unpin(device.far_namespace(name))
    return True


def added(name: str) -> Domain:
    """The domain that was added as `name`. Raises OperatorError where there is none."""
    return config.parse(_toml(name), str(registry.path(name))).domain()


def describe(name: str) -> dict[str, Any]:
    """A domain that was added, ready for JSON: its keys, its device's state, who translates. Raises OperatorError."""
    toml = _toml(name)
    pids = [one.pid for one in status.running() if one.domain == name]
    ((_, table),) = tomllib.loads(toml)["domain"].items()
    return {
        "name": name,
        "config": table,
        "words": list(config.in_words(toml)),
        "device": _device(name),
        "translators": pids,
    }


def _device(name: str) -> dict[str, Any]:
    link = _link(name)
    if link is None:
        return {"kind": None, "state": "missing"}
    kind = link.get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
    return {"kind": kind, "state": "up" if link["flags"] & IFF_UP else "down", "ifindex": link["index"]}


def _link(name: str) -> Any | None:
    with IPRoute() as ipr:
        return link_of(ipr, name)


def _refuse_running(name: str) -> None:
    if (one := status.other(name)) is not None:
        what = f"a translator is running for it (pid {one.pid})"
        raise OperatorError(what, where=f"domain {name}", hint="stop it first")


def _toml(name: str) -> str:
    """The TOML of a domain that was added. Raises OperatorError where there is none."""
    toml = registry.text(name)
    if toml is None:
        names = ", ".join(registry.names())
        hint = f"the domains added are {names}" if names else f"add it with nfxlat domain add {name} prefix6 PREFIX"
        raise OperatorError("no such domain", where=f"domain {name}", hint=hint)
    return toml
