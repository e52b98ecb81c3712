"""Distillation: the loss by a worked example, the frozen teacher, and what is drawn when."""

import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.events import silent
from forgetkit.methods import distill as method
from forgetkit.methods.distill import distillation_loss
from forgetkit.training.batches import shuffled
from forgetkit.training.recipe import Recipe
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.distillation import Distillation
from forgetkit.unlearning.method_options import Distill
from tests import tiny
from tests.conftest import Run
from tests.tiny import note, same, sets, sgd

STUDENT = torch.tensor([[0.0, math.log(2), math.log(5)], [math.log(4), 0.0, 0.0]], dtype=torch.float64)
TEACHER = torch.tensor([[math.log(2), math.log(2), 0.0], [0.0, math.log(3), 0.0]], dtype=torch.float64)
LABELS = torch.tensor([2, 0])


def test_the_loss_of_a_worked_example_at_temperature_1() -> None:
    # softmax of the student: (1, 2, 5)/8 and (4, 1, 1)/6; of the teacher: (2, 2, 1)/5 and (1, 3, 1)/5
    entropy = (math.log(8 / 5) + math.log(6 / 4)) / 2
    first = 0.4 * math.log(0.4 / 0.125) + 0.4 * math.log(0.4 / 0.25) + 0.2 * math.log(0.2 / 0.625)
    second = 0.2 * math.log(0.2 * 6 / 4) + 0.6 * math.log(0.6 * 6) + 0.2 * math.log(0.2 * 6)
    expected = 1.1 * entropy + 0.9 * (first + second) / 2
    assert expected == pytest.approx(0.926830, abs=1e-6)
    assert float(distillation_loss(STUDENT, TEACHER, LABELS, temperature=1)) == pytest.approx(expected, abs=1e-12)


def test_temperature_softens_both_and_its_square_weighs_the_divergence() -> None:
    # doubled logits at T = 2 have the softmax of the plain ones at T = 1, so that T² = 4 is all that is left
    plain = distillation_loss(STUDENT, TEACHER, LABELS, alpha=0, beta=1, temperature=1)
    soft = distillation_loss(2 * STUDENT, 2 * TEACHER, LABELS, alpha=0, beta=1, temperature=2)
    assert float(soft) == pytest.approx(4 * float(plain), abs=1e-12)


def test_the_divergence_is_of_the_teacher_from_the_student() -> None:
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])
    found = float(distillation_loss(student, teacher, torch.tensor([0]), alpha=0, beta=1, temperature=1))
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    backward = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert found == pytest.approx(forward, abs=1e-6)
    assert found != pytest.approx(backward, abs=1e-3)


def test_the_defaults_are_the_papers_and_hintons() -> None:
    given = distillation_loss(STUDENT, TEACHER, LABELS, alpha=1.1, beta=0.9, temperature=4)
    assert torch.equal(distillation_loss(STUDENT, TEACHER, LABELS), given)


@given(st.floats(0.5, 20), st.integers(0, 99))
def test_a_student_like_its_teacher_has_only_cross_entropy_to_descend(temperature: float, seed: int) -> None:
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(seed)).double()
    labels = torch.arange(8) % 5
    student = logits.clone().requires_grad_()
    loss = distillation_loss(student, logits, labels, temperature=temperature)
    (found,) = torch.autograd.grad(loss, student)
    (expected,) = torch.autograd.grad(1.1 * cross_entropy(student, labels), student)
    assert float(loss.detach()) == pytest.approx(1.1 * float(cross_entropy(logits, labels)), abs=1e-9)
    assert torch.allclose(found, expected, atol=1e-9)


def test_descending_the_divergence_brings_the_student_to_the_teacher() -> None:
    student = STUDENT.clone().requires_grad_()
    for _ in range(400):
        loss = distillation_loss(student, TEACHER, LABELS, alpha=0, beta=1)
        (slope,) = torch.autograd.grad(loss, student)
        student = (student - slope).detach().requires_grad_()
    assert torch.allclose(student.softmax(1), TEACHER.softmax(1), atol=1e-3)


SETS = sets(retain=64)


def network(seed: int) -> nn.Sequential:
    """Return a network without dropout."""
    return tiny.network(dropout=0.0, seed=seed)


def retrain(
    student: nn.Module,
    teacher: nn.Module,
    *,
    augment: str = "none",
    distill_epochs: int = 10,
    retain_fraction: float = 0.5,
    beta: float = 0.9,
) -> list[dict[str, Any]]:
    """Distill for 3 epochs with plain SGD; return what was measured of each."""
    settings = Distill(distill_epochs=distill_epochs, retain_fraction=retain_fraction, beta=beta)
    recipe = Recipe(epochs=3, optimizer="sgd", rate=0.05, batch_size=8, augment=augment)
    run = Distillation(settings, recipe, student, SETS, 0, Bookmark(), silent)  # type: ignore[arg-type]
    run.towards_original(teacher, logged=True)
    return run.bookmark.log


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_the_teacher_is_bit_identical_after(augment: str) -> None:
    student, teacher = network(0), network(1)
    before, batches = copy.deepcopy(teacher), note(teacher, lambda: teacher.training)
    retrain(student, teacher, augment=augment)
    assert same(teacher, before)
    assert batches == []


