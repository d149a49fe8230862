"""Families of networks and all that differs between them: how one is built, where its head is, what it sees inside.

Place in the flow: `resnet.py` builds networks by it, and whoever looks into a network asks it; nobody else tells one
kind from another. Knows no file, no class names and no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models import vit
from models.errors import ModelRefusedError
from models.quick_torchvision import torchvision


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of network. Inputs are normalised, float32 [n, 3, h, w].

    `head`: the name of the last linear layer. `side`: pixels of the square that it takes, None for any size. `maps`:
    what it sees in inputs, the deepest last, each [n, c, rows, columns]; `map_widths`: their c, by the head's.
    `evidence`: how much each place of one input speaks for a direction, float32 [classes], of the logits (one class: 1
    there, 0 elsewhere): [1, 1, rows, columns], 0 where it doesn't.
    `renamed`: weights by torchvision's names, where files have others. `has_stages`: whether `stages` are to be had,
    and so a bank of good parts. `attends`: whether it is made of attention, which is quantised by other patterns.
    """

    archs: tuple[str, ...]
    kind: type[Any]
    build: Callable[[str, int], nn.Module]
    head: str
    side: int | None
    maps: Callable[[nn.Module, Tensor], tuple[Tensor, ...]]
    map_widths: Callable[[int], tuple[int, ...]]
    evidence: Callable[[nn.Module, Tensor, Tensor], Tensor]
    renamed: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
    has_stages: bool
    attends: bool


def stages(network: nn.Module, inputs: Tensor) -> tuple[Tensor, ...]:
    """What a ResNet's four stages give for inputs [n, 3, h, w]: [n, c, h/4, w/4] and so on down to h/32, w/32."""
    at = network.maxpool(network.relu(network.bn1(network.conv1(inputs))))  # type: ignore[operator]
    found: list[Tensor] = []
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        at = stage(at)  # type: ignore[operator]
        found.append(at)
    return tuple(found)


def _activation(network: nn.Module, inputs: Tensor, direction: Tensor) -> Tensor:
    """Grad-CAM of a ResNet (see `explain.py`): its last stage's channels by their weight for the direction, ReLU."""
    weights = direction @ head_of(network).weight
    return torch.einsum("nchw,c->nhw", stages(network, inputs)[-1], weights).relu()[:, None]


RESNETS = Family(
    archs=(
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "resnet152",
        "resnext50_32x4d",
        "resnext101_32x8d",
        "resnext101_64x4d",
        "wide_resnet50_2",
        "wide_resnet101_2",
    ),
    kind=torchvision.models.ResNet,
    build=lambda arch, classes: torchvision.models.get_model(arch, weights=None, num_classes=classes),
    head="fc",
    side=None,
    maps=lambda network, inputs: stages(network, inputs)[1:],
    map_widths=lambda width: (width // 4, width // 2, width),
    evidence=_activation,
    renamed=dict,
    has_stages=True,
    attends=False,
)
VITS = Family(
    archs=vit.ARCHITECTURES,
    kind=torchvision.models.VisionTransformer,
    build=vit.build,
    head="heads.head",
    side=vit.SIDE,
    maps=vit.patch_maps,
    map_widths=lambda width: (width,),
    evidence=vit.relevance,
    renamed=vit.renamed,
    has_stages=False,
    attends=True,
)
FAMILIES = (RESNETS, VITS)
ARCHITECTURES = tuple(arch for family in FAMILIES for arch in family.archs)


def family_named(arch: str) -> Family:
    """The family of an architecture; ModelRefusedError for one that isn't of `ARCHITECTURES`."""
    for family in FAMILIES:
        if arch in family.archs:
            return family
    raise ModelRefusedError(f"unknown architecture {arch!r}; expected one of {', '.join(ARCHITECTURES)}")


def family_of(network: nn.Module) -> Family:
    """The family of a network that is no ensemble; TypeError for one that none of them has built."""
    for family in FAMILIES:
        if isinstance(network, family.kind):
            return family
    raise TypeError(f"expected a torchvision ResNet or VisionTransformer, came {type(network).__name__}")


def head_of(network: nn.Module) -> nn.Linear:
    """The last linear layer, which gives the logits."""
    head = network.get_submodule(family_of(network).head)
    assert isinstance(head, nn.Linear)
    return head


def trunk_of(network: nn.Module) -> list[nn.Parameter]:
    """All parameters but the head's."""
    head = set(head_of(network).parameters())
    return [parameter for parameter in network.parameters() if parameter not in head]


def without_head(network: nn.Module) -> nn.Module:
    """The same network, changed in place to give what its head was given: [n, width]."""
    network.set_submodule(family_of(network).head, nn.Identity())
    return network
