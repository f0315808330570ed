"""What workers know of this node, as others change it: its addresses, and the interfaces whose stamps count."""

from contextlib import ExitStack
from dataclasses import replace

from nfxlat.host.addresses import judged_addresses, watch_addresses
from nfxlat.host.stamp import Stamp
from nfxlat.service.loop import Loop
from nfxlat.service.messages import Node
from nfxlat.service.offload import Tell
from nfxlat.service.offloading import Offloading
from nfxlat.service.point import TranslationPoint


class NodeWatch:
    """`node` is what a new worker is to know; `tell` sends to those that there are, before offload is told to forget:
    they teach it anew by what they know. Addresses are the VRF's, if one is named. What it opens, `stack` closes.
    Raises OSError.
    """

    def __init__(
        self,
        point: TranslationPoint,
        stamp: Stamp | None,
        tell: Tell,
        offloading: Offloading,
        loop: Loop,
        stack: ExitStack,
        vrf: str | None = None,
    ) -> None:
        self._point, self._stamp, self._tell, self._offloading, self._loop = point, stamp, tell, offloading, loop
        self._vrf = vrf
        self._addresses = stack.enter_context(watch_addresses(vrf))
        loop.on_readable(self._addresses, self._addresses_changed)
        local, unfit = judged_addresses(self._vrf)
        self.node = Node(local, point.stamped(stamp), unfit)
        self._due = False
        if stamp is not None:
            loop.on_readable(stamp, self._interfaces_changed)
            self._go_on_soon()

    def pause(self) -> None:
        """Leave the stamp alone: interfaces are a successor's."""
        if self._stamp is not None:
            self._loop.forget(self._stamp)

    def go_on(self) -> None:
        """Put back what has gone of the stamp since."""
        if self._stamp is not None:
            self._loop.on_readable(self._stamp, self._interfaces_changed)
            self._loop.later(0.0, self._interfaces_changed)

    def _addresses_changed(self) -> None:
        self._addresses.drain()
        self._loop.later(0.0, self._look_at_addresses)  # which comes again should it fail

    def _look_at_addresses(self) -> None:
        former = self.node
        local, unfit = judged_addresses(self._vrf)
        self._renew(replace(former, local=local, unfit=unfit))
        if local != former.local:
            self._offloading.forget("addresses")

    def _interfaces_changed(self) -> None:
        assert self._stamp is not None
        try:
            self._look_at_interfaces()
        finally:  # of one that fails nothing is heard any more
            if self._stamp.unfinished:
                self._go_on_soon()

    def _look_at_interfaces(self) -> None:
        assert self._stamp is not None
        self._stamp.refresh()
        self._renew(replace(self.node, stamped=self._point.stamped(self._stamp)))
        self._offloading.interfaces_changed()

    def _go_on_soon(self) -> None:
        """With the rest of many interfaces, or of what failed."""
        if not self._due:
            self._due = True
            self._loop.later(0.0, self._go_on)

    def _go_on(self) -> None:
        """Comes again should it fail."""
        assert self._stamp is not None
        if self._stamp.unfinished:
            self._look_at_interfaces()
        self._due = False
        if self._stamp.unfinished:
            self._go_on_soon()

    def _renew(self, node: Node) -> None:
        if node != self.node:
            self.node = node
            self._tell(node)
