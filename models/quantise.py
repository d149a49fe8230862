"""From a float32 model to one that carries an int8 network beside its weights, by NNCF. Heavy, offline.

Place in the flow: `lineside quantise`, on pictures that the model was not trained on. Activations' ranges come
from good and bad pictures alike; layers whose quantising moves scores too far are kept in floating point. Telemetry,
which NNCF sends where OpenVINO's package for it can be imported, stays off (see the OpenVINO engine). Knows no file.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np

from models.artifact import F32, U8, Artifact, Graph
from models.artifact_checks import MAX_TOLERANCE
from models.calibrate import probabilities
from models.engines.openvino_engine import converted, kept
from models.errors import ModelError, ModelRefusedError
from models.heads import Head
from models.resnet import attends
from schemas.records import Precision

LEAST_TOLERANCE = 0.02
TOLERANCE_MARGIN = 2.0  # other CPUs sum in other orders
MOST_RANKED = 256  # pictures by which layers are ranked when some must stay in floating point
_BATCH = 32


def quantised(
    artifact: Artifact,
    calibration: U8,
    check: tuple[U8, F32],
    most_difference: float,
    at: datetime,
) -> Artifact:
    """The artifact with an int8 network that differs from its float32 scores by `most_difference` in the mean, at most.

    `calibration`: prepared pictures uint8 [n, h, w, 3] of all classes; `check`: such pictures and the float32 model's
    probabilities for them, float32 [m, classes]. Raises ModelError where NNCF is not installed, ModelRefusedError where
    the golden vectors come out too far from what they were.
    """
    graph = _graph(artifact, calibration, check, most_difference)
    made = replace(
        artifact,
        int8=graph,
        tolerance={**artifact.tolerance, Precision.INT8: MAX_TOLERANCE},
        created_at=at,
        metrics={**artifact.metrics, "quantised_from": artifact.sha256},
        sha256="",
    )
    return replace(made, tolerance={**made.tolerance, Precision.INT8: _tolerance(made)})


def _tolerance(made: Artifact) -> float:
    """Twice what the golden vectors differ by, alone and in a batch."""
    from models.engines.openvino_engine import open_openvino

    golden = made.golden
    engine = open_openvino(made, Precision.INT8, (1, len(golden.pictures)))
    try:
        alone = np.concatenate([engine.submit(picture[None]).result() for picture in golden.pictures])
        together = engine.submit(golden.pictures).result()
    finally:
        engine.close()
    seen = max(float(np.abs(came - golden.scores).max()) for came in (alone, together))
    if not (limit := TOLERANCE_MARGIN * seen) <= MAX_TOLERANCE:
        raise ModelRefusedError(
            f"{made.model_id}: its int8 network gives a golden vector a score that differs by {seen:.3f}; at most "
            f"{MAX_TOLERANCE / TOLERANCE_MARGIN} is allowed. Calibrate it on more pictures, or keep more layers in "
            "floating point (a smaller --most-difference)"
        )
    return round(max(LEAST_TOLERANCE, limit), 4)


def _graph(artifact: Artifact, calibration: U8, check: tuple[U8, F32], most_difference: float) -> Graph:
    nncf = _nncf()
    pictures, wanted = check
    ranking = nncf.AdvancedAccuracyRestorerParameters(ranking_subset_size=min(MOST_RANKED, len(pictures)))
    with contextlib.redirect_stdout(sys.stderr):  # NNCF's bars
        model = nncf.quantize_with_accuracy_control(
            converted(artifact, logits_only=True),
            calibration_dataset=nncf.Dataset(range(len(calibration)), lambda index: calibration[index][None]),
            validation_dataset=nncf.Dataset(range(len(pictures)), lambda index: pictures[index][None]),
            validation_fn=_closeness(pictures, wanted, artifact.temperature, artifact.head),
            max_drop=most_difference,
            drop_type=nncf.DropType.ABSOLUTE,
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER if attends(artifact.arch) else None,
            subset_size=len(calibration),
            advanced_accuracy_restorer_parameters=ranking,
        )
    return kept(model)


def _closeness(
    pictures: U8, wanted: F32, temperature: float, head: Head
) -> Callable[[Any, Iterable[int]], tuple[float, Any]]:
    """What NNCF must not lose: 1 - the largest difference of a class's probability, a picture and in the mean."""

    def closeness(compiled: Any, places: Iterable[int]) -> tuple[float, list[float]]:
        which = list(places)
        found: list[float] = []
        for start in range(0, len(which), _BATCH):
            some = which[start : start + _BATCH]
            came = probabilities(np.asarray(compiled(pictures[some])[0], np.float32), temperature, head)
            found += (1 - np.abs(came - wanted[some]).max(axis=1)).tolist()
        return float(np.mean(found)), found

    return closeness


def _nncf() -> Any:
    try:
        import nncf
    except ImportError as error:
        raise ModelError("quantising needs NNCF, which is not installed; install lineside[quantise]") from error
    logging.getLogger("nncf").setLevel(logging.ERROR)
    return nncf
