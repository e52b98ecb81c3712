"""Random relabeling against the paper's literal mini-batches, and its laws."""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adadelta, Adam, Optimizer

from forgetkit.files.id_digests import digests
from forgetkit.methods.relabel import relabel, wrong_label_targets
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.device import generator_for, seed_for
from forgetkit.training.draws import key_of, uniform
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.updates import fit
from forgetkit.unlearning.relabel_options import Relabel
from forgetkit.unlearning.relabel_steps import RelabelSteps
from forgetkit.unlearning.sets import Pool
from tests import tiny
from tests.conftest import Run
from tests.tiny import carry_out, keys, note, same, weights

CLASSES = 5
KINDS = ("plain", "norm", "dropout")
RETAINED = digests([str(number) for number in range(40)])
"""Keys of retained samples."""


def network(kind: str = "plain") -> nn.Module:
    """Return a network with running statistics of its own, or with dropout, in train mode."""
    model = tiny.network(norm=kind == "norm", dropout=0.5 * (kind == "dropout"), classes=CLASSES)
    if kind == "norm":
        model(samples(32)[0])
    return model


def samples(count: int, first: int = 0) -> Samples:
    return tiny.samples(count, first, CLASSES)


def run(
    model: nn.Module, count: int = 6, retain: Samples | None = None, *, rate: float = 0.1, **options: int
) -> list[Tensor]:
    """Relabel ``count`` samples with SGD; return the loss of each step."""
    return carry_out(
        model,
        relabel(model, samples(count), retain, keys=keys(count), retain_keys=RETAINED, classes=CLASSES, **options),
        rate,
    )


def drawn_labels(labels: Tensor, count: int, seed: int = 0) -> list[Tensor]:
    """Return the wrong labels that ``relabel`` draws for each sample."""
    targets = wrong_label_targets(labels, uniform(keys(len(labels)), CLASSES, seed, "relabel"), count=count)
    return [torch.nonzero(row).flatten() for row in targets]


def literally(model: nn.Module, images: Tensor, wrong: list[Tensor], optimizer: Optimizer) -> None:
    """Li & Ghosh as printed: a mini-batch of copies of x, each with a wrong label of its own; one step."""
    model.eval()
    for image, labels in zip(images, wrong, strict=True):
        optimizer.zero_grad()
        cross_entropy(model(image.repeat(len(labels), 1, 1, 1)), labels).backward()
        optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, CLASSES - 1])
def test_the_soft_target_has_the_gradient_of_the_batch_of_copies(kind: str, count: int) -> None:
    model, (images, labels) = network(kind).eval(), samples(1)
    target = wrong_label_targets(labels, uniform(keys(1), CLASSES, 0), count=count)
    wrong = torch.nonzero(target[0]).flatten()
    parameters = list(model.parameters())
    soft = torch.autograd.grad(cross_entropy(model(images), target), parameters)
    hard = torch.autograd.grad(cross_entropy(model(images.repeat(count, 1, 1, 1)), wrong), parameters)
    assert all((a - b).abs().max() < 1e-6 for a, b in zip(soft, hard, strict=True))
    assert max(a.abs().max() for a in soft) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, CLASSES - 1])
@pytest.mark.parametrize("name, literal", [("sgd", SGD), ("adam", Adam), ("adadelta", Adadelta)])
def test_several_ids_leave_the_weights_of_the_literal_algorithm(
    kind: str, count: int, name: str, literal: type[Optimizer]
) -> None:
    model, (images, labels) = network(kind), samples(6)
    other = copy.deepcopy(model)
    updates = relabel(model, (images, labels), keys=keys(6), classes=CLASSES, labels_per_id=count)
    assert len(list(fit(make_optimizer(model, name, rate=0.01), updates))) == 6
    literally(other, images, drawn_labels(labels, count), literal(other.parameters(), lr=0.01))  # type: ignore[call-arg]
    assert (weights(model) - weights(other)).abs().max() < 1e-6
    assert (weights(model) - weights(network(kind))).abs().max() > 1e-5


@given(st.lists(st.integers(0, 8), min_size=1, max_size=20), st.integers(1, 8), st.integers(0, 99))
def test_wrong_labels_are_distinct_and_never_the_true_one(labels: list[int], count: int, seed: int) -> None:
    targets = wrong_label_targets(torch.tensor(labels), uniform(keys(len(labels)), 9, seed), count=count)
    assert (targets.gather(1, torch.tensor(labels)[:, None]) == 0).all()
    assert ((targets > 0).sum(1) == count).all()
    assert torch.allclose(targets.sum(1), torch.ones(len(labels)))


@pytest.mark.parametrize("count", [-1, 0, CLASSES, 99])
def test_labels_per_id_out_of_range_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to {CLASSES - 1}, not {count}"):
        wrong_label_targets(torch.tensor([0]), uniform(keys(1), CLASSES, 0), count=count)


