"""The token bucket of ICMP errors."""

from clock import Clock

from nfxlat.datapath.ratelimit import TokenBucket


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
