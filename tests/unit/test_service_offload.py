"""The supervisor's side of offload: what workers are told, and where there is none. What it reads for that."""

import errno
import os
import platform
import struct
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv6Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from nfxlat.host.device import DomainDevice
from nfxlat.host.interfaces import Interface
from nfxlat.netlink import bound_queues
from nfxlat.netlink.bound_queues import Seen, Watch
from nfxlat.nft.kernel import nf_tables
from nfxlat.nft.kernel.base_chains import ahead_of, hooked
from nfxlat.nft.language.inputs import NO_INPUTS
from nfxlat.offload.table import flow as flow_of
from nfxlat.offload.table import key as key_of
from nfxlat.service import offload, offloading
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Message, Teach
from nfxlat.service.offload import NOTHING, Offload, refused
from nfxlat.service.offloading import Offloading
from nfxlat.service.options import Options
from nfxlat.wire.netlink import attribute
from nfxlat.xlat.domain import Domain

DOMAIN = Domain(prefix6=IPv6Network("2001:db8:64::/96"), lowest_ipv6_mtu=1400)
FLOW = flow_of(bytes(4), 6)
TOTALS = {"taught": 9, "expired": 1, "flushed": 2, "narrowed": 0}
OFFLOADED = replace(DOMAIN, offload=True)
DEVICE = DomainDevice("siit0", "far", "siit0p", 9)


class Table:
    def __init__(self) -> None:
        self.generation, self.configured, self.beats = 0, (0, 0), 0
        self.removed: list[bytes] = []

    def forget(self) -> int:
        self.generation += 1
        return self.generation

    def configure(self, device: int, mtu: int, destination: bytes, source: bytes) -> int:
        assert (destination, source) == (DEVICE.near_mac, DEVICE.far_mac)
        self.configured = device, mtu
        return self.forget()

    def beat(self) -> None:
        self.beats += 1

    number = 77

    def pairs(self) -> list[tuple[bytes, Any]]:
        def one(generation: int, flow: bytes = b"", *, used: bool = True, by_flow: bool = False) -> tuple[bytes, Any]:
            counts = lambda now_, _: generation == now_ and (used or by_flow)  # noqa: E731
            key = key_of(generation, bytes((len(self.removed), used)), flow)
            return key, SimpleNamespace(generation=generation, by_flow=by_flow, counts=counts)

        own = self.generation
        return [one(1), one(own), one(own, FLOW), one(own, by_flow=True), one(own, used=False), one(1, by_flow=True)]

    def remove(self, key: bytes) -> bool:
        self.removed.append(key)
        return True

    def counts(self) -> dict[str, dict[str, int]]:
        return {"4to6": {"translated": 1}, "6to4": {}}

    def close(self) -> None: ...


def stamp(*names: str) -> Any:
    return SimpleNamespace(
        how="tcx",
        offloads="TCP",
        translates=frozenset((3,)),
        landscape=frozenset(Interface(3, name, 0, "", 0, 0) for name in names),
    )


def made(monkeypatch: pytest.MonkeyPatch, found: Any) -> tuple[Offload, Table, list[Message], list[str]]:
    monkeypatch.setattr(offload, "ahead_of", lambda priority: [])
    table, told, lines = Table(), [], []  # type: ignore[var-annotated]
    return Offload(table, found, told.append, lines.append), table, told, lines  # type: ignore[arg-type]


def test_workers_teach_for_the_generation_and_interfaces_that_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    one, table, told, lines = made(monkeypatch, stamp("to-r4"))
    assert one.teach == NOTHING
    one.begin(DOMAIN, DEVICE)
    assert table.configured == (9, 1400)
    one.forget("rules")
    assert told == [Teach(1, frozenset((3,))), Teach(2, frozenset((3,)))]
    assert one.teach == told[-1]
    assert one.summary(TOTALS) == {
        "what": "TCP",
        "table": 77,
        "generation": 2,
        "pairs": 2,
        "flows": 1,
        "learnt": 9,
        "expired": 1,
        "flushed": 2,
        "narrowed": 0,
        "evicted": 2,  # of nine four are there, and three ended otherwise
        "forgotten": {"rules": 1},
        "4to6": {"translated": 1},
        "6to4": {},
    }
    assert lines == ["offload: pairs that are known are translated at ingress, TCP"]


def test_what_is_void_is_taken_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    one, table, _, _ = made(monkeypatch, stamp("to-r4"))
    one.begin(DOMAIN, DEVICE)
    one.forget("rules")
    before = one.summary(TOTALS)
    one.sweep()
    assert len(table.removed) == 3
    after = one.summary(TOTALS)
    assert (after["expired"], after["flushed"]) == (before["expired"] + 1, before["flushed"] + 1)


