"""A model made of good parts alone, for a line that has seen no defect yet: all that it tells is what looks novel.

Place in the flow: `lineside novelty` without a model. The network practises on good parts with made-up marks
(`practice.py`), so that its features see scratches and spots; its head calls every part good, and the bank of good
parts makes people look at what is like none of them. Knows no real defect.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from torch import Tensor

from models.artifact import U8, Artifact, Golden, ModelClass
from models.dataset import UNKNOWN
from models.families import head_of
from models.fit import FitSpec, Hooks, Step
from models.golden import GOLDEN_PICTURES, scores_of, tolerances
from models.preprocess import Preprocessing
from models.pretrain import practising
from models.resnet import Classifier
from models.train import one_thread

_SURE = 12.0  # logit by which every part is good


@dataclass(frozen=True, slots=True, kw_only=True)
class GoodOnlySpec:
    """What to make. `good` is what good parts are called, `practice` how many pictures with marks are shown."""

    model_id: str
    arch: str
    preprocessing: Preprocessing
    good: str
    practice: int
    seed: int


def good_only(pictures: U8, spec: GoodOnlySpec, at: datetime, on_step: Callable[[Step], None]) -> Artifact:
    """A model of prepared good pictures, uint8 [n, h, w, 3], on which its network has practised.

    Its bank is still to be made (`novelty.with_novelty`). DatasetError for fewer pictures than a batch.
    """
    with one_thread():
        fit = FitSpec(practice=spec.practice)
        classifier, practice = practising(pictures, spec.arch, spec.preprocessing, fit, spec.seed)
        practice.run(Hooks(on_step))
        classifier.eval().requires_grad_(False)
        _always_good(classifier)
        golden = pictures[:GOLDEN_PICTURES]
        return Artifact(
            model_id=spec.model_id,
            arch=spec.arch,
            classes=(ModelClass(spec.good, "good"), ModelClass(UNKNOWN, "defect", 0.5)),
            preprocessing=spec.preprocessing,
            unsure_band=0.0,
            tolerance=tolerances(classifier, pictures),
            weights={name: value.detach().contiguous() for name, value in classifier.network.state_dict().items()},
            golden=Golden(golden, scores_of(classifier, golden)),
            created_at=at,
            metrics={"made_of": "good parts alone", "pictures": {"train": len(pictures)}, "seed": spec.seed},
        )


def _always_good(classifier: Classifier) -> None:
    weight, bias = (getattr(head_of(classifier.network), name) for name in ("weight", "bias"))
    weight.zero_()
    bias.copy_(Tensor([_SURE, -_SURE]))
