"""The embedded broker's secrets in one folder: authority, broker certificate, a password file for each user.

Place in the flow: `lineside secure` and `lineside broker --secure` make and renew it, `embedded.py` runs Kafka by it,
programs connect by its `USER.toml` and `USER.password`. Layout: `ca.pem` (whom clients trust; two authorities while one
follows the other), `authority.pem` and `authority-key.pem` (who signs now), `broker.pem` (key and certificate, as Kafka
reads them), `node.pem` with its key and authority (the node's talk with itself, new at each start). Everything secret
has mode 0600. Knows no role; a user is a name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from streams.bus.security import read_password
from streams.bus.trial_certificates import Issued, issue, load_issued, make_authority, new_password, write_private
from streams.errors import CallerError, OperatorError
from streams.kafka_address import KafkaAddress, Protocol, Security

ADMIN = "admin"
HOSTS = ("127.0.0.1", "localhost")
AUTHORITY_LASTS = timedelta(days=3650)
BROKER_LASTS = timedelta(days=397)
NODE_LASTS = timedelta(days=3650)  # a broker that runs longer than this has other problems
NODE = "lineside-node"


@dataclass(frozen=True, slots=True)
class SecurityFolder:
    """The folder's files. `path` is absolute."""

    path: Path

    @property
    def ca_file(self) -> Path:
        return self.path / "ca.pem"

    @property
    def broker_file(self) -> Path:
        return self.path / "broker.pem"

    @property
    def node_file(self) -> Path:
        """Key and certificate of the node itself, as Kafka reads them."""
        return self.path / "node.pem"

    @property
    def node_ca_file(self) -> Path:
        return self.path / "node-ca.pem"

    @property
    def is_there(self) -> bool:
        return self.broker_file.exists()

    def password_file(self, user: str) -> Path:
        return self.path / f"{user}.password"

    def settings_file(self, user: str) -> Path:
        """A TOML file for `--config`: where secrets are, no secret."""
        return self.path / f"{user}.toml"

    def make(self, users: Iterable[str]) -> list[Path]:
        """Makes what is missing, `admin` and `users` included, and gives the files that are new.

        CallerError where the folder can't be written.
        """
        made = []
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            if not self.is_there:
                self._sign_anew(make_authority("Lineside trial authority", AUTHORITY_LASTS), trusted=b"")
                made += [self.ca_file, self.broker_file]
            for user in sorted({ADMIN, *users}):
                if not self.password_file(user).exists():
                    self.write_password(user, new_password())
                    made.append(self.password_file(user))
                write_private(self.settings_file(user), self._settings_text(user).encode())
        except OSError as error:
            raise CallerError(
                f"the folder {self.path} can't be written ({error.strerror}: {error.filename}); name another"
                " --data-dir, or get the right to write there"
            ) from error
        return made

    def passwords(self) -> dict[str, str]:
        """The password of every user, by name."""
        return {file.stem: read_password(file) for file in sorted(self.path.glob("*.password"))}

    def offered(self, user: str) -> Path:
        """Where a new password lies until the broker knows it."""
        return self.path / f"{user}.password-to-be"

    def offer_password(self, user: str, password: str) -> Security:
        """A new password in a file that no program reads yet, and the security to try it with."""
        write_private(self.offered(user), f"{password}\n".encode())
        return dataclasses.replace(self.security(user), password_file=self.offered(user))

    def take_offered(self, user: str) -> None:
        """Programs use it from their next connection on."""
        self.offered(user).replace(self.password_file(user))

    def write_password(self, user: str, password: str) -> None:
        """Clients read it at their next connection."""
        write_private(self.password_file(user), f"{password}\n".encode())

    @property
    def certificate_ended(self) -> bool:
        """Whether no client trusts the broker's certificate any more because of its date."""
        shown = x509.load_pem_x509_certificates(self.broker_file.read_bytes())[0]
        return shown.not_valid_after_utc < datetime.now(UTC)

    def renew(self, new_authority: bool = False) -> None:
        """Issues the broker a new certificate; clients trust the authority before and the one that signs now.

        The broker reads it when it is told to (`access.reload_certificates`), clients their part by themselves.
        """
        authority = self._authority()
        trusted = authority.certificate_pem
        if new_authority or authority.certificate.not_valid_after_utc < datetime.now(UTC) + BROKER_LASTS:
            authority = make_authority("Lineside trial authority", AUTHORITY_LASTS)
        self._sign_anew(authority, trusted)

    def address(self, hosts: str, user: str) -> KafkaAddress:
        """Kafka's address for a user of this folder."""
        return KafkaAddress(hosts, self.security(user))

    def security(self, user: str) -> Security:
        return Security(Protocol.SASL_SSL, self.ca_file, user=user, password_file=self.password_file(user))

    def make_node_certificate(self) -> Security:
        """A certificate by which the node, and who starts it, talk to it as its super user; of this start alone."""
        authority = make_authority("Lineside node authority", NODE_LASTS)
        node = issue(authority, NODE, HOSTS, NODE_LASTS)
        write_private(self.node_ca_file, authority.certificate_pem)
        write_private(self.node_file, node.key_pem + node.certificate_pem)
        return Security(Protocol.SSL, self.node_ca_file, self.node_file, self.node_file)

    def _sign_anew(self, authority: Issued, trusted: bytes) -> None:
        """Whom clients trust comes first: no client may meet a certificate whose authority it can't know."""
        own = authority.certificate_pem
        write_private(self.ca_file, own if trusted in (own, b"") else own + trusted, mode=0o644)
        broker = issue(authority, "lineside-broker", HOSTS, BROKER_LASTS)
        write_private(self.path / "authority-key.pem", authority.key_pem)
        write_private(self.path / "authority.pem", own, mode=0o644)
        write_private(self.broker_file, broker.key_pem + broker.certificate_pem)

    def _authority(self) -> Issued:
        try:
            return load_issued(
                (self.path / "authority.pem").read_bytes(), (self.path / "authority-key.pem").read_bytes()
            )
        except (OSError, ValueError, TypeError) as error:
            raise OperatorError(
                f"the authority in {self.path} can't be used ({error}); restore authority.pem and authority-key.pem, or"
                " remove the folder and run `lineside secure init` again"
            ) from error

    def _settings_text(self, user: str) -> str:
        values: Mapping[str, str] = {
            "kafka_protocol": Protocol.SASL_SSL.value,
            "kafka_ca_file": str(self.ca_file),
            "kafka_user": user,
            "kafka_password_file": str(self.password_file(user)),
        }
        return "".join(f'{name} = "{_escaped(value)}"\n' for name, value in values.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
