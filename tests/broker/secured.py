"""A secured embedded broker with a user for each role, and TLS servers with whatever certificate a test needs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.bus.access import add_rules
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.security_folder import ADMIN, SecurityFolder
from streams.bus.trial_certificates import Issued, write_private
from streams.commands.secure import as_user
from streams.kafka_address import KafkaAddress
from streams.roles import ROLES, rules
from streams.settings import Settings, to_environment
from streams.topics import topic_specs


@dataclass(frozen=True)
class Secured:
    """The broker and its folder of secrets."""

    broker: EmbeddedBroker
    folder: SecurityFolder

    def address(self, user: str) -> KafkaAddress:
        return self.folder.address(self.broker.bootstrap_servers, user)

    def settings(self, user: str, prefix: str, **changes: Any) -> Settings:
        """As which a user's program runs; its data directory is the broker's own."""
        home = Settings(
            bootstrap_servers=self.broker.bootstrap_servers, topic_prefix=prefix, data_dir=self.folder.path.parent
        )
        return dataclasses.replace(as_user(home, user), **({"partitions": 2} | changes))

    async def prepared(self, prefix: str) -> None:
        """Topics and rights under a prefix."""
        settings = self.settings(ADMIN, prefix)
        await ensure_topics(settings.bootstrap, topic_specs(settings))
        add_rules(settings.bootstrap, rules(prefix))

    def ports(self) -> dict[str, int]:
        """By listener's name."""
        text = (self.broker.config.data_dir / "server.properties").read_text()
        line = next(line for line in text.splitlines() if line.startswith("listeners="))
        return {name: int(port) for name, _, port in (item.split(":") for item in line[len("listeners=") :].split(","))}


@contextlib.contextmanager
def secured_broker(home: Path) -> Iterator[Secured]:
    folder = SecurityFolder(home / "security")
    folder.make(ROLES)
    with EmbeddedBroker(BrokerConfig(home / "broker", security_dir=folder.path)) as broker:
        yield Secured(broker, folder)


def lineside(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command with these settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LINESIDE_")} | to_environment(settings)
    command = [sys.executable, "-P", "-m", "streams.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    return done.returncode, done.stdout, done.stderr


def one_sentence(came: tuple[int, str, str], *words: str) -> str:
    """What stands on stderr: one line, exit status 2, with these words in it."""
    status, _, text = came
    lines = text.strip().splitlines()
    assert status == 2, text
    assert len(lines) == 1, text
    assert lines[0].startswith("lineside: ")
    assert not [word for word in words if word not in lines[0]], text
    return lines[0]


@contextlib.contextmanager
def tls_server(folder: Path, shown: Issued, client_authority: Issued | None = None) -> Iterator[int]:
    """A port of 127.0.0.1 that shows a certificate and says nothing more; with `client_authority` it wants one too."""
    file = folder / f"server-{shown.certificate.serial_number:x}.pem"
    write_private(file, shown.key_pem + shown.certificate_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if client_authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_authority.certificate_pem.decode())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=_serve, args=(listener, context), daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        serving.join(5)


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.settimeout(5)
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)
        connection.close()


def bundle(folder: Path, *issued: Issued) -> Path:
    """Their certificates in one PEM file."""
    file = folder / f"ca-{'-'.join(f'{one.certificate.serial_number:x}'[:8] for one in issued)}.pem"
    file.write_bytes(b"".join(one.certificate_pem for one in issued))
    return file
