"""What the embedded Kafka is told: its server.properties and its JVM's arguments. Pure.

Place in the flow: `embedded.py` writes and runs what this file says. Everything here suits one small node on a machine
that does other work too, on loopback alone; a production cluster has its own configuration. Knows no process, no disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from streams.kafka_address import MECHANISM

MIB = 1 << 20
HOST = "127.0.0.1"
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
MAX_MESSAGE_BYTES = 10 * MIB  # a dead letter (8 MiB of frame + 1 MiB) and its record's overhead

FIXED_PROPERTIES = {
    "auto.create.topics.enable": "false",
    # One node can't replicate.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Sizes: what the largest topic may hold, and how much of it may wait in memory.
    "message.max.bytes": str(MAX_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(MAX_MESSAGE_BYTES),
    "socket.request.max.bytes": str(64 * MIB),
    "queued.max.request.bytes": str(128 * MIB),
    "log.segment.bytes": str(256 * MIB),
    "log.index.size.max.bytes": str(MIB),
    # A small footprint: two cores are shared with the inspection itself.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": str(8 * MIB),
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # Quick starts: no wait for more group members, and after a kill -9 the old session is soon forgotten.
    "group.initial.rebalance.delay.ms": "0",
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "4000",
}


def server_properties(log_dir: Path, port: int, controller_port: int) -> dict[str, str]:
    """Kafka's configuration of one node, broker and controller in one (KRaft), reachable from this machine alone."""
    return FIXED_PROPERTIES | {
        "process.roles": "broker,controller",
        "node.id": "1",
        # A static quorum: its address may differ at the next start, a dynamic one's is written into the data.
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(log_dir),
    }


@dataclass(frozen=True, slots=True)
class KeyStores:
    """PEM files of a secured node: key and certificate for clients, and the node's own with the authority it trusts."""

    broker: Path
    node: Path
    node_authority: Path
    admin: str
    node_name: str


def secured_properties(
    log_dir: Path, port: int, controller_port: int, internal_port: int, stores: KeyStores
) -> dict[str, str]:
    """As `server_properties`, for a node that lets nobody in without proof and allows nothing that no rule allows.

    Clients come by TLS with user and password (SCRAM). The controller's listener and the node's own take one
    certificate alone, that of this node: other users of this machine have no way in. No secret stands here.
    """
    own = {
        "ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(stores.node),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(stores.node_authority),
    }
    clients = {
        "ssl.client.auth": "none",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(stores.broker),
        "sasl.enabled.mechanisms": MECHANISM,
        f"{MECHANISM.lower()}.sasl.jaas.config": f"{SCRAM_MODULE} required;",
    }
    listeners = f"SASL_SSL://{HOST}:{port},INTERNAL://{HOST}:{internal_port},CONTROLLER://{HOST}:{controller_port}"
    of_listeners = {"sasl_ssl": clients, "internal": own, "controller": own}
    return (
        server_properties(log_dir, port, controller_port)
        | {
            "listeners": listeners,
            "advertised.listeners": listeners,
            "inter.broker.listener.name": "INTERNAL",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,INTERNAL:SSL,CONTROLLER:SSL",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{stores.admin};User:CN={stores.node_name}",
        }
        | {f"listener.name.{name}.{key}": v for name, values in of_listeners.items() for key, v in values.items()}
    )


def properties_text(properties: Mapping[str, str]) -> str:
    """The properties in Java's file format: backslashes doubled, non-ASCII as UTF-16 escapes."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in properties.items())


def _escape(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)


def java_arguments(data_dir: Path, log_file: Path, log4j_file: Path, heap_mb: int) -> list[str]:
    """The JVM's arguments, bounded in memory.

    Serial collector and C1 alone: measured on two cores, moving 12,000 records (240 MB) cost 1.2 s of CPU against
    2.5 s with C2 and 2.5 s with the parallel collector, and the start 2.0 s of CPU against 3.4 s.
    """
    return [
        "-Xms64m",
        f"-Xmx{heap_mb}m",
        f"-XX:MaxDirectMemorySize={max(64, heap_mb // 2)}m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",  # a broker that is half alive answers nobody and ends never
        "-XX:-UsePerfData",
        "-XX:+DisableAttachMechanism",
        f"-XX:ErrorFile={data_dir / 'broker-crash-%p.log'}",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        f"-Djava.io.tmpdir={data_dir / 'tmp'}",
        f"-Dlog4j2.configurationFile={log4j_file.as_uri()}",
        f"-Dlineside.broker.log={log_file}",
        "--enable-native-access=ALL-UNNAMED",  # the compression codecs
        "--sun-misc-unsafe-memory-access=allow",  # Kafka unmaps its index files this way
    ]
