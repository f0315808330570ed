"""Time that passes when a test says so."""


class Clock:
    """In place of time.monotonic: `now`, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
