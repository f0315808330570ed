"""The parsers under the fuzzer: configuration, captures, explanations and what `nfxlat.wire` reads.

What is wrong with a file or a text is one `OperatorError`; octets of packets never raise.
"""

import contextlib
import json
from io import BytesIO
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import fuzz_core

from nfxlat import config
from nfxlat.errors import OperatorError
from nfxlat.offline.capture import Capture
from nfxlat.offline.packet import explain_packet
from nfxlat.offline.translation import DIRECTION_OF_VERSION, Counts, judge
from nfxlat.outcome import Action
from nfxlat.wire import btf, fragment, icmp, ipv4, ipv6, netlink, stamp, transport
from nfxlat.wire.checksum import internet_checksum, is_valid
from nfxlat.xlat.prefixes import clat4, clat6, native6, terminal4, terminal6, texts
from nfxlat.xlat.translator import Translator

_RECORDS = 8  # of a capture that are looked at
_FOLDER = TemporaryDirectory(prefix="nfxlat-fuzz-")
_EAM_FILE = Path(_FOLDER.name, "siit.eam")


def _one_line(error: OperatorError) -> None:
    """What the operator sees: one line that begins with the place."""
    assert str(error).startswith("fuzz.") or _FOLDER.name in str(error)
    assert "\n" not in str(error)


def explain(data: bytes) -> None:
    """The core's outcome, and its explanation as text and as JSON."""
    case = fuzz_core.shaped(data)
    if case is None:
        return
    outcome = fuzz_core.run(case)
    direction = DIRECTION_OF_VERSION.get(case.packet[0] >> 4) if case.packet else None
    explanation = explain_packet(fuzz_core.TRANSLATORS[case.which].addresses, case.packet, direction, outcome)
    assert explanation.lines(1)
    json.dumps(explanation.as_json(1))
    if outcome.action is not Action.TRANSLATED:
        assert explanation.why, "no reason is told"


def capture(data: bytes) -> None:
    """A capture file, its frames translated and explained."""
    translator = fuzz_core.TRANSLATORS[0]
    counts = Counts()
    try:
        for number, record in enumerate(islice(Capture(BytesIO(data), "fuzz.pcap"), _RECORDS), 1):
            judgement = judge(translator, record, number)
            counts.add(judgement)
            assert all(isinstance(frame, bytes) for frame in judgement.frames())
            json.loads(judgement.as_json())
            explain_packet(translator.addresses, judgement.packet, judgement.direction, judgement.outcome).lines(1)
    except OperatorError as error:
        _one_line(error)
    counts.rows()


def configuration(data: bytes) -> None:
    """A configuration; what stands behind the first NUL is the file siit.eam beside it."""
    text, _, eam = data.partition(b"\0")
    if b"eam-file" in text:
        _EAM_FILE.write_bytes(eam)
    try:
        built = config.parse(text.decode(errors="replace"), "fuzz.toml", _FOLDER.name)
    except OperatorError as error:
        _one_line(error)
        return
    for domain in built.domains:
        rendered = config.parse(config.render(domain), "again.toml").domains
        assert rendered == (domain,), "render does not read back"
        for networks in (terminal4(domain), terminal6(domain), native6(domain), clat4(domain), clat6(domain)):
            texts(networks)
        for source, destination in ((0, 2), (2, 0)):
            Translator(domain).template(fuzz_core.HOSTS4[source] + fuzz_core.HOSTS4[destination])
            Translator(domain).template(fuzz_core.HOSTS6[source] + fuzz_core.HOSTS6[destination])


def wire(data: bytes) -> None:
    """Everything of `nfxlat.wire` that reads octets; the first octet selects."""
    if not data:
        return
    _WIRE[data[0] % len(_WIRE)](data[1:])


def _options(data: bytes) -> None:
    assert ipv4.source_route(data[:40]) in (True, False, None)


def _chain(data: bytes) -> None:
    packet = bytes((0x60, 0, 0, 0)) + data.ljust(36, b"\0")
    for end in (len(packet), 40 + (len(packet) - 40) // 2):
        chain = ipv6.walk(packet, end)
        assert 40 <= chain.offset <= end
        assert (chain.segments_left == 0) or 40 < chain.segments_left < end
        assert chain.fault or chain.protocol not in ipv6.CHAINED or (chain.fragment or 0) >> 3


def _extension(data: bytes) -> None:
    split, room, unit = (data[0] * 4, 128 + data[1] * 8, 8 if data[2] & 1 else 4) if len(data) > 2 else (0, 128, 4)
    quote, extension = data[3 : 3 + split], data[3 + split :]
    added = icmp.append_object(extension, icmp.node_identification(bytes(15) + b"\1"))
    assert added.startswith(extension[:2])
    if extension[2:4] != b"\0\0" and added != extension:
        assert is_valid(extension) == is_valid(added) or not extension, "a broken extension was repaired"
    for each in (extension, added):
        laid, length = icmp.lay_out(quote, each, unit, room)
        assert len(laid) <= room
        if length:
            assert length * unit >= 128
            assert laid[length * unit :] == each, "the extension does not follow the quote"
            assert laid.startswith(quote[: length * unit])


def _pieces(data: bytes) -> None:
    if len(data) < 6:
        return
    length, limit, word = (int.from_bytes(data[at : at + 2], "big") for at in (0, 2, 4))
    limit, offset, more = max(8, limit), word & 0x1FFF, bool(word & 0x2000)
    fragment.is_bad(offset, more, length)
    found = list(fragment.pieces(length, limit, offset, more))
    assert [piece.start for piece in found] == [0, *(piece.end for piece in found[:-1])]
    assert found[-1].end == length
    assert all(piece.end - piece.start <= limit for piece in found)
    assert all(piece.offset == offset + piece.start // 8 for piece in found)
    assert [piece.more for piece in found] == [True] * (len(found) - 1) + [more]


def _type_information(data: bytes) -> None:
    found = btf.member_places(data, "sk_buff", ("gso_size", "gso_type"))
    assert found is None or len(found) == 2


def _answer(data: bytes) -> None:
    with contextlib.suppress(netlink.Malformed):
        for kind, _, _, body in netlink.messages(data):
            if kind == netlink.NLMSG_ERROR:
                netlink.errno_of(body)
            assert len(dict(netlink.attributes(body))) <= len(body) // 4


def _priority(data: bytes) -> None:
    value = int.from_bytes(data[:4], "big")
    assert 0 <= stamp.gso_size_of(value) <= stamp.MAX_GSO_SIZE
    assert not stamp.is_udp(value) or value >> 17 == stamp.MAGIC >> 17


def _udp(data: bytes) -> None:
    if len(data) >= 8:
        made = transport.compute_udp_checksum(data, 0x1234)
        if made is not None:
            length = int.from_bytes(data[4:6], "big")
            assert internet_checksum(made[:length], 0x1234 + length + 17) == 0
            assert made[6:8] != b"\0\0"
    for protocol in (6, 17, 33, 136, 132):
        assert len(transport.update_checksum(protocol, data, 0x4321)) == len(data)


_WIRE = (_options, _chain, _extension, _pieces, _type_information, _answer, _priority, _udp)
