"""`lineside dataset build|export`: a versioned data set from samples and decisions or from labelled pictures, and files
for other tools.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from models.dataset import SPLITS
from models.errors import DatasetError
from models.label_exports import label_studio_config, to_coco, to_label_studio, to_second_look
from models.labelled_set import About, Info, LabelledSet, read, scratch_beside, write
from streams.bus.admin import require_topics
from streams.commands.sampler import parse_time, shown_value
from streams.commands.sources import SourceKind, SourceRequest, folder_source
from streams.commands.ui import Advance, Ui
from streams.datasets.building import Collection
from streams.datasets.offers import Offered, elpv_offers, folder_offers, in_turn
from streams.downstream.sampling.dataset import Choice, Gathered, build, gather
from streams.errors import CallerError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import topic_specs


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """What `lineside dataset build` was asked for. Times as in `lineside tail --from`; `name` None: the directory's."""

    directory: Path
    since: str | None = None
    until: str | None = None
    name: str | None = None
    as_json: bool = False


def build_from(request: SourceRequest, options: BuildOptions) -> None:
    """Build from pictures that come with labels, and report. Not for a running event loop: Ctrl-C shall end it."""
    ui = Ui()
    with scratch_beside(options.directory) as scratch, ui.bars() as make:
        collection, bar = Collection(scratch), make("pictures", None)
        for done, offered in enumerate(_offers(request), 1):
            collection.take(offered)
            bar(done)
        items, conflicts = collection.rows()
        if not any(item.label == request.good for item in items):
            found = ", ".join(sorted({item.label for item in items})) or "none"
            raise CallerError(f"no picture is labelled {request.good!r}; name good parts with --good. Labels: {found}")
        about = About(
            name=options.name or options.directory.resolve().name,
            good=request.good,
            tool_version=version("lineside"),
            left_out=dict(sorted(collection.left_out.items())),
            sources={request.kind.value: {"labels": request.labels}},
            since=None,
            until=None,
        )
        info = write(options.directory, scratch, items, conflicts, about)
    report_dataset(options.directory, info, options.as_json)


def _offers(request: SourceRequest) -> Iterator[Offered]:
    if request.kind is SourceKind.ELPV:
        return elpv_offers()
    return in_turn(folder_offers(folder_source(request)))


def build_dataset(settings: Settings, options: BuildOptions) -> None:
    """Build and report. Not for a running event loop: Ctrl-C shall end it between two pictures."""
    report_dataset(options.directory, built(settings, options), options.as_json)


def built(settings: Settings, options: BuildOptions) -> Info:
    """The data set of the samples and decisions in the topics, written, with progress bars. As `build_dataset`."""
    name = options.name or options.directory.resolve().name
    since, until = parse_time("--since", options.since), parse_time("--until", options.until)
    choice = Choice(name=name, since=since, until=until)
    ui, bars = Ui(), dict[str, Advance]()
    with scratch_beside(options.directory) as scratch, ui.bars() as make:

        def progress(stage: str, done: int, total: int | None) -> None:
            if stage not in bars:
                bars[stage] = make(stage, total)
            bars[stage](done)

        gathered = asyncio.run(_gathered(settings, choice, progress))
        store = FrameStore(settings.frame_store_url)
        return build(options.directory, scratch, gathered, choice, store, progress)


def export_dataset(directory: Path, format_: str, as_json: bool) -> None:
    """Write a data set's files for another tool, one of FORMATS, into a folder of that name in it, and say which."""
    if format_ not in FORMATS:
        raise CallerError(f"--format must be one of {', '.join(FORMATS)}; came {format_!r:.40}")
    found = read(directory)
    written = []
    for name, text in FORMATS[format_](found).items():
        path = directory / format_ / name
        try:
            path.parent.mkdir(exist_ok=True)
            fresh = path.with_name(f".{name}.new")
            fresh.write_text(text)
            fresh.replace(path)
        except OSError as error:
            raise DatasetError(f"{path} can't be written: {error.strerror or error}") from error
        written.append(str(path))
    if as_json:
        print(json.dumps({"version": found.info.version, "files": written}, indent=2))
    else:
        for line in written:
            Ui().say(line)


def coco_files(found: LabelledSet) -> dict[str, str]:
    """One file for each split, by name."""
    return {f"{split}.json": _json(to_coco(found, split)) for split in SPLITS}


def label_studio_files(found: LabelledSet) -> dict[str, str]:
    """Tasks, tasks of the second look, and the labelling interface, by name."""
    return {
        "tasks.json": _json(to_label_studio(found)),
        "second-look.json": _json(to_second_look(found)),
        "config.xml": label_studio_config(found),
    }


FORMATS: Mapping[str, Callable[[LabelledSet], dict[str, str]]] = MappingProxyType(
    {"coco": coco_files, "label-studio": label_studio_files}
)


async def _gathered(settings: Settings, choice: Choice, progress: Any) -> Gathered:
    await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
    return await gather(settings, choice, progress)


def report_dataset(directory: Path, info: Info, as_json: bool) -> None:
    """Say what a data set holds."""
    ui = Ui()
    if as_json:
        print(json.dumps({"directory": str(directory), **dataclasses.asdict(info)}, indent=2))
        return
    counts = {name.removeprefix("by_"): value for name, value in info.counts.items()} | {"left out": info.left_out}
    ui.table(f"Data set {info.name} · version {info.version}", [(k, shown_value(v)) for k, v in counts.items()])
    if info.counts["conflicts"]:
        ui.say("Pictures in conflict lie in second_look/ and wait for a second look: conflicts.parquet says why.")
    ui.say(f"kept in {directory}")


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"
