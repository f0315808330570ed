"""Every key of a domain's configuration, declared once.

Parsing, rendering, the words of `nfxlat domain add`, flags, error messages, the manual page and the commented example
come from `KEYS`. A default is the field's own of `Domain`, so it has no second place where it could differ.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

from nfxlat.config import kinds
from nfxlat.config.kinds import Kind, noun
from nfxlat.errors import OperatorError
from nfxlat.xlat.domain import Domain

_DEFAULTS: Final[dict[str, Any]] = {field.name: field.default for field in fields(Domain)}


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `field` is the field of Domain that it sets; `eam` and `eam-file` set one together.

    `meaning` is for the manual, in sentences, the first of which stands alone. `many`: the value is an array of
    `kind`. `choices` are the words that a value may be, each with what it means;
    `by_default` says what an empty default means. `example` is as TOML has it.
    """

    name: str
    field: str
    kind: Kind
    meaning: str
    example: object
    source: str
    many: bool = False
    unit: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    by_default: str = ""  # what holds where the field is None

    @property
    def default(self) -> Any:
        """What the field is where the key is left out."""
        return _DEFAULTS[self.field]

    @property
    def type(self) -> str:
        """What the value is, as the operator reads it."""
        return f"array of {self.kind.plural}" if self.many else self.kind.name

    @property
    def summary(self) -> str:
        """The first sentence of the meaning, as help texts have it: no article, no capital, no full stop."""
        text = self.meaning.partition(". ")[0].removesuffix(".").removeprefix("The ")
        return text if text[:2].isupper() else text[0].lower() + text[1:]

    def line(self) -> str:
        """The example as TOML."""
        return f"{self.name} = {toml(self.example)}"

    def words(self) -> str:
        """The example as `nfxlat domain add` takes it."""
        return " ".join(in_words_of(self.name, self.example))

    def read(self, value: object, where: str) -> object:
        """The field's value from TOML's; `where` names the key's place in errors."""
        if not self.many:
            return self._one(value, where)
        array = self.array(value, where)
        return tuple(self._one(item, f"{where}[{index}]") for index, item in enumerate(array))

    def array(self, value: object, where: str) -> list[object]:
        """`value` as the array that it has to be, its items unread."""
        if not isinstance(value, list):
            expected = f"expected an array of {self.kind.plural}, got {noun(value)}"
            raise OperatorError(expected, where=where, hint=f"for example, {self.line()}")
        return value

    def _one(self, value: object, where: str) -> object:
        if not self.kind.fits(value):
            expected = f"expected {self.kind.expected}, got {noun(value)}"
            words = [f'"{word}"' for word, _ in self.choices if " " not in word]
            hint = f"use one of {', '.join(words)}" if words else f"for example, {self.line()}"
            raise OperatorError(expected, where=where, hint=hint)
        try:
            return self.kind.read(value)
        except OperatorError as error:
            raise OperatorError(error.what, where=where, hint=error.hint) from error


def toml(value: object) -> str:
    """A value as TOML: a list or tuple as an array, a number or truth value as it is, all else in quotes."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'


def in_words_of(name: str, value: object) -> list[str]:
    """A key and TOML's value of it as words on the command line, V4=V6 for a mapping."""
    values = value if isinstance(value, list) else [value]
    return [name, *("=".join(one) if isinstance(one, list) else toml(one).strip('"') for one in values)]


