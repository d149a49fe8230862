"""What the embedded Kafka is told."""

from pathlib import Path

from streams.bus.kafka_config import KeyStores, properties_text, secured_properties, server_properties


def test_every_listener_is_on_loopback() -> None:
    properties = server_properties(Path("/d"), 9092, 9093)
    for name in ("listeners", "advertised.listeners"):
        assert properties[name] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"


def test_a_secured_node_has_no_open_listener_and_allows_nothing_by_default() -> None:
    stores = KeyStores(Path("/s/broker.pem"), Path("/s/node.pem"), Path("/s/node-ca.pem"), "admin", "node")
    properties = secured_properties(Path("/d"), 9092, 9093, 9094, stores)
    listeners = "SASL_SSL://127.0.0.1:9092,INTERNAL://127.0.0.1:9094,CONTROLLER://127.0.0.1:9093"
    assert properties["listeners"] == properties["advertised.listeners"] == listeners
    assert "PLAINTEXT" not in properties["listener.security.protocol.map"]
    for listener in ("internal", "controller"):
        assert properties[f"listener.name.{listener}.ssl.client.auth"] == "required"
        assert properties[f"listener.name.{listener}.ssl.truststore.location"] == "/s/node-ca.pem"
    assert properties["listener.name.sasl_ssl.sasl.enabled.mechanisms"] == "SCRAM-SHA-512"
    assert properties["allow.everyone.if.no.acl.found"] == "false"
    assert properties["super.users"] == "User:admin;User:CN=node"


def test_a_path_survives_javas_file_format() -> None:
    text = properties_text({"log.dirs": "/a b\\c/\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{GRINNING FACE}\n"})
    assert text == "log.dirs=/a b\\\\c/\\u00fc\\ud83d\\ude00\\u000a\n"
