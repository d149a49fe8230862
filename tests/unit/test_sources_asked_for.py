"""From the words of the command line to a source: how many frames it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.commands.sources import SourceKind, SourceRequest, make_source
from tests.builders import picture


@pytest.mark.parametrize(("asked", "given"), [(None, 5), (1, 1), (3, 3), (9, 5)])
async def test_a_folder_gives_no_more_frames_than_were_asked_for(tmp_path: Path, asked: int | None, given: int) -> None:
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    source = make_source(SourceRequest(kind=SourceKind.FOLDER, folder=tmp_path, frames=asked))
    assert source.total == given
    assert len([shot async for shot in source]) == given