def test_while_it_is_suspended_all_is_forgotten_and_nothing_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    one, table, told, _ = made(monkeypatch, stamp("to-r4"))
    one.begin(DOMAIN, DEVICE)
    one.suspend("mappings")
    assert (table.generation, one.teach) == (2, NOTHING)
    one.forget("rules")
    assert table.generation == 2
    one.begin(DOMAIN, DEVICE)
    assert told == [Teach(1, frozenset((3,))), NOTHING, Teach(3, frozenset((3,)))]


def test_interfaces_that_changed_make_all_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    found = stamp("to-r4")
    one, table, _, _ = made(monkeypatch, found)
    one.begin(DOMAIN, DEVICE)
    one.interfaces_changed()
    assert table.generation == 1
    found.landscape = stamp("renamed").landscape
    one.interfaces_changed()
    one.interfaces_changed()
    assert table.generation == 2


def test_interfaces_that_take_the_program_later_are_taught_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many, some at a time; or one that refused it at first."""
    found = stamp("to-r4")
    one, _, told, _ = made(monkeypatch, found)
    one.begin(DOMAIN, DEVICE)
    found.translates = frozenset((3, 4))
    one.interfaces_changed()
    one.interfaces_changed()
    assert told[1:] == [Teach(2, frozenset((3, 4)))]


def test_where_no_interface_takes_the_program_none_is_said_to_translate(monkeypatch: pytest.MonkeyPatch) -> None:
    found = stamp("to-r4")
    found.how = None
    assert made(monkeypatch, found)[-1] == []


def test_a_machine_whose_system_call_is_not_known_has_no_offload_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    lines: list[str] = []
    with ExitStack() as stack:
        one = Offloading(Loop(), lambda message: None, lines.append)
        assert one.make_table(Options(OFFLOADED, setup=True), stack) is None
    assert lines == ["no offload: the system call number of bpf(2) on vax is unknown"]


def test_without_cap_bpf_there_is_no_offload_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    monkeypatch.setattr(offloading, "Table", Mock(side_effect=refusal))
    lines: list[str] = []
    with ExitStack() as stack:
        one = Offloading(Loop(), lambda message: None, lines.append)
        assert one.make_table(Options(OFFLOADED, setup=True), stack) is None
    assert lines == ["no offload: the kernel refuses BPF maps (Operation not permitted)"]


def test_where_the_program_is_refused_its_table_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    table = SimpleNamespace(close=Mock())
    refusing: Any = SimpleNamespace(offloads="")
    monkeypatch.setattr(offloading, "Table", lambda entries: table)
    one = Offloading(Loop(), lambda message: None, print)
    with ExitStack() as stack:
        one.make_table(Options(OFFLOADED, setup=True), stack)
        one.start(refusing, DOMAIN, DEVICE, None)
        table.close.assert_called_once()
    table.close.assert_called_once()
    assert (one.table, one.teach, one.descriptors, one.summary(TOTALS)) == (None, None, frozenset(), None)


def test_with_ipsec_policies_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a packet came in ESP or AH is not seen at ingress: a pair learnt from those would let others in."""
    monkeypatch.setattr(offload, "ahead_of", lambda priority: [])
    table, told, lines, policies = Table(), list[Message](), list[str](), [True]
    one = Offload(table, stamp("to-r4"), told.append, lines.append, lambda: policies[0])  # type: ignore[arg-type]
    one.begin(DOMAIN, DEVICE)
    one.forget("rules")
    assert (told, one.suspended) == ([], False)
    policies[0] = False
    one.forget("rules")
    assert (one.teach.generation, table.configured) == (1, (9, 1400))
    policies[0] = True
    one.forget("rules")
    assert (one.teach, table.generation) == (NOTHING, 2)
    assert one.summary(TOTALS)["forgotten"] == {"rules": 1}
    assert lines[1:] == ["offload: rests while IPsec policies decide packet by packet"] * 2


