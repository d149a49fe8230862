"""Refusals as sentences: why Kafka would not take a connection, or an act, and what an operator does about it.

Place in the flow: `knock.py` and `connect.py` hand over what a client of Kafka raised. Knows errors, opens nothing.
"""

from __future__ import annotations

import ssl

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)

from streams.errors import BrokerRefusedError, NotAllowedError
from streams.kafka_address import MECHANISM, Security, security_of

NOT_ALLOWED = (
    TopicAuthorizationFailedError,
    GroupAuthorizationFailedError,
    ClusterAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)
EXPIRED, NOT_YET_VALID, OTHER_HOST, OTHER_ADDRESS = 10, 9, 62, 64  # OpenSSL's X509_V_ERR_*
UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}
OUR_CERTIFICATE = {  # what OpenSSL calls the alerts by which a broker refuses the client's certificate
    "CERTIFICATE_EXPIRED": "has expired; renew it",
    "UNKNOWN_CA": "is signed by nobody that Kafka knows; have it signed by an authority of Kafka's trust store",
    "CERTIFICATE_REQUIRED": "is missing; set LINESIDE_KAFKA_CERTIFICATE_FILE and LINESIDE_KAFKA_KEY_FILE",
    "BAD_CERTIFICATE": "is not accepted; see the broker's log for why",
    "CERTIFICATE_UNKNOWN": "is not accepted; see the broker's log for why",
    "HANDSHAKE_FAILURE": "is missing, or no cipher is shared; set LINESIDE_KAFKA_CERTIFICATE_FILE, or see the broker's"
    " log",
}


def refused_connection(error: BaseException, where: str, security: Security) -> BrokerRefusedError | None:
    """Why Kafka at `where` (host:port) and we do not come together; None where the error says nothing about that."""
    for cause in _causes(error):
        if sentence := _identity(cause, security) or _tls(cause, security):
            return BrokerRefusedError(f"Kafka at {where}: {sentence}")
    return None


def not_allowed(error: BaseException, bootstrap: str, what: str = "") -> NotAllowedError | None:
    """The sentence for a right that is missing; None for any other error. `what` was tried, such as `write to NAME`."""
    found = next((cause for cause in _causes(error) if isinstance(cause, NOT_ALLOWED)), None)
    if found is None:
        return None
    act = what or f"{_ACTS[type(found)]} {_names(found)}".rstrip()
    return NotAllowedError(
        f"Kafka at {bootstrap} does not allow {security_of(bootstrap).who} to {act}; start it as the role that may"
        " (`lineside topics --acls` shows who may what), or have the right granted"
    )


def wants_tls(where: str) -> BrokerRefusedError:
    return BrokerRefusedError(
        f"Kafka at {where} speaks TLS alone and we came without; set LINESIDE_KAFKA_PROTOCOL=sasl_ssl with"
        " LINESIDE_KAFKA_CA_FILE, LINESIDE_KAFKA_USER and LINESIDE_KAFKA_PASSWORD_FILE, or name another port"
    )


def without_tls(where: str) -> BrokerRefusedError:
    return BrokerRefusedError(
        f"Kafka at {where} speaks no TLS and we insist on it; name its secured port in LINESIDE_BOOTSTRAP_SERVERS, or"
        " set LINESIDE_KAFKA_PROTOCOL=plaintext where everybody may read and change what is sent"
    )


def wants_sign_in(where: str) -> BrokerRefusedError:
    return BrokerRefusedError(
        f"Kafka at {where} wants a user and a password; set LINESIDE_KAFKA_PROTOCOL=sasl_ssl, LINESIDE_KAFKA_USER and"
        " LINESIDE_KAFKA_PASSWORD_FILE"
    )


def _identity(error: BaseException, security: Security) -> str:
    match error:
        case SaslAuthenticationFailed():
            return (
                f"it knows no user {security.user!r} with the password in {security.password_file}; see whether both"
                " are right and the user exists there"
            )
        case UnsupportedSaslMechanismError():
            return f"it does not take {MECHANISM}; enable that mechanism on its listener"
        case IllegalSaslStateError():
            return "it asks for no user there; set LINESIDE_KAFKA_PROTOCOL=ssl, or name the port that does"
    return ""


def _tls(error: BaseException, security: Security) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error, security)
    if isinstance(error, ssl.SSLError):
        for alert, sentence in OUR_CERTIFICATE.items():
            if f"ALERT_{alert}" in (error.reason or ""):
                return f"our certificate {sentence}"
    return ""


def _certificate(error: ssl.SSLCertVerificationError, security: Security) -> str:
    """What is wrong with the broker's certificate."""
    authorities = security.ca_file or "the system's list"
    match error.verify_code:
        case code if code == EXPIRED:
            return "its certificate has expired, or one that signed it; have it renewed, or set this clock right"
        case code if code == NOT_YET_VALID:
            return "its certificate is not valid yet; see whether the clocks here and there are right"
        case code if code in (OTHER_HOST, OTHER_ADDRESS):
            return (
                f"its certificate is for another host ({error.verify_message.rstrip('.')}); use a name that it has in"
                " LINESIDE_BOOTSTRAP_SERVERS and the brokers' advertised.listeners, or have it issued for this one"
            )
        case code if code in UNKNOWN_AUTHORITY:
            return (
                f"its certificate is signed by none of the authorities in {authorities}; set LINESIDE_KAFKA_CA_FILE to"
                " the one that signs your brokers' certificates"
            )
    return f"its certificate can't be trusted ({error.verify_message}); have it issued anew"


_ACTS = {
    TopicAuthorizationFailedError: "use the topic",
    GroupAuthorizationFailedError: "use the consumer group",
    ClusterAuthorizationFailedError: "write to any topic, or to act on the cluster",
    TransactionalIdAuthorizationFailed: "use the transactional id",
}


def _names(error: BaseException) -> str:
    names = [str(name) for arg in error.args for name in (sorted(arg) if isinstance(arg, set | frozenset) else [arg])]
    return ", ".join(names)


def _causes(error: BaseException | None) -> list[BaseException]:
    """An error and what led to it, the last first."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
