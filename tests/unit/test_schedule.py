"""A moving average of weights is one of what was trained, however short the training, and a long one at its end."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from models.schedule import moving_average


def averaged(decay: float, updates: int) -> float:
    """The average of a weight that is 0 to begin with and 1 ever after."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    average = AveragedModel(network, multi_avg_fn=moving_average(decay), use_buffers=True)
    average.update_parameters(network)
    nn.init.ones_(network.weight)
    for _ in range(updates):
        average.update_parameters(network)
    return float(average.module.weight.detach())


@pytest.mark.parametrize("updates", [20, 200])
def test_of_a_short_training_the_first_weights_are_forgotten(updates: int) -> None:
    assert averaged(0.999, updates) > 0.99
    assert 1 - 0.999**updates < 0.2, "as a plain one would have it"


def test_in_the_end_it_forgets_as_slowly_as_asked() -> None:
    average = moving_average(0.99)
    mean, count = [torch.zeros(1), torch.zeros(1, dtype=torch.int64)], torch.tensor(5_000)
    average(mean, [torch.ones(1), torch.full((1,), 7)], count)
    assert mean[0].item() == pytest.approx(0.01)
    assert mean[1].item() == 7, "counters are counted, not averaged"
