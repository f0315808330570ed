"""The limits of ICMP errors."""

from clock import Clock

from nfxlat.datapath.ratelimit import ErrorLimits, TokenBucket
from nfxlat.outcome import Reason


def test_token_bucket_allows_the_burst_and_then_the_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(rate=10, burst=3, clock=clock)
    assert [bucket.take() for _ in range(5)] == [True, True, True, False, False]
    clock.now = 0.1
    assert [bucket.take(), bucket.take()] == [True, False]
    clock.now = 100
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


def test_a_rate_of_zero_allows_nothing() -> None:
    assert not TokenBucket(rate=0, burst=5, clock=Clock()).take()


SENDER, NEIGHBOUR, OTHER = bytes([192, 0, 2, 2]), bytes([192, 0, 2, 200]), bytes([198, 51, 100, 2])
UNMAPPED, EXPIRED, TOO_BIG = Reason.NO_MAPPING_SOURCE, Reason.HOP_LIMIT_EXCEEDED, Reason.PACKET_TOO_BIG


def test_who_provokes_one_kind_of_error_leaves_the_others_theirs() -> None:
    """Of 3,000 datagrams a second without a mapping 250 errors go out; 20 others of each kind a second are all told."""
    clock = Clock()
    limits = ErrorLimits(1000, 50, clock)
    told = dict.fromkeys(("unmapped", "neighbour", "expired", "too big", "other"), 0)
    for number in range(3000):
        clock.now = number / 3000
        told["unmapped"] += limits.allow(UNMAPPED, SENDER)
        if number % 150 == 149:
            told["neighbour"] += limits.allow(UNMAPPED, NEIGHBOUR)
            told["expired"] += limits.allow(EXPIRED, SENDER)
            told["too big"] += limits.allow(TOO_BIG, SENDER)
            told["other"] += limits.allow(UNMAPPED, OTHER)
    assert 250 <= told.pop("unmapped") <= 300
    assert told.pop("neighbour") < 20  # of the same /24
    assert set(told.values()) == {20}


def test_packet_too_big_does_not_wait_for_the_rest() -> None:
    limits = ErrorLimits(100, 10, Clock())
    assert sum(limits.allow(EXPIRED, bytes([10, 0, number, 1])) for number in range(100)) == 10
    assert sum(limits.allow(TOO_BIG, bytes([10, 0, number, 1])) for number in range(100)) == 10


def test_an_ipv6_network_is_a_64_and_the_oldest_bucket_gives_way() -> None:
    limits = ErrorLimits(1e-9, 5000, Clock())
    one = ErrorLimits(1e-9, 1, Clock())
    assert [one.allow(EXPIRED, bytes(8) + bytes([n] * 8)) for n in range(2)] == [True, False]
    assert all(limits.allow(EXPIRED, number.to_bytes(8, "big") + bytes(8)) for number in range(4999))
    assert len(limits._buckets) == 4096
