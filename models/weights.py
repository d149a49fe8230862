"""Weights to start a training with, from a file of somebody else: safetensors alone, whatever the name says.

Place in the flow: `lineside train --start`. A `.pth` file is a program that runs when it is read, so it is refused: who
trusts one turns it into safetensors elsewhere. `published.py` knows the few that are no strangers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from models.artifact_files import MAX_BYTES, WEIGHTS, check_header, read_bounded
from models.errors import ModelRefusedError
from models.families import family_of

CONVERT = (
    "where you trust the file, turn it into safetensors: "
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')"
)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, by name. ModelRefusedError for any other file, or one beyond 1 GiB."""
    data = read_bounded(file, MAX_BYTES[WEIGHTS])
    if is_pickle(data):
        raise ModelRefusedError(f"{file} is a pickle, which may run programs when it is read; {CONVERT}")
    return tensors_of(file, data)


def is_pickle(data: bytes) -> bool:
    """Whether a file is one that torch wrote, today's or of before 2020."""
    return data[:2] in (b"PK", b"\x80\x02")


def tensors_of(file: Path, data: bytes) -> dict[str, Tensor]:
    """All tensors of a safetensors file that was read; ModelRefusedError for any other."""
    check_header(file.name, data)
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ModelRefusedError(f"{file} is no safetensors file: {error}") from error


def write_tensors(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file of contiguous tensors by their names."""
    safetensors.torch.save_file(dict(tensors), file)


def begin_with(
    network: nn.Module, start: Mapping[str, Tensor], known: Sequence[str] = (), wanted: Sequence[str] = ()
) -> None:
    """Put weights into a network; a head of another number of classes is left out, unless it is said which classes are
    `known` to the weights and `wanted` of the network, in their orders: then each goes on with its own row of the head.

    ModelRefusedError where they are of another architecture than its own, or of another input size.
    """
    own, family = network.state_dict(), family_of(network)
    given, head = family.renamed(start), f"{family.head}."
    if given and known:
        given |= {
            name: _grown(value, given.get(name), known, wanted) for name, value in own.items() if name.startswith(head)
        }
    fitting = {
        name: value
        for name, value in given.items()
        if name in own and (own[name].shape == value.shape or not name.startswith(head))
    }
    strangers = [
        f"{name} is {list(value.shape)}, expected {list(own[name].shape)}"
        for name, value in fitting.items()
        if own[name].shape != value.shape
    ]
    missing = [
        f"{name} is missing"
        for name in own
        if given and name not in given and not name.startswith(head) and not name.endswith("num_batches_tracked")
    ]
    if strangers or missing:
        raise ModelRefusedError(f"the weights to start with are of another architecture: {(strangers or missing)[0]}")
    network.load_state_dict(own | fitting)


def _grown(own: Tensor, given: Tensor | None, known: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """A tensor of the head, a row a class: rows of known classes as given, those of new ones as they are."""
    if given is None or len(given) != len(known):
        came = "none" if given is None else str(len(given))
        raise ModelRefusedError(f"the weights to start with have {came} rows for their {len(known)} classes")
    grown = own.clone()
    for row, name in enumerate(wanted):
        if name in known:
            grown[row] = given[known.index(name)]
    return grown
