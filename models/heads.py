"""What a network's logits mean: one class of several (softmax), or any number of defects at once (sigmoid).

Place in the flow: an artifact declares its head, the classifier and every engine compute it here. With a sigmoid each
defect has a probability of its own and the good class, the first, that none of them is there; its logit is not used
(binary relevance: Boutell et al. 2004, Pattern Recognition 37). Knows no network and no class names.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

Head = Literal["softmax", "sigmoid"]
HEADS: tuple[Head, ...] = get_args(Head)


def probabilities(scaled: Tensor, head: Head) -> Tensor:
    """Logits over temperature, float32 [n, classes], to probabilities of the same shape.

    With a sigmoid a row adds up to 1 only where there is one defect.
    """
    if head == "softmax":
        return torch.softmax(scaled, dim=1)
    defects = scaled[:, 1:]
    none = torch.sigmoid(-defects).prod(dim=1, keepdim=True)
    return torch.cat((none, torch.sigmoid(defects)), dim=1)


def mean_of_sigmoids(scaled: Tensor) -> Tensor:
    """Several networks' logits over their temperatures, [k, n, classes], to the logits [n, classes] of the mean of each
    class's probabilities.
    """
    present, absent = (torch.logsumexp(logsigmoid(side), dim=0) for side in (scaled, -scaled))
    return present - absent
