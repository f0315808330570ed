"""What domains on one node share, with its users: forwarding, what interfaces need to answer in others' place, and the
routes of ICMP error sources such as 192.0.0.8.

    /run/nfxlat/:shared-<inode of the network namespace>.json, locked for a moment at each change
    {"version": 1,
     "settings": {"net/ipv4/ip_forward": {"users": ["siit0", "siit1"], "originals": {"net/ipv4/ip_forward": "0", ...}}},
     "routes": {"192.0.0.8/32 0": {"siit0": [route], "siit1": [route]}}}

The first user changes a thing, having written down what was; the last one puts it back. A user without a record of its
own is none any more.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from nfxlat.errors import OperatorError
from nfxlat.host import routes, sysctl
from nfxlat.host.state import State, path_of, read, refuse_others, unreadable
from nfxlat.plan.facts import MAIN
from nfxlat.plan.routes import Route
from nfxlat.plan.sysctls import Sysctl, dotted
from nfxlat.terms import Report

NAME = ":shared"  # in the place of a domain's name, and none: no device can have a colon
VERSION = 1

Seen = TypeVar("Seen")


@contextlib.contextmanager
def _record() -> Iterator[tuple[State, dict[str, Any]]]:
    """The file, locked, and what is in it; it goes when nobody uses anything any more. Raises OperatorError."""
    state = State(NAME, wait=True)
    data = state.found or {"version": VERSION, "settings": {}, "routes": {}}
    needed = True  # what cannot be read may have originals in it
    try:
        refuse_others(state.path, data, VERSION, ("settings", "routes"))
        try:
            _forget_the_gone(data)
        except (KeyError, TypeError, AttributeError):
            raise unreadable(state.path, "it is damaged") from None
        needed = False
        yield state, data
    finally:
        state.close(remove=not (needed or data["settings"] or data["routes"]))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """While this lasts no other domain begins or ends the use of anything. Raises OperatorError."""
    with _record():
        yield


def _forget_the_gone(data: dict[str, Any]) -> None:
    for setting in data["settings"].values():
        setting["users"] = [user for user in setting["users"] if path_of(user).exists()]
    for place, users in list(data["routes"].items()):
        data["routes"][place] = {user: route for user, route in users.items() if path_of(user).exists()}


def set_sysctls(domain: str, group: str, wanted: list[Sysctl], report: Report) -> None:
    """Set the sysctls of a group for `domain`. What is right already, and nobody of ours has changed, is left alone.

    Raises OperatorError where one cannot be set.
    """
    with _record() as (state, data):
        settings: dict[str, Any] = data["settings"]
        differing, elsewhere = sysctl.differing(wanted), _noted(settings, group)
        if group not in settings and not differing and not any(one.key in elsewhere for one in wanted):
            return
        setting = settings.setdefault(group, {"users": [], "originals": {}})
        if domain not in setting["users"]:
            setting["users"].append(domain)
        for one, now in differing:
            for key, value in (sysctl.side_effects(one.key) | {one.key: now}).items():
                if f"/conf/{domain}/" not in key:  # the device's own go with it
                    setting["originals"].setdefault(key, elsewhere.get(key, value))
        for one in wanted:
            if one.key in elsewhere:  # another group has changed it, and goes first perhaps
                setting["originals"].setdefault(one.key, elsewhere[one.key])
        state.save(data)
        sysctl.set_all(wanted, report)


def leave_sysctls(domain: str, group: str, report: Report, *, keep: bool = False) -> None:
    """`domain` needs the group no more: what nobody else needs is put back, last change first. With `keep` it stays as
    it is, whoever is the last.

    Raises OperatorError where something cannot be put back, having put back the rest.
    """
    with _record() as (state, data):
        setting = data["settings"].get(group)
        if setting is None:
            return
        setting["users"] = [user for user in setting["users"] if user != domain]
        if keep:
            setting["originals"] = {}  # of what others change from now on there will be some
        if setting["users"]:
            _save_what_fits(state, data)
            report(f"sysctl {dotted(group)} stays: needed by domain {', '.join(setting['users'])}")
            return
        if keep:
            report(f"sysctl {dotted(group)} stays, and what came with it")
        kept = _noted(data["settings"], group)  # needed by other groups as it is
        values = {key: sysctl.read(key) if key in kept else value for key, value in setting["originals"].items()}
        sysctl.restore({key: value for key, value in values.items() if value is not None}, report)
        del data["settings"][group]
        _save_what_fits(state, data)


def _save_what_fits(state: State, data: dict[str, Any]) -> None:
    """Who leaves needs no room in /run. Where even less cannot be written, a user whose own record goes is none any
    more all the same."""
    try:
        state.save(data)
    except OperatorError:
        with contextlib.suppress(OperatorError):
            state.save_in_place(data)


def _noted(settings: dict[str, Any], group: str) -> dict[str, str]:
    """What groups other than this one have changed, and how it was."""
    others = (setting for name, setting in settings.items() if name != group)
    return {key: value for setting in others for key, value in setting["originals"].items()}


def join_routes(domain: str, wanted: list[Route]) -> set[Route]:
    """Note that `domain` needs these; those of them that other domains have made and keep."""
    kept = set()
    with _record() as (state, data):
        for route in wanted:
            users = data["routes"].setdefault(_key(route), {})
            if any(user != domain for user in users):
                kept.add(route)
            users[domain] = list(route)
        state.save(data)
    return kept


def leave_routes(domain: str, gone: list[Route]) -> list[Route]:
    """`domain` needs these no more: those that nobody else needs, for deletion. The others become another domain's."""
    free = []
    with _record() as (state, data):
        for route in gone:
            users = data["routes"].get(_key(route), {})
            users.pop(domain, None)
            heirs = [Route(*fields) for fields in users.values()]
            if not heirs or not routes.hand_over(heirs):
                free.append(route)
            if not users:
                data["routes"].pop(_key(route), None)
        _save_what_fits(state, data)
    return free


def users() -> dict[str, list[str]]:
    """Who uses what: dotted sysctl or route to domains."""

    def of(data: dict[str, Any]) -> dict[str, list[str]]:
        sysctls = {dotted(group): list(setting["users"]) for group, setting in data["settings"].items()}
        return sysctls | {f"route {place.partition(' ')[0]}": list(them) for place, them in data["routes"].items()}

    return _seen(of)


def originals() -> dict[str, str]:
    """What shared sysctls were before domains changed them."""

    def of(data: dict[str, Any]) -> dict[str, str]:
        return {key: value for setting in data["settings"].values() for key, value in setting["originals"].items()}

    return _seen(of)


def _seen(of: Callable[[dict[str, Any]], dict[str, Seen]]) -> dict[str, Seen]:
    """Something of the file, for those who only look; nothing where it cannot be read."""
    try:
        data = read(NAME)
        return of(data) if data is not None else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _key(route: Route) -> str:
    return " ".join(map(str, route.place[: 2 if route.table == MAIN else 3]))
