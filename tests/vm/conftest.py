"""Fixtures for tests in a virtual machine (helpers/virtual_machine.py)."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from virtual_machine import Boot, boot

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.vm)


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boot]:
    """`boot`, with a folder of its own, until the end of the session."""
    with contextlib.ExitStack() as stack:
        yield lambda steps, seconds: stack.enter_context(boot(steps, seconds, tmp_path_factory.mktemp("vm")))
