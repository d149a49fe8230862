"""Which models are released, by the records of the topic `models` in their order. Pure.

Place in the flow: the registry's commands read it before they change anything; whoever serves models reads it too. A
model_id stands for one sha256 for ever, so that a verdict's model can be found again. Knows no file and no Kafka.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from schemas.records import ModelReleased
from streams.errors import CallerError

SHA256 = re.compile(r"[0-9a-f]{64}")
PLACE = "models/"  # what a uri begins with


@dataclass(frozen=True, slots=True)
class Release:
    """A model's first release and the newest record about it, each with its append time."""

    first: ModelReleased
    first_at: datetime
    newest: ModelReleased
    newest_at: datetime

    @property
    def retired(self) -> bool:
        return self.newest.retired


class Book:
    """All releases so far."""

    def __init__(self) -> None:
        self._releases: dict[str, Release] = {}

    def take(self, record: ModelReleased, at: datetime) -> None:
        """A record of the topic with its append time. ValueError for one that can't be: it counts for nothing."""
        if not SHA256.fullmatch(record.sha256) or record.uri != uri_of(record.sha256):
            raise ValueError(f"{record.model_id}: the place {record.uri!r:.100} is not that of its sha256")
        known = self._releases.get(record.model_id)
        if known is None and record.retired:
            raise ValueError(f"{record.model_id} was never released, so it can't be retired")
        if known is not None and known.first.sha256 != record.sha256:
            raise ValueError(taken(known, record.sha256))
        first, first_at = (known.first, known.first_at) if known else (record, at)
        self._releases[record.model_id] = Release(first, first_at, record, at)

    def get(self, model_id: str) -> Release | None:
        return self._releases.get(model_id)

    def all(self) -> list[Release]:
        """In the order of their first release."""
        return sorted(self._releases.values(), key=lambda release: (release.first_at, release.first.model_id))


def known_release(book: Book, model_id: str) -> Release:
    """What was released under an id; CallerError, with what there is, for one that never was."""
    if (found := book.get(model_id)) is None:
        names = ", ".join(release.first.model_id for release in book.all()) or "none so far"
        raise CallerError(f"no model {model_id!r:.80} was released; released are: {names}")
    return found


def uri_of(sha256: str) -> str:
    """Where a model lies in the store of models."""
    return PLACE + sha256


def taken(known: Release, sha256: str) -> str:
    """Why a model of this sha256 can't be released under the id of another one."""
    return (
        f"{known.first.model_id} stands for sha256 {known.first.sha256} since {known.first_at:%Y-%m-%d %H:%M} UTC; "
        f"a model of sha256 {sha256} needs another id: train or calibrate it with another --name"
    )
