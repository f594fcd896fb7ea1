"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One `tidegate up` for the tests of a module."""
    with running_stack(tmp_path_factory.mktemp("tidegate")) as running:
        yield running


@pytest.fixture
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A `tidegate up` that the test may harm."""
    with running_stack(tmp_path_factory.mktemp("tidegate")) as running:
        yield running
