"""After signing in nobody is led to another site; and no page listens where strangers could reach it unprotected."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import CallerError
from streams.web.access.doors import safe_next
from streams.web.binding import Binding, check_binding


@pytest.mark.parametrize("target", ["/", "/work", "/history?part=47%2F11&x=//y", "/a/b#c", "/caf%C3%A9"])
def test_a_path_of_this_server_is_kept(target: str) -> None:
    assert safe_next(target) == target


@pytest.mark.parametrize(
    "target",
    [
        "",
        None,
        "work",
        "https://evil.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/x\\..\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "//[",
        " //evil.example",
        "/sign-in?next=/sign-in",
    ],
)
def test_anything_else_leads_to_the_front_page(target: str | None) -> None:
    assert safe_next(target) == "/"


@given(st.text(alphabet="/\\:@?#.%\t\n aehtps", max_size=12))
def test_no_text_leads_to_another_site(target: str) -> None:
    result = safe_next(target)
    assert result.startswith("/")
    assert result[1:2] not in ("/", "\\")
    assert not set(result) & set("\\\t\n\r")


@dataclass
class SignIn:
    open_mode: bool


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    for file in files:
        file.touch()
    return files


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_loopback_needs_nothing(host: str) -> None:
    check_binding(Binding(host), SignIn(open_mode=True))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "station-2", ""])
def test_other_addresses_need_tls_and_sign_in(host: str, tls: tuple[Path, Path]) -> None:
    check_binding(Binding(host, 443, *tls), SignIn(open_mode=False))
    with pytest.raises(CallerError, match=r"lacks TLS .* and sign-in"):
        check_binding(Binding(host), SignIn(open_mode=True))
    with pytest.raises(CallerError, match="lacks TLS"):
        check_binding(Binding(host), SignIn(open_mode=False))
    with pytest.raises(CallerError, match="lacks sign-in"):
        check_binding(Binding(host, 443, *tls), SignIn(open_mode=True))


def test_half_a_certificate_or_one_that_is_not_there_is_refused(tls: tuple[Path, Path]) -> None:
    with pytest.raises(CallerError, match="one of the two"):
        check_binding(Binding(certificate=tls[0]), SignIn(open_mode=True))
    with pytest.raises(CallerError, match="is not there"):
        check_binding(Binding(certificate=tls[0], key=tls[1].with_name("other")), SignIn(open_mode=True))
