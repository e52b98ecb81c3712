"""Neutralization: Algorithms 1 to 3 by hand, against a literal reading of them, and their laws."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from forgetkit.methods.neutralize import Look, _right, average_outputs, contrastive_labels, mislabel, neutralize
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import accuracy, predict
from tests.conftest import Run

INF = math.inf


@st.composite
def outputs_and_labels(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Draw outputs of 2 to 7 classes, often tied, with a label for each."""
    classes, count = draw(st.integers(2, 7)), draw(st.integers(1, 20))
    values = st.integers(-3, 3) if draw(st.booleans()) else st.floats(-50, 50, width=32)
    rows = draw(st.lists(st.lists(values, min_size=classes, max_size=classes), min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    return torch.tensor(rows, dtype=torch.float32), torch.tensor(labels)


def literal(outputs: list[list[float]], labels: list[int], *, largest: bool) -> dict[int, int]:
    """Algorithms 1 and 2 with lists and dictionaries; docs/methods.md decides where the paper is silent."""
    present = sorted(set(labels))
    columns = present if len(present) > 1 else range(len(outputs[0]))
    table = {
        (c, k): sum(row[k] for row, y in zip(outputs, labels, strict=True) if y == c) / labels.count(c)
        for c in present
        for k in columns
        if k != c
    }
    if largest:
        table = {key: -value for key, value in table.items()}
    found: dict[int, int] = {}
    while len(found) < len(present):
        left = {(c, k): v for (c, k), v in table.items() if c not in found and k not in found.values()}
        left = left or {(c, k): v for (c, k), v in table.items() if c not in found}
        source, target = min(left, key=lambda key: (left[key], key))
        found[source] = target
    return found


def test_average_outputs_by_hand() -> None:
    outputs = torch.tensor([[1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 8.0], [7.0, 9.0, 8.0, 6.0]])
    found = average_outputs(outputs, torch.tensor([1, 1, 3]))
    assert found.tolist() == [[INF] * 4, [INF, INF, INF, 6.0], [INF] * 4, [INF, 9.0, INF, INF]]


def test_a_single_class_keeps_all_columns_open() -> None:
    found = average_outputs(torch.tensor([[5.0, 1.0, 2.0], [7.0, 3.0, 4.0]]), torch.tensor([0, 0]))
    assert found.tolist() == [[INF, 2.0, 3.0], [INF] * 3, [INF] * 3]
    assert contrastive_labels(found) == {0: 1}


def test_the_globally_smallest_entry_is_taken_first() -> None:
    matrix = torch.tensor([[INF, 2.0, 5.0], [3.0, INF, 1.0], [4.0, 0.0, INF]])
    assert contrastive_labels(matrix) == {2: 1, 1: 2, 0: 1}


def test_the_trap_of_three_classes() -> None:
    matrix = torch.tensor([[INF, 0.0, 9.0], [1.0, INF, 9.0], [5.0, 7.0, INF]])
    assert contrastive_labels(matrix) == {0: 1, 1: 0, 2: 0}


def test_two_classes_take_each_others_label() -> None:
    outputs = torch.tensor([[9.0, -5.0, 2.0], [3.0, -7.0, 1.0]])
    assert mislabel(outputs, torch.tensor([0, 2]), kind="minimum") == {0: 2, 2: 0}


def test_five_classes_by_hand() -> None:
    rows = [[9, 4, 1, 6, 8], [2, 9, 5, 7, 3], [6, 3, 9, 4, 7], [8, 0, 6, 9, 5], [5, 6, 7, 2, 9]]
    outputs = torch.tensor(rows, dtype=torch.float32)
    assert mislabel(outputs, torch.arange(5), kind="minimum") == {3: 1, 0: 2, 1: 0, 4: 3, 2: 4}
    assert mislabel(outputs, torch.arange(5), kind="maximum") == {0: 4, 3: 0, 1: 3, 4: 2, 2: 1}


def test_the_maximum_mislabel_of_one_class_is_its_second_highest_score() -> None:
    outputs = torch.tensor([[9.0, 3.0, 7.0, -8.0]])
    assert mislabel(outputs, torch.tensor([0]), kind="maximum") == {0: 2}
    assert mislabel(outputs, torch.tensor([0]), kind="minimum") == {0: 3}


def test_logits_and_probabilities_can_name_different_labels() -> None:
    logits = torch.tensor([[9.0, -8.0, 0.0], [0.0, -8.0, -9.0], [0.0, 1.0, -5.0]])
    labels = torch.tensor([0, 0, 0])
    assert mislabel(logits, labels, kind="minimum") == {0: 1}
    assert mislabel(logits.softmax(1), labels, kind="minimum") == {0: 2}


@given(outputs_and_labels(), st.sampled_from(["minimum", "maximum"]))
def test_every_class_has_a_label_that_is_not_its_own(drawn: tuple[Tensor, Tensor], kind: str) -> None:
    outputs, labels = drawn
    found = mislabel(outputs, labels, kind=kind)
    assert found.keys() == set(labels.tolist())
    assert all(source != target for source, target in found.items())


@given(outputs_and_labels(), st.sampled_from(["minimum", "maximum"]))
def test_labels_are_one_to_one_but_for_the_last_class(drawn: tuple[Tensor, Tensor], kind: str) -> None:
    found = mislabel(*drawn, kind=kind)
    targets = list(found.values())
    assert len(set(targets[:-1])) == len(targets) - 1
    assert len(found) == 1 or set(targets) <= found.keys()


@given(outputs_and_labels(), st.sampled_from(["minimum", "maximum"]))
def test_mislabels_are_those_of_the_literal_algorithm(drawn: tuple[Tensor, Tensor], kind: str) -> None:
    outputs, labels = drawn
    expected = literal(outputs.double().tolist(), labels.tolist(), largest=kind == "maximum")
    assert mislabel(outputs, labels, kind=kind) == expected


@pytest.mark.parametrize("present", [1, 2, 3, 5, 7, 10])
def test_ten_classes_are_matched_for_any_number_of_them(present: int) -> None:
    for seed in range(40):
        source = torch.Generator().manual_seed(seed)
        outputs, labels = torch.randn(60, 10, generator=source), torch.arange(60) % present
        found = mislabel(outputs, labels, kind="minimum")
        assert found == literal(outputs.double().tolist(), labels.tolist(), largest=False)
        assert len(found) == present


def network(*, norm: bool = False, dropout: bool = False) -> nn.Module:
    """Return a network of some 1,000 parameters for 1×6×6 images, trained a little on the samples."""
    torch.manual_seed(7)
    parts = [nn.Conv2d(1, 6, 3), *([nn.BatchNorm2d(6)] if norm else []), *([nn.Dropout(0.5)] if dropout else [])]
    model = nn.Sequential(*parts, nn.ReLU(), nn.Flatten(), nn.Linear(96, 4)).double()
    images, labels = samples()
    optimizer = SGD(model.parameters(), lr=0.5)
    for _ in range(30):
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model


def samples() -> tuple[Tensor, Tensor]:
    """Return 64 images of 4 classes."""
    return torch.randn(64, 1, 6, 6, generator=torch.Generator().manual_seed(1)).double(), torch.arange(64) % 4


CONTRAST = {0: 1, 1: 2, 2: 3, 3: 0}


def looks(
    model: nn.Module, *, epochs: int = 2, batch_size: int = 8, per_epoch: int = 20, rate: float = 0.1
) -> list[Look]:
    """Neutralize the samples; return every look."""
    images, labels = samples()
    optimizer = SGD(model.parameters(), lr=rate)
    return list(
        neutralize(
            model,
            images,
            labels,
            contrast=CONTRAST,
            optimizer=optimizer,
            batch_size=batch_size,
            epochs=range(1, epochs + 1),
            looks_per_epoch=per_epoch,
        )
    )


@pytest.mark.parametrize("norm", [False, True])
def test_neutralize_is_algorithm_3_taken_literally(norm: bool) -> None:
    model, (images, labels) = network(norm=norm), samples()
    other = copy.deepcopy(model).eval()
    looks(model)
    optimizer, wrong = SGD(other.parameters(), lr=0.1), torch.tensor([CONTRAST[int(label)] for label in labels])
    for epoch in (1, 2):
        for rows in shuffled(64, 8, seed=0, epoch=epoch):
            optimizer.zero_grad()
            cross_entropy(other(images[rows]), wrong[rows]).backward()
            optimizer.step()
    ends = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-9, rtol=0) for a, b in ends)


