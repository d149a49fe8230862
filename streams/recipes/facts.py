"""What recipes must fit, from a released model's manifest: its defects and its own limits.

Place in the flow: under the recipe commands and the engineers' page. The manifest alone is read, and held against the
sha256 of the release, which is the manifest's own: it says what it said when the whole model was verified. So a page
needs neither weights nor torch. Decides nothing about a recipe.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from models.artifact_files import MANIFEST, parse_json, read
from models.devices import whole
from models.errors import ModelError
from schemas.records import Precision
from streams.errors import CallerError
from streams.inspection.decide import ANY_DEFECT
from streams.recipes.checks import ModelFacts
from streams.registry.book import PLACE, Release


def facts_of(release: Release, model_store: Path) -> ModelFacts:
    """What recipes must fit, of a released model; CallerError where its manifest can't be read here."""
    record = release.first
    try:
        data = read(model_store / record.uri.removeprefix(PLACE), MANIFEST)
    except ModelError as error:
        raise CallerError(f"the model {record.model_id} can't be checked here: {error}") from error
    if (came := hashlib.sha256(data).hexdigest()) != record.sha256:
        raise CallerError(
            f"the model {record.model_id} can't be checked here: released was sha256 {record.sha256}, {model_store} "
            f"holds {came} in its place; release it again under another id"
        )
    manifest: Any = parse_json(MANIFEST, data)
    limits = {item["name"]: item["threshold"] for item in manifest["classes"]}
    limits[ANY_DEFECT] = manifest["any_defect_threshold"]
    return ModelFacts(
        model_id=record.model_id,
        classes=record.classes,
        defects=frozenset(item["name"] for item in manifest["classes"] if item["role"] == "defect"),
        thresholds={name: limit for name, limit in limits.items() if limit is not None},
        unsure_band=manifest["unsure_band"],
        skus=record.skus,
        retired=release.retired,
        precisions=whole(map(Precision, manifest["tolerance"]), "novelty" in manifest),
    )
