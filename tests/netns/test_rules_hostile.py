"""The odd nft of tests/hostile, loaded: nft takes what it compiles to, and packets are translated by it.

host4 --- router4 --- translator --- router6 --- host6
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from nfxlat import config
from nfxlat.lab.probe import ping
from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.rules import loaded, prepare
from nfxlat.lab.topology import HOST6_4, Lab
from nfxlat.nft.language.program import program
from nfxlat.nft.shipped import RULES

TOML = RULES / "xlat" / "router.toml"
FILES = [file for file in sorted((Path(__file__).parents[1] / "hostile").glob("*.nft")) if "refused" not in file.stem]


@pytest.fixture(scope="module")
def node() -> Iterator[Lab]:
    with Lab() as lab, TranslatorProcess(lab.translator, lab.directory, "--config", str(TOML), setup=False):
        yield lab


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_packets_are_translated_by_it(node: Lab, file: Path) -> None:
    found = program(file.read_text(), str(file), config.load(TOML).domains)
    with loaded(node.translator, found):
        prepare(node.translator, found)
        assert node.host4.call(ping, HOST6_4, count=1, timeout=5.0).ok
