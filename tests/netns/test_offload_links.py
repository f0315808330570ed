"""What happens to an interface with `--offload`: features are changed, it goes to another namespace and comes back."""

import ctypes
import itertools
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from offloaded import OFFLOAD, Flow, Node, udp
from pinned import on_one_processor
from pyroute2.ethtool import Ethtool

from nfxlat.host import bpf
from nfxlat.host.offload import write
from nfxlat.lab.netns import Namespace, wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST6_4, HOST6_PREFIX, ROUTER4, Lab
from nfxlat.lab.transfer import download, serving

pytestmark = pytest.mark.parametrize("run_arguments", [OFFLOAD])

PROG_QUERY, TCX_INGRESS = 16, 46  # linux/bpf.h
QUERY = struct.Struct("=IIIIQI4xQQQQ")  # target_ifindex, attach_type, query_flags, attach_flags, prog_ids, prog_cnt ...
COUNT_AT = 24


def programs(name: str) -> int:
    """How many hang at an interface's ingress by tcx, in the calling thread's namespace."""
    asked = ctypes.create_string_buffer(QUERY.pack(socket.if_nametoindex(name), TCX_INGRESS, *[0] * 8), QUERY.size)
    bpf.call_with(PROG_QUERY, asked, QUERY.size)
    return int.from_bytes(asked.raw[COUNT_AT : COUNT_AT + 4], "little")


@pytest.fixture
def flow(bare_lab: Lab) -> Iterator[Flow]:
    with closing(Flow(bare_lab)) as flow:
        yield flow


@pytest.fixture
def node(process: TranslatorProcess) -> Node:
    return Node(process)


@pytest.fixture
def elsewhere() -> Iterator[Namespace]:
    with Namespace("elsewhere") as namespace:
        yield namespace


def test_gro_may_be_switched_in_mid_transfer(bare_lab: Lab, flow: Flow, node: Node) -> None:
    node.learn(flow)

    def switch(names: tuple[str, ...], value: str) -> None:
        with Ethtool() as ethtool:
            for name in names:
                write(ethtool, name, {"rx-gro": value})

    ended = threading.Event()
    turns: list[str] = []

    def switching() -> None:
        while not ended.is_set():
            value = ("on", "off")[len(turns) % 2]
            bare_lab.translator.call(switch, ("to-r4", "to-r6"), value)
            turns.append(value)
            ended.wait(0.05)

    thread = threading.Thread(target=switching)
    with serving(bare_lab.host6, 64 << 20) as server:
        thread.start()
        try:
            wait_for(lambda: len(turns) > 1, "switching")
            before = node.counted("octets", "6to4")
            for number in itertools.count(1):  # until it has been switched some times in the meantime
                assert bare_lab.host4.call(download, HOST6_4, server).intact
                if number >= 4 and len(turns) > 3:
                    break
        finally:
            ended.set()
            thread.join()
    assert node.counted("octets", "6to4") - before > 32 << 20
    node.learn(flow)


def test_datagrams_keep_their_order_where_gro_chains_some_of_them(bare_lab: Lab, node: Node) -> None:
    """rx-gro-list: the chains are cut by the kernel in front of the queue, and must not be overtaken by the rest."""
    translator = bare_lab.translator

    def chain() -> None:
        with Ethtool() as ethtool:
            write(ethtool, "to-r4", {"rx-gro": "on", "rx-gro-list": "on"})

    translator.call(chain)
    timers = "cd /sys/class/net/to-r4; echo 20000000 > gro_flush_timeout; echo 1 > napi_defer_hard_irqs"
    translator.run(["unshare", "--mount", "sh", "-ec", f"mount -t sysfs sysfs /sys; {timers}"])
    receiver = udp(bare_lab.host6, socket.AF_INET6, HOST6_PREFIX)
    sender = udp(bare_lab.router4, socket.AF_INET, ROUTER4[1])
    sender.connect((HOST6_4, receiver.getsockname()[1]))
    numbers = itertools.count()
    with closing(receiver), closing(sender), on_one_processor(node.process.workers()):
        for _ in range(60):
            sent = []
            for size in (*[100] * 8, 28, 208):  # eight alike, and a shorter one that ends the chain
                sent.append(next(numbers).to_bytes(8, "big").ljust(size, b"."))
                sender.send(sent[-1])
            assert [receiver.recv(4096) for _ in sent] == sent
    assert node.counted("diverted") > 0


def test_what_others_shape_at_ingress_is_not_translated_ahead_of_that(bare_lab: Lab, flow: Flow, node: Node) -> None:
    """tc filters come behind a program by tcx: what is redirected to an IFB, to be shaped there, goes that way."""
    translator = bare_lab.translator
    if translator.run(["ip", "link", "add", "ifb0", "type", "ifb"], check=False).returncode:
        pytest.skip("the kernel has no IFB")
    translator.ip("link set ifb0 up")
    by_tcx = node.process.summary()["stamp"]["how"] == "tcx"

    def shaped() -> int:
        (link,) = json.loads(translator.ip("-s -j link show dev ifb0"))
        sent: int = link["stats64"]["tx"]["packets"]
        return sent

    def tc(*words: str) -> None:
        translator.run(["tc", *words])

    node.learn(flow)
    if by_tcx:
        tc("qdisc", "add", "dev", "to-r4", "clsact")  # else it is there
    forgotten = node.forgotten("interfaces")
    to_ifb = ("u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "ifb0")
    tc("filter", "add", "dev", "to-r4", "ingress", "protocol", "ip", "prio", "1", *to_ifb)
    if by_tcx:
        node.process.told("no offload on to-r4: tc filters")
        wait_for(lambda: node.forgotten("interfaces") > forgotten, "what was known there to be void")
    before = shaped()
    for _ in range(50):
        flow.exchange()
    assert shaped() - before == 50
    tc("filter", "del", "dev", "to-r4", "ingress", "protocol", "ip", "prio", "1")
    if by_tcx:
        node.process.told("offload on to-r4 too")
    node.learn(flow)


def test_an_interface_that_goes_to_another_namespace_takes_nothing_with_it(
    bare_lab: Lab, flow: Flow, node: Node, elsewhere: Namespace
) -> None:
    """Else its packets would be stamped there, and those of pairs that are known go to whatever has siit0's number."""
    node.learn(flow)
    translator = bare_lab.translator
    if node.process.summary()["stamp"]["how"] == "tcx":
        assert translator.call(programs, "to-r4") == 1
    before = node.forgotten("interfaces")
    translator.ip(f"link set to-r4 netns {elsewhere.name}")
    elsewhere.ip("link set to-r4 up")
    wait_for(lambda: node.forgotten("interfaces") > before, "a new generation")
    assert elsewhere.call(programs, "to-r4") == 0
    assert "nfxlat" not in elsewhere.run(["tc", "filter", "show", "dev", "to-r4", "ingress"]).stdout
    elsewhere.ip(f"link set to-r4 netns {translator.name}")
    translator.ip("link set to-r4 up")
    translator.ip("address add 192.0.2.18/28 dev to-r4")
    translator.ip("route add 192.0.2.0/24 via 192.0.2.17")
    wait_for(lambda: "stamp also on to-r4" in node.process.output(), "the stamp")
    flow.exchange()
    node.learn(flow)
