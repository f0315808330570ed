"""nfxlat: stateless IPv4/IPv6 translation (SIIT, RFC 7915) as an nftables action."""

__version__ = "0.1.0"
