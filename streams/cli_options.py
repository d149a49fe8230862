"""Options that several commands of `lineside` take, each with its help once. Knows no command."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from schemas.records import Precision
from streams.commands.sources import SourceKind
from streams.errors import CallerError
from streams.sd_notify import notify

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Frames = Annotated[int | None, typer.Option(min=1, help="Stop after this many frames.")]
Source = Annotated[SourceKind, typer.Option(help="Where pictures come from.")]
Folder = Annotated[Path | None, typer.Option(help="Folder of pictures, for --source folder.")]
Watch = Annotated[bool, typer.Option(help="Go on with files that appear in the folder.")]
NamePattern = Annotated[
    str | None, typer.Option(help="What file names say, such as '{sku}_{part_id}_{view}.{ext}'. Default: nothing.")
]
Labels = Annotated[
    str | None, typer.Option(help="'folders' (sub-folder = label), a CSV of file,label, or a .json in COCO's format.")
]
Skip = Annotated[bool, typer.Option(help="Count files whose name does not match, instead of stopping.")]
Rate = Annotated[float, typer.Option(min=0, help="Parts a second; 0 is as fast as possible.")]
Burst = Annotated[int, typer.Option(min=1, help="Parts that come at once, at the same mean rate.")]
Count = Annotated[int, typer.Option(min=1, help="How many.")]
Views = Annotated[int, typer.Option(min=1, help="Pictures of each part, by each camera.")]
Seed = Annotated[int, typer.Option(help="Same seed, same pictures.")]
DefectShare = Annotated[float, typer.Option(min=0, max=1, help="Share of parts with a defect.")]
Distinct = Annotated[int, typer.Option(min=0, help="Draw this many parts in advance and use them again; 0: never.")]
DeadlineMs = Annotated[int | None, typer.Option(min=1, help="Milliseconds from trigger to verdict. Default: none.")]
Name = Annotated[str, typer.Option(help="For pictures from a folder or ELPV.")]
ModelDir = Annotated[Path | None, typer.Option("--model", help="Directory of a model. Default: train one, once.")]
Data = Annotated[
    Path | None, typer.Option(help="A data set of `lineside dataset build`, with its splits, in place of a source.")
]
Device = Annotated[str, typer.Option(help="auto, openvino:CPU, torch:cpu or torch:cuda.")]
PrecisionText = Annotated[str, typer.Option("--precision", help="auto, fp32, bf16, fp16 or int8.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 is a free port.")]
ReadyFile = Annotated[
    Path | None, typer.Option(help="Written when it is at work, with its page's address, for supervisors.")
]


def announcer(text: str, ready_file: Path | None) -> Callable[..., None]:
    """What a program calls, with its page's address if it has one, when it is at work: says so to people and to its
    supervisor. `text` may hold `{address}`."""

    def ready(address: str = "") -> None:
        print(text.format(address=address), file=sys.stderr, flush=True)
        if ready_file:
            ready_file.parent.mkdir(parents=True, exist_ok=True)
            fresh = ready_file.with_name(f"{ready_file.name}.new")
            fresh.write_text(address)
            fresh.replace(ready_file)  # whoever sees the file sees all of it
        notify("READY=1")

    return ready


def parse_precision(text: str) -> Precision:
    """What --precision says; UNKNOWN stands for auto."""
    if text == "auto":
        return Precision.UNKNOWN
    if text.upper() not in Precision.__members__ or text.upper() == "UNKNOWN":
        raise CallerError(f"--precision must be auto, fp32, bf16, fp16 or int8; came {text!r}")
    return Precision[text.upper()]
