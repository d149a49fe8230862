"""Vision Transformers (Dosovitskiy et al. 2021, ICLR): their sizes, and what can be seen inside of one.

Place in the flow: `families.py` sets them beside the ResNets. Weights have torchvision's names; those of its older
files and of timm and DeiT are turned into them. Knows no picture, no class and no other kind of network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from models.quick_torchvision import torchvision

SIDE = 224  # pixels of the square input: where a patch lies is learnt, for patches of this input alone
_PATCH, _LAYERS = 16, 12


@dataclass(frozen=True, slots=True)
class _Size:
    width: int
    heads: int
    mlp: int


_SIZES = {
    "vit_ti_16": _Size(192, 3, 768),  # Ti and S: Touvron et al. 2021, "DeiT", table 1
    "vit_s_16": _Size(384, 6, 1536),
    "vit_b_16": _Size(768, 12, 3072),
}
ARCHITECTURES = tuple(_SIZES)

_OLD = ((r"mlp\.linear_1\.", "mlp.0."), (r"mlp\.linear_2\.", "mlp.3."))  # of torchvision before 0.14
_TIMM = (
    (r"cls_token$", "class_token"),
    (r"pos_embed$", "encoder.pos_embedding"),
    (r"patch_embed\.proj\.", "conv_proj."),
    (r"blocks\.(\d+)\.norm([12])\.", r"encoder.layers.encoder_layer_\1.ln_\2."),
    (r"blocks\.(\d+)\.attn\.qkv\.", r"encoder.layers.encoder_layer_\1.self_attention.in_proj_"),
    (r"blocks\.(\d+)\.attn\.proj\.", r"encoder.layers.encoder_layer_\1.self_attention.out_proj."),
    (r"blocks\.(\d+)\.mlp\.fc1\.", r"encoder.layers.encoder_layer_\1.mlp.0."),
    (r"blocks\.(\d+)\.mlp\.fc2\.", r"encoder.layers.encoder_layer_\1.mlp.3."),
    (r"norm\.", "encoder.ln."),
    (r"head\.", "heads.head."),
)


def build(arch: str, classes: int) -> nn.Module:
    """One of `ARCHITECTURES` with torchvision's random weights: float32 [n, 3, 224, 224] to logits [n, classes].

    The head's are zero, so that training begins at even probabilities.
    """
    size = _SIZES[arch]
    network: nn.Module = torchvision.models.VisionTransformer(
        SIDE, _PATCH, _LAYERS, size.heads, size.width, size.mlp, num_classes=classes
    )
    return network


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors by the names that torchvision gives them now; what has another name keeps it."""
    names = _TIMM if "cls_token" in weights else ()
    found = dict[str, Tensor]()
    for name, value in weights.items():
        whole = next((re.sub(f"^{old}", new, name) for old, new in names if re.match(old, name)), name)
        for old, new in _OLD:
            whole = re.sub(old, new, whole)
        found[whole] = value
    return found


def patch_maps(network: nn.Module, inputs: Tensor) -> tuple[Tensor]:
    """What the last layer makes of each patch of inputs [n, 3, 224, 224]: one map [n, c, 14, 14]."""
    tokens = network.encoder(_tokens(network, inputs))  # type: ignore[operator]
    side = SIDE // _PATCH
    return (tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side)),)


def relevance(network: nn.Module, inputs: Tensor, direction: Tensor) -> Tensor:
    """How much each patch of [1, 3, 224, 224] speaks for a direction [classes] of the logits: [1, 1, 14, 14], >= 0.

    Chefer et al. 2021, ICCV, "Generic Attention-model Explainability", equations 5 and 6 for self-attention: through
    the blocks R += A R, from the identity, where A is the mean over heads of attention times the gradient that the
    logits along the direction have by it, as far as that is positive; told is the class token's row. Not for inference
    mode: it takes gradients.
    """
    blocks: Any = network.encoder.layers  # type: ignore[union-attr]
    with torch.enable_grad():
        tokens = _tokens(network, inputs) + network.encoder.pos_embedding  # type: ignore[union-attr, operator]
        attentions = list[Tensor]()
        for block in blocks:
            tokens, attention = _through(block, tokens)
            attentions.append(attention)
        logits = network.heads(network.encoder.ln(tokens)[:, 0])  # type: ignore[operator, union-attr]
        gradients = torch.autograd.grad(logits[0] @ direction, attentions)
    relevances = torch.eye(tokens.shape[1])
    for attention, gradient in zip(attentions, gradients, strict=True):
        relevances = relevances + (attention.detach() * gradient).relu()[0].mean(dim=0) @ relevances
    side = SIDE // _PATCH
    return relevances[0, 1:].view(1, 1, side, side)


def _tokens(network: nn.Module, inputs: Tensor) -> Tensor:
    """[n, 3, 224, 224] to [n, 1 + 196, c]: the class token, then the patches row by row, without their positions."""
    patches = network.conv_proj(inputs).flatten(2).transpose(1, 2)  # type: ignore[operator]
    first = network.class_token.expand(len(inputs), -1, -1)  # type: ignore[operator]
    return torch.cat((first, patches), dim=1)


def _through(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """One encoder block: tokens [n, s, c] to tokens, and its attention [n, heads, s, s], by which one may derive."""
    attend = block.self_attention
    projected = linear(block.ln_1(tokens), attend.in_proj_weight, attend.in_proj_bias)
    count, length, _ = tokens.shape
    queries, keys, values = projected.view(count, length, 3, attend.num_heads, attend.head_dim).permute(2, 0, 3, 1, 4)
    attention = torch.softmax(queries @ keys.transpose(2, 3) * attend.head_dim**-0.5, dim=-1).requires_grad_()
    tokens = tokens + attend.out_proj((attention @ values).transpose(1, 2).flatten(2))
    return tokens + block.mlp(block.ln_2(tokens)), attention
