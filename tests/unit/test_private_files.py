"""What Lineside keeps is closed to other accounts of the machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.commands.options import ensure_data_dir
from streams.settings import Settings
from streams.web.access.users import Account, Role, write_accounts


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):04o}"


def test_a_new_data_directory_is_its_owners_alone(tmp_path: Path) -> None:
    ensure_data_dir(Settings(data_dir=tmp_path / "deep" / "lineside"))
    assert mode(tmp_path / "deep" / "lineside") == "0700"


def test_a_data_directory_that_is_there_keeps_the_rights_that_its_owner_gave(tmp_path: Path) -> None:
    (tmp_path / "lineside").mkdir(mode=0o750)
    ensure_data_dir(Settings(data_dir=tmp_path / "lineside"))
    assert mode(tmp_path / "lineside") == "0750"


def test_the_users_file_is_its_owners_alone(tmp_path: Path) -> None:
    account = Account(name="ana", display_name="Ana", roles=frozenset({Role.OPERATOR}))
    write_accounts(tmp_path / "users.json", [account])
    assert mode(tmp_path / "users.json") == "0600"
