"""`lineside rebuild`: a verdict made again from what was recorded: picture, model, recipe, preprocessing, engine."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

from models.artifact import Artifact, load_artifact
from models.errors import ModelError
from schemas.codec import Codec
from schemas.records import FrameCaptured, Precision, Reason, Recipe, VerdictIssued
from streams.archive.catalogue import Catalogue, where_there
from streams.archive.rebuild import GOOD, Answer, Rebuilt, judged_again, rejected_again
from streams.archive.session import connect
from streams.bus.frames_at import FrameReader
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.commands.ui import Ui
from streams.errors import CallerError, FrameRejectedError
from streams.inspection.decide import LIVE, rejected
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, ServingModel, Unwatched
from streams.inspection.inspector import encoded_image, judgement_of
from streams.inspection.model_variants import plainly
from streams.inspection.pictures import Pictures
from streams.inspection.recipes import DEFAULT_VERSION, default_recipe
from streams.inspection.watchdog import end_process
from streams.replay.judging import archived_picture
from streams.replay.past import Kept
from streams.replay.prepare import LONG_AGO, recipe_book
from streams.replay.topics import replay_topic
from streams.serving import WorkerOptions, serving_model
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import VERDICTS, frames_topic

_PICTURE_ANSWERS = {
    Reason.PICTURE_NOT_KEPT: Answer.PICTURE_NOT_KEPT,
    Reason.PICTURE_DAMAGED: Answer.PICTURE_DAMAGED,
    Reason.IMAGE_UNAVAILABLE: Answer.PICTURE_GONE,
}
Found = tuple[FrameCaptured, Kept | None]


def rebuild_command(settings: Settings, verdict_id: str, models: Sequence[Path], run: str, as_json: bool) -> int:
    """Rebuild and say; the exit status: 0 the same, 1 different, 2 can't be rebuilt."""
    try:
        wanted = UUID(verdict_id)
    except ValueError:
        raise CallerError(f"a verdict's id is a UUID; came {verdict_id!r:.80}") from None
    with where_there(settings.archive_dir) as archive:
        rebuilt = asyncio.run(rebuild(settings, wanted, models, run, archive))
    if as_json:
        print(json.dumps(rebuilt.to_json(), indent=2))
    else:
        Ui().table(
            f"Verdict {wanted}", [(name, str(value)) for name, value in rebuilt.to_json().items() if value is not None]
        )
    return 0 if rebuilt.answer in GOOD else 1 if rebuilt.answer is Answer.DIFFERENT else 2


async def rebuild(
    settings: Settings, wanted: UUID, models: Sequence[Path], run: str, archive: Catalogue | None
) -> Rebuilt:
    """The verdict made again; CallerError where there is none of this id."""
    codec = codec_for(settings)
    was = await _verdict(settings, codec, wanted, run, archive)
    if was.reason is Reason.LATE or (was.reason is Reason.UNQUALIFIED and not was.scores):
        return Rebuilt(Answer.NOT_SCORED, f"no model decided: {was.reason} {was.detail}", was.outcome.value)
    found = await _frame(settings, codec, was, archive)
    if found is None:
        return Rebuilt(Answer.FRAME_GONE, "the frame has expired and is not archived", was.outcome.value)
    frame, kept = found
    pictures = Pictures(FrameStore(settings.frame_store_url))
    try:
        image = await (archived_picture(pictures, frame, kept) if kept else pictures.fetch(frame, math.inf))
    except FrameRejectedError as error:
        if error.reason == was.reason:
            return rejected_again(was, rejected(was.reason, error.detail, await _in_force(settings, was)))
        return Rebuilt(_PICTURE_ANSWERS[Reason(error.reason)], error.detail, was.outcome.value)
    artifact = _model(settings, was, models)
    if artifact is None:
        said = f"model {was.model_id} of sha256 {was.model_sha256} is not here: name its directory with --model"
        return Rebuilt(Answer.MODEL_NOT_HERE, said, was.outcome.value)
    return await _again(settings, was, frame, image, artifact)