def test_with_two_classes_the_target_is_the_other_one() -> None:
    targets = wrong_label_targets(torch.tensor([0, 1]), uniform(keys(2), 2, 0), count=1)
    assert targets.tolist() == [[0, 1], [1, 0]]


def test_every_wrong_label_is_drawn_equally_often() -> None:
    labels = torch.full((6000,), 2)
    shares = wrong_label_targets(labels, uniform(keys(6000), CLASSES, 0), count=2).bool().double().mean(0)
    assert (shares[[0, 1, 3, 4]] - 0.5).abs().max() < 0.03


def test_labels_are_drawn_anew_for_each_id() -> None:
    targets = wrong_label_targets(torch.zeros(50, dtype=torch.int64), uniform(keys(50), CLASSES, 0), count=2)
    assert len(torch.unique(targets, dim=0)) == 6


def test_running_statistics_are_bit_identical_after() -> None:
    model = network("norm")
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    run(model, retain=samples(20), replay=2)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_dropout_is_off() -> None:
    first, second = network("dropout"), network("dropout")
    run(first)
    torch.manual_seed(99)
    run(second)
    assert torch.equal(weights(first), weights(second))


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_on_the_true_labels_rises(kind: str) -> None:
    model, (images, labels) = network(kind), samples(6)
    before = cross_entropy(predict(model, images), labels)
    run(model, rate=0.2)
    assert cross_entropy(predict(model, images), labels) > before + 0.05


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    ends = []
    for seed in (0, 0, 1):
        run(model := network(), labels_per_id=1, seed=seed)
        ends.append(weights(model))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def replayed(seed: int = 0, replay: int = 3) -> tuple[list[list[int]], Tensor]:
    """Relabel samples 100 … 104 with replay from samples 0 … 39; return the batches and the retained labels."""
    retain, batches = samples(40), note(model := network())
    how = {"keys": keys(5), "retain_keys": RETAINED, "classes": CLASSES}
    updates = relabel(model, samples(5, 100), retain, **how, replay=replay, seed=seed)  # type: ignore[arg-type]
    assert len(carry_out(model, updates)) == len(batches)
    return batches, retain[1]


def test_replay_draws_distinct_samples_of_the_same_class_from_the_retain_set() -> None:
    batches, labels = replayed()
    assert [batch[0] for batch in batches[::2]] == [100, 101, 102, 103, 104]
    for row, batch in enumerate(batches[1::2]):
        assert len(set(batch)) == 3
        assert set(labels[batch].tolist()) == {row}


def test_what_an_id_replays_depends_neither_on_the_list_nor_on_what_else_is_retained() -> None:
    together, (images, labels), retain = replayed()[0][1::2], samples(5, 100), samples(40)
    for row in range(5):
        others = [place for place in range(40) if place in together[row] or place % 3]  # a third of them is gone
        kept = (retain[0][others], retain[1][others])
        one, batches = (images[row : row + 1], labels[row : row + 1]), note(model := network())
        how = {"keys": keys(5)[row : row + 1], "retain_keys": RETAINED[others], "classes": CLASSES}
        carry_out(model, relabel(model, one, kept, **how, replay=3))  # type: ignore[arg-type]
        assert batches[1] == together[row]


def test_replay_takes_what_there_is_of_a_small_class() -> None:
    assert [len(batch) for batch in replayed(replay=99)[0]] == [1, 8] * 5


def test_replay_depends_on_the_seed_alone() -> None:
    assert replayed(1)[0] == replayed(1)[0]
    assert replayed(1)[0] != replayed(2)[0]


def test_replay_without_samples_of_the_class_is_left_out() -> None:
    retain = samples(20)[0], torch.full((20,), 4)
    assert len(run(network(), count=4, replay=2, retain=retain)) == 4


def test_a_replayed_step_lowers_the_loss_of_what_it_replays() -> None:
    plain, repaired = network(), network()
    retain = samples(40)
    run(plain)
    run(repaired, replay=8, retain=retain)
    after = [cross_entropy(predict(model, retain[0]), retain[1]) for model in (plain, repaired)]
    assert after[1] < after[0]


