"""The models of translation that are compared, each in a lab of its own, all of them up at once and idle by turns.

host4 --- router4 --- translator --- router6 --- host6      (nfxlat.lab.topology)

hook     nfxlat run --setup                           203.0.113.2 <-> 2001:db8:2::2 by EAM, prefix6 for the rest
offload  nfxlat run --setup --offload                 the same addresses
device   nfxlat run --setup --model device, on a TUN  the same addresses
route    nfxlat run --setup --model route             the same addresses
tayga    TAYGA, as the distribution has it            the same addresses
plain    the kernel forwards IPv4                     198.18.1.2: the limit of the lab
null     nfxlat.bench.null: hook without translation  198.18.1.2: the limit of the model
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from nfxlat.bench import flowhash
from nfxlat.bench.agent import Agent
from nfxlat.bench.procs import session
from nfxlat.host.tun import QUEUE_LENGTH
from nfxlat.lab import tayga
from nfxlat.lab.netns import PYTHON
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6, HOST6_EAM4, PREFIX6, Lab, in_prefix6
from nfxlat.terms import Direction

INGRESS = ("to-r4", "to-r6")  # the translator's interfaces
NEAR, FAR, PLAIN = "192.0.2.17", "198.51.100.9", "198.18.0.2"


@dataclass(frozen=True, slots=True)
class Way:
    """From a host to the other: `source` and `target` as the sender sees them; `interface` with its own MAC address and
    that of its router; `arriving` is the target as it knows itself.
    """

    source: str
    target: str
    sender: Agent
    receiver: Agent
    helper: Agent  # a second sender
    interface: str
    macs: tuple[str, str]
    arriving: str

    @property
    def arriving_family(self) -> int:
        return int(socket.AF_INET6 if ":" in self.arriving else socket.AF_INET)


class Model:
    """One model in its lab, from `__enter__` to `__exit__`."""

    name = ""
    title = ""
    far = FAR  # router6, as router4 calls it
    near = in_prefix6(NEAR)  # router4, as router6 calls it
    own = in_prefix6(FAR)  # router6, as it calls itself

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.facts: list[str] = []
        self.gro: bool | None = None
        self.lab = Lab()
        self.agents = {name: Agent(self.lab.namespaces[name]) for name in ("router4", "router6", "translator")}
        self.spare = {name: Agent(self.lab.namespaces[name]) for name in ("router4", "router6")}  # a second pair
        self.ways: dict[Direction, Way] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._stack.callback(self.lab.close)
            self.lab.__enter__()
            self._stack.enter_context(self._running())
            for neighbour in (self.lab.router4, self.lab.router6):
                hashed = neighbour.call(flowhash.attach, "to-x")
                if hashed is None:
                    self.facts.append(f"no flow hash from {neighbour.label}: GRO can tell only 8 flows apart")
                else:
                    self._stack.callback(os.close, hashed)
            for agent in self.agents.values():
                agent.start()
            for agent in (*self.agents.values(), *self.spare.values()):
                self._stack.callback(agent.close)
            self.lab.router6.ip(f"address add {in_prefix6(FAR)}/128 dev to-x")
            four, six = self._links()
            left, right = self.agents["router4"], self.agents["router6"]
            left2, right2 = self.spare["router4"], self.spare["router6"]
            self.ways = {
                "4to6": Way(NEAR, self.far, left, right, left2, "to-x", four, arriving=self.own),
                "6to4": Way(self.own, self.near, right, left, right2, "to-x", six, arriving=NEAR),
            }
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Everything back. Safe to call twice."""
        self._stack.close()

    def _links(self) -> Iterator[tuple[str, str]]:
        """MAC addresses (translator, neighbour) of both links."""
        for neighbour, name in ((self.lab.router4, "to-r4"), (self.lab.router6, "to-r6")):
            yield self.lab.translator.mac(name).hex(":"), neighbour.mac("to-x").hex(":")

    def set_gro(self, on: bool) -> None:
        """GRO at the translator's ingress, for UDP too."""
        if self.gro is not on:
            self.agents["translator"].ask("gro", 10.0, interfaces=list(INGRESS), on=on)
            self.gro = on

    def pids(self) -> list[int]:
        """Processes of the translator; none for the kernel."""
        leader = self.leader()
        return session(leader) if leader else []

    def leader(self) -> int:
        return 0

    def shares(self) -> int:
        """Workers among which the traffic is spread."""
        return 1

    def trouble(self) -> str:
        """Why it does not work any more, in its own words; "" if it does."""
        return ""

    def counted(self) -> dict[str, Any]:
        """What it has counted beside the figures, fit for JSON. Raises OSError."""
        return {}

    def _running(self) -> contextlib.AbstractContextManager[object]:
        """The translator at work in the lab."""
        raise NotImplementedError

    def _forward(self) -> None:
        """Both families."""
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.lab.translator.sysctl(key, 1)


