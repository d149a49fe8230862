"""Pools of lines: frames and workers of their own, all else in common."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from streams.commands.store import archives_of
from streams.errors import CallerError
from streams.roles import rules
from streams.settings import Settings, load_settings, to_environment
from streams.topics import (
    DEFECTS,
    FRAMES,
    VERDICTS,
    frames_of,
    frames_topic,
    inspection_group,
    own,
    topic_named,
    topic_specs,
)

PRESS = Settings(pools="press, paint", pool="press")


def test_a_pool_has_frames_and_a_group_of_its_own_and_lines_in_none_keep_theirs() -> None:
    assert PRESS.pool_names == ("", "press", "paint")
    assert frames_topic(PRESS) == "lineside.frames.press"
    assert [inspection_group(pool) for pool in PRESS.pool_names] == [
        "inspection",
        "inspection.press",
        "inspection.paint",
    ]
    assert (own(FRAMES, PRESS), own(VERDICTS, PRESS)) == (frames_of("press"), VERDICTS)
    assert (frames_topic(Settings()), own(FRAMES, Settings())) == ("lineside.frames", FRAMES)


def test_all_pools_frames_are_in_the_table_with_the_same_partitions_and_limits() -> None:
    specs = {spec.name: spec for spec in topic_specs(PRESS)}
    plain, press = specs["lineside.frames"], specs["lineside.frames.press"]
    assert (press.partitions, press.config(), press.by_station) == (plain.partitions, plain.config(), True)
    assert len(specs) == len(topic_specs(Settings())) + 2
    assert topic_named("lineside.frames.press", "lineside.") == topic_named("frames.press", "lineside.")
    with pytest.raises(CallerError, match=r"there is no topic 'frames\.'"):
        topic_named("frames.", "lineside.")
    with pytest.raises(CallerError, match=r"there is no topic 'defects\.press'"):
        topic_named("defects.press", "lineside.")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"pool": "press"}, "there is no pool 'press': LINESIDE_POOLS has none"),
        ({"pools": "paint", "pool": "press"}, "there is no pool 'press': LINESIDE_POOLS has paint"),
        ({"pools": "Press shop"}, "a pool's name is 1 to 32 of a-z, 0-9 and `-`; came 'Press shop'"),
    ],
)
def test_a_pool_that_is_not_there_or_has_no_name_is_refused(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(CallerError, match=sentence):
        Settings(**settings)  # type: ignore[arg-type]


def test_programs_that_are_started_get_the_pool_too() -> None:
    assert load_settings(environ=to_environment(PRESS)) == PRESS


def test_rights_to_frames_and_groups_of_workers_are_rights_to_those_of_all_pools() -> None:
    added = rules("l.", pools=("", "press")) - rules("l.")
    assert {rule.name for rule in added} == {"l.frames.press", "l.inspection.press"}
    assert {str(rule) for rule in added if rule.principal == "User:gateway"} == {
        "User:gateway may write topic l.frames.press"
    }
    assert {rule.operation for rule in added if rule.principal == "User:inspector"} == {"read"}
    assert not [rule for rule in added if DEFECTS.name in rule.name]


def test_a_collection_must_know_the_archive_of_every_pool() -> None:
    common = replace(PRESS, pool="", data_dir=Path("/data"))
    found = archives_of(common, ["press=/archives/press", "paint=none"])
    assert found == {"": Path("/data/archive"), "press": Path("/archives/press")}
    assert archives_of(Settings(data_dir=Path("/data")), []) == {"": Path("/data/archive")}
    for given, refusal in (
        (["press=/a"], "--archive paint=FOLDER, or that it has none, by --archive paint=none"),
        (["press=/a", "paint=none", "weld=/b"], "a pool of LINESIDE_POOLS; came 'weld'"),
        (["press", "paint=none"], "--archive press= names no folder"),
    ):
        with pytest.raises(CallerError, match=re.escape(refusal)):
            archives_of(common, given)
    with pytest.raises(CallerError, match="unset LINESIDE_POOL"):
        archives_of(PRESS, ["press=/a", "paint=none"])
