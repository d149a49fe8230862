"""The ELPV solar cells as a source and as data for training: 2,624 electroluminescence pictures of 300 x 300.

From the package `elpv-dataset` (extra `elpv`), CC BY-NC-SA 4.0: read where it is installed, never copied. Labels are
the experts' probability of a defect: 0, 1/3, 2/3 or 1. Protocol: "defective" from 0.5 on; a quarter held out,
stratified by probability and module type (1,968 to train, 656 to test). Knows nothing of frames.

Cite: Deitsch et al., Automatic classification of defective photovoltaic module cells in electroluminescence images,
Solar Energy 185 (2019); Buerhop-Lutz et al., A benchmark for visual identification of defective solar cells in
electroluminescence imagery, EU PVSEC (2018).
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from schemas.records import ClockSource
from streams.capture.pictures import read_header
from streams.capture.source import Camera, Clock, Shot
from streams.errors import CallerError

GOOD: Final = "good"
DEFECTIVE: Final = "defective"
SKU: Final = "solar-cell"
DEFECT_FROM: Final = 0.5
TEST_SHARE: Final = 0.25
SPLIT_SEED: Final = 0

Split = Literal["train", "test"]
_ROW = re.compile(r"(?P<path>images/(?P<name>[A-Za-z0-9_]+)\.png)\s+(?P<probability>[0-9.]+)\s+(?P<kind>[a-z]+)")


@dataclass(frozen=True, slots=True)
class Cell:
    """One labelled picture. `probability` is the experts' of a defect, `kind` the module: mono or poly."""

    name: str
    file: Path
    probability: float
    kind: str
    split: Split

    @property
    def label(self) -> str:
        return DEFECTIVE if self.probability >= DEFECT_FROM else GOOD

    def read(self) -> bytes:
        """The PNG file's bytes."""
        return self.file.read_bytes()


def cells() -> tuple[Cell, ...]:
    """Every cell in the package's order; CallerError where the package is missing or its table is not as known."""
    table = _package() / "data" / "labels.csv"
    rows = []
    for number, line in enumerate(table.read_text().splitlines(), 1):
        if not (row := _ROW.fullmatch(line.strip())):
            raise CallerError(
                f"{table}, line {number}: expected a picture, a probability and a type; came {line!r:.80}"
            )
        rows.append((row["name"], table.parent / row["path"], float(row["probability"]), row["kind"]))
    splits = split_of([(kind, probability) for _, _, probability, kind in rows])
    return tuple(Cell(*row, split) for row, split in zip(rows, splits, strict=True))


def split_of(strata: Sequence[tuple[str, float]], share: float = TEST_SHARE, seed: int = SPLIT_SEED) -> list[Split]:
    """Train or test for each item: `share` of the whole goes to test, and of every stratum as nearly as can be."""
    members: dict[tuple[str, float], list[int]] = defaultdict(list)
    for index, stratum in enumerate(strata):
        members[stratum].append(index)
    ordered = sorted(members)
    quotas = {s: len(members[s]) * share for s in ordered}
    taken = {s: int(q) for s, q in quotas.items()}
    missing = round(len(strata) * share) - sum(taken.values())
    for stratum in sorted(ordered, key=lambda s: taken[s] - quotas[s])[:missing]:  # largest remainders first
        taken[stratum] += 1
    draw = random.Random(seed)  # noqa: S311 - a reproducible split, no secret
    test = {i for s in ordered for i in draw.sample(members[s], taken[s])}
    return ["test" if i in test else "train" for i in range(len(strata))]


class ElpvSource:
    """All cells, or one split of them, as shots of one camera."""

    def __init__(self, camera: Camera, split: Split | None = None, deadline_ms: int | None = None) -> None:
        """CallerError as in `cells`."""
        self.camera, self.deadline_ms, self.clock = camera, deadline_ms, Clock()
        self._cells = tuple(c for c in cells() if split in (None, c.split))

    @property
    def total(self) -> int:
        return len(self._cells)

    @property
    def can_wait(self) -> bool:
        return True

    async def __aiter__(self) -> AsyncIterator[Shot]:
        for cell in self._cells:
            yield self._shot(cell, await asyncio.to_thread(cell.read))

    def confirmed(self, shot: Shot) -> None:
        """Nothing to remember: every run sends all cells."""

    def _shot(self, cell: Cell, data: bytes) -> Shot:
        header = read_header(data, cell.file.name)
        return Shot(
            camera=self.camera,
            sku=SKU,
            data=data,
            encoding=header.encoding,
            width=header.width,
            height=header.height,
            captured_at=self.clock.now(),
            triggered_s=self.clock.monotonic_s(),
            clock_source=ClockSource.GATEWAY,
            deadline_ms=self.deadline_ms,
            part_id=cell.name,
            label=cell.label,
            attributes={"split": cell.split, "probability": f"{cell.probability:.4f}", "module_type": cell.kind},
        )


def _package() -> Path:
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise CallerError("the solar-cell pictures are not installed; get them by: pip install lineside[elpv]")
    return Path(next(iter(spec.submodule_search_locations)))
