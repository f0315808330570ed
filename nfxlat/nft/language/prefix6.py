"""IPv6 prefixes as people write them: every fault of one, and what it was probably meant to be."""

import re
from ipaddress import AddressValueError, NetmaskValueError

from nfxlat import ipaddresses
from nfxlat.xlat import rfc6052

_GROUP = re.compile(r"[0-9A-Fa-f]{1,4}")


def prefix6_faults(text: str, *, translation: bool = True) -> list[str]:
    """Every fault of an IPv6 prefix as written, each a sentence's half; [] for a sound one.

    With `translation` it must be fit as prefix6 too (RFC 6052 2.2).
    """
    address, slash, length = text.partition("/")
    faults = []
    if "." in address and ":" not in address:
        return [f"{text} is an IPv4 prefix; prefix6 must be IPv6"]
    if address.count("::") > 1:
        faults.append(f"{address} has '::' more than once; only one is allowed (RFC 4291 2.2)")
    groups = [group for group in address.split(":") if group]
    head = groups[:-1] if groups and "." in groups[-1] else groups
    faults += [f"{group!r} is not a group of one to four hex digits" for group in head if not _GROUP.fullmatch(group)]
    if len(groups) > 8:
        faults.append(f"{address} has {len(groups)} groups of 16 bits; 8 at most")
    if not slash and translation:
        faults.append(f"{text} needs a length, such as /96")
    elif slash and not (length.isascii() and length.isdecimal() and int(length) <= 128):
        faults.append(f"/{length} is not a valid IPv6 prefix length")
    if faults:
        return faults
    try:
        network = ipaddresses.network6(text, strict=False)
    except (AddressValueError, NetmaskValueError, ValueError):
        return [f"{address} is not an IPv6 address"]
    if network.network_address != ipaddresses.address6(address):
        faults.append(f"{text} has bits set beyond its length (did you mean {network}?)")
    if translation and (what := rfc6052.fault(network)):
        faults.append(f"{what} (RFC 6052 2.2)")
    return faults


def meant_prefix6(text: str) -> str | None:
    """What a malformed prefix was probably meant to be: only its last '::' kept; None without a guess."""
    address, slash, length = text.partition("/")
    head, colons, tail = address.rpartition("::")
    guess = f"{head.replace('::', ':')}{colons}{tail}{slash}{length}"
    if guess == text or prefix6_faults(guess, translation=False):
        return None
    network = ipaddresses.network6(guess, strict=False)
    near_miss = network.prefixlen == 96 and network.network_address.packed[1] == 0x64 and str(network).count(":") == 3
    if near_miss and network != rfc6052.WELL_KNOWN_PREFIX:
        return f"{guess} (the well-known prefix is {rfc6052.WELL_KNOWN_PREFIX})"
    return guess
