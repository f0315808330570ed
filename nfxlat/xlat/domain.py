"""One named translator configuration, checked when it is made. `nfxlat.config` builds it from TOML or flags."""

import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Literal, get_args

from nfxlat.errors import OperatorError
from nfxlat.xlat import rfc6052
from nfxlat.xlat.eamt import Eamt
from nfxlat.xlat.special import MARTIANS6, martian_name, martian_range
from nfxlat.xlat.traffic_class import octets

UdpZeroChecksum = Literal["drop", "compute", "forward"]
WellKnownPrefix = Literal["strict", "lax"]
Hairpin = Literal["intrinsic", "simple", "off"]
ReversePath = Literal["kernel", "strict", "loose", "off"]

MTU_PLATEAUS: Final = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)  # RFC 1191 7.1
MAX_MTU: Final = 65535
MIN_MTU4: Final = 68  # RFC 791 3.2
MIN_MTU6: Final = 1280  # RFC 8200 5

_NO_EAMT = Eamt()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,14}")  # IFNAMSIZ 16; linux/net/core/dev.c, dev_valid_name()
_TAKEN_NAMES = ("lo", "all", "default")  # "all" and "default" are no devices in /proc/sys/net/*/conf
_DEVICE = re.compile(r"[^\s/:\"]{1,15}")  # of somebody else's, as nft can have it in quotes


