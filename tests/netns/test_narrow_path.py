"""An IPv4 path below 1260 octets is no black hole (Jool's issue 436).

host4 --- MTU 576 --- router4, which does not fragment --- translator --- router6 --- host6
"""

import pytest

from nfxlat.lab.capture import Capture
from nfxlat.lab.datagram import UdpEcho, exchange, path_mtu
from nfxlat.lab.netns import wait_for
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import HOST4_NARROW, HOST4_NARROW_6, HOST6, Lab
from nfxlat.lab.transfer import send_bulk, serving

NARROW = 576
TO_NARROW = bytes(map(int, HOST4_NARROW.split(".")))
# RFC 7915 5.1 counts on routers that cut what has DF=0; some do not, and many paths drop fragments
NO_FRAGMENTS = f"""table ip strict {{
    chain forward {{
        type filter hook forward priority 0;
        ip daddr {HOST4_NARROW} ip length > {NARROW} ip frag-off & 0x4000 == 0 counter drop
    }}
}}"""


@pytest.fixture
def narrow_lab(bare_lab: Lab) -> Lab:
    bare_lab.host4.ip(f"link set narrow mtu {NARROW}")
    bare_lab.router4.ip(f"link set narrow mtu {NARROW}")
    bare_lab.router4.run(["nft", NO_FRAGMENTS])
    return bare_lab


@pytest.mark.parametrize(
    "arguments",
    [(), ("--no-fast-path",), ("--inject", "ip"), ("--model", "device"), ("--model", "route")],
    ids=" ".join,
)
def test_what_an_error_says_is_learnt_and_held(narrow_lab: Lab, arguments: tuple[str, ...]) -> None:
    lab = narrow_lab
    with TranslatorProcess(lab.translator, lab.directory, *arguments), UdpEcho(lab.host4, HOST4_NARROW) as echo:
        assert not lab.host6.call(exchange, HOST4_NARROW_6, echo.port, 1200, HOST6, timeout=0.5).ok  # the black hole
        assert lab.host6.call(path_mtu, HOST4_NARROW_6, 9, HOST6).mtu == 1280  # which IPv6 cannot be told of
        with Capture(lab.translator, "to-r4") as capture:
            assert lab.host6.call(exchange, HOST4_NARROW_6, echo.port, 1200, HOST6).ok
            sizes = [len(seen) for seen in capture.drain() if seen[16:20] == TO_NARROW]
        assert len(sizes) == 3
        assert max(sizes) <= NARROW


@pytest.mark.parametrize("arguments", [(), ("--model", "device")], ids=" ".join)
def test_tcp_in_superframes_holds_it_too(narrow_lab: Lab, arguments: tuple[str, ...]) -> None:
    lab = narrow_lab
    lab.translator.ip("link set to-r4 gso_max_segs 1 gso_max_size 600")  # router4 judges segments, as behind a wire
    with TranslatorProcess(lab.translator, lab.directory, *arguments) as process:
        assert lab.host6.call(path_mtu, HOST4_NARROW_6, 9, HOST6).mtu == 1280
        with serving(lab.host4, 1 << 20) as server:

            def crosses() -> bool:
                """A busy machine may spend all of the time on the first octets."""
                return lab.host6.call(send_bulk, HOST4_NARROW_6, server, 0.5, HOST6).octets > 1 << 20

            wait_for(crosses, "more than a MiB in half a second")
        assert process.summary()["totals"]["superframes"] > 0
        dropped = lab.router4.run(["nft", "list", "table", "ip", "strict"]).stdout
        assert "packets 0 " in dropped
