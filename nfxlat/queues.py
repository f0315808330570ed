"""Queue numbers: which belong to a translator, which of its workers reads which, and what each is for.

Q     everything              worker 0
Q+1   TCP, stamped UDP        worker 0: superframes welcome
Q+2   everything              worker 1, and so on
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from nfxlat.errors import OperatorError

DEFAULT_QUEUE = 7
MAX_QUEUE = 65535  # NFQUEUE numbers are 16 bits wide
MAX_WORKERS = 256
KINDS = ("plain", "tcp")  # of a worker's queues, in the order of their numbers
PER_WORKER = len(KINDS)
Spread = Literal["ports", "addresses"]
SPREADS: tuple[Spread, ...] = get_args(Spread)
SPREAD = (
    "what decides which worker a packet goes to. ports: each flow by its ports, and all fragments to the first worker, "
    "so that whole and fragmented datagrams of one flow may overtake each other; addresses: each pair of hosts, "
    "fragments too, so that order is kept and one pair uses one worker (default: %(default)s)"
)


@dataclass(frozen=True, slots=True)
class Queues:
    """The queues of `workers` workers from number `first` on; `spread`: what decides which worker a packet goes to."""

    first: int = DEFAULT_QUEUE
    workers: int = 1
    spread: Spread = "ports"

    @property
    def numbers(self) -> range:
        """All of them."""
        return range(self.first, self.first + PER_WORKER * self.workers)

    @property
    def last(self) -> int:
        return self.numbers[-1]

    def number(self, kind: str, worker: int = 0) -> int:
        """The queue of `worker` for packets of a kind ("plain", "tcp")."""
        return self.first + PER_WORKER * worker + KINDS.index(kind)

    def next(self, workers: int | None = None) -> "Queues":
        """The queues behind these, for another domain (of as many workers, unless told)."""
        return Queues(self.last + 1, workers or self.workers, self.spread)

    def each(self) -> Iterator[tuple[int, str, int]]:
        """(worker, kind, number) of each."""
        for worker in range(self.workers):
            for kind in KINDS:
                yield worker, kind, self.number(kind, worker)


def checked(first: int, workers: int, domains: int = 1, spread: Spread = "ports") -> Queues:
    """The queues of the first of so many domains. Raises OperatorError where a number is out of range."""
    if not 1 <= workers <= MAX_WORKERS:
        raise OperatorError(f"invalid number of workers {workers}", where="--workers", hint=f"1 to {MAX_WORKERS}")
    most = MAX_QUEUE + 1 - PER_WORKER * workers * max(domains, 1)
    if not 0 <= first <= most:
        raise OperatorError(f"invalid queue {first}", where="--queue", hint=f"0 to {most}")
    return Queues(first, workers, spread)
