"""The program at ingress, what it is taught, and packets of that. BPF_PROG_TEST_RUN."""

import time
from pathlib import Path

from bpf_run import DROPPED, GOES_ON, REDIRECT, Runner
from packets import A4, A6, B4, B6, T
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from nfxlat.host import ingress
from nfxlat.host.ingress import Table
from nfxlat.offload import table
from nfxlat.offload.program import FOLDER
from nfxlat.offload.table import ACTIVE, Pair

LOOPBACK = 1
NEAR, FAR = bytes.fromhex("026e66780001"), bytes.fromhex("026e66780002")
ADDRESSES = bytes(IP(src=A4, dst=B4))[12:20]
ADDRESSES6 = bytes(IPv6(src=A6, dst=B6))[8:40]


class Node:
    """The program, one pair taught to it, and packets of that pair."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.table = Table(entries=64)
        program, self.udp = ingress.load("offload", self.table.descriptors, ingress.places(), folder=folder)
        self.runner = Runner(program)
        self.table.beat()
        self.generation = self.table.configure(LOOPBACK, 1280, NEAR, FAR)

    def teach(self, *, at: int = LOOPBACK, version: int = 4, **fields: int) -> None:
        addresses = ADDRESSES if version == 4 else ADDRESSES6
        template = T.template(addresses)
        assert template is not None
        pair = table.learnt(template, self.generation, time.monotonic_ns())
        self.table.put(table.key(at, addresses), pair._replace(**fields))  # type: ignore[arg-type]

    def teach_flow(self, sport: int, dport: int, protocol: int, **fields: int) -> bytes:
        """Without its pair; its key."""
        template = T.template(ADDRESSES)
        assert template is not None
        flow = table.learnt(template, self.generation, time.monotonic_ns())
        ports = sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
        key = table.key(LOOPBACK, ADDRESSES, table.flow(ports, protocol))
        self.table.put(key, flow._replace(tcp_queued=ACTIVE, udp_queued=ACTIVE)._replace(**fields))  # type: ignore[arg-type]
        return key

    def tell_by_flow(self, generation: int = 0) -> None:
        pair = table.told_by_flow(generation or self.generation, time.monotonic_ns())
        self.table.put(table.key(LOOPBACK, ADDRESSES), pair)

    @property
    def pair(self) -> Pair:
        pair = self.table.get(table.key(LOOPBACK, ADDRESSES))
        assert pair is not None
        return pair

    def drops(self, layer: Packet) -> bool:
        return self._run(layer) == DROPPED

    def takes(self, layer: Packet, *, mark: int = 0, **fields: object) -> bool:
        verdict = self._run(layer, mark, **fields)
        assert verdict in (GOES_ON, REDIRECT)
        return verdict == REDIRECT

    def _run(self, layer: Packet, mark: int = 0, **fields: object) -> int:
        frame = Ether(dst="00:00:00:00:00:00") / IP(**({"src": A4, "dst": B4, "flags": "DF"} | fields)) / layer
        return self.runner.run(bytes(frame), ifindex=LOOPBACK, mark=mark).verdict

    def counted(self, outcome: str) -> int:
        return self.table.counts()["4to6"][outcome]

    def close(self) -> None:
        self.runner.close()
        self.table.close()
