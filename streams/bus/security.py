"""How each client of Kafka connects: address, TLS and SCRAM as aiokafka's options, from files that may change.

Place in the flow: every aiokafka client in `streams` and Faust's own get their connection's options here and nowhere
else. Certificates, authorities and passwords may be exchanged under a running program: aiokafka asks the context for
each new connection and encodes the password at each handshake, and both look at their files then. Connections that
stand go on; brokers end them by their own limits. Does not know which role may do what.
"""

from __future__ import annotations

import logging
import ssl
import stat
from pathlib import Path
from typing import Any, Self

from streams.errors import CallerError
from streams.kafka_address import MECHANISM, Protocol, Security, security_of

log = logging.getLogger(__name__)

MAX_PASSWORD_BYTES = 4096
NOT_OURS = stat.S_IRWXO | stat.S_IWGRP  # a group may read: Kubernetes mounts secrets so


def kafka_options(bootstrap: str) -> dict[str, Any]:
    """The options of an aiokafka client of any kind that say where Kafka is and how to connect.

    CallerError for a file that can't be read, is no PEM, or holds a secret that others may read.
    """
    return {"bootstrap_servers": str(bootstrap), **connection_options(bootstrap)}


def connection_options(bootstrap: str) -> dict[str, Any]:
    """As `kafka_options`, without the address."""
    security = security_of(bootstrap)
    if security.protocol is Protocol.PLAINTEXT:
        return {}
    options: dict[str, Any] = {
        "security_protocol": security.protocol.name,
        "ssl_context": FreshContext(security),
    }
    if security.password_file is not None and security.protocol is Protocol.SASL_SSL:
        options |= {
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": security.user,
            "sasl_plain_password": PasswordFile(security.password_file),
        }
    return options


class PasswordFile(str):
    """The password in a file, read each time that it is encoded: aiokafka does so at each handshake.

    As text it only says where it is, so that it can stand in no log.
    """

    _path: Path

    def __new__(cls, path: Path) -> Self:
        self = super().__new__(cls, f"<the password in {path}>")
        self._path = path
        read_password(path)
        return self

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The password as it is now; OSError, which aiokafka answers by trying again, where it can't be read."""
        try:
            return read_password(self._path).encode(encoding, errors)
        except CallerError as error:
            raise ConnectionError(str(error)) from error


class FreshContext(ssl.SSLContext):
    """A TLS client's context that follows its files: asyncio asks it to wrap each new connection.

    Files that changed and can't be used, such as a certificate whose key is not there yet, are logged; the connection
    is then made with what was read last.
    """

    def __new__(cls, security: Security) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, security: Security) -> None:
        self._security = security
        self._files = [path for path in (security.ca_file, security.certificate_file, security.key_file) if path]
        self._seen = _versions(self._files)
        self._inner = client_context(security)

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """As ssl's, by the files as they are now."""
        self._follow_files()
        return self._inner.wrap_bio(*args, **options)

    def _follow_files(self) -> None:
        present = _versions(self._files)
        if present == self._seen:
            return
        try:
            self._inner = client_context(self._security)
        except CallerError as error:
            log.warning("going on with the certificates read before: %s", error)
        else:
            self._seen = present
            log.info("read anew for connections to Kafka: %s", ", ".join(map(str, self._files)))


def client_context(security: Security) -> ssl.SSLContext:
    """TLS 1.2 or later, host names and certificates checked. CallerError for a file that can't be used."""
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
    except (OSError, ValueError) as error:
        raise CallerError(
            f"the authorities' certificates {security.ca_file} can't be used ({_why(error)}); expected PEM; see"
            " LINESIDE_KAFKA_CA_FILE"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if security.certificate_file and security.key_file:
        check_private(security.key_file, "the key")
        try:
            context.load_cert_chain(security.certificate_file, security.key_file, _no_passphrase)
        except (OSError, ValueError) as error:
            raise CallerError(
                f"the certificate {security.certificate_file} with the key {security.key_file} can't be used"
                f" ({_why(error)}); expected PEM, an unencrypted key, and that they belong together"
            ) from error
    return context


def read_password(path: Path) -> str:
    """The password in a file, without the end of its line.

    CallerError where it can't be read, is empty or no text, or where others may read it.
    """
    check_private(path, "the password file")
    try:
        with path.open("rb") as file:
            password = file.read(MAX_PASSWORD_BYTES + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise CallerError(f"the password file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise CallerError(f"the password file {path} is no UTF-8 text; expected one line with the password") from None
    if not password or "\n" in password or len(password) > MAX_PASSWORD_BYTES:
        raise CallerError(f"the password file {path} must hold one line with the password and nothing else")
    return password


def check_private(path: Path, what: str) -> None:
    """CallerError where a file with a secret is not there, or may be read by others or written by its group."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise CallerError(f"{what} {path} can't be read: {error.strerror}") from error
    if mode & NOT_OURS:
        raise CallerError(
            f"{what} {path} may be used by others (mode {mode:04o}); make it yours alone with `chmod 600 {path}`, and"
            " change what it holds if others had the time to read it"
        )


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted")


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or error)


def _versions(files: list[Path]) -> list[tuple[int, int, int]]:
    """What tells one state of files from another; zeros for one that is not there."""
    found = []
    for path in files:
        try:
            at = path.stat()
            found.append((at.st_mtime_ns, at.st_size, at.st_ino))
        except OSError:
            found.append((0, 0, 0))
    return found
