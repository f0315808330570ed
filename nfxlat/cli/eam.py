"""`nfxlat eam`: mappings of a running translator, changed while it runs."""

import argparse
import io
import sys
from contextlib import ExitStack
from pathlib import Path

from nfxlat.cli.translators import only_line
from nfxlat.errors import OperatorError
from nfxlat.service import eam_file

LARGEST = 1 << 28  # octets of a list: some eight million mappings


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "eam",
        help="add, delete and list explicit mappings of a running translator",
        description="Explicit address mappings (RFC 7757) of a running translator, changed while it runs. A list is "
        "taken as a whole or not at all, after the same checks as a reload; routes and the rules' sets follow. "
        "Needs root.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for do, text in (("add", "add mappings"), ("del", "delete mappings")):
        verb = verbs.add_parser(
            do,
            help=text,
            description=f"{text[0].upper()}{text[1:]}, all of them or none. Unless it is saved, the change is lost "
            "at the next reload or restart, which reads the files again.",
        )
        verb.add_argument(
            "words",
            nargs="+",
            metavar="V4 V6",
            help="IPv4 prefix and IPv6 prefix, also as V4=V6; - reads a list like an eam-file from stdin",
        )
        how = verb.add_mutually_exclusive_group()
        how.add_argument("--save", action="store_true", help="change the eam-file of the configuration too")
        how.add_argument("--runtime", action="store_true", help="only in memory (default)")
        verb.set_defaults(run=_change, do=do)
    listed = verbs.add_parser(
        "list", help="list mappings", description="List all mappings, one pair on a line, in the form of an eam-file."
    )
    listed.set_defaults(run=_list)
    for verb in verbs.choices.values():
        verb.add_argument("--domain", metavar="NAME", help="domain (default: the only one that runs)")


def _list(arguments: argparse.Namespace) -> int:
    with only_line(arguments.domain) as line:
        _, text = line.ask("eam", do="list")
    sys.stdout.write(text)
    return 0


def _change(arguments: argparse.Namespace) -> int:
    do, (text, source) = arguments.do, _given(arguments.words)
    with ExitStack() as stack:
        line = stack.enter_context(only_line(arguments.domain))
        saved = ""
        if arguments.save:
            answer, _ = line.ask("eam", do="where")
            if answer.get("configuration") is None:
                hint = "start it with --config FILE, or change mappings without --save"
                raise OperatorError("this translator has no configuration file", where="--save", hint=hint)
            path = stack.enter_context(
                eam_file.changing(Path(answer["configuration"]), str(answer["domain"]), do, text, source)
            )
            saved = f", saved in {path}"
        answer, _ = line.ask("eam", text, do=do, source=source)
    verb = "added" if do == "add" else "deleted"
    print(f"{line.one.domain}: {answer['changed']} {verb}, {answer['mappings']} mappings{saved}")
    return 0


def _given(words: list[str]) -> tuple[str, str]:
    """The list as an eam-file has it, and what to call it."""
    if words == ["-"]:
        return _from_stdin(), "stdin"
    parts = [part for word in words for part in word.split("=")]
    if len(parts) % 2 or "-" in parts or "" in parts:
        hint = "for example, 203.0.113.9 2001:db8::9"
        raise OperatorError("expected pairs of an IPv4 and an IPv6 prefix", where=" ".join(words), hint=hint)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return "".join(f"{v4} {v6}\n" for v4, v6 in pairs), "the arguments"


def _from_stdin() -> str:
    """The list, as `files.opened` reads one."""
    if sys.stdin is None:
        raise OperatorError("stdin is closed", where="-")
    octets = sys.stdin.buffer.read(LARGEST + 1)
    if len(octets) > LARGEST:
        raise OperatorError(f"it is larger than {LARGEST >> 20} MB", where="stdin")
    try:
        text = io.TextIOWrapper(io.BytesIO(octets), encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise OperatorError(f"cannot be read: not UTF-8: {error.reason}", where="stdin") from None
    if not text.strip():
        raise OperatorError("the list is empty", where="stdin")
    return text
