"""How addresses and prefixes may be written in a configuration (RFC 6052 2.4, RFC 7757 3.1)."""

from ipaddress import IPv4Network, IPv6Network

from nfxlat import config


# canonical text and dotted quad name the same prefix
def test_a_prefix_may_be_written_with_a_dotted_quad() -> None:
    (dotted,) = config.parse('[domain.a]\nprefix6 = "2001:db8:64::0.0.0.0/96"', "a").domains
    assert dotted.prefix6 == IPv6Network("2001:db8:64::/96")
    eam = config.parse('[domain.a]\neam = [["192.0.2.1", "2001:db8::192.0.2.1"]]', "a").domains[0].eamt
    assert list(eam) == [(IPv4Network("192.0.2.1"), IPv6Network("2001:db8::c000:201"))]


# E-01: a length that is left out
def test_an_eam_without_lengths_is_one_address_each() -> None:
    text = '[domain.a]\neam = [["192.0.2.1", "2001:db8::1"], ["192.0.2.2/32", "2001:db8::2/128"]]'
    lengths = {(v4.prefixlen, v6.prefixlen) for v4, v6 in config.parse(text, "a").domains[0].eamt}
    assert lengths == {(32, 128)}
