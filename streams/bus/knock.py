"""One knock at a broker's door: is a Kafka there, will it have us, and can it prove who it is?

Place in the flow: `admin.py` asks before any client is made. aiokafka's clients log each failed connection as an error
and say to their caller only that none succeeded; here the cause is still known. Sends no secret before the broker has
proved who it is, and never one without TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from streams.bus.refusals import refused_connection, wants_sign_in, wants_tls, without_tls
from streams.bus.security import connection_options
from streams.kafka_address import Protocol, security_of

PROBE_S = 2.0
CLOSE_S = 1.0


async def knock(host: str, port: int, bootstrap: str, timeout_s: float) -> str:
    """The id of the cluster that answers there and takes us in; "" for one that is not ready yet.

    Raises BrokerRefusedError where it refuses us or can't prove to be the one, OSError (TimeoutError is one) or
    KafkaError where no Kafka answers, CallerError for files of ours that can't be used.
    """
    where, security = f"{host}:{port}", security_of(bootstrap)
    options = connection_options(bootstrap)
    try:
        async with _connection(host, port, options, timeout_s) as connection:
            metadata = await connection.send(MetadataRequest([]))
    except (OSError, KafkaError) as error:
        if refused := refused_connection(error, where, security):
            raise refused from error
        if isinstance(error, ConnectionRefusedError | TimeoutError | socket.gaierror):  # nobody is there to explain
            raise
        secured = security.protocol is not Protocol.PLAINTEXT
        if secured and await _speaks_plain(host, port):
            raise without_tls(where) from error
        if not secured and await _speaks_tls(host, port):
            raise wants_tls(where) from error
        if not security.user and await _hangs_up(host, port, options):
            raise wants_sign_in(where) from error
        raise
    return str(metadata.cluster_id) if metadata.brokers else ""


@contextlib.asynccontextmanager
async def _connection(host: str, port: int, options: dict[str, Any], timeout_s: float) -> AsyncIterator[Any]:
    connection = await create_conn(host, port, request_timeout_ms=max(1, int(timeout_s * 1000)), **options)
    try:
        yield connection
    finally:
        await _closed(connection)


async def _closed(connection: AIOKafkaConnection) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await connection.close()


async def _greets(host: str, port: int, options: dict[str, Any]) -> bool:
    """Whether a Kafka tells its versions there, which it tells before it asks who comes."""
    try:
        async with _connection(host, port, options, PROBE_S):
            return True
    except (OSError, KafkaError):
        return False


async def _hangs_up(host: str, port: int, options: dict[str, Any]) -> bool:
    """Whether a Kafka greets us and then ends the connection at our first question, and not because it ends itself."""
    try:
        async with _connection(host, port, options, PROBE_S) as connection:
            try:
                await connection.send(MetadataRequest([]))
            except KafkaConnectionError:
                return await _greets(host, port, options)
    except (OSError, KafkaError):
        pass
    return False


async def _speaks_plain(host: str, port: int) -> bool:
    return await _greets(host, port, {})


async def _speaks_tls(host: str, port: int) -> bool:
    """Whether TLS is spoken there, by whomever: nothing is sent, so nothing is checked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(PROBE_S):
            _reader, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # an alert is TLS too
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await writer.wait_closed()
    return True
