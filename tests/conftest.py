"""Where and in which order tests run: embedded Kafkas, a topic prefix for each test, and the shares of `pytest -n`."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # several tests share the cores: torch, told so before it loads, takes one
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from streams.bus.embedded import BrokerConfig, EmbeddedBroker

hypothesis.settings.register_profile("lineside", deadline=None)  # a busy machine is no finding
hypothesis.settings.load_profile("lineside")

BOOTSTRAP = pytest.StashKey[str]()
NEED_BROKER = [Path(__file__).parent / folder for folder in ("broker", "faults", "endurance")]
SLOWEST_FIRST = ("endurance", "faults", "broker", "web", "flow", "contracts", "unit")
ONE_AT_A_TIME = ("faults/test_chaos.py", "faults/test_supervision.py")  # they measure time


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that a test runs in this process sets logging up for a whole program: the next test shall not have it.

    Its handler writes to a stream that is closed by then, and its levels hide what other tests look for.
    """
    loggers = [logging.getLogger(name) for name in ("", "streams", "models", "schemas")]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What lies in `broker` and `faults` runs on the real broker; what takes long comes first."""
    for item in items:
        if any(folder in item.path.parents for folder in NEED_BROKER):
            item.add_marker("broker")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, int]:
    """What runs one at a time before all else, so that all else runs beside it."""
    place = item.path.relative_to(Path(__file__).parent)
    return str(place) not in ONE_AT_A_TIME, SLOWEST_FIRST.index(place.parts[0])


def pytest_collection_finish() -> None:
    """What is imported stays: NiceGUI's tests collect garbage twice each, 0.2 s over all of torch's objects."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Else what is written in C++ reports its objects as leaked."""
    gc.unfreeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests of one file go to one process, in order, because they share what is made for them."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "one at a time" if file.removeprefix("tests/") in ONE_AT_A_TIME else file

    config.option.loadscopereorder = False  # xdist would begin with the file of most tests
    return ByFile(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Kafka of `pytest -n`: one for all processes, which is up before they are."""
    if BOOTSTRAP not in node.config.stash:
        stack = contextlib.ExitStack()
        node.config.add_cleanup(stack.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lineside-tests-")))
        broker = stack.enter_context(EmbeddedBroker(BrokerConfig(folder)))
        node.config.stash[BOOTSTRAP] = broker.bootstrap_servers
    node.workerinput["bootstrap"] = node.config.stash[BOOTSTRAP]


@pytest.fixture(scope="session")
def bootstrap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that all tests share: never stop or kill it; start your own for that."""
    if "workerinput" in vars(request.config):
        yield request.config.workerinput["bootstrap"]  # type: ignore[attr-defined]
    else:
        with EmbeddedBroker(BrokerConfig(tmp_path_factory.mktemp("broker"))) as broker:
            yield broker.bootstrap_servers


@pytest.fixture
def topic_prefix() -> str:
    """A prefix that no other test uses, so that tests share a broker without seeing each other's records."""
    return f"t{uuid.uuid4().hex[:12]}."
