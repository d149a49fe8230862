"""The fuzzer finds planted faults and tells each as what it is; and a short run of it finds nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.preprocess import EncodedImage, Preprocessing, RejectedImageError
from tests.fuzz.__main__ import SUBJECTS
from tests.fuzz.figures import FLAT_BYTES, WARM_TRIALS, Figures
from tests.fuzz.pictures import Pictures
from tests.fuzz.planted import AT, EVERY, Planted
from tests.fuzz.runner import HANG_S as LONG_S
from tests.fuzz.runner import Runner
from tests.fuzz.subject import WrongOutcomeError

REPOSITORY = Path(__file__).parents[2]
SEED = 7
TRIALS = 25
CHOSEN = {n for n in range(TRIALS) if n % EVERY == AT}
HANG_S = 1.0  # where a hang is planted; all other trials have time enough on any machine


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("raise", "KeyError", "planted"),
        ("exit", "crash", "status 3"),
        ("crash", "crash", "in _crash"),
        ("hang", "hang", "in _hang"),
        ("swallow", "memory", "MiB at the peak, allowed are 64"),
    ],
)
def test_a_planted_fault_is_found_at_each_of_its_inputs_and_named(fault: str, kind: str, words: str) -> None:
    hang_s = HANG_S if fault == "hang" else 10 * LONG_S
    figures = Runner(partial(Planted, SEED, fault), TRIALS, hang_s=hang_s).run()
    assert {failure.number for failure in figures.failures} == CHOSEN
    assert {failure.kind for failure in figures.failures} == {kind}
    assert all(words in failure.text for failure in figures.failures)
    assert figures.trials == TRIALS
    assert not figures.is_good


def test_a_sound_subject_passes_and_each_input_counts_once() -> None:
    figures = Runner(partial(Planted, SEED, "none"), TRIALS, processes=2).run()
    assert figures.is_good
    assert figures.outcomes == {"passed": TRIALS}


def wrong_size(image: EncodedImage, spec: Preprocessing) -> Any:
    return np.zeros((spec.width, spec.height, 3), np.uint8)


def unknown_reason(image: EncodedImage, spec: Preprocessing) -> Any:
    raise RejectedImageError("BROKEN", "a reason that no event has")


def wordless(image: EncodedImage, spec: Preprocessing) -> Any:
    raise RejectedImageError("CORRUPT", "")


@pytest.mark.parametrize(
    ("load", "words"),
    [(wrong_size, "expected 24 x 32 x 3"), (unknown_reason, "'BROKEN' is no reason"), (wordless, "without a word")],
)
def test_a_wrong_outcome_of_a_picture_is_no_outcome(load: Any, words: str) -> None:
    subject = Pictures(SEED, load)
    case = next(case for n in range(100) if (case := subject.case(n)).inner[1].height == 24)
    try:
        with pytest.raises(WrongOutcomeError, match=words):
            subject.trial(case)
    finally:
        subject.close()


def test_memory_that_grows_when_warm_is_not_flat() -> None:
    figures = Figures()
    figures.saw_memory(1, [(0, 0), (WARM_TRIALS, 100 << 20), (WARM_TRIALS * 2, (100 << 20) + FLAT_BYTES)], 0)
    assert figures.is_flat
    figures.saw_memory(1, [(WARM_TRIALS * 3, (100 << 20) + FLAT_BYTES + 1)], 0)
    assert not figures.is_flat


@pytest.mark.parametrize("kind", SUBJECTS)
def test_an_input_follows_from_seed_and_number_alone(kind: str) -> None:
    one, other = SUBJECTS[kind](SEED), SUBJECTS[kind](SEED)
    try:
        for number in (5, 17):
            one.case(number)
        assert one.case(99).data == other.case(99).data
    finally:
        one.close()
        other.close()


def test_a_short_run_of_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--pictures", "800", "--events", "600", "--seed", "1", "--json"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, timeout=200
    )
    found = json.loads(done.stdout)
    failures = [(path.name, path.read_text()) for path in tmp_path.glob("*.txt")]
    assert (done.returncode, failures) == (0, [])
    assert (found["pictures"]["inputs"], found["events"]["inputs"]) == (800, 600)
    assert len(found["pictures"]["outcomes"]) >= 8
    assert len(found["events"]["outcomes"]) >= 12
