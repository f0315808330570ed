"""Limits for the ICMP errors that the translator makes (RFC 4443 2.4(f), RFC 1812 4.3.2.8).

Rules
- Each kind of error (by its reason) has a bucket for each network that errors go to: the /24, the /64. It fills with a
  quarter of what is allowed in all, so whoever provokes one kind of error leaves the others theirs.
- Packet Too Big and Fragmentation Needed come before the rest: without them paths become black holes (RFC 4443 2.4(f)
  asks to take care of traceroute and path MTU discovery; Linux limits neither). They have as much again, in all, as
  the rest has.
- Bounded: the oldest bucket gives way.
"""

from collections.abc import Callable

from nfxlat.outcome import Reason

_SHARE = 4
_CAPACITY = 4096
_PREFIX = {4: 3, 16: 8}  # octets of an address that are its network: /24, /64


class TokenBucket:
    """`rate` tokens a second, `burst` at most; `clock` gives seconds. A rate of 0 never allows."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._tokens = float(burst) if rate else 0.0
        self._filled = clock()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = self._clock()
        self._tokens = min(float(self._burst), self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class ErrorLimits:
    """`rate` errors a second in all, `burst` at once; as many again of those that say that a packet is too big."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._too_big, self._rest = TokenBucket(rate, burst, clock), TokenBucket(rate, burst, clock)
        self._share = rate / _SHARE, burst
        self._buckets: dict[tuple[Reason, bytes], TokenBucket] = {}

    def allow(self, reason: Reason, receiver: bytes) -> bool:
        """Whether one more error for `reason` may go to `receiver` (4 or 16 octets) now."""
        key = reason, receiver[: _PREFIX[len(receiver)]]
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _CAPACITY:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[key] = TokenBucket(*self._share, self._clock)
        return bucket.take() and (self._too_big if reason is Reason.PACKET_TOO_BIG else self._rest).take()
