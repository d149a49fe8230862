"""What a program shows over HTTP and to systemd, also while its event loop hangs. Real sockets and threads."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter

from streams.commands.asking import ask, free_port, sign_of
from streams.commands.patience import Sign
from streams.errors import OperatorError
from streams.health import ALIVE_WITHIN_S, Health, Work
from streams.monitor import feed, monitored
from streams.sd_notify import notify, watchdog_every_s
from streams.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return Settings(metrics_port=free_port(), progress_within_s=0.2, stall_timeout_s=30.0)


async def test_the_three_paths_answer_and_others_do_not(settings: Settings) -> None:
    registry = CollectorRegistry()
    Counter("pieces", "Pieces.", registry=registry).inc(3)
    async with monitored(settings, "parts", registry):
        is_good, body = await asyncio.to_thread(ask, settings.metrics_port, "/alive")
        assert (is_good, body["program"]) == (True, "parts")
        assert (await asyncio.to_thread(ask, settings.metrics_port, "/progressing"))[0]
        assert b"pieces_total 3.0" in await asyncio.to_thread(read, settings.metrics_port, "/metrics", 200)
        assert b"/progressing" in await asyncio.to_thread(read, settings.metrics_port, "/../users.json", 404)
    assert await asyncio.to_thread(sign_of, settings.metrics_port) is Sign.SILENT, "nothing listens after the end"


def read(port: int, path: str, status: int) -> bytes:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == status
        return response.read()


async def test_work_that_waits_shows_as_503_with_what_and_how_long(settings: Settings) -> None:
    async with monitored(settings, "worker", CollectorRegistry()) as monitor:
        monitor.watch(lambda: Work(lag=312, in_flight=2))
        async with asyncio.timeout(10):
            while (await asyncio.to_thread(ask, settings.metrics_port, "/progressing"))[0]:
                await asyncio.sleep(0.1)
        is_good, body = await asyncio.to_thread(ask, settings.metrics_port, "/progressing")
        assert not is_good
        assert str(body["why"]).startswith("312 events wait, 2 are under way, nothing was completed for ")
        assert (await asyncio.to_thread(ask, settings.metrics_port, "/alive"))[0], "alive all the while"


async def test_an_event_loop_that_hangs_is_answered_for_by_a_thread(settings: Settings) -> None:
    found: list[tuple[bool, object]] = []

    def ask_later() -> None:
        time.sleep(ALIVE_WITHIN_S + 0.5)
        found.append(ask(settings.metrics_port, "/alive"))

    async with monitored(settings, "worker", CollectorRegistry()):
        await asyncio.sleep(0.1)
        asking = threading.Thread(target=ask_later)
        asking.start()
        asking.join()  # the event loop does nothing meanwhile
        assert [is_good for is_good, _ in found] == [False]


async def test_a_port_that_is_taken_is_one_sentence(settings: Settings) -> None:
    async with monitored(settings, "a", CollectorRegistry()):
        with pytest.raises(OperatorError, match=r"can't be served at 127\.0\.0\.1:"):
            async with monitored(settings, "b", CollectorRegistry()):
                pass


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_systemd_is_told_and_without_it_nobody(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert notify("READY=1")
    assert systemd.recv(100) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify("READY=1")


def test_the_watchdog_is_fed_while_the_program_is_trusted_and_not_while_it_is_silent(systemd: socket.socket) -> None:
    ended, now_s = threading.Event(), time.monotonic()
    alive, silent = Health("a", "1", now_s), Health("b", "1", now_s - ALIVE_WITHIN_S - 1)
    systemd.settimeout(0.3)
    for program, fed in ((silent, False), (alive, True)):
        feeding = threading.Thread(target=feed, args=(program, 0.02, ended), daemon=True)
        feeding.start()
        try:
            assert systemd.recv(100) == b"WATCHDOG=1"
            assert fed
        except TimeoutError:
            assert not fed
    ended.set()


def test_the_watchdog_of_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert watchdog_every_s() == 15.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_every_s() is None
