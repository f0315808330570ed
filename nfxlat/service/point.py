"""What a model supplies to the service: a translation point, where packets are intercepted and results injected."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from nfxlat.datapath.counters import Counters
from nfxlat.datapath.inject import Injectors
from nfxlat.datapath.source import Source
from nfxlat.host.device import DomainDevice
from nfxlat.host.stamp import Stamp


@dataclass(frozen=True, slots=True)
class Share:
    """A worker's own: what it reads, where it puts results, where it counts; all that these have open."""

    sources: Sequence[Source]
    injectors: Injectors
    counters: Counters
    descriptors: frozenset[int] = frozenset()


class TranslationPoint(Protocol):
    """Opened in this order, each on the stack that closes it; raises OperatorError where something cannot be had."""

    def bind(self, stack: ExitStack) -> None:
        """Take what can be had before anything of the host is touched."""

    def make_device(self, stack: ExitStack) -> DomainDevice | None:
        """Where nothing else sets the host up: make the domain device, if it needs one."""

    def attach(self, stack: ExitStack, device: DomainDevice | None, counters: Sequence[Counters]) -> list[Share]:
        """Open the rest, now that the host is ready; a share for each worker, who counts in `counters`."""

    def begin(self) -> None:
        """A predecessor's workers have retired, and ours are about to take packets: what was counted until now of the
        queues that it has left is its own."""

    @property
    def inherited(self) -> int:
        """Packets that a predecessor may have had in its hands when it ended, at most; the kernel has them waiting."""

    @property
    def queues(self) -> range:
        """The NFQUEUE queues that rules lead to."""

    def stamped(self, stamp: Stamp | None) -> frozenset[int]:
        """The interfaces, by index, whose stamps of gso_size count."""

    def losses(self) -> Mapping[str, Mapping[str, int]]:
        """By queue or device, packets that the kernel dropped before we had them, `full` and `socket`; that we are done
        with, `judged`, modulo 2^32; and, where it tells, that we are not, `waiting`."""
