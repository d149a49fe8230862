"""Weights to start a training with, from a file of somebody else: safetensors alone, whatever the name says.

Place in the flow: `lineside train --start`. A `.pth` file is a program that runs when it is read, so it is refused: who
trusts one turns it into safetensors elsewhere. Knows no architecture.
"""

from __future__ import annotations

from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from models.artifact_files import MAX_BYTES, WEIGHTS, check_header, read_bounded
from models.errors import ModelRefusedError

CONVERT = (
    "where you trust the file, turn it into safetensors: "
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')"
)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, by name. ModelRefusedError for any other file, or one beyond 1 GiB."""
    data = read_bounded(file, MAX_BYTES[WEIGHTS])
    if data[:2] in (b"PK", b"\x80\x02"):
        raise ModelRefusedError(f"{file} is a pickle, which may run programs when it is read; {CONVERT}")
    check_header(file.name, data)
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ModelRefusedError(f"{file} is no safetensors file: {error}") from error
