"""Forward chains that drop what a router has translated, as Docker, ufw, firewalld and people write them."""

import pytest

from nfxlat.judgement import Finding
from nfxlat.nft.check.others import forwarding
from nfxlat.nft.language.scan import scan

DROP = "table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; %s }; %s }"
ACCEPT = DROP.replace("policy drop", "policy accept")
ZONES = """
table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD_ZONES {
        iifname "docker0" goto filter_FWD_docker
        %s
        goto filter_FWD_public
    }
    chain filter_FWD_docker {
        accept
    }
    chain filter_FWD_trusted {
        accept
    }
    chain filter_FWD_public {
        reject with icmpx admin-prohibited
    }
}
"""
FIREWALLD = """
table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority 10; policy accept;
        ct state { established, related } accept
        ct state invalid drop
        reject with icmpx admin-prohibited
    }
}
"""


def found(text: str, *, tracked: bool = False) -> list[Finding]:
    return list(forwarding(scan(text, "ruleset"), ["siit0"], ["siit0"] if tracked else []))


@pytest.mark.parametrize(
    "text",
    [
        DROP % ('iifname "siit0" counter packets 0 bytes 0 accept;', ""),
        DROP % ('iifname { "eth0", "siit0" } accept;', ""),
        DROP % ('iifname "siit*" accept;', ""),
        DROP % ('iifname vmap { "eth0" : drop, "siit0" : accept };', ""),
        DROP % ('iifname . oifname { "siit0" . "eth0" } accept;', ""),
        "define OURS = siit0\n" + DROP % ("iifname $OURS accept;", ""),
        DROP % ("counter packets 12 bytes 800 accept;", ""),
        DROP % ("jump mine;", 'chain mine { iifname "siit0" accept; }'),
        DROP % ("ct state established,untracked accept;", ""),
        ZONES % 'iifname "siit0" goto filter_FWD_trusted',
        ZONES % 'iifname vmap { "eth0" : drop, "siit*" : goto filter_FWD_trusted }',
        ZONES % "goto filter_FWD_trusted",
        (DROP % ("", "")).replace("{ chain", "{ flags dormant; chain", 1),
        ACCEPT % ("", ""),
        ACCEPT % ('iifname "eth0" drop;', ""),
        ACCEPT % ("jump mine;", "chain mine { drop; }"),  # nobody knows what the jump is reached by
        (DROP % ("", "")).replace("table ip", "table bridge"),
        (DROP % ("", "")).replace("hook forward", "hook input"),
    ],
)
def test_a_chain_that_may_accept_is_no_finding(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "code", "instead"),
    [
        (DROP % ("", ""), "forward-drop", 'nft insert rule ip filter FORWARD iifname "siit0" accept'),
        (ACCEPT % ("counter drop;", ""), "forward-drop", "nft insert rule ip filter FORWARD"),
        (ACCEPT % ("counter packets 0 bytes 0 reject;", ""), "forward-drop", "nft insert rule ip filter FORWARD"),
        (DROP % ('iifname "eth0" accept;', ""), "forward-drop", "nft insert rule ip filter FORWARD"),
        (DROP % ('iifname "lan0" oifname "siit0" accept;', ""), "forward-drop", "nft insert rule ip filter FORWARD"),
        (DROP % ('iifname != "siit0" accept;', ""), "forward-drop", "nft insert rule ip filter FORWARD"),
        (ACCEPT % ("ct state invalid drop;", ""), "stateful", "nft insert rule ip filter FORWARD"),
        (
            DROP % ("jump DOCKER-USER; ct state established accept;", "chain DOCKER-USER { }"),
            "stateful",
            "iptables -I DOCKER-USER -i siit0 -j ACCEPT",
        ),
        (
            (DROP % ("jump DOCKER-USER;", "chain DOCKER-USER { }")).replace("table ip", "table ip6"),
            "forward-drop",
            "ip6tables -I DOCKER-USER -i siit0 -j ACCEPT",
        ),
        (
            DROP % ("jump ufw-before-forward;", "chain ufw-before-forward { ct state established accept; }"),
            "stateful",
            "ufw route allow in on siit0",
        ),
        (
            ZONES % 'iifname "eth0" goto filter_FWD_trusted',
            "stateful",
            "firewall-cmd --zone=trusted --add-interface=siit0",
        ),
        (DROP % ('iif "lo" jump mine;', "chain mine { accept; }"), "forward-drop", "nft insert rule ip filter FORWARD"),
        (
            FIREWALLD,
            "stateful",
            "firewall-cmd --zone=trusted --add-interface=siit0",
        ),
    ],
    ids=lambda value: value[:30],
)
def test_a_chain_that_drops_is_told_in_the_words_of_who_made_it(text: str, code: str, instead: str) -> None:
    (finding,) = found(text)
    assert finding.code == code
    assert finding.instead.startswith(instead)


def test_the_device_model_is_forwarded_twice_and_tracked() -> None:
    (finding,) = found(DROP % ("ct state established accept;", ""), tracked=True)
    assert finding.code == "forward-drop"
    assert 'iifname "siit0" accept; ' in finding.instead
    assert 'oifname "siit0" accept' in finding.instead
    (finding,) = found(DROP % ('iifname "siit0" accept;', ""), tracked=True)
    assert finding.instead == 'nft insert rule ip filter FORWARD oifname "siit0" accept'
    both = 'iifname "siit0" accept; oifname "siit0" accept;'
    assert found(DROP % (both, ""), tracked=True) == []
    assert found(ACCEPT % ("ct state invalid drop;", ""), tracked=True) == []
