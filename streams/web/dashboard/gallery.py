"""What the gallery says beside each picture. Pure."""

from __future__ import annotations

from streams.downstream.overview.view import Page, Shown
from streams.web.dashboard.wording import NONE, Model, Wording, printable


def pictures(page: Page, words: Wording) -> Model:
    """One page of the gallery; `cursor` None at the end."""
    return {"items": [_picture(shown, words) for shown in page.items], "cursor": page.cursor}


def _picture(shown: Shown, words: Wording) -> Model:
    t = words.t
    part = printable(shown.part_id) if shown.part_id else t("no_part_id")
    where = " / ".join(printable(name) for name in (*shown.station[1:], shown.camera))
    facts = [
        [t("part"), part],
        [t("triggered"), words.time(shown.triggered_at, seconds=True)],
        [t("found"), words.word("finding", shown.finding) if shown.finding else t("nobody_looked")],
        [t("where"), where],
        [t("decided_in"), words.ms((shown.decided_at - shown.triggered_at).total_seconds() * 1000)],
        [t("model"), printable(shown.model_id) if shown.model_id else NONE],
    ]
    if not shown.deadline_met:
        facts.append([t("deadline"), t("deadline_missed")])
    return {
        "id": shown.verdict_id,
        "src": f"/frames/{shown.frame_partition}/{shown.frame_offset}/picture",
        "mark": shown.outcome,
        "word": words.word("state", shown.outcome),
        "why": _why(shown, words),
        "part": part,
        "facts": facts,
    }


def _why(shown: Shown, words: Wording) -> str:
    """`scratch 0.93 · limit 0.62`, or the reason where no score decided."""
    t = words.t
    if shown.reason != "SCORE":
        return words.reason(shown.reason)
    label = printable(shown.label) if shown.label else t("no_label")
    score = "" if shown.score is None else t.number(shown.score, 2)
    limit = "" if shown.threshold is None else f"· {t('limit')} {t.number(shown.threshold, 2)}"
    return " ".join(filter(None, (label, score, limit)))
