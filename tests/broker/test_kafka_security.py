"""Secured connections on the real broker: who gets in, what a refusal says, secrets that change under programs."""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient

from schemas.records import FrameCaptured
from streams.bus.access import reload_certificates
from streams.bus.admin import wait_for_broker
from streams.bus.ages import served_certificate
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.security import kafka_options
from streams.bus.security_folder import ADMIN, HOSTS
from streams.bus.subscriber import Subscription
from streams.bus.trial_certificates import issue, make_authority, write_private
from streams.commands.secure import LISTENER, rotate
from streams.errors import BrokerRefusedError, BrokerUnreachableError
from streams.kafka_address import KafkaAddress, Protocol, Security
from streams.settings import Settings
from streams.topics import FRAMES, station_key
from tests.broker.secured import Secured, bundle, lineside, one_sentence, secured_broker, tls_server
from tests.builders import frame

A_YEAR = timedelta(days=365)


async def test_a_user_with_its_password_gets_in_and_everybody_else_is_told_why(
    secured: Secured, tmp_path: Path
) -> None:
    assert await wait_for_broker(secured.address("gateway")) == await wait_for_broker(secured.address(ADMIN))

    right = secured.folder.security("gateway")
    wrong = tmp_path / "wrong"
    wrong.write_text("nobody-knows-this\n")
    wrong.chmod(0o600)
    stranger = bundle(tmp_path, make_authority("another authority", A_YEAR))
    for security, words in {
        dataclasses.replace(right, password_file=wrong): ["no user 'gateway' with the password", str(wrong)],
        dataclasses.replace(right, user="nobody"): ["no user 'nobody'"],
        dataclasses.replace(right, ca_file=stranger): ["signed by none of the authorities", str(stranger)],
        Security(): ["speaks TLS alone", "LINESIDE_KAFKA_PROTOCOL=sasl_ssl"],
        Security(Protocol.SSL, right.ca_file): ["wants a user and a password"],
    }.items():
        with pytest.raises(BrokerRefusedError) as refused:
            await wait_for_broker(KafkaAddress(secured.broker.bootstrap_servers, security))
        assert not [word for word in words if word not in str(refused.value)], refused.value
        assert "nobody-knows-this" not in str(refused.value)


async def test_a_client_that_insists_on_tls_is_told_that_a_plain_broker_speaks_none(
    bootstrap: str, secured: Secured
) -> None:
    with pytest.raises(BrokerRefusedError, match=r"speaks no TLS .*LINESIDE_KAFKA_PROTOCOL=plaintext"):
        await wait_for_broker(KafkaAddress(bootstrap, secured.folder.security("gateway")))


async def test_certificates_that_ended_or_are_for_others_are_told_apart(tmp_path: Path) -> None:
    authority = make_authority("plant authority", A_YEAR)
    ca, long_ago = bundle(tmp_path, authority), datetime.now(UTC) - 2 * A_YEAR
    for certificate, words in {
        "ended": (issue(authority, "broker", ["127.0.0.1"], A_YEAR, long_ago), "has expired"),
        "early": (issue(authority, "broker", ["127.0.0.1"], A_YEAR, datetime.now(UTC) + A_YEAR), "not valid yet"),
        "other": (issue(authority, "broker", ["kafka-1.plant.example"], A_YEAR), "for another host"),
    }.values():
        with tls_server(tmp_path, certificate) as port:
            address = KafkaAddress(f"127.0.0.1:{port}", Security(Protocol.SSL, ca))
            with pytest.raises(BrokerRefusedError, match=words):
                await wait_for_broker(address, 5)


async def test_another_broker_of_the_list_may_take_us_in(secured: Secured, tmp_path: Path) -> None:
    strange = issue(make_authority("another authority", A_YEAR), "broker", ["127.0.0.1"], A_YEAR)
    with tls_server(tmp_path, strange) as port:
        both = f"127.0.0.1:{port},{secured.broker.bootstrap_servers}"
        assert await wait_for_broker(secured.folder.address(both, "gateway"))


async def test_a_client_shows_its_certificate_where_a_broker_wants_one(secured: Secured, tmp_path: Path) -> None:
    """The node's own listeners take its own certificate alone."""
    node = Security(Protocol.SSL, secured.folder.node_ca_file, secured.folder.node_file, secured.folder.node_file)
    internal = f"127.0.0.1:{secured.ports()['INTERNAL']}"
    assert await wait_for_broker(KafkaAddress(internal, node))
    for port in (secured.ports()["INTERNAL"], secured.ports()["CONTROLLER"]):
        for security in (
            Security(),
            Security(Protocol.SSL, secured.folder.node_ca_file),
            dataclasses.replace(secured.folder.security(ADMIN), ca_file=secured.folder.node_ca_file),
            dataclasses.replace(node, certificate_file=secured.folder.broker_file, key_file=secured.folder.broker_file),
        ):
            with pytest.raises(BrokerUnreachableError):
                await wait_for_broker(KafkaAddress(f"127.0.0.1:{port}", security), 3)


