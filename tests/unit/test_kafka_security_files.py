"""Secrets in files: who may read them, what is refused, and that a change is followed."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams.bus.ages import judge, look, served_certificate
from streams.bus.security import FreshContext, PasswordFile, connection_options, kafka_options, read_password
from streams.bus.security_folder import SecurityFolder
from streams.bus.trial_certificates import Issued, issue, make_authority, write_private
from streams.errors import CallerError
from streams.kafka_address import KafkaAddress, Protocol, Security, parse_protocol
from streams.settings import Settings
from tests.broker.secured import bundle, tls_server

A_YEAR = timedelta(days=365)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def secret(folder: Path, text: str = "s3cret\n", mode: int = 0o600) -> Path:
    path = folder / "password"
    path.write_text(text)
    path.chmod(mode)
    return path


def put(folder: Path, issued: Issued) -> tuple[Path, Path]:
    certificate, key = folder / "client.pem", folder / "client-key.pem"
    write_private(certificate, issued.certificate_pem)
    write_private(key, issued.key_pem)
    return certificate, key


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o666, 0o620, 0o601])
def test_a_password_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(CallerError, match=f"may be used by others \\(mode {mode:04o}\\); .*chmod 600"):
        read_password(secret(tmp_path, mode=mode))


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440])
def test_a_password_that_is_ours_or_our_groups_to_read_is_taken(tmp_path: Path, mode: int) -> None:
    assert read_password(secret(tmp_path, "pass word\r\n", mode)) == "pass word"


@pytest.mark.parametrize("text", ["", "\n", "one\ntwo\n", "x" * 5000])
def test_a_password_file_holds_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(CallerError, match="must hold one line with the password and nothing else"):
        read_password(secret(tmp_path, text))


def test_a_password_is_read_at_each_use_and_shown_by_none(tmp_path: Path) -> None:
    password = PasswordFile(secret(tmp_path, "first\n"))
    assert password.encode("utf-8") == b"first"
    secret(tmp_path, "second\n")
    assert password.encode("utf-8") == b"second"
    assert not {"first", "second"} & set(re.findall(r"\w+", f"{password} {password!r}"))
    (tmp_path / "password").unlink()
    with pytest.raises(ConnectionError, match="can't be read"):  # what aiokafka answers by trying again
        password.encode("utf-8")


def test_a_missing_password_is_told_before_anything_is_connected(tmp_path: Path) -> None:
    security = Security(Protocol.SASL_SSL, user="gateway", password_file=tmp_path / "none")
    with pytest.raises(CallerError, match=r"the password file .*none can't be read: No such file"):
        kafka_options(KafkaAddress("127.0.0.1:9092", security))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kafka_protocol": "tls"}, "kafka_protocol must be one of plaintext, ssl, sasl_ssl; came 'tls'"),
        ({"kafka_protocol": "sasl_ssl"}, "needs a user and a password file; set LINESIDE_KAFKA_USER"),
        ({"kafka_user": "gateway"}, "count with kafka_protocol sasl_ssl alone; it is plaintext"),
        ({"kafka_ca_file": "ca.pem"}, "count with kafka_protocol ssl or sasl_ssl; it is plaintext"),
        ({"kafka_protocol": "ssl", "kafka_key_file": "k.pem"}, "go together; set both or neither"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: dict[str, str], said: str) -> None:
    with pytest.raises(CallerError, match=said):
        _ = Settings(**changes).bootstrap  # type: ignore[arg-type]


def test_an_address_is_text_that_carries_its_security() -> None:
    settings = Settings(bootstrap_servers="kafka-1:9093,kafka-2:9093", kafka_protocol="ssl")
    assert settings.bootstrap == "kafka-1:9093,kafka-2:9093"
    assert f"{settings.bootstrap}" == "kafka-1:9093,kafka-2:9093"
    assert connection_options(settings.bootstrap)["security_protocol"] == "SSL"
    assert connection_options(Settings().bootstrap) == connection_options("kafka-1:9093") == {}
    assert parse_protocol("SASL_SSL") is Protocol.SASL_SSL


def test_hosts_and_certificates_are_checked_and_old_tls_is_not_spoken(tmp_path: Path) -> None:
    ca = bundle(tmp_path, make_authority("a", A_YEAR))
    context = connection_options(KafkaAddress("h:1", Security(Protocol.SSL, ca)))["ssl_context"]._inner
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    with pytest.raises(
        CallerError, match=r"authorities' certificates .*nonsense.pem can't be used .*LINESIDE_KAFKA_CA"
    ):
        FreshContext(Security(Protocol.SSL, nonsense))
    authority = make_authority("a", A_YEAR)
    certificate, key = put(tmp_path, issue(authority, "c", [], A_YEAR))
    write_private(key, issue(authority, "other", [], A_YEAR).key_pem)
    with pytest.raises(CallerError, match=r"client.pem with the key .*client-key.pem can't be used .*belong together"):
        FreshContext(Security(Protocol.SSL, bundle(tmp_path, authority), certificate, key))
    key.chmod(0o644)
    with pytest.raises(CallerError, match=r"the key .*client-key.pem may be used by others"):
        FreshContext(Security(Protocol.SSL, bundle(tmp_path, authority), certificate, key))


def handshake(context: FreshContext, port: int) -> str:
    """Over memory, as asyncio does it: the name in the server's certificate, or why there is none."""
    import socket

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=False, server_hostname="127.0.0.1")
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(1 << 16))
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
        connection.sendall(outgoing.read())
    return str(dict(pair[0] for pair in (tls.getpeercert() or {})["subject"])["commonName"])  # type: ignore[misc,index]


