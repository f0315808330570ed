"""Fixtures for tests in network namespaces. A test that wants other arguments for `nfxlat run` says so:

@pytest.mark.parametrize("run_arguments", [("--inject", "ip")])
def test_something(lab, process): ...

A module whose tests leave the lab as they find it shares one (`scope="module"` groups them by their arguments):

@pytest.mark.parametrize("run_arguments", [("--inject", "ip")], scope="module")
def test_something(shared_lab, shared_process): ...
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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="module")
def shared_bare_lab() -> Iterator[Lab]:
    """One lab for the module, without a translator; each test leaves it as it was."""
    with Lab() as lab:
        yield lab


@pytest.fixture(scope="module")
def shared_process(shared_bare_lab: Lab, run_arguments: tuple[str, ...]) -> Iterator[TranslatorProcess]:
    """As `process`, in the module's lab, for all tests with the same arguments. Its counters go on."""
    with TranslatorProcess(shared_bare_lab.translator, shared_bare_lab.directory, *run_arguments) as process:
        yield process


@pytest.fixture(scope="module")
def shared_lab(shared_bare_lab: Lab, shared_process: TranslatorProcess) -> Lab:
    """The module's lab with its translator ready (`shared_process`)."""
    return shared_bare_lab
