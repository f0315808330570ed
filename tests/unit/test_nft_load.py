"""What libnftables complains of, in one line."""

import os
import sys

import pytest

from nfxlat.errors import OperatorError
from nfxlat.nft.kernel import load


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("internal:0:0-0: Error: Could not process rule: File exists\n", "Could not process rule: File exists"),
        ("<cmdline>:1:6-6: Error: syntax error\nbogus\n^^\n", "syntax error"),
        ("netlink: Error: cache initialization failed: Operation not permitted\n", "cache initialization failed: Op"),
        ("", "refused, no reason given"),
    ],
)
def test_a_complaint_is_its_first_line_without_position(error: str, line: str) -> None:
    assert load.complaint(error).startswith(line)
    assert "\n" not in load.complaint(error)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        ("Message too long\n", "net.core.wmem_default"),
        ("No such file or directory\n\t\tmeta l4proto udp tproxy to :9\n\t\t^^^^^^\n", "CONFIG_NFT_TPROXY"),
    ],
)
def test_a_complaint_that_does_not_speak_for_itself_gets_a_hint(
    monkeypatch: pytest.MonkeyPatch, error: str, hint: str
) -> None:
    class Bindings:
        def set_dry_run(self, on: bool) -> None:
            pass

        def cmd(self, commands: str) -> tuple[int, str, str]:
            return 1, "", f"internal:0:0-0: Error: Could not process rule: {error}"

    monkeypatch.setattr(load, "_bindings", Bindings)
    with pytest.raises(OperatorError, match=error.partition("\n")[0]) as caught:
        load.run("add table ip t")
    assert hint in str(caught.value)


def test_missing_bindings_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nftables", None)
    with pytest.raises(OperatorError, match="not installed") as caught:
        load.run("list tables")
    assert "python3-nftables" in str(caught.value)


def test_what_libxtables_writes_while_all_is_listed_stays_off_standard_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(commands: str) -> str:
        os.write(2, b"XT target NFQUEUE not found\n")
        return commands

    monkeypatch.setattr(load, "run", run)
    assert load.ruleset() == "list ruleset"
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"