_DECLARED: Final = (
    Key(
        "prefix6",
        "prefix6",
        kinds.PREFIX6,
        "The IPv6 prefix that stands for all of IPv4: 192.0.2.1 becomes 2001:db8:64::192.0.2.1. Its length is 32, "
        "40, 48, 56, 64 or 96. Use a prefix of your own that is routed to this node, or the well-known prefix "
        "64:ff9b::/96. Without prefix6 only addresses with an EAM are translated.",
        "2001:db8:64::/96",
        "RFC 6052 2.2",
    ),
    Key(
        "eam",
        "eamt",
        kinds.PAIR,
        "Explicit address mappings: pairs of an IPv4 prefix and the IPv6 prefix that it becomes. The longest match "
        "wins, and mappings take precedence over prefix6. The IPv6 suffix must be at least as long as the IPv4 "
        "suffix. On the command line a mapping is written V4=V6.",
        [["192.0.2.2", "2001:db8::2"], ["192.0.2.128/25", "2001:db8:1::80/121"]],
        "RFC 7757 3",
        many=True,
    ),
    Key(
        "pool4",
        "pool4",
        kinds.PREFIX4,
        "IPv4 prefixes that stand for IPv6 hosts through prefix6. Rules and routes are made for them: packets to "
        "198.51.100.7 reach the IPv6 host 2001:db8:64::198.51.100.7. Needs prefix6.",
        ["198.51.100.0/24"],
        "RFC 7915 6, RFC 6052 2.4",
        many=True,
    ),
    Key(
        "eam-file",
        "eamt",
        kinds.FILE,
        "A file with explicit address mappings, in addition to eam. One mapping per line: an IPv4 prefix, white "
        "space and an IPv6 prefix; # starts a comment. A relative name starts from the directory of the "
        "configuration file. A million lines are fine.",
        "siit0.eam",
        "RFC 7757 3",
    ),
    Key(
        "denylist4",
        "denylist4",
        kinds.PREFIX4,
        "IPv4 prefixes that are never translated, in either direction. A packet is dropped if one of its IPv4 "
        "addresses, before or after translation, is in one of them.",
        ["10.0.0.0/8"],
        "RFC 7915 6",
        many=True,
    ),
    Key(
        "address4",
        "address4",
        kinds.ADDRESS4,
        "The IPv4 source address of ICMP errors that the translator itself sends. If it is left out, nfxlat run "
        "uses the address that the route to the receiver gives; offline, or if the node has none, it is 192.0.0.8.",
        "192.0.2.1",
        "RFC 6791 4, RFC 7600 4.8",
    ),
    Key(
        "address6",
        "address6",
        kinds.ADDRESS6,
        "The IPv6 source address of ICMPv6 errors that the translator itself sends. If it is left out, nfxlat run "
        "uses the address that the route to the receiver gives, but not a deprecated one; offline, or if the node has "
        "none, it is 192.0.0.8 inside prefix6.",
        "2001:db8::1",
        "RFC 4443 2.2",
    ),
    Key(
        "rfc6791-v4",
        "rfc6791_v4",
        kinds.PREFIX4,
        "IPv4 addresses that replace those of IPv6 routers without a mapping in ICMP errors. They appear in an "
        "IPv4 traceroute; an ICMP extension carries the router's IPv6 address. Without the pool all such routers "
        "appear as 192.0.0.8.",
        ["203.0.113.8/32"],
        "RFC 6791 3",
        many=True,
    ),
    Key(
        "rfc6791-v6",
        "rfc6791_v6",
        kinds.PREFIX6,
        "IPv6 addresses that replace those of IPv4 routers without a mapping in ICMPv6 errors. The mirror of "
        "rfc6791-v4, for domains without prefix6. Without the pool such errors are dropped.",
        ["2001:db8:6791::/96"],
        "the mirror of RFC 6791 3",
        many=True,
    ),
    Key(
        "lowest-ipv6-mtu",
        "lowest_ipv6_mtu",
        kinds.NUMBER,
        "The smallest path MTU on the IPv6 side. IPv4 packets without DF become IPv6 fragments of at most this "
        "size. Raise it only if every IPv6 path is known to carry more. At least 1280, at most 65535.",
        1400,
        "RFC 7915 4.1",
        unit="octets, of the whole IPv6 packet",
    ),
    Key(
        "mtu4",
        "mtu4",
        kinds.NUMBER,
        "The MTU to assume on the IPv4 side. Offline commands use it as the MTU of the next hop. nfxlat run asks "
        "the kernel instead, and uses this one for its own routes where the kernel has none (in the device model, the "
        "largest MTU of the node's links if that is more). At least 68, at most 65535.",
        1400,
        "RFC 7915 5.2",
        unit="octets, of the whole IPv4 packet",
    ),
    Key(
        "mtu6",
        "mtu6",
        kinds.NUMBER,
        "The MTU to assume on the IPv6 side. Offline commands use it as the MTU of the next hop. nfxlat run asks "
        "the kernel instead, and uses this one for its own routes where the kernel has none. At least 1280, at "
        "most 65535.",
        1480,
        "RFC 7915 4.2",
        unit="octets, of the whole IPv6 packet",
    ),
    Key(
        "mtu-plateaus",
        "mtu_plateaus",
        kinds.NUMBER,
        "The MTUs to choose from when an IPv4 router sends Fragmentation Needed without an MTU. The largest one "
        "below the length of the quoted packet is reported to the IPv6 sender. Each from 68 to 65535, in "
        "descending order.",
        [1492, 1006, 576],
        "RFC 7915 4.2, RFC 1191 7.1",
        many=True,
        unit="octets",
    ),
    Key(
        "udp-zero-checksum",
        "udp_zero_checksum",
        kinds.WORD,
        "What to do with IPv4 UDP datagrams without a checksum, which IPv6 does not allow.",
        "compute",
        "RFC 7915 4.5",
        choices=(
            ("drop", "drop them"),
            ("compute", "compute the checksum; fragments are dropped, since none of them contains the whole datagram"),
            ("forward", "translate them as they are, for tunnels whose receivers accept them (RFC 6936)"),
        ),
    ),
    Key(
        "well-known-prefix",
        "well_known_prefix",
        kinds.WORD,
        "Whether 64:ff9b::/96 as prefix6 may carry IPv4 addresses that are not global.",
        "lax",
        "RFC 6052 3.1, draft-ietf-v6ops-nat64-wkp-1918",
        choices=(
            ("strict", "no: private, documentation and other special addresses are dropped, and pool4 is refused"),
            ("lax", "yes, for networks whose NAT64 or PLAT reaches such addresses"),
        ),
        by_default='"strict", and "lax" with --role host',
    ),
    Key(
        "hairpin",
        "hairpin",
        kinds.WORD,
        "How IPv6 hosts with an EAM reach each other by their IPv4 addresses inside prefix6.",
        "simple",
        "RFC 7757 4.2",
        choices=(
            ("intrinsic", "in one pass: the packet stays IPv6"),
            ("simple", "to IPv4 and back, in two passes that lower the Hop Limit by one each; needs prefix6"),
            ("off", "such packets are dropped"),
        ),
    ),
    Key(
        "traffic-class",
        "traffic_class",
        kinds.WORD_OR_NUMBER,
        "What to write into Traffic Class and TOS. zero and a number write all eight bits, so they erase ECN too: a "
        "mark of congestion (CE) that a router has made is lost, and senders with ECN do not slow down. Use dscp-N to "
        "write DSCP alone.",
        "dscp-46",
        "RFC 7915 4.1, 5.1",
        choices=(
            ("copy", "the value of the original packet"),
            ("zero", "0, ECN too"),
            ("0 to 255", "this number, ECN too"),
            ("dscp-0 to dscp-63", "this DSCP, and ECN as it was"),
        ),
    ),
    Key(
        "reverse-path",
        "reverse_path",
        kinds.WORD,
        "Whether the rules check that a route leads back to the source of a packet that comes in. The rules take "
        "packets before the kernel's own check, which exists for IPv4 only.",
        "strict",
        "RFC 3704 2.2, 2.4",
        choices=(
            (
                "kernel",
                "IPv4 as the interface's rp_filter says (nfxlat run --setup follows it); none in IPv6 or in a VRF",
            ),
            ("strict", "both families: the route has to leave by the interface that the packet came in on"),
            ("loose", "both families: there has to be a route; not in a VRF"),
            ("off", "no check, whatever rp_filter says"),
        ),
    ),
    Key(
        "offload",
        "offload",
        kinds.BOOLEAN,
        "Whether packets between a pair of addresses are translated in the kernel, at ingress, after the first few. "
        "Recommended for routers: bulk TCP is two to three times as fast. Other chains at ingress, and at prerouting "
        "up to -450, no longer see these packets; nfxlat run names them when it starts. If the kernel cannot do it, "
        "one line says so, and everything goes through the queue. Without --setup, rules have to allow it: xlat to "
        "siit0 offload, see nfxlat-rules(8).",
        True,
        "nft(8), flowtables, for the model",
    ),
    Key(
        "vrf",
        "vrf",
        kinds.WORD,
        "The VRF whose packets are translated, by the name of its interface. The domain device, its routes and the "
        "translator's own packets are in that VRF, and the rules of nfxlat run --setup take only what comes in on its "
        "interfaces. Domains in different VRFs may translate the same addresses. Not with --role host, nor with "
        "--offload. A running translator keeps its VRF: restart it to change that.",
        "red",
        "Documentation/networking/vrf.rst of Linux",
        by_default="none: the main routing table",
    ),
    Key(
        "count-mappings",
        "count_mappings",
        kinds.BOOLEAN,
        "Whether packets and octets of each EAM and of prefix6 are always counted, for nfxlat stats --mappings. "
        "Otherwise they are counted only while somebody asks, and cost nothing at other times. Each mapping that has "
        "had a packet takes about 200 octets.",
        True,
        "specific to nfxlat",
    ),
)

KEYS: Final[dict[str, Key]] = {key.name: key for key in _DECLARED}
FLAGS: Final = ("prefix6", "eam", "pool4", "vrf")  # those that are flags of every command that takes a domain
