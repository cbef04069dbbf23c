"""One engine for all tests that need no limits of their own."""

from collections.abc import Iterator

import pytest

from tests.support.echo_engine import RunningEngine, running_engine


@pytest.fixture(scope="module")
def engine() -> Iterator[RunningEngine]:
    with running_engine() as running:
        yield running
