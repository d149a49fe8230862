"""Where a setting comes from, and how a bad one is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from streams.errors import CallerError
from streams.settings import Settings, load_settings


def toml(folder: Path, text: str) -> Path:
    path = folder / "lineside.toml"
    path.write_text(text)
    return path


def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = toml(tmp_path, 'topic_prefix = "file."\nmax_batch = 1\nlinger_ms = 2.5\n')
    environ = {"LINESIDE_TOPIC_PREFIX": "env.", "LINESIDE_MAX_BATCH": "2"}
    settings = load_settings({"topic_prefix": "line.", "max_batch": None}, environ, file)
    assert (settings.topic_prefix, settings.max_batch, settings.linger_ms) == ("line.", 2, 2.5)
    assert settings.partitions == Settings().partitions == 12


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    file = toml(tmp_path, "production = true\nreplication = 3\nmin_insync_replicas = 2\n")
    assert load_settings(environ={"LINESIDE_CONFIG": str(file)}).production is True


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"LINESIDE_MAX_BATCH": "many"}, r"LINESIDE_MAX_BATCH \(or max_batch\) must be a int; came 'many'"),
        ({"LINESIDE_PRODUCTION": "yes"}, r"must be a bool; came 'yes'"),
        ({"LINESIDE_PARTITIONS": "0"}, "partitions must be at least 1; came 0"),
    ],
)
def test_a_bad_value_names_itself(environ: dict[str, str], said: str) -> None:
    with pytest.raises(CallerError, match=said):
        load_settings(environ=environ)


def test_an_unknown_setting_in_the_file_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="unknown setting 'max_bach'; known are bootstrap_servers"):
        load_settings(environ={}, config_file=toml(tmp_path, "max_bach = 3\n"))


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="can't be read"):
        load_settings(environ={}, config_file=tmp_path / "missing.toml")
    with pytest.raises(CallerError, match="can't be read"):
        load_settings(environ={}, config_file=toml(tmp_path, "max_batch = "))


def test_production_refuses_a_single_copy_of_the_data() -> None:
    with pytest.raises(CallerError, match="production needs replication"):
        Settings(production=True)
    assert Settings(production=True, replication=3, min_insync_replicas=2).production


def test_settings_cannot_be_changed_once_made() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().max_batch = 3  # type: ignore[misc]


def test_every_setting_can_come_from_the_environment(tmp_path: Path) -> None:
    sample = {"int": "3", "float": "0.5", "bool": "false", "str": "x", "Path": str(tmp_path)}
    for field in dataclasses.fields(Settings):
        text = sample[str(field.type)]
        environ = {"LINESIDE_POOLS": "x", f"LINESIDE_{field.name.upper()}": text}  # a pool must be one of them
        settings = load_settings(environ=environ)
        assert str(getattr(settings, field.name)).lower() == text
