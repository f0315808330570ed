"""The configuration: TOML, flags or words on the command line, to checked domains, and back.

    keys       every key, declared once: type, default, meaning, source
    kinds      what the values are: addresses, prefixes, numbers, words
    eam        the keys eam and eam-file, up to millions of lines
    parse      TOML, flags and words to domains
    render     domains to TOML and words
    reference  the manual page and the commented example

Everything is read and checked before anything is returned, so that a reload either swaps whole or changes nothing. Each
mistake of the operator is one `OperatorError`, whose `where` is the file and the dotted key (`siit.toml:
domain.siit0.prefix6`), the file and the line (`siit.eam:17`), the flag (`--prefix6`) or the word (`domain siit0:
prefix6`).
"""

from nfxlat.config.parse import Config, from_flags, from_words, load, parse, sources
from nfxlat.config.render import in_words, render

__all__ = ["Config", "from_flags", "from_words", "in_words", "load", "parse", "render", "sources"]
