"""TOML, flags and words on the command line, to checked domains."""

import contextlib
import errno
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nfxlat import files
from nfxlat.config.eam import Reading, unreadable
from nfxlat.config.keys import FLAGS, KEYS, Key
from nfxlat.config.kinds import noun
from nfxlat.config.render import render
from nfxlat.errors import OperatorError
from nfxlat.files import Opener
from nfxlat.xlat.domain import Domain
from nfxlat.xlat.eamt import Eamt

VERSION = 1  # of the format: another is refused as a whole


@dataclass(frozen=True, slots=True)
class Config:
    """A checked configuration. `text` is its TOML, `source` names where it came from."""

    domains: tuple[Domain, ...]
    text: str
    source: str

    def domain(self, name: str | None = None) -> Domain:
        """The domain of that name; without a name, the only one. Raises OperatorError if there is no such choice."""
        names = ", ".join(domain.name for domain in self.domains)
        if name is None:
            if len(self.domains) > 1:
                raise OperatorError(
                    "there is more than one domain", where=self.source, hint=f"choose one with --domain: {names}"
                )
            return self.domains[0]
        for domain in self.domains:
            if domain.name == name:
                return domain
        raise OperatorError(f"there is no domain {name!r}", where=self.source, hint=f"it has {names}")


def load(path: str | Path, opener: Opener = files.opened) -> Config:
    """The configuration in the file `path`; it and what it names are opened by `opener`."""
    try:
        with opener(path) as file:
            text = file.read(files.LARGEST_TEXT + 1)
        if len(text) > files.LARGEST_TEXT:
            raise OSError(errno.EFBIG, f"it is larger than {files.LARGEST_TEXT >> 20} MB")
    except (OSError, UnicodeDecodeError) as error:
        unreadable(error, str(path))
    return parse(text, str(path), Path(path).parent, opener)


def sources(path: Path, opener: Opener = files.opened) -> Iterator[Path]:
    """The files that `load` reads. What is wrong in them ends the list: `load` says so."""
    yield path
    with contextlib.suppress(OSError, ValueError, RecursionError, AttributeError), opener(path) as file:
        for table in tomllib.loads(file.read(files.LARGEST_TEXT))["domain"].values():
            if isinstance(name := table.get("eam-file"), str):
                yield path.parent / name


def parse(text: str, where: str, base_dir: str | Path = ".", opener: Opener = files.opened) -> Config:
    """The configuration in TOML `text`; `where` names it in errors, `base_dir` is where a relative eam-file starts."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and what absurd numbers and nesting raise
        line = re.search(r"at line (\d+)", str(error))
        at = f"{where}:{line[1]}" if line else where
        raise OperatorError(f"not valid TOML: {error}", where=at) from error
    if (version := tables.pop("version", VERSION)) != VERSION or isinstance(version, bool):
        raise OperatorError(
            f"it is of version {version!r}, and this nfxlat reads version {VERSION}",
            where=f"{where}: version",
            hint="use the nfxlat that it was written for",
        )
    for name in tables:
        if name != "domain":
            raise OperatorError(f"unknown table [{name}]", where=f"{where}: {name}", hint="write [domain.NAME]")
    domains = tables.get("domain", {})
    if not isinstance(domains, dict) or not domains:
        raise OperatorError("it has no domain", where=where, hint="add a table such as [domain.siit0]")
    built = (_build(name, table, _dotted(where, name), Path(base_dir), opener) for name, table in domains.items())
    return Config(tuple(built), text, where)


def _dotted(where: str, name: str) -> Callable[[str], str]:
    return lambda key: f"{where}: domain.{name}.{key}" if key else f"{where}: domain.{name}"


def from_flags(
    domain: str = "siit0",
    prefix6: str | None = None,
    eam: Sequence[str] = (),
    pool4: Sequence[str] = (),
    vrf: str | None = None,
) -> Config:
    """One domain from command-line flags, those of `FLAGS`; `eam` holds `V4=V6`.

    None and empty sequences count as not given. Errors name the flag, e.g. `--prefix6`.
    """
    values = ([] if prefix6 is None else [prefix6], eam, pool4, [] if vrf is None else [vrf])
    given = zip(FLAGS, values, strict=True)
    table = {name: _from_words(KEYS[name], words, f"--{name}") for name, words in given if words}
    built = _build(domain, table, lambda key: f"--{key or 'domain'}", Path())
    return Config((built,), render(built), "command line")


def from_words(name: str, words: Sequence[str], base_dir: str | Path = ".") -> Domain:
    """The domain of `KEY VALUE ...`, as ip(8) would have it; a list is several values, or its key again.

    Errors name the domain and the key, e.g. `domain siit0: prefix6`.
    """
    table: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        key = KEYS.get(word)
        where = f"domain {name}: {word}"
        if key is None:
            raise _unknown(word, where)
        taken: list[str] = []
        while rest and rest[0] not in KEYS and (key.many or not taken):
            taken.append(rest.pop(0))
        if not taken:
            raise OperatorError(f"{word} needs a value", where=f"domain {name}", hint=f"for example, {key.words()}")
        if word in table and not key.many:
            raise OperatorError(f"{word} is given twice", where=f"domain {name}", hint="give it once")
        value = _from_words(key, taken, where)
        table[word] = table.get(word, []) + value if key.many else value
    return _build(name, table, lambda key: f"domain {name}: {key}" if key else f"domain {name}", Path(base_dir))


def _from_words(key: Key, words: Sequence[str], where: str) -> Any:
    """TOML's value of the words of one key."""
    try:
        values = [key.kind.from_word(word) for word in words]
    except OperatorError as error:
        hint = error.hint or f"for example, {key.words()}"
        raise OperatorError(error.what, where=where, hint=hint) from error
    return values if key.many else values[0]


def _build(
    name: str, table: object, where: Callable[[str], str], base_dir: Path, opener: Opener = files.opened
) -> Domain:
    """The domain of one table. `where` names the place of a key of it, "" being the table itself."""
    if not isinstance(table, dict):
        raise OperatorError(f"expected a table, got {noun(table)}", where=where(""), hint=f"write [domain.{name}]")
    fields: dict[str, Any] = {}
    for word, value in table.items():
        key = KEYS.get(word)
        if key is None:
            raise _unknown(word, where(word))
        if key.field != "eamt":
            fields[key.field] = key.read(value, where(word))
    if eamt := _eamt(table, where, base_dir, opener):
        fields["eamt"] = eamt
    try:
        return Domain(name, **fields)
    except OperatorError as error:
        place = error.where.removeprefix(f"domain.{name}").removeprefix(".")
        raise OperatorError(error.what, where=where("" if place == "domain" else place), hint=error.hint) from error


def _eamt(table: Mapping[str, object], where: Callable[[str], str], base_dir: Path, opener: Opener) -> Eamt | None:
    """The EAMT of the keys eam and eam-file together."""
    reading = Reading()
    if "eam" in table:
        reading.add_array(KEYS["eam"].array(table["eam"], where("eam")), where("eam"))
    if "eam-file" in table:
        name = KEYS["eam-file"].read(table["eam-file"], where("eam-file"))
        reading.add_file(base_dir / str(name), where("eam-file"), opener)
    return reading.eamt()


_OTHERS = {"pool6": "prefix6"}  # what others call it


def _unknown(word: str, where: str) -> OperatorError:
    near = [_OTHERS[word]] if word in _OTHERS else get_close_matches(word, KEYS, 1, 0.5)
    hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(KEYS)}"
    return OperatorError("unknown key", where=where, hint=hint)
