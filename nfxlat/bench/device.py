"""The device model for the benchmark: the core of `nfxlat run` behind a routed TUN.

    python -m nfxlat.bench.device [--workers N] [--ready-fd FD]

It makes the TUN siit0 and the routes of the embedded default configuration, and runs until SIGTERM; device and routes
go with it. Forwarding has to be on.
"""

from __future__ import annotations

import argparse
import os
import socket
import time
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from pyroute2 import IPRoute

from nfxlat import config
from nfxlat.datapath.counters import Counters
from nfxlat.datapath.fastpath import FastPath
from nfxlat.datapath.inject import IpInjector
from nfxlat.datapath.pathmtu import PathMtus
from nfxlat.datapath.ratelimit import TokenBucket
from nfxlat.datapath.tun import INDEV, TunInjector, TunSource, open_queue
from nfxlat.datapath.worker import Injectors, Worker
from nfxlat.host.addresses import local_addresses
from nfxlat.service.run import translator_for
from nfxlat.service.supervisor import Supervisor, receive
from nfxlat.xlat import prefixes

QUEUE_LENGTH = 4096  # packets, as many as a queue of nfxlat run holds
MTU = 65535  # the real egress interface judges sizes
IFF_UP = 0x1


def set_up(name: str, networks: list[IPv4Network | IPv6Network]) -> None:
    """Bring the TUN up and route `networks` into it."""
    Path(f"/proc/sys/net/ipv6/conf/{name}/addr_gen_mode").write_text("1")  # no address, so that it is silent
    with IPRoute() as ipr:
        index = socket.if_nametoindex(name)
        ipr.link("set", index=index, mtu=MTU, txqlen=QUEUE_LENGTH)
        ipr.link("set", index=index, flags=IFF_UP, change=IFF_UP)
        for network in networks:
            ipr.route(
                "add", family=socket.AF_INET6 if network.version == 6 else socket.AF_INET, dst=str(network), oif=index
            )


def main() -> None:
    """Translate until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m nfxlat.bench.device", description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--ready-fd", type=int)
    arguments = parser.parse_args()
    domain = config.default().domain()
    local = local_addresses()
    queues = [open_queue(domain.name) for _ in range(arguments.workers)]
    sources = [TunSource(descriptor, queue=i, local=local) for i, (descriptor, _) in enumerate(queues)]
    set_up(domain.name, [*prefixes.terminal4(domain), *prefixes.terminal6(domain)])
    print(
        f"tun {domain.name}: {len(queues)} queues, vnet header, superframes of TCP{' and UDP' * queues[0][1]}",
        flush=True,
    )

    def worker(number: int, control: socket.socket) -> None:
        counters = Counters()
        translator, paths = translator_for(domain, local), PathMtus(time.monotonic)
        source = sources[number]
        work = Worker(
            [source],
            translator,
            Injectors(TunInjector(source, counters.count_other), IpInjector(counters.count_other), device=True),
            counters,
            fast=FastPath(translator, local=local, narrow=paths.mtus),
            errors=TokenBucket(1000.0, 50, time.monotonic),
            paths=paths,
            local=local,
        )
        work.trust_stamps(frozenset((INDEV,)))

        def command() -> None:
            work.stopped = receive(control) == "stop"

        work.run(control.fileno(), command)

    def ready() -> None:
        if arguments.ready_fd is not None:
            os.write(arguments.ready_fd, b"ready\n")
            os.close(arguments.ready_fd)

    Supervisor(worker, len(sources), lambda line: print(line, flush=True), lambda: None).run(ready)


if __name__ == "__main__":
    main()
