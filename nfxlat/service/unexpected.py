"""How many packets were routed into the domain device and matched no rule, since the service has it."""

from collections.abc import Sequence

from nfxlat.datapath.counters import Counters, Total
from nfxlat.host.device import DomainDevice


class Unexpected:
    """Of what ends in the device, all but the originals in `counters`, which a host lets go on for conntrack's sake."""

    def __init__(self, device: DomainDevice, counters: Sequence[Counters]) -> None:
        self._device, self._counters = device, counters
        self._before = device.ended_packets() - self._originals()

    def packets(self) -> int:
        """So many by now."""
        ended = self._device.ended_packets()  # first: originals are counted before they go on
        return max(0, ended - self._before - self._originals())

    def _originals(self) -> int:
        return sum(block.shown(Total.ORIGINALS) for block in self._counters)
