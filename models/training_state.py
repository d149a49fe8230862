"""A training that was ended goes on: all of it in one file, replaced whole, beside the model that it will become.

Place in the flow: `train.py` keeps it every half minute and when it is told to stop. A training killed at any moment
and taken up again gives, bit for bit, the weights of one that wasn't (same machine, same number of threads, no budget
of time). Knows no loop.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

State = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors by name, and facts for JSON."""


def save(file: Path, state: State, fingerprint: str) -> None:
    """Replace the file; it is whole at any moment. `fingerprint`: what the training is of, settings and pictures."""
    tensors, facts = state
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f"{file.name}.new")
    contents = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    metadata = {"fingerprint": fingerprint, "facts": json.dumps(facts)}
    safetensors.torch.save_file(contents, fresh, metadata)
    with fresh.open("rb") as written:
        os.fsync(written.fileno())
    fresh.replace(file)


def load(file: Path, fingerprint: str) -> State | None:
    """The state of the same training; None where there is none, it is of another, or it can't be read."""
    with contextlib.suppress(OSError, SafetensorError, ValueError, KeyError), safe_open(file, "pt") as kept:
        metadata: Mapping[str, str] = kept.metadata() or {}
        if metadata.get("fingerprint") == fingerprint:
            return {name: kept.get_tensor(name) for name in kept.keys()}, json.loads(metadata["facts"])  # noqa: SIM118
    return None


def forget(file: Path) -> None:
    """The training has ended well."""
    file.unlink(missing_ok=True)
