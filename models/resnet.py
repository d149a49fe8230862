"""The networks: torchvision's, several of them as one, and the wrapper that turns pictures into probabilities.

Everything an engine computes is in `Classifier`: uint8 pictures in, probabilities out. So normalisation and
temperature can't differ between engines. What differs between ResNets and Vision Transformers, `families.py` knows.
Knows no files, no engines and no class names; never downloads weights.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.errors import ModelRefusedError
from models.families import family_named
from models.heads import Head, mean_of_sigmoids, probabilities
from schemas.records import Precision

TOGETHER = "+"  # between the architectures of an ensemble
MAX_MEMBERS = 8


def build_network(arch: str, classes: int) -> nn.Module:
    """A network with random weights: float32 [n, 3, h, w], normalised, to logits [n, classes].

    Raises:
        ModelRefusedError: an architecture that isn't one of `families.ARCHITECTURES`.
    """
    return family_named(arch).build(arch, classes)


def architectures(arch: str) -> list[str]:
    """Of an ensemble's members, or the one; ModelRefusedError for more than MAX_MEMBERS."""
    members = arch.split(TOGETHER)
    if len(members) > MAX_MEMBERS:
        raise ModelRefusedError(f"expected at most {MAX_MEMBERS} networks in an ensemble; came {len(members)}")
    return members


@lru_cache(maxsize=16)
def expected_tensors(arch: str, classes: int) -> Mapping[str, Tensor]:
    """Names, shapes and types of a network's weights, on the meta device: nothing is allocated."""
    return MappingProxyType(_empty_network(arch, classes).state_dict())


def head_tensors(arch: str) -> frozenset[str]:
    """Names of the weights whose shapes go by the number of classes, of all networks of an ensemble."""
    heads = [family_named(name).head for name in architectures(arch)]
    befores = [f"members.{place}." for place in range(len(heads))] if len(heads) > 1 else [""]
    return frozenset(
        f"{before}{head}.{part}" for before, head in zip(befores, heads, strict=True) for part in ("weight", "bias")
    )


def input_side(arch: str) -> int | None:
    """Pixels of the square that an architecture takes, or one of an ensemble's; None for any size."""
    return next((side for name in architectures(arch) if (side := family_named(name).side)), None)


def attends(arch: str) -> bool:
    """Whether an architecture, or one of an ensemble's, is made of attention."""
    return any(family_named(name).attends for name in architectures(arch))


def check_input(arch: str, width: int, height: int) -> None:
    """ModelRefusedError for an input of so many pixels that the architecture can't take."""
    side = input_side(arch)
    if side and (width, height) != (side, side):
        raise ModelRefusedError(
            f"{arch} takes inputs of {side}x{side} pixels alone, since it learns where each patch of them lies; came "
            f"{width}x{height}: give {side}x{side}, such as by --size, or take a ResNet, to which any size will do"
        )


def place_channels(arch: str) -> int:
    """How many numbers describe a place of a picture by a ResNet's second and third stage, together.

    ModelRefusedError for what has no bank of good parts: an ensemble, and a network without such stages.
    """
    if TOGETHER in arch:
        raise ModelRefusedError("an ensemble has no bank of good parts: that goes with one network")
    family = family_named(arch)
    if not family.has_stages:
        raise ModelRefusedError(
            f"a {arch} has no bank of good parts: that takes a ResNet's stages; give a ResNet, such as --arch resnet18"
        )
    width = int(expected_tensors(arch, 2)[f"{family.head}.weight"].shape[1])
    second, third, _ = family.map_widths(width)
    return second + third


def network_of(arch: str, classes: int, weights: dict[str, Tensor], head: Head = "softmax") -> nn.Module:
    """A network of these very tensors, which it shares: whoever changes them changes its answers.

    ModelRefusedError for an unknown architecture, RuntimeError for weights of another one.
    """
    network = _empty_network(arch, classes, head)
    network.load_state_dict(weights, strict=True, assign=True)
    return network


def _empty_network(arch: str, classes: int, head: Head = "softmax") -> nn.Module:
    with torch.device("meta"), NothingDrawn():
        members = [build_network(name, classes) for name in architectures(arch)]
        return members[0] if len(members) == 1 else Ensemble(members, head)


class NothingDrawn(TorchFunctionMode):
    """Leaves out random first weights, where others come or none are needed.

    On the meta device there is nothing to draw, but torch loads its compiler to draw it: 1.4 s of CPU (torch 2.15).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func.__name__ in ("kaiming_normal_", "kaiming_uniform_", "normal_", "uniform_"):
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def bf16_is_native() -> bool:
    """Whether this CPU multiplies bfloat16 itself; where it doesn't, float32 is faster."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def half_precision_limits(in_bfloat16: float) -> dict[Precision, float]:
    """How far scores may be off in half precisions, by the largest difference that was seen in bfloat16.

    Three times that in bfloat16, and a quarter of it in float16, which has eight times the resolution.
    """
    return {Precision.BF16: 3 * in_bfloat16, Precision.FP16: 3 * in_bfloat16 / 4}


class Ensemble(nn.Module):
    """Several networks as one: the mean of their probabilities, each at its own temperature, given as logits."""

    def __init__(self, members: Sequence[nn.Module], head: Head = "softmax") -> None:
        """`head`: what the members' logits mean, and those of the whole."""
        super().__init__()
        self.head = head
        self.members = nn.ModuleList(members)
        self.register_buffer("temperatures", torch.ones(len(members)))
        self.temperatures: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """float32 [n, 3, h, w], normalised, to the logarithms of probabilities [n, classes]; a sigmoid's to logits."""
        scaled = [member(inputs).float() / self.temperatures[place] for place, member in enumerate(self.members)]
        if self.head == "sigmoid":
            return mean_of_sigmoids(torch.stack(scaled))
        told = [logits.log_softmax(dim=1) for logits in scaled]
        return torch.logsumexp(torch.stack(told), dim=0) - math.log(len(told))


def members_of(network: nn.Module) -> list[nn.Module]:
    """The networks that a network is made of: one, or an ensemble's."""
    return list(network.members) if isinstance(network, Ensemble) else [network]


class Classifier(nn.Module):
    """uint8 [n, h, w, 3] to float32 probabilities [n, classes]: normalise, network, temperature, head.

    Temperature divides the logits (Guo et al. 2017, "On Calibration of Modern Neural Networks").
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        temperature: float,
        head: Head = "softmax",
    ) -> None:
        """`mean` and `std` are per channel, of pictures scaled to 0..1."""
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.head: Head = head
        self.register_buffer("scale", 1 / (255 * torch.tensor(list(std)).view(1, 3, 1, 1)))
        self.register_buffer("shift", -(torch.tensor(list(mean)) / torch.tensor(list(std))).view(1, 3, 1, 1))
        self.scale: Tensor
        self.shift: Tensor

    def forward(self, pictures: Tensor) -> Tensor:
        """See the class."""
        return self.probabilities(self.logits(pictures))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits float32 [n, classes] to what the head makes of them at this temperature."""
        return probabilities(logits / self.temperature, self.head)

    def logits(self, pictures: Tensor) -> Tensor:
        """uint8 [n, h, w, 3] to float32 [n, classes], before temperature and head."""
        logits: Tensor = self.network(self.normalised(pictures))
        return logits.float()

    def normalised(self, pictures: Tensor) -> Tensor:
        """uint8 [n, h, w, 3] to [n, 3, h, w] of about zero mean and unit spread, in channels_last memory."""
        scaled = pictures.permute(0, 3, 1, 2).to(torch.float32) * self.scale + self.shift
        return scaled.to(next(self.network.parameters()).dtype)
