"""A secured embedded broker, one for a file of tests."""

from collections.abc import Iterator

import pytest

from tests.broker.secured import Secured, secured_broker


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A running secured broker that a file's tests share; it has a user for each role. Never stop it."""
    with secured_broker(tmp_path_factory.mktemp("secured")) as running:
        yield running
