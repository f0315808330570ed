"""What a domain is told apart by, in a few letters: of the values that hold, however they were given."""

import hashlib
from dataclasses import fields

from nfxlat.xlat.domain import Domain

_LETTERS = 16


def digest(domain: Domain) -> str:
    """Hexadecimal digits of a SHA-256. Two domains that translate alike have the same one, but for the order in which
    mappings were read. A million EAMs take a tenth of a second."""
    found = hashlib.sha256()
    for one in fields(domain):
        if one.name != "eamt":
            found.update(f"{one.name}={getattr(domain, one.name)!r}\n".encode())
    for octets in domain.eamt.octets():
        found.update(len(octets).to_bytes(8, "big") + octets)
    return found.hexdigest()[:_LETTERS]
