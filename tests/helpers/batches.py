"""Packets as a worker meets them: what the fast path takes, what the core does, and what nobody translates."""

from hypothesis import strategies as st
from plain_packets import packets
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6

from nfxlat.datapath.source import Kind
from nfxlat.wire.nfqueue import LOCAL_OUT, POSTROUTING, PREROUTING

GUARD = 9
OTHERS = [  # what only the core translates, and what nobody does
    bytes(IP(src="192.0.2.2", dst="203.0.113.2", options=[b"\x01"] * 4) / UDP() / b"options"),
    bytes(IP(src="192.0.2.2", dst="203.0.113.2") / ICMP() / b"echo"),
    bytes(IP(src="192.0.2.2", dst="203.0.113.2", flags="MF") / UDP() / bytes(16)),
    bytes(IPv6(src="2001:db8:2::2", dst="2001:db8:64::c000:202") / ICMPv6EchoRequest(data=b"echo")),
    bytes(IPv6(src="2001:db8:ffff::1", dst="2001:db8:ffff::2") / UDP() / b"not ours"),
    b"",
    b"\x99neither family",
]

packet = st.one_of(packets(), packets(), packets(), st.sampled_from(OTHERS))
kind = st.builds(
    Kind,
    st.sampled_from([PREROUTING, PREROUTING, LOCAL_OUT, POSTROUTING]),
    st.sampled_from([0, 2, 2, 2, 3, GUARD]),
    st.just(0),
    st.sampled_from([True] * 7 + [False]),
)