@pytest.mark.parametrize("count", [1, 3])
def test_joint_steps_are_those_of_a_literal_loop_with_labels_drawn_anew_in_each_pass(count: int) -> None:
    forget, retain, settings = samples(10, 100), samples(24), Relabel(optimizer="sgd", momentum=0.9)
    pool = Pool.of_tensors(forget)
    how = replace(settings, labels_per_id=str(count), replay=8, ids_per_step=4, forget_weight=0.5)
    optimizer, updates = RelabelSteps(how, CLASSES, 3).begin(
        "joint", model := network(), pool, Pool.of_tensors(retain), 0.05
    )
    assert len(list(islice(fit(optimizer, updates), 8))) == 8

    def rows(size: int, step: int, purpose: str) -> Iterator[tuple[int, Tensor]]:
        for number in range(1, 9):
            order = torch.randperm(size, generator=generator_for(seed_for(3, key_of(pool.keys)), purpose, number))
            yield from ((number, part) for part in torch.split(order, step))

    other = network().eval()
    literal = SGD(other.parameters(), lr=0.05, momentum=0.9)
    both = zip(rows(10, 4, "joint forget"), rows(24, 8, "joint retain"), strict=False)
    for (turn, gone), (_, kept) in islice(both, 8):
        draws = uniform(pool.keys, CLASSES, 3, "relabel joint", turn)
        drawn = wrong_label_targets(forget[1], draws, count=count)
        away = -(drawn[gone] * other(forget[0][gone]).log_softmax(1)).sum(1).mean()
        literal.zero_grad()
        (cross_entropy(other(retain[0][kept]), retain[1][kept]) + 0.5 * away).backward()
        literal.step()
    assert same(model, other, within=1e-6)


def test_the_command_records_the_resolved_number_of_labels(forgetkit: Run, model: object, ids: object) -> None:
    ran = forgetkit("relabel", "model.st", "-i", "ids.txt", "--rate", "0.01", "--threads", "1", "--json")
    step = ran.json["record"]["steps"][-1]
    assert (step["options"]["labels_per_id"], step["metrics"]["steps"]) == (9, 30)


@pytest.mark.parametrize("count", ["0", "10", "x"])
def test_the_command_refuses_labels_per_id_out_of_range(forgetkit: Run, model: object, ids: object, count: str) -> None:
    ran = forgetkit("relabel", "model.st", "-i", "ids.txt", "--rate", "0.01", "--labels-per-id", count, "--json")
    assert (ran.code, json.loads(ran.out)["code"]) == (2, "usage")


@pytest.mark.parametrize("count", ["1", "3"])
def test_a_list_equals_its_ids_one_by_one(forgetkit: Run, model: Path, tmp_path: Path, count: str) -> None:
    how = f"--optimizer sgd --rate 0.003 --labels-per-id {count} --allow-unforgotten --threads 1".split()
    (tmp_path / "list.txt").write_text("77\n5\n900\n")
    assert forgetkit("relabel", "model.st", "-i", "list.txt", *how, "-o", "list.st").code == 0
    last = str(model)
    for row in ("77", "5", "900"):
        (tmp_path / "one.txt").write_text(f"{row}\n")
        last, before = f"{row}.st", last
        assert forgetkit("relabel", before, "-i", "one.txt", *how, "-o", last).code == 0
    alike = [load_file(tmp_path / name) for name in ("list.st", last)]
    assert all(torch.equal(alike[0][name], alike[1][name]) for name in alike[0])


def test_a_fixed_rate_that_loses_accuracy_is_not_reached(forgetkit: Run, model: object, ids: object) -> None:
    how = ("relabel", "model.st", "-i", "ids.txt", "--optimizer", "adadelta", "--rate", "1", "--json")
    ran = forgetkit(*how)
    assert (ran.code, ran.json["code"]) == (1, "not-reached")
    assert "at rate 1 accuracy on the tune half falls from" in ran.json["message"]
    assert not Path("model.relabel.st").exists()
    allowed = forgetkit(*how, "--allow-unforgotten")
    assert (allowed.code, [warning["code"] for warning in allowed.json["warnings"]]) == (0, ["accuracy-lost"])
    assert forgetkit(*how, "--utility-margin", "0.999", "-o", "wide.st").code == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--allow-unforgotten", "--allow-unforgotten: needs a fixed --rate"),
        ("--allow-unforgotten --rate 1 --mix joint", "--allow-unforgotten: needs a fixed --rate"),
        ("--rate 1 --ids-per-step 8", "--ids-per-step: not with steps per id"),
        ("--mix per-id --forget-weight 0.5", "--forget-weight: not with steps per id"),
    ],
)
def test_options_without_effect_are_refused(forgetkit: Run, model: object, ids: object, text: str, words: str) -> None:
    ran = forgetkit("relabel", "model.st", "-i", "ids.txt", *text.split())
    assert (ran.code, words in ran.err) == (2, True), ran.err


def test_a_missing_optimizer_state_is_said(forgetkit: Run, model: object, ids: object) -> None:
    ran = forgetkit("relabel", "model.st", "-i", "ids.txt", "--rate", "0.001", "--keep-optimizer", "--json")
    assert (ran.code, "optimizer-state-missing" in [one["code"] for one in ran.json["warnings"]]) == (0, True)
