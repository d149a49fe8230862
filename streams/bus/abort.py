"""Ends an aiokafka producer at once and for good, which it has no call for: its own `stop` delivers what is left first.

Place in the flow: `Publisher.abort`. After it not one byte more goes to a broker: connections are reset, so that the
kernel too forgets what it has not sent yet, and every task that could connect again is ended. Reaches into aiokafka
0.14 (a lock fixes it); a test tells where another one is built differently. Knows no record.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s
STOP_S = 5.0


def track_requests(producer: AIOKafkaProducer) -> set[asyncio.Task[None]]:
    """The tasks that bring batches to brokers, from now on; to be called before the start."""
    sender: Any = producer._sender
    tasks: set[asyncio.Task[None]] = set()
    send_request = sender._send_produce_req

    async def tracked(*arguments: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await send_request(*arguments)
        finally:
            tasks.discard(task)

    sender._send_produce_req = tracked
    return tasks


async def abort(producer: AIOKafkaProducer, requests: set[asyncio.Task[None]]) -> None:
    """See the module. Futures of what was not confirmed stay open: whoever hands them out ends them."""
    _reset_connections(producer)
    sender: Any = producer._sender
    tasks = {*requests, sender.sender_task}
    for task in tasks:
        task.cancel()
    done, _ = await asyncio.wait(tasks, timeout=STOP_S)
    for task in done:
        if not task.cancelled():
            task.exception()  # it was to end anyhow
    _forget_batches(producer._message_accumulator)
    with contextlib.suppress(KafkaError, TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(STOP_S):
            await producer.stop()
    _reset_connections(producer)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_S):
            await producer.client.close()


def _forget_batches(accumulator: Any) -> None:
    """Its own `fail_all` stumbles over batches that wait to be tried again."""
    accumulator._exception = ProducerClosed()
    waiting = [batch for batches in accumulator._batches.values() for batch in batches]
    for batch in [*waiting, *accumulator._pending_batches]:
        if not batch._drain_waiter.done():
            batch._drain_waiter.set_result(None)  # who waits for room is told that it is closed
    accumulator._batches.clear()
    accumulator._pending_batches.clear()


def _reset_connections(producer: AIOKafkaProducer) -> None:
    for connection in tuple(producer.client._conns.values()):
        if (writer := connection._writer) is None:
            continue
        if (raw := writer.get_extra_info("socket")) is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
