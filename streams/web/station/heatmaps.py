"""Heatmaps on demand: which places of a picture spoke for a class, by the very model that judged it.

Place in the flow: a route that the picture's H key asks. Computed one at a time in a thread of its own, by the
artifacts that the station was given; never for a blind case. Does not know how a heatmap is made or shown.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from models.errors import ModelError
from models.preprocess import EncodedImage, RejectedImageError
from streams.downstream.rework.cases import Case
from streams.store import FrameStore, ObjectMissingError, ObjectTooLargeError, ReferenceRefusedError
from streams.web.api.pictures import CONTENT_FOR_EVER, PICTURE_MAX_BYTES
from streams.web.api.problems import ProblemError, ProblemRoute

if TYPE_CHECKING:
    from models.artifact import Artifact

KEPT = 64  # overlays, some 50 kB each


class Heatmaps:
    """See the module. `models` may be empty: then nothing is explained."""

    def __init__(self, store: FrameStore, models: Sequence[Artifact]) -> None:
        self._store = store
        self._models = {artifact.sha256: artifact for artifact in models}
        self._thread = ThreadPoolExecutor(1, "heatmap")
        self._kept: OrderedDict[tuple[UUID, str], bytes] = OrderedDict()

    @property
    def good_labels(self) -> frozenset[str]:
        """The classes of all models that are no defect."""
        return frozenset(c.name for artifact in self._models.values() for c in artifact.classes if c.role == "good")

    def explains(self, case: Case) -> bool:
        """Whether the model that judged this case is here, and the operator may see what it thought."""
        return not case.blind and case.verdict is not None and case.verdict.model_sha256 in self._models

    async def overlay(self, case: Case, label: str) -> bytes:
        """The PNG to lay over the case's picture. ProblemError where there is none, and why."""
        if not self.explains(case) or case.verdict is None or case.verdict.model_sha256 is None:
            raise ProblemError(404, "no-heatmap", "No heatmap: the model that judged this picture is not given here.")
        key = (case.verdict_id, label)
        if key not in self._kept:
            artifact = self._models[case.verdict.model_sha256]
            work = asyncio.get_running_loop().run_in_executor(self._thread, self._made, artifact, case, label)
            self._kept[key] = await work
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _made(self, artifact: Artifact, case: Case, label: str) -> bytes:
        from models.explain import heatmap, overlay_png  # torch is seconds of start-up: paid by the first heatmap

        try:
            data = self._store.get(case.image_ref, PICTURE_MAX_BYTES)
            layout = (case.encoding, case.width, case.height, case.stride, case.bits)
            return overlay_png(heatmap(artifact, EncodedImage(data, *layout, sha256=case.image_sha256), label))
        except (ObjectMissingError, ObjectTooLargeError, ReferenceRefusedError) as error:
            raise ProblemError(410, "picture-gone", "No heatmap: the picture is no longer kept.") from error
        except (ModelError, RejectedImageError) as error:
            raise ProblemError(422, "no-heatmap", f"No heatmap: {error}") from error


def heatmap_router(heatmaps: Heatmaps, case_of: Callable[[UUID], Case | None], reader: Callable[..., Any]) -> APIRouter:
    """`/station/heatmaps/{verdict_id}` for whom `reader` admits; `case_of` finds a case by its verdict."""
    router = APIRouter(route_class=ProblemRoute, dependencies=[Depends(reader)], include_in_schema=False)

    @router.get("/station/heatmaps/{verdict_id}")
    async def heatmap_of(verdict_id: UUID, label: Annotated[str, Query(max_length=64)]) -> Response:
        case = case_of(verdict_id)
        if case is None:
            raise ProblemError(404, "no-case", "No such case.")
        overlay = await heatmaps.overlay(case, label)
        return Response(overlay, media_type="image/png", headers={"Cache-Control": CONTENT_FOR_EVER})

    return router
