"""What people do on a line whose loop is measured: they look at rejected, unsure and sampled parts, and at no others.

Place in the flow: `retrain_loop.py` runs it beside the programs. What a part is, a person sees in its picture; here it
is the label that the synthetic camera put into the frame, which reaches nobody else. Decisions go to `outcomes`, as a
rework station's do.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from schemas.records import DefectDetected, Outcome, ReworkFinding, ReworkOutcome, SampleSelected, VerdictIssued
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.downstream.sampling.strategies import GOOD
from streams.settings import Settings
from streams.topics import DEFECTS, OUTCOMES, SAMPLES, VERDICTS, Topic


class People:
    """Decides each verdict once. `verdicts` are all that came, by verdict_id, for who measures."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._said: set[UUID] = set()
        self._waiting: dict[UUID, SampleSelected] = {}
        self.verdicts: dict[UUID, VerdictIssued] = {}
        self.samples: list[SampleSelected] = []
        self.decided: list[ReworkOutcome] = []

    async def work(self) -> None:
        """Until it is cancelled."""
        settings = self._settings
        async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
            self._publisher = publisher
            async with asyncio.TaskGroup() as group:
                for topic, take in ((VERDICTS, self._saw), (DEFECTS, self._rejected), (SAMPLES, self._sampled)):
                    group.create_task(self._follow(topic, take))

    async def _follow(self, topic: Topic, take: Any) -> None:
        subscription: Subscription[Any] = Subscription(topic, "earliest", settings=self._settings)
        async with aclosing(aiter(subscription)) as events:
            async for event in events:
                await take(event.record, event.partition)

    async def _saw(self, verdict: VerdictIssued, partition: int) -> None:
        self.verdicts[verdict.verdict_id] = verdict
        if sample := self._waiting.pop(verdict.verdict_id, None):
            await self._say(verdict, partition, sample)

    async def _rejected(self, defect: DefectDetected, partition: int) -> None:
        await self._say(defect.verdict, partition, None)

    async def _sampled(self, sample: SampleSelected, partition: int) -> None:
        self.samples.append(sample)
        if (verdict := self.verdicts.get(sample.verdict_id)) is None:
            self._waiting[sample.verdict_id] = sample
        else:
            await self._say(verdict, partition, sample)

    async def _say(self, of: VerdictIssued, partition: int, sample: SampleSelected | None) -> None:
        if of.verdict_id in self._said:
            return
        self._said.add(of.verdict_id)
        truth, said = of.label or GOOD, of.findings[0].label if of.findings else None
        outcome = ReworkOutcome(
            outcome_id=uuid4(),
            **{name: getattr(of, name) for name in ("verdict_id", "frame_id", "plant", "line", "station", "camera")},
            **{name: getattr(of, name) for name in ("sku", "part_id", "pass_no", "image_sha256", "model_id")},
            recipe_version=of.recipe_version,
            rework_station="R1",
            operator="simulated",
            finding=ReworkFinding.FALSE_REJECT if truth == GOOD else ReworkFinding.CONFIRMED,
            predicted_label=said if of.outcome is Outcome.NG else None,
            corrected_label=None if truth == GOOD else truth,
            decided_at=datetime.now(UTC),
            sample_id=sample.sample_id if sample else None,
            verdict_outcome=of.outcome,
            inspected_at=of.source_timestamp,
        )
        key = f"{of.plant}/{of.line}/{of.station}".encode()
        await (await self._publisher.send(OUTCOMES, outcome, key=key, partition=partition))
        self.decided.append(outcome)
