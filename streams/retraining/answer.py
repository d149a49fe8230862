"""May the new model take the place of the one in force? Figures and the sentence, for report, terminal and event. Pure.

Place in the flow: after both comparisons, before the proposal. They are read as JSON, because a retraining that was
ended goes on with what it has kept. People decide; this says what speaks for and against.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Figures = Mapping[str, Any]


class Advice(StrEnum):
    """What the evidence says."""

    BETTER = "BETTER"
    NOT_SHOWN = "NOT_SHOWN"
    WORSE = "WORSE"


@dataclass(frozen=True, slots=True)
class Answer:
    """`against`: what a person should look at before saying yes, a sentence each."""

    advice: Advice
    sentence: str
    against: tuple[str, ...]


def answer(held_out: Figures, replayed: Figures, model_id: str, base_model_id: str) -> Answer:
    """By parts that one alone judges wrongly, on the held-out split and on history."""
    escapes, overkills = held_out["escapes"], held_out["overkills"]
    more = escapes["only_b"] - escapes["only_a"]
    against = [*_against(held_out, model_id), *_of_history(replayed, model_id)]
    bad, good = (held_out["b"][name]["total"] for name in ("escape", "overkill"))
    sides = (
        f"of {bad} bad parts {held_out['a']['escape']['count']} pass with {base_model_id} and "
        f"{held_out['b']['escape']['count']} with {model_id}, of {good} good ones "
        f"{held_out['a']['overkill']['count']} and {held_out['b']['overkill']['count']} are rejected"
    )
    if more > 0 or _is_worse(replayed, "escape_difference"):
        return Answer(Advice.WORSE, f"No: more bad parts pass with the new model; {sides}.", tuple(against))
    if overkills["only_b"] > overkills["only_a"] and more == 0:
        return Answer(Advice.WORSE, f"No: nothing more is found and more is rejected; {sides}.", tuple(against))
    if more == 0 and overkills["only_b"] == overkills["only_a"]:
        return Answer(Advice.NOT_SHOWN, f"Not shown: the held-out parts tell no difference; {sides}.", tuple(against))
    return Answer(Advice.BETTER, f"Yes, on these figures: {sides}.", tuple(against))


def metrics(held_out: Figures, replayed: Figures) -> dict[str, float]:
    """The figures that are defined, for the proposal; those of the model in force begin with `base_`."""
    found: dict[str, float | None] = {}
    for side, before in (("a", "base_"), ("b", "")):
        for name in ("escape", "overkill"):
            found |= {f"{before}{name}{end}": held_out[side][name][key] for end, key in ENDS.items()}
        found[f"{before}auroc"] = held_out[side]["ranking"]["auroc"]["value"]
    for kind in held_out["kinds"]:
        if kind["bad"]:
            found |= {
                f"base_escape:{kind['label']}": kind["base"]["value"],
                f"escape:{kind['label']}": kind["new"]["value"],
            }
    found |= {"bad": held_out["b"]["escape"]["total"], "good": held_out["b"]["overkill"]["total"]}
    for side, before in (("rates_a", "replay_base_"), ("rates_b", "replay_")):
        for name in ("escape", "overkill"):
            rate = replayed.get(side, {}).get(name, {})
            found |= {f"{before}{name}{end}": rate.get(key) for end, key in ENDS.items()}
    found["replay_frames"] = replayed.get("pairs")
    return {name: float(value) for name, value in found.items() if value is not None}


ENDS = {"": "value", "_low": "low", "_high": "high"}


def _against(held_out: Figures, model_id: str) -> list[str]:
    found = []
    if alone := held_out["escapes"]["only_b"]:
        found.append(f"{model_id} passes {alone} bad parts that the model in force rejects: look at them")
    if alone := held_out["overkills"]["only_b"]:
        found.append(f"{model_id} rejects {alone} good parts that the model in force passes")
    found += [
        f"of {kind['label']} there are only {kind['new']['total']} parts: its figures say little"
        for kind in held_out["kinds"]
        if kind["bad"] and kind["new"]["total"] < 10
    ]
    return found


def _of_history(replayed: Figures, model_id: str) -> list[str]:
    if why := replayed.get("skipped"):
        return [f"history was not replayed: {why}"]
    found = (
        [f"on replayed history {model_id} rejects more good parts"]
        if _is_worse(replayed, "overkill_difference")
        else []
    )
    if why := replayed["rates_b"]["escape"].get("why_not"):
        found.append(f"replayed history gives no rates: {re.sub(r'[.]$', '', why)}")
    return found


def _is_worse(replayed: Figures, name: str) -> bool:
    """Whether a difference lies above zero with its whole interval."""
    difference = replayed.get(name)
    return difference is not None and difference[1] > 0
