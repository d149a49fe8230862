"""More workers for one run, as supervised processes of `lineside replay --workers N`."""

from __future__ import annotations

import asyncio
from typing import Self

from streams.commands.children import Child
from streams.settings import Settings, to_environment


class Workers:
    """`count` helpers; they share the run's partitions with this process and end with it."""

    def __init__(self, settings: Settings, run: str, count: int, yields: bool) -> None:
        self.count = count
        logs, arguments = settings.data_dir / "logs", ["replay", "--join", run, *([] if yields else ["--no-yield"])]
        self._children = [
            Child(arguments, to_environment(settings), logs / f"replay-{n}.log", logs / f"replay-{run}-{n}.ready")
            for n in range(1, count + 1)
        ]

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(child.start() for child in self._children))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.gather(*(child.stop() for child in self._children))
