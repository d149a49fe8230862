"""Where Kafka is and how a connection to it is secured, as one value. Pure: reads no file, opens no connection.

Place in the flow: `Settings.bootstrap` makes it, every client of Kafka gets it as its `bootstrap`, and
`streams/bus/security.py` alone looks inside. It is text, so that whoever only names the address needs to know nothing
of security; a plain str stands for a connection without any. Text derived from it (`strip()`, f-strings) has lost the
security: a secured broker then refuses the connection, and nothing secret is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from streams.errors import CallerError

MECHANISM = "SCRAM-SHA-512"


class Protocol(StrEnum):
    """How a connection is secured. SASL without TLS is not offered: who listens could use what it hears."""

    PLAINTEXT = "plaintext"
    SSL = "ssl"  # TLS; the client is nobody, or who its certificate says
    SASL_SSL = "sasl_ssl"  # TLS; the client is a user with a password, by SCRAM-SHA-512


@dataclass(frozen=True, slots=True)
class Security:
    """What secures a connection; None where a file is not used. Secrets are in files, never here.

    `ca_file`: PEM certificates of the authorities that brokers' certificates are checked against; None: the system's.
    `certificate_file`, `key_file`: the client's own, PEM, the key unencrypted.
    """

    protocol: Protocol = Protocol.PLAINTEXT
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    user: str = ""
    password_file: Path | None = None

    def __post_init__(self) -> None:
        """CallerError where parts do not go together: a secret that would silently go unused is a mistake."""
        signs_in, has_tls = self.protocol is Protocol.SASL_SSL, self.protocol is not Protocol.PLAINTEXT
        if signs_in and not (self.user and self.password_file):
            raise CallerError(
                "kafka_protocol sasl_ssl needs a user and a password file; set LINESIDE_KAFKA_USER and"
                " LINESIDE_KAFKA_PASSWORD_FILE"
            )
        if not signs_in and (self.user or self.password_file):
            raise CallerError(
                f"kafka_user and kafka_password_file count with kafka_protocol sasl_ssl alone; it is {self.protocol};"
                " set LINESIDE_KAFKA_PROTOCOL=sasl_ssl, or leave them out"
            )
        if not has_tls and (self.ca_file or self.certificate_file or self.key_file):
            raise CallerError(
                "kafka_ca_file, kafka_certificate_file and kafka_key_file count with kafka_protocol ssl or sasl_ssl;"
                " it is plaintext; set LINESIDE_KAFKA_PROTOCOL, or leave them out"
            )
        if (self.certificate_file is None) != (self.key_file is None):
            raise CallerError("kafka_certificate_file and kafka_key_file go together; set both or neither")

    @property
    def who(self) -> str:
        """Who we say to be, for messages."""
        if self.user:
            return f"user {self.user!r}"
        return f"the certificate {self.certificate_file}" if self.certificate_file else "an unnamed client"


PLAIN = Security()


class KafkaAddress(str):
    """`host:port[,host:port…]` that carries the security of its connections."""

    security: Security

    def __new__(cls, hosts: str, security: Security) -> Self:
        self = super().__new__(cls, hosts)
        self.security = security
        return self


def security_of(bootstrap: str) -> Security:
    """The security that an address carries; none for plain text."""
    return bootstrap.security if isinstance(bootstrap, KafkaAddress) else PLAIN


def parse_protocol(text: str) -> Protocol:
    """The protocol that a setting names; CallerError for another word."""
    try:
        return Protocol(text.lower())
    except ValueError:
        known = ", ".join(Protocol)
        raise CallerError(f"kafka_protocol must be one of {known}; came {text!r}") from None
