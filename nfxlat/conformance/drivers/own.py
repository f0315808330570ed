"""nfxlat itself, in each model, with each source and injector: `nfxlat run --setup`."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterator

from nfxlat import __version__
from nfxlat.conformance.drivers import Driver, Place
from nfxlat.conformance.suite import Domain
from nfxlat.errors import OperatorError
from nfxlat.lab.process import TranslatorProcess
from nfxlat.terms import DIRECTIONS

NAME = "siit0"
RATE = ("--icmp-rate", "100000", "--icmp-burst", "100000")  # the cases ask for many errors at once


def configuration(domain: Domain) -> str:
    """The domain as nfxlat.toml(5) has it."""
    lines = [f"[domain.{NAME}]"]
    if domain.prefix6 is not None:
        lines.append(f'prefix6 = "{domain.prefix6}"')
    if domain.pool4:
        lines.append(f"pool4 = {json.dumps(domain.pool4)}")
    if domain.eam:
        lines.append(f"eam = {json.dumps(domain.eam)}")
    if domain.pool6791:
        lines.append(f"rfc6791-v4 = {json.dumps([str(network) for network in domain.pool6791])}")
    lines += [f"{key} = {json.dumps(value)}" for key, value in domain.settings.items()]
    return "\n".join([*lines, ""])


class Own(Driver):
    """`nfxlat run --setup` with `arguments`."""

    arguments: tuple[str, ...]

    def __init__(self, name: str, title: str, *arguments: str) -> None:
        self.name, self.title, self.arguments = name, title, arguments

    def version(self) -> str:
        return f"nfxlat {__version__}, kernel {platform.release().partition('-')[0]}"

    @contextlib.contextmanager
    def running(self, domain: Domain, place: Place) -> Iterator[None]:
        file = place.folder / "conformance.toml"
        file.write_text(configuration(domain))
        arguments = ("--config", str(file), *RATE, *self.arguments)
        with TranslatorProcess(place.namespace, place.folder, *arguments) as process:
            yield
            self.closing(process)

    def closing(self, process: TranslatorProcess) -> None:
        """At the end, while it still runs. Raises OperatorError where it was not what it is to stand for."""


class Offloaded(Own):
    """It has failed where pairs were taught and nothing crossed in the kernel."""

    learns = True

    def closing(self, process: TranslatorProcess) -> None:
        summary = process.summary()
        offload = summary["offload"]
        if offload is None:
            raise OperatorError("there is no offload here", where=self.title, hint="nfxlat doctor says why")
        if summary["totals"]["taught"] and not any(offload[direction]["translated"] for direction in DIRECTIONS):
            raise OperatorError("nothing was translated in the kernel", where=self.title)


DRIVERS = (
    Own("hook", "nfxlat, hook model: nft rules, netlink source, device injector"),
    Offloaded("hook-offload", "nfxlat, hook model, what it knows translated at ingress in the kernel", "--offload"),
    Own("device", "nfxlat, device model: routes into a TUN", "--model", "device"),
    Own("route", "nfxlat, route model: routes, and rules that follow them", "--model", "route"),
    Own("ip", "nfxlat, hook model, raw IP sockets instead of the device", "--inject", "ip"),
    Own("netfilterqueue", "nfxlat, hook model, NetfilterQueue source", "--source", "netfilterqueue"),
    Own("slow-path", "nfxlat, hook model, without the fast path", "--no-fast-path"),
)
