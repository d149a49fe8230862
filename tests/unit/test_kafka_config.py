"""What the embedded Kafka is told."""

from pathlib import Path

from streams.bus.kafka_config import properties_text, server_properties


def test_every_listener_is_on_loopback() -> None:
    properties = server_properties(Path("/d"), 9092, 9093)
    for name in ("listeners", "advertised.listeners"):
        assert properties[name] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"


def test_a_path_survives_javas_file_format() -> None:
    text = properties_text({"log.dirs": "/a b\\c/\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{GRINNING FACE}\n"})
    assert text == "log.dirs=/a b\\\\c/\\u00fc\\ud83d\\ude00\\u000a\n"