def test_new_authorities_count_from_the_next_connection_on_and_old_ones_until_they_are_gone(tmp_path: Path) -> None:
    old, new = make_authority("old", A_YEAR), make_authority("new", A_YEAR)
    ca = tmp_path / "ca.pem"
    ca.write_bytes(old.certificate_pem)
    context = FreshContext(Security(Protocol.SSL, ca))
    with (
        tls_server(tmp_path, issue(old, "by-old", ["127.0.0.1"], A_YEAR)) as by_old,
        tls_server(tmp_path, issue(new, "by-new", ["127.0.0.1"], A_YEAR)) as by_new,
    ):
        assert (handshake(context, by_old), handshake(context, by_new)) == (
            "by-old",
            "unable to get local issuer certificate",
        )
        write_private(ca, new.certificate_pem + old.certificate_pem)
        assert (handshake(context, by_old), handshake(context, by_new)) == ("by-old", "by-new")
        write_private(ca, b"half a certific")  # unusable: what was read last counts
        assert (handshake(context, by_old), handshake(context, by_new)) == ("by-old", "by-new")
        write_private(ca, new.certificate_pem)
        assert (handshake(context, by_old), handshake(context, by_new)) == (
            "unable to get local issuer certificate",
            "by-new",
        )


def test_the_folder_keeps_what_is_there_and_is_ours_alone(tmp_path: Path) -> None:
    folder = SecurityFolder(tmp_path / "security")
    made = folder.make(["gateway", "inspector"])
    assert folder.path.stat().st_mode & 0o777 == 0o700
    open_files = {path.name for path in folder.path.iterdir() if path.stat().st_mode & 0o077}
    assert open_files == {"ca.pem", "authority.pem"}
    before, ca = folder.passwords(), folder.ca_file.read_bytes()
    assert set(before) == {"admin", "gateway", "inspector"}
    assert len(set(before.values())) == 3
    assert folder.make(["gateway", "inspector", "station"]) == [folder.password_file("station")]
    assert {user: folder.passwords()[user] for user in before} == before
    assert len(made) == 5
    assert folder.ca_file.read_bytes() == ca
    assert not [s for s in before.values() if any(s in f.read_text() for f in folder.path.glob("*.toml"))]


def test_a_new_authority_follows_an_old_one_that_clients_still_trust(tmp_path: Path) -> None:
    folder = SecurityFolder(tmp_path / "security")
    folder.make([])
    first = folder.ca_file.read_bytes()
    folder.renew()
    assert folder.ca_file.read_bytes() == first
    folder.renew(new_authority=True)
    second = folder.ca_file.read_bytes()
    assert second.endswith(first)
    assert second != first
    folder.renew(new_authority=True)
    assert first not in folder.ca_file.read_bytes()
    assert folder.ca_file.read_bytes().endswith(second.removesuffix(first))


@pytest.mark.parametrize(
    ("ends_in_days", "changed_before_days", "said"),
    [
        (31, 364, []),
        (29, 364, ["the certificate ca.pem ends in 29 days; renew it"]),
        (-2, 364, ["the certificate ca.pem ended 2 days ago; renew it"]),
        (31, 366, ["password was last changed 366 days ago, more than 365; change it"]),
    ],
)
def test_what_is_old_is_told(ends_in_days: int, changed_before_days: int, said: list[str]) -> None:
    ends = {"ca.pem": NOW + timedelta(days=ends_in_days)}
    changed = {"password": NOW - timedelta(days=changed_before_days)}
    found = [str(finding) for finding in judge(ends, changed, NOW, 30, 365)]
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))


def test_the_brokers_certificate_and_the_files_are_looked_at(tmp_path: Path) -> None:
    authority = make_authority("a", timedelta(days=20))
    with tls_server(tmp_path, issue(authority, "broker", ["127.0.0.1"], timedelta(days=10))) as port:
        settings = Settings(
            bootstrap_servers=f"127.0.0.1:{port}",
            kafka_protocol="sasl_ssl",
            kafka_ca_file=str(bundle(tmp_path, authority)),
            kafka_user="gateway",
            kafka_password_file=str(secret(tmp_path)),
        )
        long_ago = (datetime.now(UTC) - timedelta(days=400)).timestamp()
        os.utime(tmp_path / "password", (long_ago, long_ago))
        found = {finding.subject: round(finding.days) for finding in look(settings).findings}
        assert found == {
            settings.kafka_ca_file: 20,
            f"of the broker 127.0.0.1:{port}": 10,
            str(tmp_path / "password"): 400,
        }
        assert served_certificate(settings.bootstrap)
    assert served_certificate(settings.bootstrap) is None


def test_every_client_of_kafka_is_made_with_the_security_of_its_address() -> None:
    """No module but security.py hands an address to aiokafka itself."""
    root = Path(__file__).resolve().parents[2] / "streams"
    made = {
        path.relative_to(root).as_posix(): re.findall(r"AIOKafka\w+\(\s*(\S+?)[\s,)(]", path.read_text())
        for path in root.rglob("*.py")
    }
    made = {name: calls for name, calls in made.items() if calls}
    assert len(made) >= 8
    assert {call for calls in made.values() for call in calls} == {"**kafka_options"}


def test_help_shows_no_value_of_a_secret_setting() -> None:
    shown = subprocess.run(
        [sys.executable, "-P", "-m", "streams.cli", "gateway", "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "LINESIDE_KAFKA_PASSWORD_FILE": "/a/path"},
    ).stdout  # fmt: skip
    assert "/a/path" not in shown
