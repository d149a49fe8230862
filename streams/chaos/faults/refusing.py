"""The topic of verdicts refuses what is sent to it, until it is mended."""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.bus.security import kafka_options
from streams.chaos.fault import fault
from streams.chaos.stage import Stage
from streams.topics import VERDICTS, topic_specs


@fault("verdicts-refused", "max.message.bytes of verdicts is 100 for a while: nothing is acknowledged meanwhile")
async def verdicts_refused(stage: Stage) -> None:
    await configure(stage, {"max.message.bytes": "100"})
    before = sum(worker.restarts for worker in stage.workers)
    ends = before + len(stage.workers) + 1  # each ends, and one at least is started again and refuses to work
    await stage.until(lambda: sum(w.restarts for w in stage.workers) >= ends, "workers did not end again and again")
    await stage.load_on()
    await configure(stage, {})
    stage.cause_ended()
    await stage.recovered()
    await stage.load_on()


async def configure(stage: Stage, changes: dict[str, str]) -> None:
    """The topic of verdicts as the table says, but for `changes`."""
    name = stage.settings.topic_prefix + VERDICTS.name
    spec = next(spec for spec in topic_specs(stage.settings) if spec.name == name)
    admin = AIOKafkaAdminClient(**kafka_options(stage.settings.bootstrap))
    await admin.start()
    try:
        wanted = ConfigResource(ConfigResourceType.TOPIC, name, configs=spec.config() | changes)
        for answer in await admin.alter_configs([wanted]):
            refused = [str(resource) for resource in answer.resources if resource[0]]
            stage.expect(not refused, f"Kafka did not take the topic's configuration: {refused}")
    finally:
        await admin.close()
