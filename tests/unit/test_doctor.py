"""The doctor's judgement of kernels that this machine does not have."""

from dataclasses import replace
from pathlib import Path

import pytest

from nfxlat.errors import OperatorError
from nfxlat.host import capabilities, interfaces, sysctl
from nfxlat.host.interfaces import Interface
from nfxlat.nft.kernel import load
from nfxlat.service import doctor, probes, trial
from nfxlat.service.confinement import confinement
from nfxlat.service.diagnosis import Diagnosis, State
from nfxlat.service.probes import Kernel

SOUND = Kernel(
    queue="",
    tables="",
    rule_path="native",
    expressions=dict.fromkeys(probes.EXPRESSIONS, ""),
    veth="",
    udp_l4=True,
    stamp="tcx",
    stamp_udp=True,
    offload="TCP and UDP",
    offload_lack="",
)


def judged(monkeypatch: pytest.MonkeyPatch, kernel: Kernel) -> dict[str, Diagnosis]:
    monkeypatch.setattr(probes, "kernel", lambda: kernel)
    return {finding.what: finding for finding in doctor._kernel()}


def test_a_sound_kernel_has_nothing_to_be_said_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, SOUND)
    assert {finding.state for finding in found.values()} == {State.OK}
    assert not any(finding.remedy for finding in found.values())
    assert doctor.can_run(list(found.values()))


@pytest.mark.parametrize(
    ("change", "what", "state", "remedy"),
    [
        ({"queue": "the kernel has no NFQUEUE"}, "NFQUEUE", State.FATAL, "modprobe nfnetlink_queue"),
        ({"tables": "no bindings"}, "nftables", State.FATAL, "python3-nftables"),
        ({"rule_path": None}, "queue rule", State.FATAL, "nft_queue"),
        ({"veth": "Operation not supported"}, "veth", State.MISSING, "--inject ip"),
        ({"expressions": {"fib": "no"}}, "nft fib", State.MISSING, "modprobe nft_fib"),
        ({"expressions": {"jhash": "no"}}, "nft jhash", State.NOTE, "modprobe nft_jhash"),
        ({"stamp": None, "stamp_udp": False}, "stamp of gso_size", State.NOTE, "CAP_BPF"),
        ({"udp_l4": False}, "UDP superframes", State.NOTE, "Linux 6.2"),
        ({"stamp_udp": False}, "UDP superframes", State.NOTE, "CAP_PERFMON"),
        ({"offload": "TCP"}, "offload", State.NOTE, "CAP_PERFMON"),
        ({"offload": "", "offload_lack": "Operation not permitted"}, "offload", State.NOTE, "CAP_BPF"),
    ],
)
def test_each_lack_is_told_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, object], what: str, state: State, remedy: str
) -> None:
    found = judged(monkeypatch, replace(SOUND, **change))  # type: ignore[arg-type]
    assert found[what].state == state
    assert remedy in found[what].remedy
    assert doctor.can_run(list(found.values())) == (state is not State.FATAL)


def test_the_compat_target_is_as_good_as_the_native_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, replace(SOUND, rule_path="compat"))["queue rule"]
    assert (found.state, found.found) == (State.OK, "compat target NFQUEUE")


def test_without_a_namespace_to_try_in_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Kernel:
        raise OperatorError("cannot create a network namespace: Operation not permitted")

    monkeypatch.setattr(probes, "kernel", refuse)
    (found,) = doctor._kernel()
    assert found.state is State.UNKNOWN


def test_forwarding_that_setup_cannot_turn_on_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysctl, "read", lambda key: "0")
    monkeypatch.setattr(sysctl, "writable", lambda key: True)
    assert {one.state for one in doctor._forwarding() if "forwarding" in one.what} == {State.NOTE}
    monkeypatch.setattr(sysctl, "writable", lambda key: False)
    found = [one for one in doctor._forwarding() if "forwarding" in one.what]
    assert {one.state for one in found} == {State.MISSING}
    assert all("--sysctl" in one.remedy for one in found)


@pytest.mark.parametrize(
    ("refused", "buffer", "told"),
    [
        ("", 128 << 20, {"--setup": State.OK, "user namespace": State.OK}),
        ("no veth", 212992, {"--setup": State.MISSING, "user namespace": State.NOTE}),
    ],
)
def test_what_a_container_leaves_is_told(
    monkeypatch: pytest.MonkeyPatch, refused: str, buffer: int, told: dict[str, State]
) -> None:
    monkeypatch.setattr(trial, "refusal", lambda: refused)
    monkeypatch.setattr(trial, "in_user_namespace", lambda: True)
    monkeypatch.setattr(trial, "receive_buffer", lambda wanted: buffer)
    found = list(confinement())
    assert {one.what: one.state for one in found} == told
    assert any("104 KB" in one.found for one in found) == (buffer == 212992)
    monkeypatch.setattr(trial, "in_user_namespace", lambda: False)
    assert [one.what for one in confinement()] == ["--setup"]


def test_flow_offload_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = "table inet f {\n\tflowtable fast {\n\t\thook ingress priority filter\n\t}\n}\n"
    monkeypatch.setattr(capabilities, "missing", lambda *names: [])
    monkeypatch.setattr(load, "run", lambda commands: listed)
    found = {finding.what: finding for finding in doctor._neighbours()}["flow offload"]
    assert (found.state, found.found) == (State.NOTE, "flowtable fast")


@pytest.mark.parametrize(("family", "key"), [("IPv4", "net/ipv4/ip_forward"), ("IPv6", "net/ipv6/conf/all/forwarding")])
def test_a_host_with_one_family_only_cannot_translate(monkeypatch: pytest.MonkeyPatch, family: str, key: str) -> None:
    present = sysctl.read
    monkeypatch.setattr(sysctl, "read", lambda asked: None if asked == key else present(asked))
    found = {finding.what: finding for finding in doctor._forwarding()}[f"{family} forwarding"]
    assert (found.state, found.found) == (State.FATAL, f"no {family}")


def test_a_vrf_with_interfaces_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    links = [
        Interface(1, "lo", 9, "", 0, 0),
        Interface(2, "red", 1, "vrf", 0, 0),
        Interface(3, "blue", 1, "vrf", 0, 0),
        Interface(4, "eth0", 1, "", 2, 0),
    ]
    monkeypatch.setattr(interfaces, "listed", lambda: {link.index: link for link in links})
    found = list(doctor._vrfs({"blue"}))
    assert [(one.what, one.found) for one in found] == [("VRF red", "with eth0")]
