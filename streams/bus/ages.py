"""How long certificates still last and how old secrets are: read, judged, said in the log, given as metrics.

Place in the flow: every command whose connections are secured starts `watch` once; `lineside statistics` also publishes
what it finds as alarms. Looks at files and at the certificate that the broker shows. Does not renew anything.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from aiokafka.conn import collect_hosts
from cryptography import x509
from prometheus_client import Gauge

from streams.bus.security import client_context
from streams.errors import CallerError, OperatorError
from streams.kafka_address import Protocol, security_of
from streams.settings import Settings

log = logging.getLogger(__name__)
CONNECT_S = 5.0
POLL_S = 0.1
LOOK_EVERY_S = 6 * 3600.0
DAY_S = 86_400
EXPIRES = Gauge(
    "lineside_certificate_expires_timestamp_seconds", "When a certificate of Kafka's connections ends.", ["certificate"]
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to renew. `days`: until a certificate ends (negative: since it did), or since a secret was changed."""

    kind: Literal["certificate", "secret"]
    subject: str
    days: float
    limit_days: int

    def __str__(self) -> str:
        if self.kind == "secret":
            return (
                f"{self.subject} was last changed {self.days:.0f} days ago, more than {self.limit_days}; change it"
                " (`lineside secure rotate` for the embedded broker)"
            )
        when = f"ends in {self.days:.0f} days" if self.days >= 0 else f"ended {-self.days:.0f} days ago"
        return f"the certificate {self.subject} {when}; renew it (`lineside secure rotate` for the embedded broker)"


@dataclass(frozen=True, slots=True)
class Looked:
    """What is to be renewed, and everything that was looked at, by kind and subject."""

    findings: list[Finding]
    at: frozenset[tuple[str, str]]


def judge(
    ends: Mapping[str, datetime], changed: Mapping[str, datetime], now: datetime, warning_days: int, max_age_days: int
) -> list[Finding]:
    """What is to be renewed, of certificates by when they end and of secrets by when they were changed. Pure."""
    left = {subject: (at - now).total_seconds() / DAY_S for subject, at in ends.items()}
    ages = {subject: (now - at).total_seconds() / DAY_S for subject, at in changed.items()}
    return [
        Finding("certificate", subject, days, warning_days) for subject, days in left.items() if days < warning_days
    ] + [Finding("secret", subject, days, max_age_days) for subject, days in ages.items() if days > max_age_days]


def look(settings: Settings) -> Looked:
    """What is to be renewed now; sets the metric. Blocks for a connection to the broker; nothing where it is away."""
    security = settings.kafka_security
    ends = {str(path): _end(path) for path in (security.ca_file, security.certificate_file) if path}
    if security.protocol is not Protocol.PLAINTEXT and (served := served_certificate(settings.bootstrap)):
        ends[f"of the broker {settings.bootstrap}"] = served.not_valid_after_utc
    for subject, at in ends.items():
        EXPIRES.labels(subject).set(at.timestamp())
    secrets = [path for path in (security.password_file, security.key_file) if path]
    changed = {str(path): datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in secrets}
    days, age = settings.kafka_expiry_warning_days, settings.kafka_secret_max_age_days
    found = judge(ends, changed, datetime.now(UTC), days, age)
    looked = [("certificate", subject) for subject in ends] + [("secret", subject) for subject in changed]
    return Looked(found, frozenset(looked))


def watch(settings: Settings) -> None:
    """Looks now and every few hours, in a thread that ends with the process, and warns.

    Plaintext that leaves this machine is warned of once. CallerError for settings of security that don't go together.
    """
    target = _warn_of_plaintext if settings.kafka_security.protocol is Protocol.PLAINTEXT else _watch
    threading.Thread(target=target, args=(settings,), name="ages of certificates", daemon=True).start()


def served_certificate(bootstrap: str) -> x509.Certificate | None:
    """The certificate that a broker shows and that is trusted; None where no connection comes about. Blocks."""
    context = client_context(security_of(bootstrap))
    for host, port, _family in collect_hosts(bootstrap):
        with contextlib.suppress(OSError), socket.create_connection((host, port), CONNECT_S) as plain:
            with context.wrap_socket(plain, server_hostname=host) as secured:
                shown = secured.getpeercert(binary_form=True)
            if shown:
                return x509.load_der_x509_certificate(shown)
    return None


def check_served(bootstrap: str, file: Path, timeout_s: float = 15.0) -> None:
    """Returns when the broker shows the certificate in a file and it is trusted; OperatorError. Blocks."""
    expected, until_s = _certificates(file)[0], time.monotonic() + timeout_s
    while (served := served_certificate(bootstrap)) != expected and time.monotonic() < until_s:
        time.sleep(POLL_S)
    if served != expected:
        came = f"the one with serial number {served.serial_number:x}" if served else "none that is trusted"
        raise OperatorError(
            f"the broker at {bootstrap} should show the certificate in {file} and shows {came}; see its log, or"
            " start it again"
        )


def _warn_of_plaintext(settings: Settings) -> None:
    with contextlib.suppress(ValueError):  # no address: who connects says so
        if away := [host for host, _port, _family in collect_hosts(settings.bootstrap) if not _is_here(host)]:
            log.warning(
                "connections to Kafka at %s are not secured: everybody on the way may read and change what is sent;"
                " see LINESIDE_KAFKA_PROTOCOL",
                ", ".join(sorted(away)),
            )


def _watch(settings: Settings) -> None:
    pause = threading.Event()
    while True:
        try:
            for finding in look(settings).findings:
                log.warning("%s", finding)
        except (CallerError, OSError, ValueError) as error:  # who connects says it better
            log.debug("the ages of certificates can't be told: %s", error)
        pause.wait(LOOK_EVERY_S)


def _end(path: Path) -> datetime:
    """When the last of a file's certificates ends: an authority that another one follows may end."""
    return max(certificate.not_valid_after_utc for certificate in _certificates(path))


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CallerError(f"{path} holds no certificate that can be read ({error}); expected PEM") from error


def _is_here(host: str) -> bool:
    """True also for a host that nobody knows: no connection goes there."""
    with contextlib.suppress(OSError):
        addresses = socket.getaddrinfo(host, None)
        return all(str(address[4][0]).startswith(("127.", "::1")) for address in addresses)
    return True
