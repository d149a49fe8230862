"""Access: who gets in, who waits, what ends a session. The clock is ours."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import argon2
import pytest

from streams.errors import CallerError
from streams.settings import Settings
from streams.web.access import passwords
from streams.web.access.access import Access, Refused, SignedIn, users_path
from streams.web.access.proxy import Proxy, proxy_of
from streams.web.access.throttle import ACCOUNT
from streams.web.access.users import Account, Role, read_accounts, write_accounts
from streams.web.security import networks

HERE = "192.0.2.7"
OPERATOR = frozenset({Role.OPERATOR})
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclasses.dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


class AuditTrail:
    def __init__(self) -> None:
        self.entries: list[tuple[str, str, str, object]] = []
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
        self.entries.append((actor, action, subject, after))


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code with less work, so that hundreds of guesses take no minute."""
    monkeypatch.setattr(passwords, "HASHER", CHEAP)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trail() -> AuditTrail:
    return AuditTrail()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    ana = Account("ana", "Ana K.", OPERATOR, badge="0004711", pin_hash=CHEAP.hash("2580"))
    eva = Account("eva", "Eva M.", frozenset({Role.ENGINEER}), password_hash=CHEAP.hash("correct horse"))
    token = Account("power-bi", "power-bi", frozenset({Role.READER}), token_sha256=passwords.token_sha256("lst_x"))
    write_accounts(path, [ana, eva, token])
    return path


@pytest.fixture
def access(path: Path, clock: Clock, trail: AuditTrail) -> Access:
    return Access(path, clock=clock, on_audit=trail)


async def signed_in(access: Access) -> SignedIn:
    result = await access.sign_in_badge("0004711", "2580", HERE)
    assert isinstance(result, SignedIn)
    return result


async def test_badge_and_pin(access: Access) -> None:
    result = await signed_in(access)
    assert result.user.name == "ana"
    assert access.user_of(result.session_id) == result.user


async def test_name_and_password(access: Access) -> None:
    result = await access.sign_in_password(" eva ", "correct horse", HERE)
    assert isinstance(result, SignedIn)
    assert result.user.roles == {Role.ENGINEER}


@pytest.mark.parametrize(
    ("name", "password"),
    [("eva", "wrong"), ("nobody", "correct horse"), ("ana", "2580"), ("power-bi", "lst_x"), ("", "")],
)
async def test_what_does_not_fit_is_refused_without_saying_why(access: Access, name: str, password: str) -> None:
    assert await access.sign_in_password(name, password, HERE) == Refused()


async def test_a_badge_is_no_password_name(access: Access) -> None:
    assert await access.sign_in_password("0004711", "2580", HERE) == Refused()
    assert await access.sign_in_badge("eva", "correct horse", HERE) == Refused()