def test_accuracy_on_the_forget_set_falls_and_its_contrastive_labels_are_learned() -> None:
    model, (images, labels) = network(), samples()
    found = looks(model, epochs=20, rate=0.3)
    assert found[0].accuracy > 0.9
    assert found[-1].accuracy < 0.1
    assert accuracy(predict(model, images), (labels + 1) % 4) > 0.9


def test_the_first_look_is_before_the_first_step() -> None:
    model, (images, labels) = network(), samples()
    right = accuracy(predict(model, images), labels)
    assert looks(model)[0] == Look(0, 0.0, right)


@pytest.mark.parametrize(
    "batch_size, per_epoch, steps",
    [(8, 20, [1, 2, 3, 4, 5, 6, 7, 8]), (8, 1, [8]), (8, 3, [3, 6, 8]), (1, 20, [*range(4, 64, 4), 64])],
)
def test_looks_come_after_every_so_many_batches(batch_size: int, per_epoch: int, steps: list[int]) -> None:
    found = looks(network(), epochs=2, batch_size=batch_size, per_epoch=per_epoch)
    batches = steps[-1]
    assert [look.step for look in found] == [0, *steps, *(batches + step for step in steps)]
    assert [look.epoch for look in found] == pytest.approx([look.step / batches for look in found])


