"""The corpus of camera frames: every case has exactly its outcome, alone and among hostile neighbours."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.decoding.raw import RAW_ENCODINGS
from models.preprocess import Preprocessing, RejectedImageError, load_views
from schemas.records import Encoding, Reason
from tests.pictures import Case, corpus


def test_the_corpus_is_whole() -> None:
    assert len(corpus()) == 54


@pytest.mark.parametrize("case", corpus(), ids=lambda case: case.name)
def test_a_frame_has_exactly_its_outcome(case: Case) -> None:
    case.check()


def test_frames_keep_their_outcomes_among_hostile_neighbours_on_four_threads() -> None:
    batch = [case for case in corpus() for _ in range(15)]
    random.Random(7).shuffle(batch)
    with ThreadPoolExecutor(4) as threads:
        for result in [threads.submit(case.check) for case in batch]:
            result.result()


def test_a_batch_of_32_with_one_damaged_picture_gives_31_inputs_and_one_rejection() -> None:
    cases = {case.name: case.image for case in corpus()}
    batch = [cases["jpeg_baseline_420"]] * 31
    batch.insert(13, cases["jpeg_cut_without_eoi"])
    spec, inputs, reasons = Preprocessing(), [], []
    for image in batch:
        try:
            inputs.append(load_views(image, spec).pixels[0])
        except RejectedImageError as error:
            reasons.append(error.reason)
    assert len(inputs) == 31
    assert {pixels.shape for pixels in inputs} == {(224, 224, 3)}
    assert reasons == ["TRUNCATED"]


def test_reasons_and_encodings_are_names_that_events_know() -> None:
    assert {case.expect["reason"] for case in corpus() if "reason" in case.expect} <= set(Reason)
    assert set(Encoding) >= RAW_ENCODINGS
    assert set(Encoding) - RAW_ENCODINGS == {"UNKNOWN", "JPEG", "PNG", "BMP", "TIFF", "WEBP"}
