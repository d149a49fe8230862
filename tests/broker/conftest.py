"""A secured embedded broker, one a session, for the tests that need it."""

from collections.abc import Iterator

import pytest

from tests.broker.secured import Secured, secured_broker


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A running secured broker that tests share; it has a user for each role. Never stop it."""
    with secured_broker(tmp_path_factory.mktemp("secured")) as running:
        yield running
