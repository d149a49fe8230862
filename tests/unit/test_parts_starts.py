"""From which verdict the part service reads, for every way in which offsets can be wrong."""

from __future__ import annotations

import pytest

from streams.downstream.parts.assembler import MAX_HELD, REMEMBERED_PARTS
from streams.downstream.parts.starts import start_of

FAR = 3 * MAX_HELD


@pytest.mark.parametrize(
    ("committed", "begin", "decided", "expected"),
    [
        pytest.param(FAR + 1, 0, FAR, FAR + 1, id="as usual"),
        pytest.param(FAR - MAX_HELD, 0, FAR, FAR - MAX_HELD, id="a part waits for long"),
        pytest.param(FAR + 500, 0, FAR, FAR + 1 - REMEMBERED_PARTS, id="moved to the latest"),
        pytest.param(0, 0, FAR, FAR + 1 - REMEMBERED_PARTS, id="moved to the beginning: most is decided"),
        pytest.param(None, 0, FAR, FAR + 1 - REMEMBERED_PARTS, id="lost"),
        pytest.param(9, 0, 4, 0, id="moved to the latest in a young topic"),
        pytest.param(9, 0, None, 0, id="moved before anything was decided"),
        pytest.param(None, 7, None, 7, id="never read"),
        pytest.param(3, 7, 5, 7, id="deleted above the committed offset"),
        pytest.param(9, 0, FAR + 1000, 0, id="decided about a topic that was there before"),
    ],
)
def test_where_verdicts_are_read_from(committed: int | None, begin: int, decided: int | None, expected: int) -> None:
    assert start_of(committed, begin, FAR + 1000, decided) == expected