@pytest.mark.parametrize("command", [["tail", "verdicts"], ["gateway", "--source", "synthetic", "--frames", "1"]])
def test_a_command_that_is_not_let_in_ends_with_one_sentence(
    secured: Secured, topic_prefix: str, tmp_path: Path, command: list[str]
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("nobody-knows-this\n")
    wrong.chmod(0o600)
    settings = secured.settings("gateway", topic_prefix, kafka_password_file=str(wrong))
    one_sentence(lineside(settings, *command), "no user 'gateway' with the password", str(wrong))


def test_a_password_that_others_may_read_is_refused_with_the_remedy(
    secured: Secured, topic_prefix: str, tmp_path: Path
) -> None:
    open_to_all = tmp_path / "password"
    shutil.copy(secured.folder.password_file("gateway"), open_to_all)
    open_to_all.chmod(0o644)
    settings = secured.settings("gateway", topic_prefix, kafka_password_file=str(open_to_all))
    one_sentence(
        lineside(settings, "topics", "--check"), "may be used by others (mode 0644)", f"chmod 600 {open_to_all}"
    )


async def test_no_secret_stands_in_a_log_or_a_configuration(secured: Secured, topic_prefix: str) -> None:
    await secured.prepared(topic_prefix)
    settings = secured.settings("gateway", topic_prefix, log_level="DEBUG", frame_store=str(secured.folder.path / "f"))
    came = lineside(settings, "gateway", "--source", "synthetic", "--frames", "2", "--rate", "0")
    assert came[0] == 0, came[2]
    home = secured.broker.config.data_dir
    written = [*came[1:], repr(settings), *(path.read_text() for path in home.glob("*.*") if path.is_file())]
    assert not [text for text in written for secret in secured.folder.passwords().values() if secret in text]


async def test_certificates_authority_and_passwords_change_under_running_programs(
    secured: Secured, topic_prefix: str
) -> None:
    """Three times, so that an authority also goes: made before the first change are all options and both clients."""
    await secured.prepared(topic_prefix)
    settings = secured.settings(ADMIN, topic_prefix)
    options = kafka_options(settings.bootstrap)  # as a client keeps them
    old_security = secured.folder.security(ADMIN)
    old_passwords = secured.folder.passwords()
    old_password = secured.folder.path / "old"
    old_password.write_text(old_passwords[ADMIN])
    old_password.chmod(0o600)
    seen = [served_certificate(settings.bootstrap)]
    subscription: Subscription[FrameCaptured] = Subscription(FRAMES, "earliest", settings=settings)
    async with (
        Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher,
        aclosing(aiter(subscription)) as events,
    ):
        for number in range(3):
            await rotate(settings, [], new_authority=True, say=lambda _: None)
            seen.append(served_certificate(settings.bootstrap))
            await (await publisher.send(FRAMES, frame(number), key=station_key("p", "l", "s")))
            async with asyncio.timeout(20):
                assert (await anext(events)).record.frame_id == frame(number).frame_id
            client = AIOKafkaClient(**options)
            await client.bootstrap()
            await client.close()
    assert len({certificate.serial_number for certificate in seen if certificate}) == 4
    now = secured.folder.passwords()
    assert now.keys() == old_passwords.keys()
    assert not set(now.values()) & set(old_passwords.values())
    with pytest.raises(BrokerRefusedError, match="no user 'admin'"):
        await wait_for_broker(
            KafkaAddress(
                secured.broker.bootstrap_servers, dataclasses.replace(old_security, password_file=old_password)
            )
        )


async def test_one_users_password_alone_can_be_renewed(secured: Secured, topic_prefix: str) -> None:
    before = secured.folder.passwords()
    await rotate(secured.settings(ADMIN, topic_prefix), ["gateway"], new_authority=False, say=lambda _: None)
    after = secured.folder.passwords()
    assert [user for user in before if before[user] != after[user]] == ["gateway"]
    assert await wait_for_broker(secured.address("gateway"))


async def refusal(address: KafkaAddress) -> str:
    """Kafka shows a new certificate soon after it was told."""
    async with asyncio.timeout(20):
        while True:
            try:
                await wait_for_broker(address)
            except BrokerRefusedError as error:
                return str(error)
            await asyncio.sleep(0.1)


async def test_an_ended_certificate_of_the_broker_is_told_and_renewed_with_one_restart(tmp_path: Path) -> None:
    with secured_broker(tmp_path) as own:
        ended = issue(own.folder._authority(), "lineside-broker", HOSTS, A_YEAR, datetime.now(UTC) - 2 * A_YEAR)
        write_private(own.folder.broker_file, ended.key_pem + ended.certificate_pem)
        await asyncio.to_thread(reload_certificates, own.address(ADMIN), LISTENER, own.folder.broker_file)
        assert "has expired" in await refusal(own.address("gateway"))
        came = lineside(own.settings("gateway", "t."), "topics", "--check")
        one_sentence(came, "certificate has expired", "have it renewed")

        said: list[str] = []
        await rotate(own.settings(ADMIN, "t."), [], new_authority=False, say=said.append)
        assert "start it again" in said[1]
        own.broker.stop()
        own.broker.start()
        assert await wait_for_broker(own.address("gateway"))


async def test_a_plain_address_needs_no_file(bootstrap: str) -> None:
    assert await wait_for_broker(Settings(bootstrap_servers=bootstrap).bootstrap)