@dataclass(frozen=True, slots=True)
class Domain:
    """A translation domain. MTUs in octets, of whole IP packets; `None` for mtu4 or mtu6: not known.

    Raises OperatorError, `where` being the dotted configuration key, e.g. `domain.siit0.prefix6`.
    """

    name: str = "siit0"  # of the network device too
    prefix6: IPv6Network | None = None  # RFC 6052 2.2
    eamt: Eamt = _NO_EAMT  # RFC 7757
    pool4: tuple[IPv4Network, ...] = ()  # stand for IPv6 hosts through prefix6; rules and routes are made for them
    denylist4: tuple[IPv4Network, ...] = ()  # never on the IPv4 side of any mapping
    address4: IPv4Address | None = None  # source of the translator's own ICMP errors
    address6: IPv6Address | None = None
    rfc6791_v4: tuple[IPv4Network, ...] = ()  # sources of ICMP errors from IPv6 nodes without a mapping
    rfc6791_v6: tuple[IPv6Network, ...] = ()  # the mirror case
    lowest_ipv6_mtu: int = MIN_MTU6  # RFC 7915 4.1: limit for IPv4 packets with DF=0
    mtu4: int | None = 1500
    mtu6: int | None = 1500
    mtu_plateaus: tuple[int, ...] = MTU_PLATEAUS
    udp_zero_checksum: UdpZeroChecksum = "drop"
    well_known_prefix: WellKnownPrefix | None = None  # None: strict, or lax in the host role
    hairpin: Hairpin = "intrinsic"
    traffic_class: str | int = "copy"  # nfxlat.xlat.traffic_class
    reverse_path: ReversePath = "kernel"  # of rules: RFC 3704 2.2, 2.4
    offload: bool = False  # of rules: their decisions may be repeated at ingress, in the kernel
    count_mappings: bool = False  # always, not only while somebody asks
    vrf: str | None = None  # the VRF whose packets are translated; None: those of no VRF

    def __post_init__(self) -> None:
        self._check_name()
        self._check_prefix6()
        self._check_addresses()
        self._check_mtus()
        self._check_choices()
        self._check_vrf()

    @property
    def strict_well_known_prefix(self) -> bool:
        """Whether prefix6 is 64:ff9b::/96 and RFC 6052 3.1 is held. 64:ff9b:1::/48 is free (RFC 8215)."""
        return self.well_known_prefix != "lax" and self.prefix6 == rfc6052.WELL_KNOWN_PREFIX

    def as_host(self) -> "Domain":
        """As a CLAT has it, which translates to what its PLAT reaches (draft-ietf-v6ops-nat64-wkp-1918), if it is not
        told otherwise."""
        return replace(self, well_known_prefix="lax") if self.well_known_prefix is None else self

    def _fault(self, key: str, what: str, hint: str = "") -> OperatorError:
        return OperatorError(what, where=f"domain.{self.name}.{key}" if key else f"domain.{self.name}", hint=hint)

    def _check_name(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN_NAMES:
            raise OperatorError(
                f"{self.name!r} cannot be a domain name: it also names a network device",
                where="domain",
                hint="use 1 to 15 letters, digits, '-' or '_', starting with a letter or digit; not lo, all or default",
            )

    def _check_prefix6(self) -> None:
        if self.prefix6 is None:
            if not len(self.eamt):
                raise self._fault("", "nothing can be translated without prefix6 or an EAM", "set prefix6 or eam")
            if self.pool4:
                raise self._fault("pool4", "pool4 needs prefix6, which is not set", "set prefix6")
            if self.hairpin == "simple":  # RFC 7757 4.2.1: every IPv4 source is mapped by prefix6
                raise self._fault("hairpin", '"simple" needs prefix6, which is not set', "set prefix6")
            return
        if what := rfc6052.fault(self.prefix6):
            raise self._fault("prefix6", what, "see RFC 6052 2.2")
        for martian, use in MARTIANS6.items():
            if self.prefix6.overlaps(martian):
                raise self._fault(
                    "prefix6", f"{self.prefix6} overlaps {martian} ({use})", "use a prefix of your own network"
                )
        if self.strict_well_known_prefix and self.pool4:  # RFC 6052 3.1
            raise self._fault(
                "pool4",
                "64:ff9b::/96 must not be used for IPv6 hosts",
                'use a prefix6 of your own, or EAMs for the hosts, or well-known-prefix = "lax"',
            )

    def _check_addresses(self) -> None:
        for key, networks4 in (("pool4", self.pool4), ("rfc6791-v4", self.rfc6791_v4)):
            for index, network4 in enumerate(networks4):
                if name := martian_range(network4):
                    raise self._fault(f"{key}[{index}]", f"{network4} is in {name}, which is never translated")
                for denied in self.denylist4:
                    if network4.subnet_of(denied):
                        raise self._fault(f"{key}[{index}]", f"{network4} is in {denied} of denylist4")
        for index, network6 in enumerate(self.rfc6791_v6):
            if name := martian_range(network6):
                raise self._fault(f"rfc6791-v6[{index}]", f"{network6} is in {name}, which is never translated")
        for key, address in (("address4", self.address4), ("address6", self.address6)):
            if address is not None and (name := martian_name(address)):
                raise self._fault(key, f"{address} is in {name}, which is never translated")

    def _check_mtus(self) -> None:
        for key, value, lowest in (
            ("lowest-ipv6-mtu", self.lowest_ipv6_mtu, MIN_MTU6),
            ("mtu4", self.mtu4, MIN_MTU4),
            ("mtu6", self.mtu6, MIN_MTU6),
        ):
            if value is not None and not lowest <= value <= MAX_MTU:
                raise self._fault(key, f"{value} is out of range", f"{lowest} to {MAX_MTU}")
        plateaus = self.mtu_plateaus
        if not plateaus:
            raise self._fault("mtu-plateaus", "is empty", "leave it out to use the plateaus of RFC 1191 7.1")
        for index, plateau in enumerate(plateaus):
            if not MIN_MTU4 <= plateau <= MAX_MTU:
                raise self._fault(f"mtu-plateaus[{index}]", f"{plateau} is out of range", f"{MIN_MTU4} to {MAX_MTU}")
            if index and plateau >= plateaus[index - 1]:
                raise self._fault(
                    f"mtu-plateaus[{index}]",
                    f"{plateau} is not below {plateaus[index - 1]}",
                    "sort them in descending order",
                )

    def _check_vrf(self) -> None:
        if self.vrf is None:
            return
        if not _DEVICE.fullmatch(self.vrf) or self.vrf in (*_TAKEN_NAMES, self.name, ".", ".."):
            hint = "give its interface's name, such as red"
            raise self._fault("vrf", f"{self.vrf!r} cannot be the name of a VRF", hint)
        if self.reverse_path == "loose":
            hint = 'use "strict", which looks by the interface, or "off"'
            raise self._fault(
                "reverse-path", '"loose" cannot be had in a VRF: many kernels would look in the main table', hint
            )

    def _check_choices(self) -> None:
        for key, value, choices in (
            ("udp-zero-checksum", self.udp_zero_checksum, get_args(UdpZeroChecksum)),
            ("well-known-prefix", self.well_known_prefix, get_args(WellKnownPrefix)),
            ("hairpin", self.hairpin, get_args(Hairpin)),
            ("reverse-path", self.reverse_path, get_args(ReversePath)),
        ):
            if value is not None and value not in choices:
                raise self._fault(key, f"invalid value {value!r}", f"use {', '.join(choices[:-1])} or {choices[-1]}")
        if octets(self.traffic_class) is None:
            hint = "use copy, zero, 0 to 255, or dscp-0 to dscp-63"
            raise self._fault("traffic-class", f"invalid value {self.traffic_class!r}", hint)
