"""ICMPv6 errors to a CLAT's address that is its host's own too: those about its native IPv6 reach it."""

import errno
import socket

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6

from nfxlat.lab.capture import send_packet
from nfxlat.lab.netns import wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import ROUTER6, TRANSLATOR, Lab

OWN, NATIVE = TRANSLATOR[1], ROUTER6[1]


@pytest.mark.parametrize("run_arguments", [(), ("--no-fast-path",)], ids=["fast", "core"])
@pytest.mark.parametrize("source", [ROUTER6[0], "2001:db8:f::1", OWN], ids=["router", "unrouted", "own, by lo"])
def test_an_error_about_native_ipv6_reaches_the_socket(
    bare_lab: Lab, run_arguments: tuple[str, ...], source: str
) -> None:
    lab = bare_lab
    arguments = ("--role", "host", "--prefix6", "2001:db8:64::/96", "--eam", f"192.0.0.1={OWN}", *run_arguments)
    with TranslatorProcess(lab.translator, lab.directory, *arguments) as process:
        with lab.translator.entered():
            native = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with native:
            native.connect((NATIVE, 7777))
            native.setblocking(False)
            quote = IPv6(src=OWN, dst=NATIVE) / UDP(sport=native.getsockname()[1], dport=7777) / b"native"
            error = bytes(IPv6(src=source, dst=OWN) / ICMPv6DestUnreach(code=4) / quote)
            sender = lab.translator if source == OWN else lab.router6
            sender.call(send_packet, error, OWN)
            wait_for(lambda: native.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED, "the error")
        assert process.summary()["reasons"].get("not_ours", {}) == ({} if source == OWN else {"6to4": 1})
