"""Joint steps against a literal loop, and what they must not touch."""

import copy
from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from forgetkit.methods.joint import joint
from forgetkit.training.classifier import predict
from forgetkit.training.device import generator_for
from forgetkit.training.updates import fit
from tests.tiny import CLASSES, network, note, same, samples, sgd, weights

FORGET, RETAIN = samples(10, 100), samples(24, 0)


def soft(number: int) -> Tensor:
    """Return soft targets of a pass over the forget set, others in each pass."""
    return torch.randn(10, CLASSES, generator=torch.Generator().manual_seed(number)).double().softmax(1)


def begin(model: nn.Module, *, weight: float = 0.5, seed: int = 0) -> Iterator[Tensor]:
    """Begin joint steps of 4 forgotten and 8 retained samples with SGD."""
    return fit(
        sgd(model), joint(model, FORGET, soft, RETAIN, forget_weight=weight, ids_per_step=4, batch_size=8, seed=seed)
    )


def orders(count: int, size: int, purpose: str, seed: int = 0) -> Iterator[tuple[int, Tensor]]:
    """Yield pass and rows of each batch: shuffled anew in each pass."""
    for number in range(1, 99):
        order = torch.randperm(count, generator=generator_for(seed, purpose, number))
        yield from ((number, order[start : start + size]) for start in range(0, count, size))


def test_steps_are_those_of_a_literal_loop() -> None:
    model = network(dropout=0.0).eval()
    other = copy.deepcopy(model).train()
    losses = list(islice(begin(model), 7))
    optimizer = sgd(other)
    for (number, gone), (_, rows), found in zip(
        orders(10, 4, "joint forget"), orders(24, 8, "joint retain"), losses, strict=False
    ):
        target = soft(number)[gone]
        logits = other(torch.cat([RETAIN[0][rows], FORGET[0][gone]]))
        away = -(target * logits[len(rows) :].log_softmax(1)).sum(1).mean()
        loss = cross_entropy(logits[: len(rows)], RETAIN[1][rows]) + 0.5 * away
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert float(found) == pytest.approx(float(loss.detach()), abs=1e-9)
    assert len(losses) == 7
    assert same(model, other, within=1e-9)


@given(st.integers(0, 99))
def test_against_a_soft_target_cross_entropy_has_the_gradient_of_the_divergence(seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, CLASSES, generator=source).double().requires_grad_()
    target = torch.randn(6, CLASSES, generator=source).double().softmax(1)
    (one,) = torch.autograd.grad(cross_entropy(logits, target), logits)
    divergence = kl_div(logits.log_softmax(1), target, reduction="batchmean")
    (other,) = torch.autograd.grad(divergence, logits)
    assert torch.allclose(one, other, atol=1e-12)


def test_the_forget_set_comes_to_its_targets_and_the_retain_set_to_its_labels() -> None:
    model, target = network(), soft(1)

    def state() -> tuple[float, float]:
        outputs = predict(model, FORGET[0])
        away = kl_div(outputs.log_softmax(1), target, reduction="batchmean")
        return float(away), float(cross_entropy(predict(model, RETAIN[0]), RETAIN[1]))

    before = state()
    updates = joint(model, FORGET, lambda _: target, RETAIN, forget_weight=1.0, ids_per_step=5)
    list(islice(fit(sgd(model), updates), 150))
    after = state()
    assert after[0] < before[0] / 4
    assert after[1] < before[1] / 2


def test_without_weight_the_forget_set_does_not_count() -> None:
    ends = []
    for images in (FORGET[0], FORGET[0] * -3):
        model = network(norm=False, dropout=0.0)  # batch norm would see them
        updates = joint(model, (images, FORGET[1]), soft, RETAIN, forget_weight=0.0)
        list(islice(fit(sgd(model), updates), 5))
        ends.append(weights(model))
    assert torch.equal(ends[0], ends[1])


def test_every_pass_takes_each_sample_once_and_nothing_else_is_read() -> None:
    batches = note(model := network())
    list(islice(begin(model), 6))
    gone = [[n for n in batch if n >= 100] for batch in batches]
    kept = [[n for n in batch if n < 100] for batch in batches]
    assert [len(batch) for batch in gone] == [4, 4, 2, 4, 4, 2]
    for turn in (gone[:3], gone[3:]):
        assert sorted(n for batch in turn for n in batch) == list(range(100, 110))
    for turn in (kept[:3], kept[3:]):
        assert sorted(n for batch in turn for n in batch) == list(range(24))
    assert gone[:3] != gone[3:]
    assert kept[:3] != kept[3:]


def test_targets_are_asked_for_once_a_pass() -> None:
    model, asked = network(), []

    def targets(number: int) -> Tensor:
        asked.append(number)
        return soft(number)

    list(islice(fit(sgd(model), joint(model, FORGET, targets, RETAIN, ids_per_step=4)), 7))
    assert asked == [1, 2, 3]


def test_running_statistics_are_those_of_the_joint_batches_and_dropout_is_on() -> None:
    model, other = network(dropout=0.0).eval(), network(dropout=0.0).train()
    next(begin(model))
    rows, gone = next(orders(24, 8, "joint retain"))[1], next(orders(10, 4, "joint forget"))[1]
    other(torch.cat([RETAIN[0][rows], FORGET[0][gone]]))
    assert torch.equal(model[1].running_mean, other[1].running_mean)
    ends = []
    for seed in (0, 1):
        model = network()
        torch.manual_seed(seed)
        ends.append(float(next(begin(model))))
    assert ends[0] != ends[1]


def test_the_loss_of_the_retain_set_may_be_another() -> None:
    batches, given_rows = note(model := network()), []

    def loss(logits: Tensor, rows: Tensor) -> Tensor:
        given_rows.append(rows.tolist())
        assert logits.shape == (len(rows), CLASSES)
        return logits.square().sum()

    start = predict(model, RETAIN[0]).square().sum()
    updates = joint(model, FORGET, soft, RETAIN, forget_weight=0.0, batch_size=8, retain_loss=loss)
    list(islice(fit(sgd(model, 0.01), updates), 6))
    assert given_rows == [batch[:8] for batch in batches[1:]]
    assert predict(model, RETAIN[0]).square().sum() < start


def test_the_order_depends_on_the_seed_alone() -> None:
    found = []
    for seed in (1, 1, 2):
        found.append(note(model := network()))
        list(islice(begin(model, seed=seed), 4))
    assert found[0] == found[1] != found[2]


def test_a_step_is_taken_only_when_it_is_asked_for() -> None:
    batches = note(model := network())
    steps = begin(model)
    assert batches == []
    next(steps)
    assert len(batches) == 1
