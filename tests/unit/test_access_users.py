"""The users file: private, replaced in one step, refused where not understood; and the command that changes it."""

import io
import json
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.commands import users as command
from streams.commands.users import NewUser, Users, ask_secret, parse_roles
from streams.errors import CallerError
from streams.settings import Settings
from streams.web.access.passwords import token_sha256, verify
from streams.web.access.users import Account, Role, read_accounts, write_accounts

OPERATOR = frozenset({Role.OPERATOR})


class AuditTrail:
    """What was recorded, and whether the file was still untouched then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[tuple[str, str, str, object, object]] = []
        self.files: list[str | None] = []
        self.is_down = False

    async def __call__(
        self,
        actor: str,
        action: str,
        subject: str,
        *,
        before: Mapping[str, object] | None = None,
        after: Mapping[str, object] | None = None,
    ) -> None:
        if self.is_down:
            raise ConnectionError("no broker")
        self.entries.append((actor, action, subject, before, after))
        self.files.append(self.path.read_text() if self.path.exists() else None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "users.json"


@pytest.fixture
def trail(path: Path) -> AuditTrail:
    return AuditTrail(path)


@pytest.fixture
def users(path: Path, trail: AuditTrail) -> Users:
    return Users(path, trail, "root")


def test_no_file_is_not_the_same_as_a_file_without_users(path: Path) -> None:
    assert read_accounts(path) is None
    write_accounts(path, [])
    assert read_accounts(path) == {}


def test_what_is_written_is_read_back_and_only_its_owner_can_read_it(path: Path) -> None:
    account = Account("ana", "Ána <b>K.</b>", OPERATOR, badge="0004711", pin_hash="$argon2id$…")
    write_accounts(path, [account])
    write_accounts(path, [account])
    assert read_accounts(path) == {"ana": account}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["users.json"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "can't be read"),
        ("[]", "can't be read"),
        ('{"version": 2, "users": []}', "version 2 is not 1"),
        ('{"version": 1, "users": [{"name": "a", "display_name": "A", "roles": ["KING"]}]}', "KING"),
        (
            '{"version": 1, "users": [{"name": "a", "display_name": "A", "roles": [], "pin": "1"}]}',
            "unknown field 'pin'",
        ),
        (
            '{"version": 1, "users": [{"name": "a", "display_name": "A", "roles": [], "badge": 7}]}',
            "badge must be text",
        ),
        ('{"version": 1, "users": [{"name": " ", "display_name": "A", "roles": []}]}', "1 to 64 printable"),
        ('{"version": 1, "users": [{"name": "a\\u0000", "display_name": "A", "roles": []}]}', "1 to 64 printable"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_with_its_reason(path: Path, content: str, complaint: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(CallerError, match=complaint):
        read_accounts(path)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    write_accounts(path, [])
    path.chmod(mode)
    with pytest.raises(CallerError, match=f"mode {mode:04o}.*chmod 600"):
        read_accounts(path)
    path.chmod(0o444)
    assert read_accounts(path) == {}


def test_a_badge_of_two_users_is_refused(path: Path) -> None:
    write_accounts(path, [Account("a", "A", OPERATOR, badge="7"), Account("b", "B", OPERATOR, badge="7")])
    with pytest.raises(CallerError, match="badge '7' twice"):
        read_accounts(path)


async def test_an_operator_gets_a_pin_and_an_engineer_a_password(users: Users, path: Path) -> None:
    await users.add(NewUser("ana", OPERATOR, "Ana K.", badge="0004711"), lambda: "2580")
    await users.add(NewUser("eva", frozenset({Role.ENGINEER})), lambda: "correct horse")
    ana, eva = users.all()
    assert verify(ana.pin_hash, "2580")
    assert verify(eva.password_hash, "correct horse")
    assert eva.display_name == "eva"
    assert "2580" not in path.read_text()
    assert "horse" not in path.read_text()


async def test_adding_the_same_user_again_changes_nothing(users: Users, path: Path, trail: AuditTrail) -> None:
    new = NewUser("ana", OPERATOR, badge="7")
    await users.add(new, lambda: "2580")
    before = path.read_text()
    await users.add(new, lambda: pytest.fail("nothing to ask"))
    assert path.read_text() == before
    assert len(trail.entries) == 1


async def test_adding_another_under_a_taken_name_or_badge_is_refused(users: Users) -> None:
    await users.add(NewUser("ana", OPERATOR, badge="7"), lambda: "2580")
    with pytest.raises(CallerError, match="already"):
        await users.add(NewUser("ana", frozenset({Role.ENGINEER}), badge="7"), lambda: "2580")
    with pytest.raises(CallerError, match="that of 'ana'"):
        await users.add(NewUser("bo", OPERATOR, badge="7"), lambda: "2580")


@pytest.mark.parametrize("pin", ["", "123", "12a4", "²³⁴⁵", "1234567890123"])
async def test_a_bad_pin_is_refused_without_repeating_it(users: Users, pin: str) -> None:
    with pytest.raises(CallerError, match="4 to 12 digits") as caught:
        await users.add(NewUser("ana", OPERATOR, badge="7"), lambda: pin)
    assert not pin or pin not in str(caught.value).replace("4 to 12", "")


@pytest.mark.parametrize("pin", ["7777", "4567", "987654", "20481"])
async def test_a_pin_that_is_tried_first_is_refused(users: Users, pin: str) -> None:
    with pytest.raises(CallerError, match="must not be the badge, nor one digit repeated, nor digits counted"):
        await users.add(NewUser("ana", OPERATOR, badge="20481"), lambda: pin)


async def test_a_short_password_is_refused(users: Users) -> None:
    with pytest.raises(CallerError, match="at least 10"):
        await users.add(NewUser("eva", OPERATOR), lambda: "short")


async def test_removing_is_idempotent_and_leaves_a_file_that_lets_nobody_in(users: Users, path: Path) -> None:
    await users.add(NewUser("eva", OPERATOR), lambda: "correct horse")
    assert await users.remove("eva") is True
    assert await users.remove("eva") is False
    assert read_accounts(path) == {}


async def test_a_new_token_ends_the_old_one_and_is_not_in_the_file(users: Users, path: Path) -> None:
    old, new = await users.token("power-bi"), await users.token("power-bi")
    (account,) = users.all()
    assert account.token_sha256 == token_sha256(new) != token_sha256(old)
    assert account.roles == {Role.READER}
    assert new not in path.read_text()


async def test_a_token_for_a_person_is_refused(users: Users) -> None:
    await users.add(NewUser("eva", frozenset({Role.ENGINEER})), lambda: "correct horse")
    with pytest.raises(CallerError, match="a person's account"):
        await users.token("eva")


async def test_changing_the_secret_of_nobody_is_refused(users: Users) -> None:
    with pytest.raises(CallerError, match="no user 'eva'"):
        await users.passwd("eva", lambda: "correct horse")


async def test_changes_are_audited_before_they_are_made_and_without_secrets(users: Users, trail: AuditTrail) -> None:
    await users.add(NewUser("ana", OPERATOR, badge="7"), lambda: "2580")
    await users.passwd("ana", lambda: "9051")
    await users.remove("ana")
    actions = [(actor, action, subject) for actor, action, subject, _, _ in trail.entries]
    assert actions == [("root", "user.add", "ana"), ("root", "user.passwd", "ana"), ("root", "user.remove", "ana")]
    assert trail.files[0] is None
    assert '"ana"' in (trail.files[2] or "")
    assert "argon2" not in str(trail.entries)


async def test_without_an_audit_log_nothing_changes(users: Users, trail: AuditTrail, path: Path) -> None:
    trail.is_down = True
    with pytest.raises(ConnectionError):
        await users.add(NewUser("ana", OPERATOR, badge="7"), lambda: "2580")
    assert not path.exists()


def test_roles_are_named_in_any_case_and_unknown_ones_refused() -> None:
    assert parse_roles(["operator", "AUDITOR"]) == {Role.OPERATOR, Role.AUDITOR}
    for texts in ([], ["king"]):
        with pytest.raises(CallerError, match="operator, engineer, auditor, reader"):
            parse_roles(texts)


def test_two_different_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["2580", "2581"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    with pytest.raises(CallerError, match="differ"):
        ask_secret("PIN", from_stdin=False)


def test_a_secret_from_stdin_is_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse \r\nmore"))
    assert ask_secret("password", from_stdin=True) == "correct horse "


async def test_the_list_shows_no_hashes(users: Users, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await users.add(NewUser("ana", OPERATOR, "[red]Ana[/red]", badge="7"), lambda: "2580")
    settings = Settings(users_file=str(path))
    command.list_users(settings, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["signs_in_by"] == ["badge and PIN"]
    command.list_users(settings, as_json=False)
    table = capsys.readouterr().out
    assert "[red]Ana[/red]" in table
    assert "argon2" not in table
