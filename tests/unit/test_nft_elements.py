"""Set elements as nf_tables has them: what is sent for a span, and what is understood of an answer."""

import pytest

from nfxlat.errors import OperatorError
from nfxlat.nft.kernel import elements, nf_tables
from nfxlat.nft.language.sets import SetName
from nfxlat.wire import netlink

SET4, SET6 = SetName("ip", "t", "s", 32), SetName("ip6", "t", "s", 128)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What would be committed."""
    batches: list[bytes] = []

    def commit(requests: list[netlink.Request]) -> int:
        batches.append(netlink.batch(netlink.NFNL_SUBSYS_NFTABLES, requests))
        return 0

    monkeypatch.setattr(nf_tables, "commit", commit)
    return batches


def kinds(batch: bytes) -> list[int]:
    return [kind for kind, *_ in netlink.messages(batch)]


def test_one_transaction_removes_before_it_adds_and_leaves_the_rest(sent: list[bytes]) -> None:
    count = elements.change({SET4: [(1, 5), (9, 9)], SET6: []}, {SET4: [(1, 5), (9, 12)], SET6: [(7, 7)]})
    assert count == 3
    assert [kinds(batch) for batch in sent] == [[0x10, 0xA0E, 0xA0C, 0xA0C, 0x11]]
    # (9, 9) as start and end behind it goes; (1, 5) is not mentioned
    assert b"".join((b"\x08\0\x01\0", (9).to_bytes(4, "big"))) in sent[0]
    assert b"".join((b"\x08\0\x01\0", (1).to_bytes(4, "big"))) not in sent[0]


def test_nothing_to_do_sends_nothing(sent: list[bytes]) -> None:
    assert elements.change({SET4: [(1, 5)]}, {SET4: [(1, 5)]}) == 0
    assert sent == []


@pytest.mark.parametrize("count", [1, 900, 901, 5000])
def test_no_message_has_more_than_an_attribute_can_hold(sent: list[bytes], count: int) -> None:
    elements.change({SET6: []}, {SET6: [(2 * n, 2 * n) for n in range(1, count + 1)]})
    bodies = [body for kind, _, _, body in netlink.messages(sent[0]) if kind == 0xA0C]
    assert len(bodies) == -(-count // 900)
    for body in bodies:
        kind, elements_ = list(netlink.attributes(body, netlink.NFGENMSG_SIZE))[-1]
        assert kind == 3
        assert list(netlink.attributes(elements_))  # none of them is cut off


def test_the_last_address_has_no_end_behind_it() -> None:
    top = (1 << 32) - 1
    assert len(list(elements._elements(4, [(top, top)]))) == 1
    assert len(list(elements._elements(4, [(top - 1, top - 1)]))) == 2


@pytest.mark.parametrize("spans", [[(1, 5), (7, 7)], [((1 << 32) - 4, (1 << 32) - 1)], []])
def test_what_is_sent_is_read_back(spans: list[tuple[int, int]]) -> None:
    listed = b"".join(elements._elements(4, spans))
    marks = list(elements._marks(4, (data for _, data in netlink.attributes(listed))))
    assert list(elements._spans(sorted(marks))) == spans
    # nft puts an end in front of the first span
    assert list(elements._spans(sorted([(0, False, 4), *marks]))) == spans


@pytest.mark.parametrize("flag", [0, netlink.NLA_F_NESTED])
def test_the_kernel_s_order_is_read_as_any_other_is(flag: int) -> None:
    """nf_tables lists the key first, and whatever else an element has behind it."""

    def listed(address: int, *rest: bytes) -> tuple[bytes, bytes]:
        key = netlink.attribute(1 | flag, netlink.attribute(1, address.to_bytes(4, "big")))
        return key + b"".join(rest), b"".join(rest) + key

    end, comment = netlink.be32(3, 1), netlink.attribute(6, b"odd")
    rows = [listed(7), listed(9, end), listed(12, comment), listed(13, comment, end), listed(20), listed(22, end)]
    expected = [(7, True, 4), (9, False, 4), (12, True, 4), (13, False, 4), (20, True, 4), (22, False, 4)]
    for order in zip(*rows, strict=True):
        assert list(elements._marks(4, order)) == [elements._mark(row) for row in order] == expected


def test_an_element_without_a_key_is_no_error() -> None:
    assert list(elements._marks(4, [netlink.be32(3, 2)])) == [(0, True, 0)]


def test_a_refusal_names_the_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nf_tables, "commit", lambda requests: 2)
    with pytest.raises(OperatorError, match="No such file") as caught:
        elements.change({SET4: []}, {SET4: [(1, 1)]})
    assert caught.value.where == "set ip t s"
