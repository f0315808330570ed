"""Rules as they are loaded. Golden files: tests/golden; a change to rules/ shows there too."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest

from nfxlat.nft.language import templates
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

GOLDEN = Path(__file__).parents[1] / "golden"
EAM = (IPv4Network("203.0.113.2"), IPv6Network("2001:db8:2::2"))


def domain(**changes: object) -> Domain:
    keys = {
        "name": "clat-1_a",
        "prefix6": IPv6Network("2001:db8:64::/96"),
        "pool4": (IPv4Network("198.51.100.0/24"),),
        "eamt": Eamt([EAM]),
        "rfc6791_v4": (IPv4Network("203.0.113.240/28"),),
    }
    return Domain(**(keys | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("role", templates.ROLES)
def test_rules_equal_the_golden_file(role: str) -> None:
    assert templates.rules(domain(), role) == (GOLDEN / f"rules-{role}.nft").read_text()


@pytest.mark.parametrize(
    ("name", "rules"), [("router4", 8), ("router6", 8), ("host", 8), ("route4", 8), ("route6", 8), ("device4", 1)]
)
def test_every_rule_has_a_comment_of_its_own(name: str, rules: int) -> None:
    lines = [line.strip() for line in templates.text(name).splitlines()]
    verdicts = [x for x in lines if x.split(" comment")[0].rpartition(" ")[2] in ("return", "drop") or "goto" in x]
    comments = [line.rpartition('comment "')[2] for line in verdicts]
    assert len(verdicts) >= rules
    assert all('comment "' in line for line in verdicts)
    assert len(set(comments)) == len(comments)


@pytest.mark.parametrize("name", ["router4", "router6", "host", "route4", "route6", "device4", "device6"])
def test_templates_never_bypass_the_queue(name: str) -> None:
    code = [line.partition("#")[0] for line in templates.text(name).splitlines()]
    assert not any("bypass" in line or "type nat" in line for line in code)


def test_an_empty_list_leaves_its_elements_out_and_keeps_the_set() -> None:
    text = templates.rules(domain(pool4=()), "router")
    native = text.partition("set native {")[2].partition("}")[0]
    assert native.split() == ["type", "ipv6_addr", "flags", "interval", "auto-merge"]


def test_in_the_device_model_nothing_is_queued() -> None:
    assert "queue" not in templates.rules(domain(), "device").replace("so nothing is queued", "")


def test_in_the_route_model_no_address_is_named() -> None:
    text = templates.rules(domain(), "route")
    code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert "198.51.100" not in code
    assert "2001:db8" not in code


def test_no_define_and_no_variable_is_left() -> None:
    assert "define" not in templates.rules(domain(), "router").replace("nfxlat fills in the defines", "")
    assert "$" not in templates.rules(domain(), "host")


def test_a_define_without_a_value_is_a_bug() -> None:
    with pytest.raises(KeyError):
        templates.render("define a = 1\n", "t", {})


def test_error_source_pools_are_not_intercepted() -> None:
    text = templates.rules(domain(), "router")
    assert "203.0.113.240" not in text
    assert "192.0.0.8" not in text
