"""What recipes must fit, from a released model's files: its defects and its own limits.

Place in the flow: the recipe commands read a model here, in their own process. The engineers' page has it read by a
child, `python -m streams.recipes.facts FOLDER URI`, which answers with a line of JSON: reading a model takes torch,
half a gigabyte that a page that runs for weeks need not hold. Decides nothing about a recipe.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelError
from streams.errors import CallerError, OperatorError
from streams.inspection.decide import ANY_DEFECT
from streams.recipes.wishes import ModelFacts
from streams.registry.book import Release

if TYPE_CHECKING:
    from streams.registry.shelf import Shelf

CHILD_TIMEOUT_S = 120.0
SHOWN_CHARS = 500  # of what a child says when it dies


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """A model's defects, and the thresholds (by defect and `*`) and unsure band that it came with."""

    defects: frozenset[str]
    thresholds: Mapping[str, float]
    unsure_band: float


def facts_of(release: Release, shelf: Shelf) -> ModelFacts:
    """What recipes must fit, of a released model; CallerError where its files can't be read here."""
    try:
        own = _own_limits(release.first.uri, shelf)
    except ModelError as error:
        raise _unreadable(release, str(error)) from error
    return facts_with(release, own)


async def own_limits_apart(release: Release, folder: Path) -> OwnLimits:
    """The same from a child's hands, of the model store in `folder`. CallerError where it can't be read there,
    OperatorError where the child fails."""
    command = (sys.executable, "-P", "-m", "streams.recipes.facts", str(folder), release.first.uri)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(CHILD_TIMEOUT_S):
            out, err = await process.communicate()
        said = json.loads(out)
    except TimeoutError:
        raise OperatorError(
            f"reading the model {release.first.model_id} took more than {CHILD_TIMEOUT_S:g} s"
        ) from None
    except ValueError:
        died = err.decode(errors="replace").strip()[-SHOWN_CHARS:]
        raise OperatorError(f"the model {release.first.model_id} could not be read: {died}") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if "refused" in said:
        raise _unreadable(release, said["refused"])
    return OwnLimits(frozenset(said["defects"]), said["thresholds"], said["unsure_band"])


def facts_with(release: Release, own: OwnLimits) -> ModelFacts:
    """What recipes must fit, as the registry has it by now."""
    record = release.first
    return ModelFacts(
        model_id=record.model_id,
        classes=record.classes,
        defects=own.defects,
        thresholds=own.thresholds,
        unsure_band=own.unsure_band,
        skus=record.skus,
        retired=release.retired,
    )


def _own_limits(uri: str, shelf: Shelf) -> OwnLimits:
    artifact = shelf.get(uri)
    limits = {item.name: item.threshold for item in artifact.classes} | {ANY_DEFECT: artifact.any_defect_threshold}
    return OwnLimits(
        defects=frozenset(item.name for item in artifact.classes if item.role == "defect"),
        thresholds={name: limit for name, limit in limits.items() if limit is not None},
        unsure_band=artifact.unsure_band,
    )


def _unreadable(release: Release, why: str) -> CallerError:
    return CallerError(f"the model {release.first.model_id} can't be checked here: {why}")


def _answer(folder: Path, uri: str) -> dict[str, object]:
    from streams.registry.shelf import Shelf  # torch: see above

    try:
        own = _own_limits(uri, Shelf(folder))
    except ModelError as error:
        return {"refused": str(error)}
    return {"defects": sorted(own.defects), "thresholds": dict(own.thresholds), "unsure_band": own.unsure_band}


if __name__ == "__main__":
    print(json.dumps(_answer(Path(sys.argv[1]), sys.argv[2])))