async def _again(
    settings: Settings, was: VerdictIssued, frame: FrameCaptured, image: bytes, artifact: Artifact
) -> Rebuilt:
    """Decodes, scores in a batch of the recorded size, and judges by the recorded recipe."""
    model = _served(artifact, was)
    recipe = await _recipe(settings, was, model)
    if recipe is None:
        said = f"recipe version {was.recipe_version} was not in force for this frame: who published it otherwise?"
        return Rebuilt(Answer.RECIPE_UNKNOWN, said, was.outcome.value)
    size = max(1, was.batch_size)
    pool = DecodePool(1)
    room = EngineRoom(model, pool, RoomLimits(size, 60.0, 300.0), Unwatched(), end_process)
    beside = size - 1 if model.preprocessing.is_whole else 0  # views of one picture fill a batch themselves
    others = [asyncio.create_task(room.score(encoded_image(frame, image), math.inf)) for _ in range(beside)]
    try:
        judgement, provenance = await judgement_of({model.model_id: room}, frame, recipe, image, math.inf)
        await asyncio.gather(*others)
    except FrameRejectedError as error:
        await asyncio.gather(*others, return_exceptions=True)
        return rejected_again(was, rejected(Reason(error.reason), error.detail, recipe))
    finally:
        room.close()
        pool.close()
    return judged_again(was, judgement, provenance, artifact.tolerance[model.engine.precision])


def _served(artifact: Artifact, was: VerdictIssued) -> ServingModel:
    """On the engine that decided where this machine has it, else on the one that it has."""
    bucket = 1 << (max(1, was.batch_size) - 1).bit_length()
    try:
        return serving_model(artifact, WorkerOptions([], device=was.device or "auto", precision=was.precision), bucket)
    except ModelError:
        return serving_model(artifact, WorkerOptions([], precision=Precision.UNKNOWN), bucket)


async def _recipe(settings: Settings, was: VerdictIssued, model: ServingModel) -> Recipe | None:
    own = default_recipe(model.model_id, model.thresholds, model.unsure_band, LONG_AGO)
    if was.recipe_version == DEFAULT_VERSION:
        return own
    recipe = await _in_force(settings, was)
    return recipe and dataclasses.replace(plainly(recipe), model_id=model.model_id)


async def _in_force(settings: Settings, was: VerdictIssued) -> Recipe | None:
    """The published recipe that a verdict names; None where it was not in force for its frame."""
    recipe = (await recipe_book(settings, None)).of_frame(was, was.source_timestamp)
    return recipe if recipe is not None and recipe.version == was.recipe_version else None


async def _verdict(
    settings: Settings, codec: Codec, wanted: UUID, run: str, archive: Catalogue | None
) -> VerdictIssued:
    topic = VERDICTS if run == LIVE else replay_topic(run)
    if archive is not None and run == LIVE:
        with connect(archive) as db:
            row = db.execute("SELECT event FROM verdicts WHERE verdict_id = $id", {"id": str(wanted)}).fetchone()
        if row is not None:
            return codec.decode(row[0], VerdictIssued)
    start = archive.offsets(topic.name) if archive is not None and run == LIVE else {}
    subscription: Subscription[VerdictIssued] = Subscription(
        topic, start or "earliest", settings=settings, codec=codec, follow=False
    )
    async for event in subscription:
        if event.record.verdict_id == wanted:
            return event.record
    raise CallerError(f"there is no verdict {wanted} in the archive or in {topic.name}")


async def _frame(settings: Settings, codec: Codec, was: VerdictIssued, archive: Catalogue | None) -> Found | None:
    async with FrameReader(settings.bootstrap, frames_topic(settings), codec) as reader:
        frame = await reader.fetch(was.source_partition, was.source_offset)
    if frame is not None and frame.frame_id == was.frame_id:
        return frame, None
    if archive is None:
        return None
    sql = "SELECT event, picture_ref, picture_sha256 FROM frames WHERE frame_id = $id AND attempt = $attempt"
    with connect(archive) as db:
        row = db.execute(sql, {"id": str(was.frame_id), "attempt": was.attempt}).fetchone()
    if row is None:
        return None
    archived = codec.decode(row[0], FrameCaptured)
    return dataclasses.replace(archived, image_ref=row[1] or archived.image_ref), Kept(row[1], row[2])


def _model(settings: Settings, was: VerdictIssued, directories: Sequence[Path]) -> Artifact | None:
    """The artifact of the recorded digest, among the named directories and those in the data directory."""
    for directory in (*directories, *_kept_models(settings)):
        artifact = load_artifact(directory)
        if artifact.sha256 == was.model_sha256 or (was.model_sha256 is None and artifact.model_id == was.model_id):
            return artifact
    return None


def _kept_models(settings: Settings) -> Iterator[Path]:
    yield from sorted(path.parent for path in (settings.data_dir / "models").glob("*/model.json"))
