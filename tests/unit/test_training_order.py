"""Which picture is shown when and how it is changed: rare classes, symmetries, and defects that nothing may erase."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.augment import augmented, blended
from models.dataset import Example, Pictures, softened
from models.errors import ModelRefusedError
from models.order import MOST_REPEATS, Order, shares
from models.preprocess import EncodedImage
from models.resnet import build_network
from models.weights import begin_with, read_tensors


@given(st.lists(st.integers(0, 3), min_size=8, max_size=80), st.integers(0, 9))
def test_each_picture_is_shown_once_an_epoch_but_for_what_is_over(labels: list[int], seed: int) -> None:
    order = Order(np.array(labels), 4, 8, "none", seed)
    for epoch in range(2):
        shown = [i for n in range(order.per_epoch) for i in order.batch(epoch * order.per_epoch + n).tolist()]
        assert len(shown) == len(set(shown)) == len(labels) // 8 * 8


def test_a_batch_depends_on_its_number_alone_and_epochs_differ() -> None:
    labels = np.arange(64) % 4
    order, other = (Order(labels, 4, 8, "oversample", 3) for _ in range(2))
    in_turn = [order.batch(number) for number in range(24)]
    assert all(torch.equal(other.batch(number), in_turn[number]) for number in (20, 3, 11, 0))
    assert not torch.equal(order.batch(0), order.batch(order.per_epoch))


def test_rare_classes_are_shown_by_the_root_of_their_rarity_and_never_more_than_the_cap() -> None:
    labels = np.array([0] * 3600 + [1] * 100 + [2] * 3)
    assert shares(labels, 4) == [1.0, 6.0, MOST_REPEATS, 0.0]
    order = Order(labels, 4, 10, "oversample", 1)
    shown = Counter(int(labels[i]) for n in range(order.per_epoch) for i in order.batch(n))
    assert shown[0] == pytest.approx(3600, abs=10)
    assert shown[1] == pytest.approx(600, abs=10)
    assert shown[2] <= 24


def test_only_declared_symmetries_are_made() -> None:
    inputs = torch.rand(64, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    kinds = {
        "mirror": [lambda t: t, lambda t: t.flip(2)],
        "flip": [lambda t: t, lambda t: t.flip(1)],
        "turn": [lambda t: t, lambda t: t.rot90(1, (1, 2))],
    }
    for name, expected in kinds.items():
        out = augmented(inputs, (name,), 0, 0.0, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
        found = Counter(
            next(k for k, change in enumerate(expected) if torch.equal(picture, change(before)))
            for picture, before in zip(out, inputs, strict=True)
        )
        assert found.keys() == {0, 1}, "each is one of the two, and both come"


def test_mixing_leaves_every_defect_as_it_is_and_puts_none_into_a_good_picture() -> None:
    labels = torch.tensor([0, 1, 0, 2, 0, 0])
    inputs = torch.where((labels == 0).view(-1, 1, 1, 1), 1.0, 100.0) * torch.ones(6, 3, 4, 4)
    inputs[labels == 0] += torch.arange(4).view(-1, 1, 1, 1)
    mixed = blended(inputs, labels, 0, 0.5, torch.Generator().manual_seed(2))
    assert torch.equal(mixed[labels != 0], inputs[labels != 0])
    assert mixed[labels == 0].max() <= 4
    assert not torch.equal(mixed[labels == 0], inputs[labels == 0])


def test_soft_labels_say_what_experts_say_and_hard_ones_stay() -> None:
    image = EncodedImage(b"", "PNG")
    given = [Example(image, "good", "a", probability=1 / 3), Example(image, "dent", "b", probability=2 / 3)]
    given += [Example(image, "dent", "c"), Example(image, "good", "d")]
    pictures = Pictures(np.zeros((4, 1, 1, 3), np.uint8), np.array([0, 1, 1, 0]))
    soft = softened(given, pictures, 3).soft
    expected = [[2 / 3, 1 / 6, 1 / 6], [1 / 3, 2 / 3, 0], [0, 1, 0], [1, 0, 0]]
    assert soft == pytest.approx(np.array(expected), abs=1e-6)


def test_a_start_gives_the_body_and_leaves_a_head_of_other_classes_out() -> None:
    torch.manual_seed(3)
    given, network = build_network("resnet18", 5).state_dict(), build_network("resnet18", 2)
    head = network.fc.weight.clone()  # type: ignore[union-attr,operator]
    begin_with(network, given)
    assert torch.equal(network.conv1.weight, given["conv1.weight"])  # type: ignore[union-attr,arg-type]
    assert torch.equal(network.fc.weight, head)  # type: ignore[union-attr,arg-type]


def test_weights_of_another_architecture_are_refused_by_name() -> None:
    with pytest.raises(ModelRefusedError, match="of another architecture: layer1"):
        begin_with(build_network("resnet18", 2), build_network("resnet50", 2).state_dict())
    with pytest.raises(ModelRefusedError, match=r"of another architecture: conv1\.weight"):
        begin_with(build_network("resnet18", 2), {"something": torch.zeros(1)})


def test_a_pickle_is_refused_whatever_its_name_and_safetensors_are_read(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    torch.save({"conv1.weight": torch.zeros(2)}, file)
    with pytest.raises(ModelRefusedError, match=r"is a pickle, which may run programs .* turn it into safetensors"):
        read_tensors(file)
    file.write_bytes(safetensors.torch.save({"a": torch.ones(3)}))
    assert read_tensors(file)["a"].tolist() == [1, 1, 1]
    file.write_bytes(b"\xff" * 40)
    with pytest.raises(ModelRefusedError, match="claims a header"):
        read_tensors(file)
    with pytest.raises(ModelRefusedError, match="can't be read"):
        read_tensors(tmp_path / "none")
