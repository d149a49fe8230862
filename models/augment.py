"""What a picture may look like and still show the same part: a product's symmetries, a shift, other light. Pure.

Place in the flow: the training loop changes every batch. Randomness is an argument. Knows no defect: a symmetry that a
product doesn't have (a logo that must not be mirrored) must not be declared.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

Symmetry = Literal["mirror", "flip", "turn"]
"""mirror: left and right may change places; flip: top and bottom; turn: by quarters, for square inputs."""


def augmented(
    inputs: Tensor, symmetries: tuple[Symmetry, ...], shift: int, jitter: float, generator: torch.Generator
) -> Tensor:
    """[n, 3, h, w], normalised, to the same. One shift (of up to `shift` pixels) a batch, all else a picture.

    `jitter`: the share by which contrast changes at most; brightness changes by up to twice that many spreads.
    """
    n, _, height, width = inputs.shape

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator).to(inputs.device)

    for symmetry, axis in (("mirror", 3), ("flip", 2)):
        if symmetry in symmetries:
            inputs = torch.where((drawn(n) < 0.5).view(n, 1, 1, 1), inputs.flip(axis), inputs)
    if "turn" in symmetries:
        inputs = torch.where((drawn(n) < 0.5).view(n, 1, 1, 1), inputs.rot90(1, (2, 3)), inputs)
    if shift:
        dy, dx = (int(v) for v in torch.randint(2 * shift + 1, (2,), generator=generator))
        inputs = pad(inputs, (shift,) * 4, mode="replicate")[:, :, dy : dy + height, dx : dx + width]
    gain = 1 + jitter * (2 * drawn(n, 1, 1, 1) - 1)
    offset = 2 * jitter * (2 * drawn(n, 1, 1, 1) - 1)
    return (inputs * gain + offset).contiguous(memory_format=torch.channels_last)


def blended(inputs: Tensor, labels: Tensor, good: int, most: float, generator: torch.Generator) -> Tensor:
    """Good pictures mixed with other good ones of the batch (MixUp, Zhang et al. 2018, ICLR), [n, 3, h, w] to the same.

    A picture with a defect is left as it is and goes into no other: half a scratch may be no scratch any more, and half
    of one on a good part would be called good. So labels stay what they were. `most`: the other's share, at most.
    """
    places = torch.nonzero(labels == good).flatten()
    if len(places) < 2:
        return inputs
    partners = places[torch.randperm(len(places), generator=generator)]
    share = (most * torch.rand(len(places), 1, 1, 1, generator=generator)).to(inputs)
    mixed = inputs.clone(memory_format=torch.preserve_format)
    mixed[places] = (1 - share) * inputs[places] + share * inputs[partners]
    return mixed
