"""What people are told of a replay: its coverage, its figures at the end, and the runs that are kept."""

from __future__ import annotations

import json

from streams.commands.ui import Ui
from streams.replay.coverage import WORDS, PictureIs, coverage
from streams.replay.prepare import Planned
from streams.replay.run_folder import RunFolder, runs_in
from streams.replay.runs import folder_of
from streams.settings import Settings


def show_coverage(planned: Planned, title: str, as_json: bool) -> None:
    """What can be seen, by line and live outcome."""
    rows = [
        (
            f"{row.plant}/{row.line} {row.outcome or 'not inspected'}",
            f"{row.frames} frames: "
            + ", ".join(f"{row.pictures[place]} {WORDS[place]}" for place in PictureIs if row.pictures.get(place)),
        )
        for row in coverage(planned.frames)
    ]
    unheard = _unheard(planned)
    if unheard > 0:
        rows.append(("without a live verdict", f"up to {unheard} offsets of the topic"))
    Ui().table(f"Coverage · {title}", rows)
    if as_json:
        print(json.dumps({"coverage": [row.to_json() for row in coverage(planned.frames)]}, indent=2))


def _unheard(planned: Planned) -> int:
    """Offsets that no verdict tells of: frames not inspected, what was no frame, marks of transactions."""
    span = sum(high - planned.reach.lows[p] for p, high in planned.reach.highs.items())
    told: int = planned.frames.column("picture").to_pylist().count(PictureIs.TOPIC.value)
    return span - told


def show_done(folder: RunFolder, as_json: bool) -> None:
    """The figures of a finished run."""
    info, verdicts = folder.info(), folder.verdicts()
    counts = {
        f"{item['outcome']} {item['reason']}": item["frame_id_count"]
        for item in verdicts.group_by(["outcome", "reason"]).aggregate([("frame_id", "count")]).to_pylist()
    }
    figures = {
        "run": info["run"],
        "model_id": info["model_id"],
        "frames": info["frames"],
        "verdicts": verdicts.num_rows,
        "outcomes": dict(sorted(counts.items())),
        "expired": sum(row[PictureIs.EXPIRED.value] for row in info["coverage"]),
        "vanished": _vanished(folder),
    }
    if as_json:
        print(json.dumps(figures, indent=2))
    else:
        lines = [
            (k, ", ".join(f"{a} {b}" for a, b in v.items()) if isinstance(v, dict) else str(v))
            for k, v in figures.items()
        ]
        Ui().table(f"Replay · {info['run']}", lines)


def _vanished(folder: RunFolder) -> int:
    """Planned frames without a verdict: retention took them while the run went on."""
    frames, verdicts = folder.frames(), folder.verdicts()
    judged = set(zip(*(verdicts.column(c).to_pylist() for c in ("source_partition", "source_offset")), strict=True))
    columns = (frames.column(c).to_pylist() for c in ("partition", "offset", "picture"))
    return sum(
        (partition, offset) not in judged and picture != PictureIs.EXPIRED
        for partition, offset, picture in zip(*columns, strict=True)
    )


def list_runs(settings: Settings, as_json: bool) -> None:
    """The runs that are kept here."""
    found = []
    for name in runs_in(settings.data_dir / "replays"):
        folder = folder_of(settings, name)
        info = folder.info()
        found.append({key: info[key] for key in ("run", "created_at", "model_id", "frames")} | {"done": folder.is_done})
    if as_json:
        print(json.dumps(found, indent=2))
        return
    rows = [
        (
            str(r["run"]),
            f"{r['created_at']}  {r['model_id']}  {r['frames']} frames, {'done' if r['done'] else 'not done'}",
        )
        for r in found
    ]
    Ui().table("Replays", rows or [("none", "start one with `lineside replay --from 1h --model DIR`")])
