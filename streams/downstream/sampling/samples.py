"""From a pick to the event `SampleSelected`: pure, and the only place where samples are made."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid5

from schemas.records import SampleSelected, Strategy
from streams.downstream.sampling.pictures import Kept
from streams.downstream.sampling.selection import Pick
from streams.downstream.sampling.strategies import prediction

SAMPLE_NAMESPACE = UUID("0a6a1d0e-6a0c-5a54-8a0f-4c1f0e8c2d77")  # never changes: ids of the past depend on it


def sample_id(verdict_id: UUID, strategy: Strategy) -> UUID:
    """The id of the one sample of a verdict and strategy: choosing again changes nothing."""
    return uuid5(SAMPLE_NAMESPACE, f"{verdict_id}/{strategy}")


def sample(pick: Pick, kept: Kept, selected_at: datetime, seed: int) -> SampleSelected:
    """The event. `selected_at` is the end of the period: the time at which all was known that the choice rests on."""
    verdict, candidate = pick.candidate.verdict, pick.candidate
    label, score = prediction(verdict)
    return SampleSelected(
        sample_id=sample_id(verdict.verdict_id, candidate.strategy),
        verdict_id=verdict.verdict_id,
        frame_id=verdict.frame_id,
        plant=verdict.plant,
        line=verdict.line,
        station=verdict.station,
        camera=verdict.camera,
        sku=verdict.sku,
        part_id=verdict.part_id,
        pass_no=verdict.pass_no,
        image_ref=kept.image_ref,
        image_sha256=kept.image_sha256,
        near_hash=f"{pick.look.near_hash:016x}",
        encoding=kept.encoding,
        width=kept.width,
        height=kept.height,
        strategy=candidate.strategy,
        why=candidate.why,
        predicted_label=label,
        score=score,
        verdict_outcome=verdict.outcome,
        human_label=candidate.human_label,
        inclusion_probability=candidate.inclusion,
        model_id=verdict.model_id,
        recipe_version=verdict.recipe_version,
        seed=seed,
        inspected_at=verdict.source_timestamp - timedelta(milliseconds=verdict.gateway_ms or 0),
        selected_at=selected_at,
    )
