"""Fixtures for tests in network namespaces. A test that wants other arguments for `nfxlat run` says so:

@pytest.mark.parametrize("run_arguments", [("--inject", "ip")])
def test_something(lab, process): ...
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nfxlat.lab.process import TranslatorProcess
from nfxlat.lab.topology import Lab

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.netns)


def own_namespaces() -> set[str]:
    """Names of the namespaces that this process made and that still exist."""
    return {path.name for path in Path("/run/netns").glob(f"nfx-{os.getpid():x}-*")}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = own_namespaces()
    yield
    assert own_namespaces() <= before


@pytest.fixture
def bare_lab() -> Iterator[Lab]:
    """The lab of nfxlat.lab.topology, without a translator."""
    with Lab() as lab:
        yield lab


@pytest.fixture
def run_arguments() -> tuple[str, ...]:
    """Arguments for `nfxlat run --setup`; parametrise to change them."""
    return ()


@pytest.fixture
def process(bare_lab: Lab, run_arguments: tuple[str, ...]) -> Iterator[TranslatorProcess]:
    """`nfxlat run --setup`, ready, in the middle of the lab."""
    with TranslatorProcess(bare_lab.translator, bare_lab.directory, *run_arguments) as process:
        yield process


@pytest.fixture
def lab(bare_lab: Lab, process: TranslatorProcess) -> Lab:
    """The lab with its translator ready (`process`)."""
    return bare_lab
