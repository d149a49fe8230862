"""Where and in which order tests run: embedded Kafkas, a topic prefix for each test, and the shares of `pytest -n`."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several tests share the cores: torch, told so before it loads, takes one
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from streams.bus.embedded import BrokerConfig, EmbeddedBroker

NEED_BROKER = [Path(__file__).parent / folder for folder in ("broker", "faults")]
SLOWEST_FIRST = ("faults", "broker", "web", "flow", "contracts", "unit")
ONE_AT_A_TIME = ("tests/faults/",)  # they measure time under a load of their own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in `broker` and `faults` runs on the real broker; what takes long comes first."""
    for item in items:
        if any(folder in item.path.parents for folder in NEED_BROKER):
            item.add_marker("broker")
    items.sort(key=lambda item: SLOWEST_FIRST.index(item.path.relative_to(Path(__file__).parent).parts[0]))


def pytest_collection_finish() -> None:
    """What is imported stays: NiceGUI's tests collect garbage twice each, 0.2 s over all of torch's objects."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Else what is written in C++ reports its objects as leaked."""
    gc.unfreeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of one file go to one process, in order, because they share what is made for them; all faults to one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            folders = [folder for folder in ONE_AT_A_TIME if nodeid.startswith(folder)]
            return folders[0] if folders else nodeid.split("::")[0]

    config.option.loadscopereorder = False  # xdist would begin with the file of most tests
    return ByFile(config, log)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A running broker that all tests of a process share: never stop or kill it; start your own for that."""
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
