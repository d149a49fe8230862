"""The embedded Kafka for tests: one broker a session on a free port, and a topic prefix of its own for each test."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.bus.embedded import BrokerConfig, EmbeddedBroker

NEED_BROKER = [Path(__file__).parent / folder for folder in ("broker", "faults")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in these folders runs on the real broker."""
    for item in items:
        if any(folder in item.path.parents for folder in NEED_BROKER):
            item.add_marker("broker")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A running broker that all tests share: never stop or kill it; start your own for that."""
    with EmbeddedBroker(BrokerConfig(tmp_path_factory.mktemp("broker"))) as broker:
        yield broker


@pytest.fixture
def bootstrap(broker: EmbeddedBroker) -> str:
    """The shared broker's address."""
    return broker.bootstrap_servers


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test uses, so that tests share a broker without seeing each other's records."""
    return f"t{uuid.uuid4().hex[:12]}."
