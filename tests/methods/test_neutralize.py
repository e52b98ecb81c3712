"""Neutralization: Algorithms 1 to 3 by hand, against a literal reading of them, and their laws."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.errors import NotReached
from forgetkit.events import silent
from forgetkit.methods.neutralize import average_outputs, mislabel, neutralize, one_to_one
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import accuracy, predict
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.method_options import Neutralize
from forgetkit.unlearning.neutralization import Neutralization, _accuracy_to
from forgetkit.unlearning.outcome import Outcome
from tests import tiny
from tests.conftest import Run
from tests.tiny import Halted, Halting, carry_out, recall, same, sets, sgd

INF = math.inf


@st.composite
def outputs_and_labels(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Draw outputs of 2 to 7 classes, often tied, with a label for each."""
    classes, count = draw(st.integers(2, 7)), draw(st.integers(1, 20))
    values = st.integers(-3, 3) if draw(st.booleans()) else st.floats(-50, 50, width=32)
    rows = draw(st.lists(st.lists(values, min_size=classes, max_size=classes), min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    return torch.tensor(rows, dtype=torch.float32), torch.tensor(labels)


MATCHES = ["one-to-one", "each"]
KINDS = st.sampled_from(["minimum", "maximum"])


def printed(outputs: list[list[float]], labels: list[int]) -> dict[int, int]:
    """Algorithms 1 and 2 line by line, as printed: the row of an assigned class stays open."""
    classes, present = range(len(outputs[0])), sorted(set(labels))
    matrix = [[0.0] * len(classes) for _ in classes]
    for row, label in zip(outputs, labels, strict=True):
        matrix[label] = [a + b for a, b in zip(matrix[label], row, strict=True)]
    for label in present:
        matrix[label] = [value / labels.count(label) for value in matrix[label]]
        matrix[label][label] = INF
    for label in classes:
        if label not in present:
            matrix[label] = [INF] * len(classes)
            for row in matrix if len(present) > 1 else []:
                row[label] = INF  # the text: "we can relocate the labels only using C_P labels"
    found: dict[int, int] = {}
    for _ in present:
        lowest = [min(row) for row in matrix]
        source = lowest.index(min(lowest))
        target = matrix[source].index(min(matrix[source]))
        found[source] = target
        for label in present:
            matrix[label][target] = INF
    return found


def decided(outputs: list[list[float]], labels: list[int], *, largest: bool, one_to_one: bool) -> dict[int, int]:
    """The same with lists and dictionaries, as docs/methods.md decides where the paper is silent or wrong."""
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
        taken = found.values() if one_to_one else ()
        left = {(c, k): v for (c, k), v in table.items() if c not in found and k not in taken}
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
    assert one_to_one(found) == {0: 1}


def test_the_globally_smallest_entry_is_taken_first() -> None:
    matrix = torch.tensor([[INF, 2.0, 5.0], [3.0, INF, 1.0], [4.0, 0.0, INF]])
    assert one_to_one(matrix) == {2: 1, 1: 2, 0: 1}


def test_the_trap_of_three_classes() -> None:
    matrix = torch.tensor([[INF, 0.0, 9.0], [1.0, INF, 9.0], [5.0, 7.0, INF]])
    assert one_to_one(matrix) == {0: 1, 1: 0, 2: 0}


def test_two_classes_take_each_others_label() -> None:
    outputs = torch.tensor([[9.0, -5.0, 2.0], [3.0, -7.0, 1.0]])
    assert mislabel(outputs, torch.tensor([0, 2]), kind="minimum", match="one-to-one") == {0: 2, 2: 0}


def test_five_classes_by_hand() -> None:
    rows = [[9, 4, 1, 6, 8], [2, 9, 5, 7, 3], [6, 3, 9, 4, 7], [8, 0, 6, 9, 5], [5, 6, 7, 2, 9]]
    outputs = torch.tensor(rows, dtype=torch.float32)
    assert mislabel(outputs, torch.arange(5), kind="minimum", match="one-to-one") == {3: 1, 0: 2, 1: 0, 4: 3, 2: 4}
    assert mislabel(outputs, torch.arange(5), kind="maximum", match="one-to-one") == {0: 4, 3: 0, 1: 3, 4: 2, 2: 1}


def test_the_maximum_mislabel_of_one_class_is_its_second_highest_score() -> None:
    outputs = torch.tensor([[9.0, 3.0, 7.0, -8.0]])
    for match in MATCHES:
        assert mislabel(outputs, torch.tensor([0]), kind="maximum", match=match) == {0: 2}
        assert mislabel(outputs, torch.tensor([0]), kind="minimum", match=match) == {0: 3}


def test_each_class_by_itself_may_share_a_label_with_another() -> None:
    outputs = torch.tensor([[9.0, 3.0, 7.0], [5.0, 8.0, 6.0], [1.0, 7.0, 9.0]])
    assert mislabel(outputs, torch.arange(3), kind="maximum", match="each") == {0: 2, 1: 2, 2: 1}
    assert mislabel(outputs, torch.arange(3), kind="maximum", match="one-to-one") == {0: 2, 2: 1, 1: 0}
    assert mislabel(outputs, torch.arange(3), kind="minimum", match="each") == {0: 1, 1: 0, 2: 0}


def test_the_maximum_mislabel_of_a_misjudged_class_is_the_highest_other_one() -> None:
    outputs = torch.tensor([[2.0, 9.0, 7.0], [3.0, 5.0, 1.0]])  # class 0 is taken for class 1
    assert mislabel(outputs[:1], torch.tensor([0]), kind="maximum", match="each") == {0: 1}


@pytest.mark.parametrize("bad", [float("nan"), INF, -INF])
def test_outputs_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        average_outputs(torch.tensor([[1.0, bad]]), torch.tensor([0]))


def test_logits_and_probabilities_can_name_different_labels() -> None:
    logits = torch.tensor([[9.0, -8.0, 0.0], [0.0, -8.0, -9.0], [0.0, 1.0, -5.0]])
    labels = torch.tensor([0, 0, 0])
    assert mislabel(logits, labels, kind="minimum", match="one-to-one") == {0: 1}
    assert mislabel(logits.softmax(1), labels, kind="minimum", match="one-to-one") == {0: 2}


@given(outputs_and_labels(), KINDS, st.sampled_from(MATCHES))
def test_every_class_has_a_label_that_is_not_its_own(drawn: tuple[Tensor, Tensor], kind: str, match: str) -> None:
    outputs, labels = drawn
    found = mislabel(outputs, labels, kind=kind, match=match)
    assert found.keys() == set(labels.tolist())
    assert all(source != target for source, target in found.items())
    assert len(found) == 1 or set(found.values()) <= found.keys()


@given(outputs_and_labels(), KINDS)
def test_labels_are_one_to_one_but_for_the_last_class(drawn: tuple[Tensor, Tensor], kind: str) -> None:
    targets = list(mislabel(*drawn, kind=kind, match="one-to-one").values())
    assert len(set(targets[:-1])) == len(targets) - 1


@given(outputs_and_labels(), KINDS, st.sampled_from(MATCHES))
def test_mislabels_are_those_that_were_decided(drawn: tuple[Tensor, Tensor], kind: str, match: str) -> None:
    outputs, labels = drawn
    choice = {"largest": kind == "maximum", "one_to_one": match == "one-to-one"}
    expected = decided(outputs.double().tolist(), labels.tolist(), **choice)
    assert mislabel(outputs, labels, kind=kind, match=match) == expected


@given(outputs_and_labels())
def test_where_the_printed_algorithm_labels_every_class_the_labels_are_its_own(drawn: tuple[Tensor, Tensor]) -> None:
    outputs, labels = drawn
    literal = printed(outputs.double().tolist(), labels.tolist())
    complete = literal.keys() == set(labels.tolist()) and all(c != label for c, label in literal.items())
    assert not complete or mislabel(outputs, labels, kind="minimum", match="one-to-one") == literal


def test_the_printed_algorithm_can_leave_a_class_without_a_label() -> None:
    rows = [[9.0, 0.0, 1.0], [5.0, 9.0, 6.0], [7.0, 8.0, 9.0]]
    assert printed(rows, [0, 1, 2]) == {0: 2, 1: 0}
    assert mislabel(torch.tensor(rows), torch.arange(3), kind="minimum", match="one-to-one") == {0: 1, 1: 0, 2: 0}


@pytest.mark.parametrize("present", [1, 2, 3, 5, 7, 10])
def test_ten_classes_are_matched_for_any_number_of_them(present: int) -> None:
    for seed in range(40):
        source = torch.Generator().manual_seed(seed)
        outputs, labels = torch.randn(60, 10, generator=source), torch.arange(60) % present
        found = mislabel(outputs, labels, kind="minimum", match="one-to-one")
        assert found == decided(outputs.double().tolist(), labels.tolist(), largest=False, one_to_one=True)
        assert len(found) == present


SETS = sets(64)
FORGET = SETS.forget.samples
CONTRAST = {0: 1, 1: 2, 2: 3, 3: 0}


def network(*, norm: bool = False, dropout: float = 0.0) -> nn.Module:
    """Return a network, trained a little on the forget set."""
    model = tiny.network(norm=norm, dropout=dropout)
    optimizer = sgd(model, 0.3)
    for _ in range(60):
        optimizer.zero_grad()
        cross_entropy(model(FORGET[0]), FORGET[1]).backward()
        optimizer.step()
    return model


def train(model: nn.Module, *, epochs: int = 2, rate: float = 0.1) -> None:
    """Train the forget set towards its contrastive labels."""
    carry_out(model, neutralize(model, FORGET, contrast=CONTRAST, batch_size=8, epochs=epochs), rate)


@pytest.mark.parametrize("norm", [False, True])
def test_neutralize_is_algorithm_3_taken_literally(norm: bool) -> None:
    model, (images, labels) = network(norm=norm), FORGET
    other = copy.deepcopy(model).eval()
    train(model)
    optimizer, wrong = sgd(other), torch.tensor([CONTRAST[int(label)] for label in labels])
    for epoch in (1, 2):
        for rows in shuffled(64, 8, seed=0, epoch=epoch):
            optimizer.zero_grad()
            cross_entropy(other(images[rows]), wrong[rows]).backward()
            optimizer.step()
    assert same(model, other, within=1e-9)


def test_accuracy_on_the_forget_set_falls_and_its_contrastive_labels_are_learned() -> None:
    model, (images, labels) = network(), FORGET
    assert accuracy(predict(model, images), labels) > 0.9
    train(model, epochs=20, rate=0.3)
    assert accuracy(predict(model, images), labels) < 0.1
    assert accuracy(predict(model, images), (labels + 1) % 4) > 0.9


def test_running_statistics_are_bit_identical_after() -> None:
    model = network(norm=True)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    train(model)
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_dropout_is_off() -> None:
    first = network(dropout=0.5)
    second = copy.deepcopy(first)
    train(first)
    torch.manual_seed(99)
    train(second)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


class ThreeTimes(Neutralize):
    """Settings that evaluate an epoch three times."""

    evaluations_per_epoch = 3


SETTINGS = {"often": Neutralize, "epoch": Neutralize, "three times": ThreeTimes}
SLOW = 1e-9
"""A rate that changes nothing."""


def run(
    model: nn.Module,
    bookmark: Bookmark,
    *,
    stop: str = "zero",
    rate: float = 0.3,
    check: str = "often",
    epochs: int = 99,
    batch_size: int = 8,
    logged: bool = True,
) -> Outcome:
    """Neutralize the forget set with SGD until at most a share of it is classified correctly."""
    training: dict[str, Any] = {"optimizer": "sgd", "rate": rate, "max_epochs": epochs, "batch_size": batch_size}
    settings = SETTINGS[check](stop=stop, check_at="epoch" if check == "epoch" else "often", **training)
    return Neutralization(settings, model, SETS, 0, logged, bookmark, silent).carry_out()


def test_the_first_evaluation_is_before_the_first_step() -> None:
    model, bookmark = network(), Bookmark()
    right = accuracy(predict(model, FORGET[0]), FORGET[1])
    run(model, bookmark)
    assert bookmark.log[0] == {"step": 0, "epoch": 0.0, "accuracy": right}


@pytest.mark.parametrize(
    "batch_size, check, steps",
    [
        (8, "often", [1, 2, 3, 4, 5, 6, 7, 8]),
        (8, "epoch", [8]),
        (8, "three times", [3, 6, 8]),
        (1, "often", [*range(4, 64, 4), 64]),
    ],
)
def test_evaluations_come_after_every_so_many_batches(batch_size: int, check: str, steps: list[int]) -> None:
    bookmark = Bookmark()
    with pytest.raises(NotReached, match="after 2 epochs"):
        run(network(), bookmark, rate=SLOW, check=check, epochs=2, batch_size=batch_size)
    batches = steps[-1]
    assert [one["step"] for one in bookmark.log] == [0, *steps, *(batches + step for step in steps)]
    assert [one["epoch"] for one in bookmark.log] == pytest.approx([one["step"] / batches for one in bookmark.log])


def test_a_run_that_reaches_its_goal_has_the_weights_of_that_evaluation() -> None:
    model, bookmark = network(), Bookmark()
    outcome = run(model, bookmark, stop="chance", rate=0.1)
    last = bookmark.log[-1]
    assert 0 < last["epoch"] < 98
    assert [one["accuracy"] <= 0.25 for one in bookmark.log] == [False] * (len(bookmark.log) - 1) + [True]
    assert accuracy(predict(model, FORGET[0]), FORGET[1]) == last["accuracy"]
    assert (outcome.metrics["steps"], outcome.metrics["epochs"]) == (last["step"], last["epoch"])


@given(st.lists(st.booleans(), min_size=1, max_size=600), st.sampled_from([0.0, 0.1, 0.25, 0.5]), st.floats(0, 1))
def test_an_evaluation_that_may_end_early_decides_as_one_of_all_samples(
    right: list[bool], goal: float, last: float
) -> None:
    labels = torch.zeros(len(right), dtype=torch.int64)
    logits = torch.stack([torch.tensor(right), ~torch.tensor(right)], 1).float()
    seen: list[int] = []

    class Known(nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            seen.append(len(rows))
            return rows

    order = torch.randperm(len(right), generator=torch.Generator().manual_seed(0))
    whole, found = accuracy(logits, labels), _accuracy_to(goal, Known(), (logits, labels), order, last)
    assert (found <= goal) == (whole <= goal)
    assert found > goal or (found == whole and sum(seen) == len(right))
    assert min(whole, last) < 1 or sum(seen) <= max(8, math.ceil(1.1 * (goal * len(right) + 1))) + 256


@pytest.mark.parametrize("stop", ["zero", "chance"])
def test_a_run_stops_at_the_same_step_with_evaluations_that_end_early(stop: str) -> None:
    ends = []
    for logged in (True, False):
        model, bookmark = network(), Bookmark()
        ends.append((run(model, bookmark, stop=stop, logged=logged), bookmark.log[-1], model))
    (one, first, weights), (other, second, others) = ends
    assert (one, first) == (other, second)
    assert one.metrics["steps"] > 1
    assert same(weights, others)


@pytest.mark.parametrize("stop", ["zero", "chance"])
@pytest.mark.parametrize("logged", [True, False])
def test_a_run_that_was_halted_ends_in_the_same_bytes(stop: str, logged: bool, tmp_path: Path) -> None:
    model, halted, resumed, bookmark = network(), network(), network(), Bookmark()
    outcome = run(model, bookmark, stop=stop, logged=logged)
    assert outcome.metrics["steps"] > 3
    with pytest.raises(Halted):
        run(halted, Halting(tmp_path, after=2), stop=stop, logged=logged)
    again = recall(tmp_path)
    assert run(resumed, again, stop=stop, logged=logged) == outcome
    assert again.log == bookmark.log
    assert same(model, resumed)
    assert not same(model, halted, within=1e-6)


@pytest.mark.parametrize("stop, goal", [("chance", 0.1), ("zero", 0.0)])
def test_the_command_stops_at_the_first_evaluation_at_its_goal(
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
