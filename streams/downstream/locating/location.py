"""What is said of where a rejected frame's defects lie. Pure: what was found, and times, in; an event out.

Place in the flow: `service.py` asks which defects are looked at and makes the event of what came of it. Decides nothing
about a part: the verdict stands, whatever is found here. Knows no network and no Kafka.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol
from uuid import UUID, uuid5

from models.preprocess import EncodedImage
from schemas.records import Box, DefectDetected, DefectLocated, Outcome, Place, Reason, VerdictIssued

if TYPE_CHECKING:
    from models.locator import Place as FoundPlace

LOCATION_NAMESPACE = UUID("3d0c7a52-7a0e-5d6b-9c55-0c9b7d1e4f21")  # never changes: ids of the past depend on it
LOOKED = (Reason.SCORE, "")
_OF_VERDICT = ("verdict_id", "frame_id", "plant", "line", "station", "camera", "sku", "part_id", "image_sha256")


class Locating(Protocol):
    """What looks: a model's identity, and where it sees defects. `models.locator.Locator` is one."""

    @property
    def model_id(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    def places(self, image: EncodedImage) -> Sequence[FoundPlace]: ...


def is_looked_at(verdict: VerdictIssued) -> bool:
    """Whether a verdict asks for a second stage: a frame that was rejected for what it shows, on a line."""
    return verdict.outcome is Outcome.NG and verdict.reason is Reason.SCORE and not verdict.simulated


def location_id(verdict_id: UUID, model_sha256: str) -> UUID:
    """One for each verdict and model, however often it is looked at."""
    return uuid5(LOCATION_NAMESPACE, f"{verdict_id}/{model_sha256}")


def encoded(defect: DefectDetected, data: bytes) -> EncodedImage:
    """A defect's picture, of the bytes that its reference led to."""
    layout = (defect.encoding, defect.width, defect.height, defect.stride, defect.bits)
    return EncodedImage(data, *layout, sha256=defect.verdict.image_sha256)


def located(
    defect: DefectDetected,
    by: Locating,
    found: Sequence[FoundPlace],
    at: datetime,
    took_ms: float,
    why_not: tuple[Reason, str] = LOOKED,
) -> DefectLocated:
    """The event. `why_not`: the reason and its detail where nobody looked; `found` is empty then."""
    return DefectLocated(
        **{name: getattr(defect.verdict, name) for name in _OF_VERDICT},
        location_id=location_id(defect.verdict.verdict_id, by.sha256),
        places=tuple(map(_place, found)),
        reason=why_not[0],
        detail=why_not[1],
        model_id=by.model_id,
        model_sha256=by.sha256,
        locate_ms=round(took_ms, 3),
        located_at=at,
    )


def _place(found: FoundPlace) -> Place:
    """In whole pixels for the box, in tenths for the outline."""
    left, top = max(0, math.floor(found.x)), max(0, math.floor(found.y))
    width, height = math.ceil(found.x + found.width) - left, math.ceil(found.y + found.height) - top
    return Place(
        label=found.label,
        score=found.score,
        box=Box(x=left, y=top, width=max(1, width), height=max(1, height)),
        outline=tuple(round(number, 1) for corner in found.outline for number in corner),
    )
