"""Users and rights in Kafka: passwords (SCRAM), who may do what (ACLs), and certificates read anew.

Place in the flow: `lineside topics --acls`, `lineside secure` and the embedded broker administer by it. confluent-kafka
alone speaks these parts of Kafka's protocol, and is used for nothing else. Does not know which role needs what right.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from streams.bus.security import read_password
from streams.errors import CallerError, NotAllowedError, OperatorError
from streams.kafka_address import MECHANISM, Security, security_of
from streams.roles import Rule

TIMEOUT_S = 20.0
ITERATIONS = 4096  # the least that Kafka takes; its passwords here are 192 random bits, which no guessing reaches
log = logging.getLogger(__name__)


def set_passwords(bootstrap: str, passwords: Mapping[str, str]) -> None:
    """Makes the users that are missing and gives each its password, which counts soon after this returns. Blocks."""
    admin, kafka = _client(bootstrap)
    info = kafka.ScramCredentialInfo(kafka.ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    wanted = [kafka.UserScramCredentialUpsertion(user, info, password.encode()) for user, password in passwords.items()]
    for user, future in admin.alter_user_scram_credentials(wanted, request_timeout=TIMEOUT_S).items():
        _done(future, bootstrap, f"set the password of {user!r}")


def rules_in_force(bootstrap: str) -> set[Rule]:
    """Every ACL of the cluster that a `Rule` can say. Blocks."""
    admin, kafka = _client(bootstrap)
    everything = kafka.AclBindingFilter(
        kafka.ResourceType.ANY, None, kafka.ResourcePatternType.ANY, None, None,
        kafka.AclOperation.ANY, kafka.AclPermissionType.ANY,
    )  # fmt: skip
    found = _done(admin.describe_acls(everything, request_timeout=TIMEOUT_S), bootstrap, "list the ACLs")
    allow, any_host = kafka.AclPermissionType.ALLOW, "*"
    return {
        Rule(
            principal=acl.principal,
            resource="cluster" if acl.restype == kafka.ResourceType.BROKER else acl.restype.name.lower(),
            name=acl.name,
            prefixed=acl.resource_pattern_type == kafka.ResourcePatternType.PREFIXED,
            operation=acl.operation.name.lower(),
        )
        for acl in found
        if acl.permission_type == allow and acl.host == any_host
    }


def add_rules(bootstrap: str, rules: Iterable[Rule]) -> None:
    """Allows what the rules say; what is allowed already stays. Blocks."""
    admin, kafka = _client(bootstrap)
    wanted = [
        kafka.AclBinding(
            kafka.ResourceType["BROKER" if rule.resource == "cluster" else rule.resource.upper()],
            rule.name,
            kafka.ResourcePatternType.PREFIXED if rule.prefixed else kafka.ResourcePatternType.LITERAL,
            rule.principal,
            "*",
            kafka.AclOperation[rule.operation.upper()],
            kafka.AclPermissionType.ALLOW,
        )
        for rule in rules
    ]
    for binding, future in admin.create_acls(wanted, request_timeout=TIMEOUT_S).items() if wanted else ():
        _done(future, bootstrap, f"allow {binding.principal} to {binding.operation.name.lower()} {binding.name}")


def reload_certificates(bootstrap: str, listener: str, file: Path, node_id: int = 1) -> None:
    """Makes a broker read the key store of a listener anew, which lies at `file` as before. Blocks.

    Kafka looks at its key stores' files when the configuration of one broker changes. So what its file of properties
    says is set and taken back: kept, it would outlive a move of the folder. It is done soon after this returns.
    """
    admin, kafka = _client(bootstrap)
    name = f"listener.name.{listener}.ssl.keystore.location"
    for value, operation in ((str(file), kafka.AlterConfigOpType.SET), (None, kafka.AlterConfigOpType.DELETE)):
        entry = kafka.ConfigEntry(name, value, incremental_operation=operation)
        resource = kafka.ConfigResource(kafka.ConfigResource.Type.BROKER, str(node_id), incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource], request_timeout=TIMEOUT_S).values():
            _done(future, bootstrap, "read its certificates anew")


def _client(bootstrap: str) -> tuple[Any, Any]:
    """A client for administration, and the module with its words."""
    try:
        from confluent_kafka import admin as kafka
    except ImportError:
        raise OperatorError(
            "users and rights of Kafka need the package confluent-kafka; install Lineside with its extra `admin`"
        ) from None
    security = security_of(bootstrap)
    options = {"bootstrap.servers": str(bootstrap), **_options(security)}
    quiet = logging.getLogger(f"{__name__}.librdkafka")
    quiet.setLevel(logging.CRITICAL)
    return kafka.AdminClient(options, logger=quiet), kafka


def _options(security: Security) -> dict[str, Any]:
    options = {
        "security.protocol": security.protocol.value,
        "ssl.ca.location": security.ca_file,
        "ssl.certificate.location": security.certificate_file,
        "ssl.key.location": security.key_file,
        "sasl.mechanism": MECHANISM if security.user else None,
        "sasl.username": security.user,
        "sasl.password": read_password(security.password_file) if security.password_file else None,
    }
    return {name: str(value) for name, value in options.items() if value}


def _done(future: Future[Any], bootstrap: str, what: str) -> Any:
    from confluent_kafka import KafkaError, KafkaException

    try:
        return future.result(TIMEOUT_S)
    except KafkaException as error:
        reason: Any = error.args[0]
        forbidden: tuple[Callable[[], int] | int, ...] = (KafkaError.CLUSTER_AUTHORIZATION_FAILED,)
        if reason.code() in forbidden:
            raise NotAllowedError(
                f"Kafka at {bootstrap} does not allow {security_of(bootstrap).who} to {what}; do it as an"
                " administrator, such as `admin` of the embedded broker"
            ) from error
        if reason.code() == KafkaError.SECURITY_DISABLED:
            raise CallerError(
                f"Kafka at {bootstrap} has no authorizer, so it keeps no rights; start it with `lineside broker"
                " --secure`, or set authorizer.class.name on your brokers"
            ) from error
        raise OperatorError(f"Kafka at {bootstrap} did not {what}: {reason.str()}; see the broker's log") from error
    except TimeoutError as error:
        raise OperatorError(f"Kafka at {bootstrap} did not {what} within {TIMEOUT_S:g} s; try again") from error
