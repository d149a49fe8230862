"""Users that a reverse proxy has signed in: who may say so, and what a name is worth. Knows no sessions or pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streams.errors import CallerError
from streams.settings import Settings
from streams.web.security import Network, is_within, networks


@dataclass(frozen=True, slots=True)
class Proxy:
    """A header that names the user, believed from these addresses alone."""

    header: str
    networks: tuple[Network, ...]

    def name_of(self, headers: Mapping[str, str], peer: str) -> str | None:
        """The user's name as the proxy says it; None without the header or from another peer."""
        name = headers.get(self.header, "").strip()
        return name if name and is_within(peer, self.networks) else None


def proxy_of(settings: Settings) -> Proxy | None:
    """The proxy that the settings name, None where they name none; CallerError for half of one."""
    header = settings.proxy_user_header.strip().lower()
    addresses = settings.proxy_addresses.strip()
    if not header and not addresses:
        return None
    if not header or not addresses:
        raise CallerError(
            "a proxy that signs users in needs proxy_user_header and proxy_addresses; "
            f"came {header!r} and {addresses!r}"
        )
    try:
        return Proxy(header, networks(addresses))
    except ValueError as error:
        raise CallerError(f"proxy_addresses must be IP addresses or networks, comma between; {error}") from error
