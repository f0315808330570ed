"""What a program at ingress knows, told for an operator: from the kernel's map, by its number."""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from packets import A4, A6, B4, B6, T, ipv4, ipv6

from nfxlat.errors import OperatorError
from nfxlat.host.bpf_maps import Map
from nfxlat.host.ingress import Table
from nfxlat.offload import table
from nfxlat.service.known import Known, known

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

FORTH, BACK = ipv4()[12:20], ipv6()[8:40]
LOOPBACK, GENERATION, SECOND = 1, 7, 10**9


@pytest.fixture
def there() -> Iterator[Table]:
    found = Table(entries=64)
    yield found
    found.close()


def teach(there: Table, addresses: bytes, flow: bytes = b"", **fields: int) -> None:
    template = T.template(addresses)
    assert template is not None
    pair = table.learnt(template, GENERATION, time.monotonic_ns())
    there.put(table.key(LOOPBACK, addresses, flow), pair._replace(**fields))  # type: ignore[arg-type]


def told(there: Table) -> list[Known]:
    offload: dict[str, Any] = {"table": there.number, "generation": GENERATION}
    return list(known("siit0", offload))


def test_a_pair_is_told_with_what_it_becomes(there: Table) -> None:
    now = time.monotonic_ns()
    teach(there, FORTH, learnt=now - 12 * SECOND, used=now - 3 * SECOND, packets=5, octets=400, tcp_queued=table.ACTIVE)
    (one,) = told(there)
    assert (one.interface, one.source, one.destination, one.becomes) == ("lo", A4, B4, (A6, B6))
    assert (one.protocol, one.ports, one.packets, one.octets) == ("", None, 5, 400)
    assert 12 <= one.age < 60
    assert 3 <= one.unused < 30
    assert one.state == "TCP kernel, UDP new"
    assert one.line().startswith(f"lo: {A4} > {B4} becomes {A6} > {B6}: 5 packets, 400 octets, ")


def test_what_is_known_is_not_taught_a_second_time(there: Table) -> None:
    template = T.template(FORTH)
    assert template is not None
    key = table.key(LOOPBACK, FORTH)
    first, second = (table.learnt(template, GENERATION, now) for now in (1, 2))
    assert [there.add(key, first), there.add(key, second)] == [True, False]
    assert there.get(key) == first


def test_a_flow_is_told_by_its_ports_and_its_pair_is_not(there: Table) -> None:
    there.put(table.key(LOOPBACK, BACK), table.told_by_flow(GENERATION, 1))
    teach(there, BACK, table.flow(bytes((0, 80, 3, 232)), 6), tcp_queued=5)
    (one,) = told(there)
    assert (one.source, one.protocol, one.ports, one.state) == (A6, "TCP", (80, 1000), "queue")
    assert f"{A6} > {B6} TCP 80 > 1000 becomes {A4} > {B4}" in one.line()


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"generation": GENERATION - 1}, "flushed"),
        ({"used": 1}, "expired"),
        ({"judged": 1}, "expired"),
        ({"udp_until": 1 << 62}, "TCP new, UDP diverted"),
    ],
)
def test_what_becomes_of_its_next_packet_is_told(there: Table, fields: dict[str, int], state: str) -> None:
    teach(there, FORTH, b"", **fields)
    assert [one.state for one in told(there)] == [state]


def test_an_interface_that_has_gone_is_told_by_its_number(there: Table) -> None:
    template = T.template(FORTH)
    assert template is not None
    there.put(table.key(999_999, FORTH), table.learnt(template, GENERATION, time.monotonic_ns()))
    assert [one.interface for one in told(there)] == ["999999"]


def test_a_map_that_has_gone_or_is_another_s_is_one_line(there: Table) -> None:
    for number in (0xFFFFFFF0, other_map()):
        with pytest.raises(OperatorError, match="cannot be read"):
            list(known("siit0", {"table": number, "generation": 1}))


def other_map() -> int:
    """Its number; it is gone when the process ends."""
    made = Map("array", "nfxlat_test", key=4, value=8, entries=1)
    return made.number


def test_a_map_is_opened_to_be_read_alone(there: Table) -> None:
    with Map.opened(there.number) as found, pytest.raises(PermissionError):
        found.put(table.key(1, FORTH), bytes(table.PAIR.size))
