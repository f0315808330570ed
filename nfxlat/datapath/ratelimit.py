"""A token bucket for the ICMP errors that the translator makes (RFC 4443 2.4(f), RFC 1812 4.3.2.8)."""

from collections.abc import Callable


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