async def test_an_unknown_name_costs_as_much_work_as_a_known_one(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    real = CHEAP.verify

    class Counting:
        hash = staticmethod(CHEAP.hash)
        check_needs_rehash = staticmethod(CHEAP.check_needs_rehash)

        def verify(self, secret_hash: str, secret: str) -> bool:
            checked.append(secret)
            return real(secret_hash, secret)

    monkeypatch.setattr(passwords, "HASHER", Counting())
    await access.sign_in_password("nobody", "a", HERE)
    await access.sign_in_password("eva", "b", HERE)
    await access.sign_in_password("ana", "c", HERE)  # has a PIN, but no password
    assert checked == ["a", "b", "c"]


async def test_guesses_at_an_account_meet_growing_pauses_from_every_address(access: Access, clock: Clock) -> None:
    for n in range(ACCOUNT.free + 1):
        assert await access.sign_in_password("eva", f"guess {n}", f"192.0.2.{n}") == Refused()
    assert await access.sign_in_password("eva", "correct horse", "192.0.2.99") == Refused(wait_s=1.0)
    clock.now_s += 1.0
    assert isinstance(await access.sign_in_password("eva", "correct horse", "192.0.2.99"), SignedIn)


async def test_unknown_names_are_slowed_down_like_known_ones(access: Access) -> None:
    for n in range(ACCOUNT.free + 1):
        await access.sign_in_password("nobody", f"guess {n}", f"192.0.2.{n}")
    assert await access.sign_in_password("nobody", "x", "192.0.2.99") == Refused(wait_s=1.0)


async def test_an_address_that_tries_many_names_is_slowed_down(access: Access) -> None:
    results = [await access.sign_in_badge(f"{n:07}", "0000", HERE) for n in range(30)]
    assert any(isinstance(r, Refused) and r.wait_s > 0 for r in results)
    assert isinstance(await access.sign_in_badge("0004711", "2580", "192.0.2.8"), SignedIn)


async def test_refusals_and_sign_ins_are_audited_and_no_secret_is(access: Access, trail: AuditTrail) -> None:
    await access.sign_in_password("eva", "my secret guess", HERE)
    result = await signed_in(access)
    await access.sign_out(result.session_id)
    await access.sign_out(result.session_id)
    assert [entry[:3] for entry in trail.entries] == [
        (HERE, "session.refused", "eva"),
        ("ana", "session.sign-in", "ana"),
        ("ana", "session.sign-out", "ana"),
    ]
    assert "guess" not in str(trail.entries)


async def test_nobody_is_signed_in_unrecorded(access: Access, trail: AuditTrail) -> None:
    trail.is_down = True
    with pytest.raises(ConnectionError):
        await access.sign_in_badge("0004711", "2580", HERE)
    assert not access._sessions._sessions


async def test_a_changed_or_removed_account_ends_its_sessions(access: Access, path: Path, clock: Clock) -> None:
    result = await signed_in(access)
    accounts = read_accounts(path) or {}
    write_accounts(path, [a for a in accounts.values() if a.name != "ana"])
    clock.now_s += 2.0
    assert access.user_of(result.session_id) is None
    assert await access.sign_in_badge("0004711", "2580", HERE) == Refused()


@pytest.mark.parametrize("damage", ["gone", "broken"])
async def test_a_users_file_that_goes_or_breaks_opens_nothing(
    access: Access, path: Path, clock: Clock, damage: str
) -> None:
    result = await signed_in(access)
    path.rename(path.with_suffix(".old"))
    if damage == "broken":
        path.write_text("{")
    clock.now_s += 2.0
    assert not access.open_mode
    assert access.user_of(result.session_id) is not None
    assert await access.sign_in_open("mallory") == Refused()


async def test_a_hash_with_old_parameters_is_made_new_at_sign_in(
    access: Access, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "HASHER", argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    result = await signed_in(access)
    accounts = read_accounts(path) or {}
    assert "m=16,t=2" in (accounts["ana"].pin_hash or "")
    assert set(accounts) == {"ana", "eva", "power-bi"}
    assert access.user_of(result.session_id) is not None
    assert isinstance(await access.sign_in_badge("0004711", "2580", HERE), SignedIn)


async def test_a_hash_with_old_parameters_in_a_file_that_cannot_be_written_does_for_signing_in(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: Path, accounts: object) -> None:
        raise CallerError(f"the users file {path} can't be written: Read-only file system")

    monkeypatch.setattr(passwords, "HASHER", argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    monkeypatch.setattr("streams.web.access.access.write_accounts", read_only)
    result = await signed_in(access)
    assert access.user_of(result.session_id) is not None


async def test_making_a_hash_new_brings_no_removed_user_back(
    access: Access, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "HASHER", argon2.PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    write_accounts(path, [a for a in (read_accounts(path) or {}).values() if a.name != "ana"])
    result = await signed_in(access)  # the file is looked at once a second
    assert "ana" not in (read_accounts(path) or {})
    clock.now_s += 2.0
    assert access.user_of(result.session_id) is None


async def test_open_mode_takes_any_decent_name_until_users_are_set_up(tmp_path: Path, clock: Clock, path: Path) -> None:
    users_file = tmp_path / "none" / "users.json"
    access = Access(users_file, clock=clock)
    assert access.open_mode
    result = await access.sign_in_open(" Kim ")
    assert isinstance(result, SignedIn)
    assert (result.user.name, result.user.roles) == ("Kim", frozenset(Role))
    for name in ("", "  ", "a\nb", "x" * 65):
        assert await access.sign_in_open(name) == Refused()
    write_accounts(users_file, (read_accounts(path) or {}).values())
    clock.now_s += 2.0
    assert not access.open_mode
    assert access.user_of(result.session_id) is None


def test_a_token_is_known_by_its_hash_alone(access: Access) -> None:
    user = access.by_token("lst_x")
    assert user is not None
    assert user.name == "power-bi"
    assert access.by_token("lst_y") is None
    assert access.by_token("") is None


@pytest.mark.parametrize(
    ("peer", "header", "expected"),
    [
        ("10.1.2.3", "eva", {Role.ENGINEER}),
        ("10.1.2.3", "stranger", {Role.READER}),
        ("10.1.2.3", "", None),
        ("10.9.9.9", "eva", None),
        ("not an address", "eva", None),
        ("10.1.2.3", "a\x00b", None),
    ],
)
def test_a_proxy_is_believed_from_its_own_address_alone(
    path: Path, peer: str, header: str, expected: set[Role] | None
) -> None:
    access = Access(path, proxy=Proxy("x-user", networks("10.1.2.0/24")))
    user = access.by_proxy({"x-user": header}, peer)
    assert (user.roles if user else None) == expected
    assert not access.open_mode


def test_settings_name_the_file_and_no_proxy(tmp_path: Path) -> None:
    assert users_path(Settings(data_dir=tmp_path)) == tmp_path / "users.json"
    assert users_path(Settings(users_file="/etc/l.json")) == Path("/etc/l.json")
    assert proxy_of(Settings()) is None


async def test_who_vouches_proves_it_is_audited_and_begins_no_session(
    path: Path, clock: Clock, trail: AuditTrail
) -> None:
    access = Access(path, on_audit=trail, clock=clock)
    for claimed, secret, name in (("eva", "correct horse", "eva"), ("0004711", "2580", "ana"), ("ana", "2580", "ana")):
        found = await access.vouch(claimed, secret, HERE)
        assert not isinstance(found, Refused)
        assert found.name == name
    assert [entry[:3] for entry in trail.entries] == [(n, "session.vouch", n) for n in ("eva", "ana", "ana")]


@pytest.mark.parametrize("claimed", ["eva", "0004711", "nobody", "power-bi"])
async def test_who_vouches_with_a_wrong_secret_is_nobody_and_waits_longer_each_time(
    path: Path, clock: Clock, trail: AuditTrail, claimed: str
) -> None:
    access = Access(path, on_audit=trail, clock=clock)
    for _ in range(ACCOUNT.free + 1):
        assert await access.vouch(claimed, "guess", HERE) == Refused()
    waits = await access.vouch(claimed, "correct horse", HERE)
    assert isinstance(waits, Refused)
    assert waits.wait_s > 0
    assert {entry[1] for entry in trail.entries} == {"session.refused"}
