"""What the publisher puts around an event, without a broker."""

from __future__ import annotations

import dataclasses

import pytest

from schemas import records
from schemas.codec import Codec, CommittedSource
from streams.bus.publisher import BATCH_MAX_BYTES, REQUEST_MAX_BYTES, Publisher, cloud_event_headers
from streams.errors import BrokerUnreachableError, CallerError
from streams.topics import TOPICS, VERDICTS
from tests.contracts.samples import DEAD_LETTER, DEFECT, FRAME, RECIPE, VERDICT

KEY = b"leipzig/L1/S2"


def headers(record: records.Event, key: bytes | None = KEY) -> dict[str, str]:
    return {name: value.decode() for name, value in cloud_event_headers(record, key)}


def test_a_frame_carries_the_attributes_of_cloudevents_in_binary_mode() -> None:
    assert headers(FRAME) == {
        "ce_id": f"{FRAME.frame_id}/1",
        "ce_source": "/leipzig/L1/S2/top",
        "ce_type": "lineside.FrameCaptured",
        "ce_specversion": "1.0",
        "ce_time": "2026-03-01T12:00:00.123Z",
        "content-type": "application/avro",
    }


def test_source_and_id_together_tell_every_event_from_every_other() -> None:
    second_attempt = dataclasses.replace(FRAME, attempt=2)
    seen = [(h["ce_source"], h["ce_id"]) for h in map(headers, (FRAME, second_attempt, VERDICT, DEFECT, DEAD_LETTER))]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("key", [None, b"\xff\x00", b"only/two", b"a/b/c/d", b"a/b\n/c"])
def test_a_dead_letter_with_a_key_that_is_no_station_has_an_unknown_source(key: bytes | None) -> None:
    assert headers(DEAD_LETTER, key)["ce_source"] == "/unknown"
    assert headers(DEAD_LETTER, KEY)["ce_source"] == "/leipzig/L1/S2"


def test_a_recipe_comes_from_its_line_and_is_told_by_its_version() -> None:
    assert headers(RECIPE)["ce_source"] == "/leipzig/L1"
    assert headers(RECIPE)["ce_id"] == "leipzig/L1/*/4"


def test_a_batch_always_fits_what_a_topic_takes_and_the_largest_event_fits_a_request() -> None:
    assert min(topic.max_message_bytes for topic in TOPICS.values()) > BATCH_MAX_BYTES
    assert max(topic.max_message_bytes for topic in TOPICS.values()) < REQUEST_MAX_BYTES


async def test_sending_before_the_start_is_refused() -> None:
    publisher = Publisher("127.0.0.1:9", "t.", Codec(CommittedSource()))
    with pytest.raises(CallerError, match="not started"):
        await publisher.send(VERDICTS, VERDICT, key=KEY)
    await publisher.stop()


async def test_no_kafka_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    monkeypatch.setattr("streams.bus.publisher.ANSWER_TIMEOUT_S", 0.2)
    with pytest.raises(BrokerUnreachableError, match=rf"no Kafka at 127\.0\.0\.1:{unused_tcp_port}.*`lineside broker`"):
        await Publisher(f"127.0.0.1:{unused_tcp_port}", "t.", Codec(CommittedSource())).start()