def test_a_teacher_that_shares_weights_is_refused() -> None:
    student = network(0)
    with pytest.raises(ValueError, match="share weights"):
        retrain(student, copy.copy(student))


def test_a_teacher_that_shares_running_statistics_is_refused() -> None:
    student, teacher = network(0), network(1)
    teacher[1].running_mean = student[1].running_mean
    with pytest.raises(ValueError, match="share weights"):
        retrain(student, teacher)


def test_a_deep_copy_is_a_teacher() -> None:
    student = network(0)
    assert len(retrain(student, copy.deepcopy(student))) == 3


def epochs_of(batches: list[list[int]], count: int) -> list[list[int]]:
    """Return the rows of each epoch of ``count`` batches."""
    return [[row for batch in batches[at : at + count] for row in batch] for at in range(0, len(batches), count)]


def test_each_epoch_draws_half_of_the_retain_set_anew() -> None:
    student = network(0)
    batches = note(student, lambda: student.training)
    retrain(student, network(1))
    drawn = epochs_of(batches, 4)
    assert [len(set(rows)) for rows in drawn] == [32, 32, 32]
    assert set(drawn[0]) != set(drawn[1]) != set(drawn[2])


def test_a_fraction_of_one_draws_every_sample_once() -> None:
    student = network(0)
    batches = note(student, lambda: student.training)
    retrain(student, network(1), retain_fraction=1.0)
    assert [sorted(rows) for rows in epochs_of(batches, 8)] == [list(range(64))] * 3


def test_running_statistics_move_whatever_mode_the_student_comes_in() -> None:
    student = network(0).eval()
    before = student[1].running_mean.clone()
    retrain(student, network(1))
    assert not torch.equal(student[1].running_mean, before)
    assert int(student[1].num_batches_tracked) == 12


def test_the_result_is_that_of_a_literal_loop() -> None:
    student, teacher, other = network(0), network(1).eval(), network(0)
    retrain(student, teacher, distill_epochs=2)
    (images, labels), optimizer = SETS.retain.samples, sgd(other, 0.05)
    other.train()
    for epoch in (1, 2, 3):
        for rows in shuffled(64, 8, seed=0, epoch=epoch, part=0.5):
            logits, truth = other(images[rows]), labels[rows]
            loss = cross_entropy(logits, truth)
            if epoch <= 2:
                p, q = (teacher(images[rows]).detach() / 4).softmax(1), (logits / 4).softmax(1)
                loss = 1.1 * loss + 0.9 * 16 * (p * (p / q).log()).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert same(student, other, within=1e-9)


def test_the_teacher_counts_in_the_first_epochs_only() -> None:
    ends = []
    for teacher, distill_epochs in ((1, 0), (2, 0), (1, 1), (2, 1)):
        retrain(student := network(0), network(teacher), distill_epochs=distill_epochs)
        ends.append(student)
    assert same(ends[0], ends[1])
    assert not same(ends[2], ends[3], within=1e-6)


def test_the_teachers_logits_are_the_same_known_before_or_asked_in_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    retrain(once := network(0), network(1))
    monkeypatch.setattr(method, "LARGEST_CACHE", 0)
    retrain(each := network(0), network(1))
    assert same(once, each, within=1e-9)


def test_the_teacher_sees_the_augmented_images() -> None:
    student, teacher = network(0), network(1)
    seen: list[Tensor] = []
    teacher.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    student.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]) if module.training else None)
    retrain(student, teacher, augment="flip")
    assert len(seen) == 24
    assert all(torch.equal(a, b) for a, b in zip(seen[::2], seen[1::2], strict=True))


def test_the_command_takes_half_the_recorded_epochs_rounded_up(forgetkit: Run, model: object) -> None:
    ran = forgetkit("distill", "model.st", "--teacher", "model.st", "--threads", "1", "--json")
    options = ran.json["record"]["steps"][-1]["options"]
    assert (options["epochs"], options["temperature"], options["retain_fraction"]) == (2, 4.0, 0.5)
    assert (options["alpha"], options["beta"], options["distill_epochs"]) == (1.1, 0.9, 10)


def test_the_command_leaves_the_teachers_file_as_it_was(forgetkit: Run, model: object) -> None:
    before = forgetkit("inspect", "model.st", "--json").out
    assert forgetkit("distill", "model.st", "--teacher", "model.st", "--epochs", "1", "--threads", "1").code == 0
    assert forgetkit("inspect", "model.st", "--json").out == before