class _Process(Model):
    """A model whose translator tells on --ready-fd when it is ready."""

    process: TranslatorProcess

    def leader(self) -> int:
        return self.process.pid if self.process.alive() else 0

    def trouble(self) -> str:
        return "" if self.process.alive() else f"it has ended: {self.process.last_words()}"

    @contextlib.contextmanager
    def _own_process(self, module: str, *arguments: str) -> Iterator[None]:
        self.process = TranslatorProcess(self.lab.translator, self.lab.directory)
        self.process.command = [*PYTHON, "-m", module, *arguments]
        with self.process:
            self.facts = self.process.output()
            yield


class Hook(_Process):
    name = "hook"
    title = "hook model: nfxlat run --setup, netlink source, device injector"
    arguments: tuple[str, ...] = ()

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        arguments = (*self.arguments, *(["--workers", str(self.workers)] if self.workers > 1 else []))
        self.process = TranslatorProcess(self.lab.translator, self.lab.directory, *arguments)
        with self.process:
            self.facts = self.process.output()
            yield

    def shares(self) -> int:
        return self.workers


class Offload(Hook):
    name = "offload"
    title = "hook model with --offload: known pairs of addresses are translated in the kernel, at ingress"
    arguments = ("--offload",)

    def counted(self) -> dict[str, Any]:
        """Hits and misses of the program at ingress, and pairs (`nfxlat stats`)."""
        return {"offload": self.process.summary()["offload"]}


class HookTwo(Hook):
    name = "workers2"
    title = "hook model, two workers"
    arguments = ("--workers", "2")

    def __init__(self, workers: int = 1) -> None:
        super().__init__(1)  # its own number, whatever the others have

    def shares(self) -> int:
        return 2


class HookCallback(Hook):
    name = "netfilterqueue"
    title = "hook model, NetfilterQueue source"
    arguments = ("--source", "netfilterqueue")


class HookIp(Hook):
    name = "ip"
    title = "hook model, ip injector"
    arguments = ("--inject", "ip")


class Device(Hook):
    name = "device"
    title = "device model: nfxlat run --setup --model device, a TUN with vnet headers"
    arguments = ("--model", "device")


class Route(Hook):
    name = "route"
    title = "route model: nfxlat run --setup --model route, netlink source, device injector"
    arguments = ("--model", "route")


class Plain(Model):
    name = "plain"
    title = "plain kernel forwarding: the most that this test network can do"
    far, near, own = PLAIN, NEAR, PLAIN

    def _running(self) -> contextlib.AbstractContextManager[object]:
        self.facts = ["IPv4 forwarded by the kernel, no rules"]
        return self.lab.plain_ipv4()


class Null(_Process):
    name = "null"
    title = "null translator: takes packets off the queue and injects them unchanged, the limit of the hook model"
    far, near, own = PLAIN, NEAR, PLAIN

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        with (
            self.lab.plain_ipv4(),
            self._own_process("nfxlat.bench.null", "192.0.2.0/26", "198.18.0.0/23"),
        ):
            yield


TAYGA_CONFIG = f"""\
ipv4-addr 203.0.113.254
prefix {PREFIX6}
map {HOST6_EAM4} {HOST6}
"""
TAYGA_NETWORKS = ("203.0.113.0/24", "198.51.100.0/24", str(PREFIX6))


class Tayga(Model):
    name = "tayga"
    title = "TAYGA, as packaged by the distribution"
    _daemon: subprocess.Popen[str] | None = None

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        self._forward()
        self._daemon = tayga.started(self.lab.translator, self.lab.directory, TAYGA_CONFIG, TAYGA_NETWORKS)
        self.facts = [f"TUN {tayga.DEVICE}, txqueuelen {QUEUE_LENGTH}", *TAYGA_CONFIG.splitlines()]
        yield  # the daemon ends with its namespace

    def leader(self) -> int:
        return self._daemon.pid if self._daemon is not None and self._daemon.poll() is None else 0

    def trouble(self) -> str:
        return "" if self.leader() else "TAYGA has ended"


_ALL = (Hook, Offload, Device, Route, Tayga, Plain, Null, HookTwo, HookCallback, HookIp)
MODELS: dict[str, Callable[[int], Model]] = {model.name: model for model in _ALL}
TITLES = {model.name: model.title for model in _ALL}
DEFAULT = ("hook", "offload", "device", "tayga", "plain", "null")
FULL = (*DEFAULT, "route", "workers2", "netfilterqueue", "ip")