def test_a_caller_that_stops_has_the_weights_of_that_look() -> None:
    model, (images, labels) = network(), samples()
    steps = neutralize(
        model,
        images,
        labels,
        contrast=CONTRAST,
        optimizer=SGD(model.parameters(), lr=0.1),
        batch_size=8,
        epochs=range(1, 99),
    )
    stopped = next(look for look in steps if look.accuracy <= 0.25)
    assert 0 < stopped.epoch < 98
    assert accuracy(predict(model, images), labels) == stopped.accuracy


@given(st.lists(st.booleans(), min_size=1, max_size=600), st.sampled_from([0.0, 0.1, 0.25, 0.5]), st.floats(0, 1))
def test_a_look_that_may_end_early_decides_as_one_at_all_samples(right: list[bool], goal: float, last: float) -> None:
    labels = torch.zeros(len(right), dtype=torch.int64)
    logits = torch.stack([torch.tensor(right), ~torch.tensor(right)], 1).float()
    seen: list[int] = []

    class Known(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            seen.append(len(rows))
            return rows

    order = torch.randperm(len(right), generator=torch.Generator().manual_seed(0))
    whole, found = accuracy(logits, labels), _right(Known(), logits, labels, goal, order, last)
    assert (found <= goal) == (whole <= goal)
    assert found > goal or (found == whole and sum(seen) == len(right))
    assert min(whole, last) < 1 or sum(seen) <= max(8, math.ceil(1.1 * (goal * len(right) + 1))) + 256


@pytest.mark.parametrize("goal", [0.0, 0.25])
def test_neutralize_stops_at_the_same_step_with_looks_that_end_early(goal: float) -> None:
    images, labels = samples()
    ends = []
    for early in (None, goal):
        steps = neutralize(
            (model := network()),
            images,
            labels,
            contrast=CONTRAST,
            optimizer=SGD(model.parameters(), lr=0.3),
            batch_size=8,
            epochs=range(1, 99),
            goal=early,
        )
        ends.append((next(look for look in steps if look.accuracy <= goal), model.state_dict()))
    (one, weights), (other, same) = ends
    assert one == other
    assert one.step > 1
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_running_statistics_are_bit_identical_after() -> None:
    model = network(norm=True)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    looks(model)
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_dropout_is_off() -> None:
    first = network(dropout=True)
    second = copy.deepcopy(first)
    looks(first)
    torch.manual_seed(99)
    looks(second)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("stop, goal", [("chance", 0.1), ("zero", 0.0)])
def test_the_command_stops_at_the_first_look_at_its_goal(
    forgetkit: Run, model: object, ids: object, stop: str, goal: float
) -> None:
    ran = forgetkit(
        "neutralize", "model.st", "-i", "ids.txt", "--stop", stop, "--threads", "1", "--log", "looks.jsonl", "--json"
    )
    seen = [json.loads(line) for line in Path("looks.jsonl").read_text().splitlines()]
    assert all(look["accuracy"] > goal for look in seen[:-1])
    assert seen[-1]["accuracy"] <= goal
    assert ran.json["metrics"]["steps"] == seen[-1]["step"]
    assert ran.json["metrics"]["forget_accuracy"] == seen[-1]["accuracy"]


def test_the_command_writes_nothing_short_of_its_goal(forgetkit: Run, model: object, ids: object) -> None:
    arguments = ("--stop", "zero", "--rate", "1e-9", "--max-epochs", "1")
    ran = forgetkit("neutralize", "model.st", "-i", "ids.txt", *arguments, "-o", "out.st", "--json")
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert forgetkit("inspect", "out.st").code == 2
