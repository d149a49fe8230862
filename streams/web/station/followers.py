"""The pages that show a seat: told of its changes, and asked whether its operator is there. Knows neither."""

from __future__ import annotations

from collections.abc import Callable

OnChange = Callable[[bool], None]
"""Told whether the seat itself changed, which its operator waits for; else the board or the clock did."""


class Followers:
    """See the module."""

    def __init__(self) -> None:
        self._pages: dict[object, tuple[OnChange, Callable[[], bool]]] = {}

    def add(self, on_change: OnChange, attended: Callable[[], bool]) -> Callable[[], None]:
        """A page that wants to be told, and whether the operator is signed in at it; the result takes it out."""
        token = object()
        self._pages[token] = on_change, attended

        def end() -> None:
            self._pages.pop(token, None)

        return end

    @property
    def any(self) -> bool:
        return bool(self._pages)

    @property
    def attended(self) -> bool:
        """True while the operator is signed in at one of the pages."""
        return any(attended() for _, attended in self._pages.values())

    def tell(self, is_own: bool) -> None:
        for on_change, _ in tuple(self._pages.values()):
            on_change(is_own)
