"""Where a web server listens, and the refusal to listen where strangers could reach it unprotected.

Used by the commands that serve pages and by `shell.serve`. Knows nothing of pages.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from streams.errors import CallerError


@dataclass(frozen=True, slots=True)
class Binding:
    """An address to listen on; port 0 is a free one. With certificate and key (PEM) pages are served by TLS."""

    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    key: Path | None = None

    @property
    def has_tls(self) -> bool:
        return self.certificate is not None and self.key is not None

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class SignIn(Protocol):
    """What must be known of `Access` here."""

    @property
    def open_mode(self) -> bool: ...


def check_binding(binding: Binding, access: SignIn) -> None:
    """CallerError where other machines could reach the pages without TLS or without signing in."""
    if (binding.certificate is None) != (binding.key is None):
        raise CallerError("TLS needs a certificate and its key; came one of the two; give both --certificate and --key")
    for file in (binding.certificate, binding.key):
        if file is not None and not file.is_file():
            raise CallerError(f"the TLS file {file} is not there; expected a PEM file")
    if binding.is_loopback:
        return
    missing = [] if binding.has_tls else ["TLS (--certificate and --key)"]
    if access.open_mode:
        missing.append("sign-in (add a first user with `lineside users add`, or name a proxy's header)")
    if missing:
        what = " and ".join(missing)
        raise CallerError(f"listening on {binding.host} is refused: other machines could reach it, and it lacks {what}")
