"""nfxlat's translator by itself, in this process: no interfaces, no kernel around it, nothing to set up.

It is one router: it takes off one hop, and sends Packet Too Big by the MTUs of the domain's links. What is not for it
goes nowhere.
"""

from __future__ import annotations

import socket
from collections import deque

from nfxlat.config.parse import parse
from nfxlat.conformance.drivers.own import configuration
from nfxlat.conformance.judge import Received, Sent
from nfxlat.conformance.links import THEIRS4, THEIRS6
from nfxlat.conformance.suite import Domain
from nfxlat.xlat.translator import Translator


class CoreLink:
    """A `Link` through `Translator`."""

    at_once = True

    def __init__(self, domain: Domain) -> None:
        own = f'address4 = "{THEIRS4}"\naddress6 = "{THEIRS6}"\nmtu4 = {domain.mtu4}\nmtu6 = {domain.mtu6}\n'
        self.translator = Translator(parse(configuration(domain) + own, "conformance.toml").domain())
        self.own4: tuple[bytes, ...] = (socket.inet_pton(socket.AF_INET, THEIRS4),)
        self.own6: tuple[bytes, ...] = (socket.inet_pton(socket.AF_INET6, THEIRS6),)
        self._out: deque[Received] = deque()

    def find(self) -> None:
        """It is here."""

    def send(self, sent: Sent) -> None:
        """Translated at once; a superframe is none of its business."""
        for packet in self.translator.translate(sent.octets).packets:
            self._out.append((packet[0] >> 4, packet))

    def receive(self, timeout: float) -> list[Received]:
        """All that has come out; there is nothing to wait for."""
        found = list(self._out)
        self._out.clear()
        return found
