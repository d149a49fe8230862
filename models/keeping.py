"""A training kept while it is under way, so that a killed one goes on: where, how often, and what it is of.

Place in the flow: a training holds its loop within `Kept`; the file is `training_state.py`'s. Knows no classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from models import training_state
from models.dataset import Pictures, Split
from models.fit import Fit

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where a training is kept while it is under way, so that a killed one goes on; see `training_state.py`."""

    file: Path
    every_s: float = 30.0


def fingerprint(
    spec: DataclassInstance, data: Mapping[Split, Pictures], start: Mapping[str, Tensor], known: Sequence[str] = ()
) -> str:
    """What a training is of: the same for the same settings, pictures, labels, first weights and torch."""
    digest = hashlib.sha256(f"{torch.__version__} {asdict(spec)} {tuple(known)}".encode())
    for split in sorted(data):
        its = data[split]
        for part in (its.pictures, its.labels, its.soft, its.counts, its.views, its.every, its.every_view):
            digest.update(b"" if part is None else np.ascontiguousarray(part).data)
    for name in sorted(start):
        digest.update(name.encode() + start[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Kept:
    """Keeps a training now and then, and when somebody ends it; begins with what was kept."""

    def __init__(self, fit: Fit, keeping: Keeping | None, mark: str, clock: Callable[[], float]) -> None:
        self._fit, self._keeping, self._mark, self._clock = fit, keeping, mark, clock
        self._kept_at = clock()

    def __enter__(self) -> None:
        if self._keeping and (state := training_state.load(self._keeping.file, self._mark)):
            self._fit.restore(*state)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self._keep()

    def every_so_often(self) -> None:
        if self._keeping and self._clock() - self._kept_at >= self._keeping.every_s:
            self._keep()

    def _keep(self) -> None:
        if self._keeping:
            training_state.save(self._keeping.file, self._fit.state(), self._mark)
            self._kept_at = self._clock()