def test_policies_that_go_while_it_is_suspended_do_not_begin_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its device may be gone, and its domain another."""
    monkeypatch.setattr(offload, "ahead_of", lambda priority: [])
    table, told, policies = Table(), list[Message](), [True]
    one = Offload(table, stamp("to-r4"), told.append, lambda line: None, lambda: policies[0])  # type: ignore[arg-type]
    one.begin(DOMAIN, DEVICE)
    one.suspend("device")
    policies[0] = False
    one.forget("rules")
    assert (one.suspended, one.teach, table.configured) == (True, NOTHING, (0, 0))
    one.begin(DOMAIN, DEVICE)
    assert (one.suspended, one.teach.generation) == (False, 2)


def test_only_what_is_suspended_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "ahead_of", lambda priority: [])
    table = Table()
    monkeypatch.setattr(offloading, "Table", lambda entries: table)
    one = Offloading(Loop(), lambda message: None, lambda line: None)
    setup: Any = SimpleNamespace(rules=SimpleNamespace(inputs=NO_INPUTS))
    with ExitStack() as stack:
        one.make_table(Options(OFFLOADED, setup=True), stack)
        one.start(stamp("to-r4"), DOMAIN, DEVICE, setup)
        one.resume(DOMAIN, DEVICE)
        assert table.generation == 1
        one.suspend("mappings")
        assert one.teach == NOTHING
        one.resume(DOMAIN, DEVICE)
        assert one.teach == Teach(3, frozenset((3,)))


@pytest.mark.parametrize(
    ("options", "has"),
    [
        ({"setup": True}, True),
        ({}, True),
        ({"setup": True, "role": "host"}, False),
        ({"setup": True, "inject": "ip"}, False),
        ({"setup": True, "source": "netfilterqueue"}, False),
        ({"setup": True, "model": "route"}, False),
    ],
)
def test_where_it_cannot_be_there_is_a_reason(options: dict[str, Any], has: bool) -> None:
    assert (refused(Options(DOMAIN, **options)) is None) == has


def table(name: str, flags: int) -> bytes:
    data = attribute(nf_tables.NFTA_TABLE_NAME, name.encode() + b"\0")
    return data + attribute(nf_tables.NFTA_TABLE_FLAGS, struct.pack("!I", flags))


def chain(table: str, name: str, hook: int | None, priority: int) -> bytes:
    data = attribute(nf_tables.NFTA_CHAIN_TABLE, table.encode() + b"\0")
    data += attribute(nf_tables.NFTA_CHAIN_NAME, name.encode() + b"\0")
    if hook is not None:
        numbers = attribute(1, struct.pack("!I", hook)) + attribute(2, struct.pack("!i", priority))
        data += attribute(nf_tables.NFTA_CHAIN_HOOK, numbers)
    return data


def test_chains_ahead_of_a_priority_are_those_at_ingress_and_earlier_ones_at_prerouting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chains = [
        (2, chain("b", "early", 0, -500)),
        (2, chain("a", "same", 0, -450)),
        (2, chain("a", "later", 0, -449)),
        (2, chain("ours", "same", 0, -450)),
        (2, chain("ours", "nfxlat_file_0000abcd", None, 0)),
        (2, chain("a", "forward", 2, -500)),
        (5, chain("c", "ingress", 0, 10)),
        (5, chain("c", "egress", 1, 10)),
        (1, chain("d", "ingress", 5, 0)),
        (10, chain("e", "jumped-to", None, 0)),
        (7, chain("f", "bridge", 0, -500)),
        (7, chain("f", "bridge-forward", 2, 0)),
        (3, chain("f", "arp-forward", 2, 0)),
        (99, chain("g", "unknown", 0, -500)),
        (2, chain("asleep", "early", 0, -500)),
    ]
    tables = [(2, table("asleep", nf_tables.NFT_TABLE_F_DORMANT)), (10, table("e", 0))]
    told = {nf_tables.NFT_MSG_GETCHAIN: chains, nf_tables.NFT_MSG_GETTABLE: tables}
    monkeypatch.setattr(nf_tables, "dump", lambda kind, family: told[kind])
    assert [str(one) for one in ahead_of(-450)] == [
        "inet d ingress (ingress, priority 0)",
        "ip a same (prerouting, priority -450)",  # made later than ours it comes first
        "ip b early (prerouting, priority -500)",
        "netdev c ingress (ingress, priority 10)",
    ]
    assert hooked(("forward",)) == [("ip", "a")]  # and no other family's hook of that number


def test_queues_are_seen_as_the_kernel_lists_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "nfnetlink_queue"
    file.write_text(
        "    7  12345     3 2 65531     4     5       66  1\n"
        "    8  12345     0 2 65531     0     0        0  1\n"
        "    9  99999     1 2 65531     0     0        1  1\n"
    )
    monkeypatch.setattr(bound_queues, "PROC", file)
    watch = Watch((7, 8))
    assert watch() == {7: Seen(3, 4, 5, 66), 8: Seen(0, 0, 0, 0)}
    watch.close()
    other = Watch((7, 10))  # 10 is not bound: nothing is known
    assert other() == {}
    other.close()
    assert other() == {}
    monkeypatch.setattr(bound_queues, "PROC", tmp_path / "none")
    assert Watch((7,))() == {}
