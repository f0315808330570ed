"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

Strategy: 2^16 is 1 modulo 0xffff, so the one's complement sum of the 16-bit words of an octet string is the string,
read as one big integer, modulo 0xffff: one C call instead of a loop. That leaves zero with two faces, 0 and 0xffff. A
sum of words is 0 only where every word is 0, so the folded sum of anything else is held in 1..0xffff here.

Rules:
- A difference is never 0: neutral is 0xffff, which leaves every checksum but 0xffff alone, as RFC 1624 equation 3 does.
- Never `C - old + new` in two's complement: it fails between 0x0000 and 0xffff (RFC 1624 4).
- An update keeps a wrong checksum wrong: nothing is repaired on the way.
"""


def word_sum(data: bytes) -> int:
    """The one's complement sum of the 16-bit words of `data`, zero-padded: 0 if all are 0, else 1..0xffff."""
    value = int.from_bytes(data, "big")
    if len(data) & 1:
        value <<= 8
    return (value - 1) % 0xFFFF + 1 if value else 0


def fold(total: int) -> int:
    """A sum of words, not negative, folded to 16 bits: 0 stays 0, everything else comes to 1..0xffff."""
    return (total - 1) % 0xFFFF + 1 if total else 0


def internet_checksum(data: bytes, initial: int = 0) -> int:
    """The checksum of `data`, whose own field is zero; `initial` is the sum of a pseudo-header (RFC 1071 1)."""
    return 0xFFFF - fold(word_sum(data) + initial)


def is_valid(data: bytes, initial: int = 0) -> bool:
    """Whether the sum of `data`, checksum field included, and of a pseudo-header is 0xffff (RFC 1071 1)."""
    return fold(word_sum(data) + initial) == 0xFFFF


def difference(old: int, new: int) -> int:
    """The folded sum of `~old + new`, in 1..0xffff, from two folded sums: what `update` takes (RFC 1624 equation 3)."""
    return (new - old - 1) % 0xFFFF + 1


def update(checksum: int, delta: int) -> int:
    """`C' = ~(~C + ~m + m')` (RFC 1624 equation 3), with `delta` = `~m + m'` folded, 1..0xffff."""
    total = (checksum ^ 0xFFFF) + delta
    return ((total & 0xFFFF) + (total >> 16)) ^ 0xFFFF
