"""The table of topics against the rules that the rest relies on."""

from __future__ import annotations

import pytest

from streams.errors import CallerError
from streams.settings import Settings
from streams.topics import DEADLETTERS, FRAMES, RECIPES, TOPICS, VERDICTS, station_key, topic_named, topic_specs

SPECS = {spec.name: spec for spec in topic_specs(Settings(partitions=6, replication=3, min_insync_replicas=2))}


def test_all_topics_keyed_by_station_have_one_partition_count_and_the_others_one_partition() -> None:
    of_all = ("recipes", "alarms", "audit", "gates", "models", "camera-references", "proposals")
    single = {f"lineside.{name}" for name in of_all}
    assert {spec.partitions for name, spec in SPECS.items() if name not in single} == {6}
    assert {SPECS[name].partitions for name in single} == {1}


def test_every_topic_is_replicated_as_set_and_timed_by_the_broker() -> None:
    for spec in SPECS.values():
        assert (spec.replication, spec.config()["min.insync.replicas"]) == (3, "2")
        assert spec.config()["message.timestamp.type"] == "LogAppendTime"


def test_a_dead_letter_can_hold_the_largest_frame_whole() -> None:
    assert DEADLETTERS.max_message_bytes == FRAMES.max_message_bytes + (1 << 20)
    assert SPECS["lineside.frames"].config()["max.message.bytes"] == str(8 << 20)


def test_recipes_are_kept_for_ever_and_not_compacted() -> None:
    config = SPECS["lineside.recipes"].config()
    assert (config["retention.ms"], config["retention.bytes"], config["cleanup.policy"]) == ("-1", "-1", "delete")


def test_a_topic_is_found_with_and_without_prefix() -> None:
    assert topic_named("verdicts", "lineside.") is topic_named("lineside.verdicts", "lineside.") is VERDICTS
    assert TOPICS["recipes"] is RECIPES


def test_an_unknown_topic_is_the_callers_mistake_and_names_the_known_ones() -> None:
    with pytest.raises(CallerError, match="there is no topic 'frame'; topics are frames, verdicts"):
        topic_named("frame", "lineside.")


def test_a_key_is_the_three_parts_as_text() -> None:
    assert station_key("leipzig", "L-1", "S_2.a") == b"leipzig/L-1/S_2.a"


@pytest.mark.parametrize("part", ["", "a/b", "ä", "a b", "a\n", "x" * 65, "\x00"])
def test_a_part_that_could_be_mistaken_for_another_key_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="can't be part of a key"):
        station_key("leipzig", part, "S2")
