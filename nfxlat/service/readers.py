"""Those who read what the workers see, as long as they are there: who traces, and who has mappings counted."""

from collections.abc import Callable, Mapping

from nfxlat.service.counting import Counting, Entries
from nfxlat.service.loop import Loop
from nfxlat.service.mapping_readers import MappingReaders
from nfxlat.service.messages import Message
from nfxlat.service.requests import Handler
from nfxlat.service.tracing import Tracing
from nfxlat.terms import Report
from nfxlat.xlat.domain import Domain


class Readers:
    """`tell` sends to all workers; `entries`: what is translated at ingress; `traced` is called when somebody wants to
    see what is translated."""

    def __init__(
        self,
        domain: Domain,
        loop: Loop,
        tell: Callable[[Message], None],
        *,
        entries: Entries,
        traced: Callable[[], None],
        report: Report,
    ) -> None:
        self.tracing = Tracing(tell, begun=traced, report=report)
        self.counting = Counting(domain, loop, tell, entries)
        self._mappings = MappingReaders(self.counting, loop, tell)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Of their requests."""
        return {"trace": self.tracing.begin, "mappings": self._mappings.begin}

    def forget(self) -> None:
        """All of them: they have been hung up on."""
        self.tracing.forget()
        self._mappings.forget()
