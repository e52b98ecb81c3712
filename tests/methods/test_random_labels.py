"""The other methods of random labels, SalUn's and Graves et al.'s: each beside a few lines written anew, and laws."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Optimizer

from forgetkit.methods.random_labels import any_label_targets, contrast_targets, random_labels
from forgetkit.methods.relabel import wrong_label_targets
from forgetkit.training.batches import shuffled
from forgetkit.training.device import generator_for
from forgetkit.training.draws import uniform
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, fit, walk
from tests.conftest import Run
from tests.tiny import CLASSES, Halted, Halting, carry_out, keys, network, note, recall, same, samples

FORGET, RETAIN = samples(10, 100), samples(24, 0)


def begin(model: nn.Module, mix: str, **options: Any) -> tuple[Optimizer, Iterator[Update]]:  # noqa: ANN401
    """Begin a variant with SGD, momentum and weight decay."""
    given = {"forget_weight": 0.5, "epochs": 2, "batch_size": 8, "ids_per_step": 4, **options}
    updates = random_labels(model, FORGET, RETAIN, keys=keys(10), classes=CLASSES, mix=mix, seed=3, **given)
    return make_optimizer(model, "sgd", rate=0.05, momentum=0.9, weight_decay=0.01), updates


def trained(mix: str, **options: Any) -> nn.Module:  # noqa: ANN401
    """Carry out a variant on a fresh network; return it."""
    list(fit(*begin(model := network(dropout=0.0), mix, **options)))
    return model


def drawn(kind: str, turn: int) -> Tensor:
    """Return the one label of each forgotten sample in a turn."""
    draw = wrong_label_targets if kind == "wrong" else any_label_targets
    return draw(FORGET[1], uniform(keys(10), CLASSES, 3, "random labels", turn), count=1).argmax(1)


def rows(count: int, size: int, purpose: str, number: int) -> tuple[Tensor, ...]:
    return torch.split(torch.randperm(count, generator=generator_for(3, purpose, number)), size)


def by_hand(losses: Callable[[nn.Module], Iterator[Tensor]]) -> nn.Module:
    """Descend each of some losses with SGD, momentum and weight decay."""
    model = network(dropout=0.0)
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for loss in losses(model):
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


@pytest.mark.parametrize("kind", ["wrong", "any"])
@pytest.mark.parametrize("redraw", ["once", "epoch"])
def test_passes_in_turn_are_those_of_a_literal_loop(kind: str, redraw: str) -> None:
    """Any labels, drawn anew in each epoch: the code of SalUn. Wrong ones, drawn once: Graves et al."""

    def losses(model: nn.Module) -> Iterator[Tensor]:
        for epoch in (1, 2):
            labels = drawn(kind, 1 if redraw == "once" else epoch)
            for batch in rows(10, 4, "turn forget", epoch):
                yield cross_entropy(model.eval()(FORGET[0][batch]), labels[batch])
            for batch in shuffled(24, 8, seed=3, epoch=epoch):
                yield cross_entropy(model.train()(RETAIN[0][batch]), RETAIN[1][batch])

    assert same(trained("forget-then-retain", targets=kind, redraw=redraw), by_hand(losses), within=1e-6)


@pytest.mark.parametrize("kind", ["wrong", "any"])
@pytest.mark.parametrize("redraw", ["once", "epoch"])
def test_steps_beside_are_those_of_a_literal_loop(kind: str, redraw: str) -> None:
    gone = [(turn, batch) for turn in range(1, 5) for batch in rows(10, 4, "joint forget", turn)]
    kept = [(epoch, batch) for epoch in (1, 2) for batch in rows(24, 8, "joint retain", epoch)]

    def losses(model: nn.Module) -> Iterator[Tensor]:
        for (_, forgotten), (epoch, retained) in zip(gone, kept, strict=False):
            labels = drawn(kind, 1 if redraw == "once" else epoch)
            logits = model(torch.cat([RETAIN[0][retained], FORGET[0][forgotten]]))
            away = cross_entropy(logits[len(retained) :], labels[forgotten])
            yield cross_entropy(logits[: len(retained)], RETAIN[1][retained]) + 0.5 * away

    batches = note(model := network(dropout=0.0))
    list(fit(*begin(model, "joint", targets=kind, redraw=redraw)))
    assert len(batches) == 6  # two passes over 24 retained samples, 8 at a time
    assert same(model, by_hand(losses), within=1e-6)


@pytest.mark.parametrize("mix", ["joint", "forget-then-retain"])
def test_contrastive_labels_are_those_of_a_literal_loop(mix: str) -> None:
    labels = contrast_targets(network().eval()(FORGET[0]).detach(), FORGET[1]).argmax(1)
    gone = [batch for turn in range(1, 5) for batch in rows(10, 4, "joint forget", turn)]

    def losses(model: nn.Module) -> Iterator[Tensor]:
        for epoch in (1, 2):
            if mix == "joint":
                for batch in rows(24, 8, "joint retain", epoch):
                    logits, away = model(torch.cat([RETAIN[0][batch], FORGET[0][gone[0]]])), labels[gone.pop(0)]
                    kept = cross_entropy(logits[: len(batch)], RETAIN[1][batch])
                    yield kept + 0.5 * cross_entropy(logits[len(batch) :], away)
                continue
            for batch in rows(10, 4, "turn forget", epoch):
                yield cross_entropy(model.eval()(FORGET[0][batch]), labels[batch])
            for batch in shuffled(24, 8, seed=3, epoch=epoch):
                yield cross_entropy(model.train()(RETAIN[0][batch]), RETAIN[1][batch])

    assert same(trained(mix, targets="contrast"), by_hand(losses), within=1e-6)


@pytest.mark.parametrize("mix", ["joint", "forget-then-retain"])
@pytest.mark.parametrize("kind", ["wrong", "contrast"])
def test_labels_are_the_originals_also_after_a_halt(mix: str, kind: str, tmp_path: Path) -> None:
    """The runner skips the steps that were taken, and what is computed before the first is that of the original."""

    def run(model: nn.Module, bookmark: Bookmark) -> nn.Module:
        walk(bookmark, "steps", model, lambda: begin(model, mix, targets=kind))
        return model

    halted = network(dropout=0.0)
    with pytest.raises(Halted):
        run(halted, Halting(tmp_path, after=4))
    whole = trained(mix, targets=kind)
    batches = note(model := network(dropout=0.0))
    assert same(run(model, recall(tmp_path)), whole)
    assert not same(whole, halted, within=1e-6)
    first = int(kind == "contrast")  # all ids, for their contrastive labels
    assert len(batches[first:]) == (6 if mix == "joint" else 12) - 4


@pytest.mark.parametrize("mix", ["joint", "forget-then-retain"])
@pytest.mark.parametrize("kind", ["wrong", "contrast"])
def test_the_loss_on_what_is_forgotten_rises_and_nothing_else_is_read(mix: str, kind: str) -> None:
    start, batches = network(dropout=0.0), note(model := network(dropout=0.0))
    _, updates = begin(model, mix, targets=kind, forget_weight=1.0, epochs=6)
    carry_out(model, updates, 0.2)
    read = {number for batch in batches for number in batch}
    assert read == {*range(24), *range(100, 110)}
    before, after = (cross_entropy(one.eval()(FORGET[0]), FORGET[1]) for one in (start, model))
    assert after > before + 0.05


@given(st.lists(st.integers(0, 8), min_size=1, max_size=20), st.integers(1, 9), st.integers(0, 99))
def test_any_labels_are_distinct(labels: list[int], count: int, seed: int) -> None:
    targets = any_label_targets(torch.tensor(labels), uniform(keys(len(labels)), 9, seed), count=count)
    assert ((targets > 0).sum(1) == count).all()
    assert torch.allclose(targets.sum(1), torch.ones(len(labels)))


def test_any_label_is_the_true_one_as_often_as_each_other() -> None:
    labels = torch.full((8000,), 2)
    shares = any_label_targets(labels, uniform(keys(8000), CLASSES, 0), count=1).mean(0)
    assert shares.tolist() == pytest.approx([0.25] * CLASSES, abs=0.02)
    with pytest.raises(ValueError, match=f"from 1 to {CLASSES}, not 5"):
        any_label_targets(labels, uniform(keys(8000), CLASSES, 0), count=5)


def test_contrastive_labels_are_the_least_likely_classes_one_to_one() -> None:
    outputs = torch.tensor([[9.0, 1, 0, 5], [7, 9, 2, 1], [9, 3, 4, 5]])
    assert contrast_targets(outputs, torch.tensor([0, 1, 0])).argmax(1).tolist() == [1, 0, 1]


def test_joint_steps_weighted_by_the_sizes_are_those_of_one_shuffled_set() -> None:
    """Graves et al. 2021: the ids, relabeled, are mixed among the retained samples."""
    model, labels = network(dropout=0.0), drawn("wrong", 1)
    mixed = torch.cat([RETAIN[0], FORGET[0]]), torch.cat([RETAIN[1], labels])
    parameters = list(model.parameters())
    union = torch.autograd.grad(cross_entropy(model(mixed[0]), mixed[1]), parameters)
    sizes = {"forget_weight": 10 / 24, "ids_per_step": 10, "batch_size": 24}
    update = next(begin(model, "joint", targets="wrong", redraw="once", **sizes)[1])
    joint = torch.autograd.grad(24 / 34 * update.loss(update.batch), parameters)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(union, joint, strict=True))


TURN = "--mix forget-then-retain --optimizer sgd --momentum 0.9 --rate 0.013 --stop published --epochs 2"


def options_of(forgetkit: Run, text: str, command: str = "random-labels") -> dict[str, Any]:
    ran = forgetkit(command, "model.st", "-i", "ids.txt", *text.split(), "--json", "-o", "out.st", "-f")
    assert ran.code == 0, ran.err
    step: dict[str, Any] = ran.json["record"]["steps"][-1]
    return step["options"] | {"steps": step["metrics"]["steps"]}


def test_the_record_names_a_variant_and_relabel_has_none(forgetkit: Run, model: Path, ids: Path) -> None:
    plain = options_of(forgetkit, "--rate 0.01", "relabel")
    salun = options_of(forgetkit, f"{TURN} --targets any --labels-per-id 1 --weight-decay 0.0005")
    assert not {"targets", "redraw", "stop", "epochs", "weight_decay"} & set(plain)
    named = {"targets": "any", "labels_per_id": 1, "stop": "published", "epochs": 2, "weight_decay": 0.0005}
    assert salun | named | {"redraw": "epoch"} == salun
    assert (salun["mix"], salun["steps"]) == ("forget-then-retain", 2 * (1 + 5))
    assert "searched" not in salun


def test_all_labels_are_recorded_as_their_number(forgetkit: Run, model: Path, ids: Path) -> None:
    assert options_of(forgetkit, f"{TURN} --labels-per-id all")["labels_per_id"] == 9
    assert options_of(forgetkit, f"{TURN} --labels-per-id all --targets any")["labels_per_id"] == 10


def test_the_defaults_are_salun_s_with_wrong_labels(forgetkit: Run, model: Path, ids: Path) -> None:
    given = f"{TURN} --targets wrong --redraw epoch --labels-per-id 1 --weight-decay 0.0005"
    explicit = options_of(forgetkit, f"{given} --ids-per-step 256 --batch-size 256")
    assert options_of(forgetkit, "--stop published --epochs 2") == explicit


def test_each_variant_ends_elsewhere(forgetkit: Run, model: Path, ids: Path) -> None:
    ends = set()
    for more in (
        "--mix joint",
        "--mix joint --redraw once",
        "--mix joint --labels-per-id all",
        "",
        "--redraw once",
        "--targets any --labels-per-id all",
        "--targets any",
        "--targets contrast",
        "--targets contrast --mix joint --weight-decay 0.1",
    ):
        options_of(forgetkit, f"{TURN} --ids-per-step 4 {more}")
        ends.add(forgetkit("inspect", "out.st", "--json").json["record"]["digest"])
    assert len(ends) == 9


def test_salun_moves_no_weight_outside_its_mask(forgetkit: Run, model: Path, ids: Path) -> None:
    assert forgetkit("mask", "model.st", "-i", "ids.txt", "-o", "mask.st").code == 0
    options_of(forgetkit, f"{TURN} --targets any --labels-per-id 1 --weight-decay 0.1 --mask mask.st")
    start, end, mask = load_file("model.st"), load_file("out.st"), load_file("mask.st")
    assert all(torch.equal(start[name][~free], end[name][~free]) for name, free in mask.items())
    assert any((start[name] != end[name]).any() for name in mask)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("--targets wrongly", "--targets: 'wrongly' is not one of"),
        ("--redraw never", "--redraw: 'never' is not one of"),
        ("--redraw step", "--redraw: 'step' is not one of"),
        ("--mix turn", "--mix: 'turn' is not one of"),
        ("--mix per-id", "--mix: 'per-id' is not one of"),
        ("--stop chance", "--stop: 'chance' is not one of"),
        ("--targets contrast --labels-per-id 2", "--labels-per-id: not with --targets contrast"),
        ("--mix forget-then-retain --forget-weight 1", "--forget-weight: not with --mix forget-then-retain"),
        ("--labels-per-id 10", "'10' does not fit 10 classes"),
        ("--labels-per-id 10 --dry-run", "'10' does not fit 10 classes"),
        ("--targets any --labels-per-id 11", "'11' does not fit 10 classes"),
        ("--targets any --labels-per-id 0", "'0' does not fit 10 classes"),
    ],
)
def test_what_does_not_go_together_is_refused(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, text: str, words: str
) -> None:
    ran = forgetkit("random-labels", "model.st", "-i", "ids.txt", *text.split())
    assert (ran.code, ran.out, words in ran.err) == (2, "", True), ran.err
    assert [line.split(":")[0] for line in ran.err.splitlines() if "error" in line or "hint" in line] == [
        "error",
        "hint",
    ]
    assert not (tmp_path / "model.random-labels.st").exists()


@pytest.mark.parametrize("option", ["--targets any", "--redraw once", "--stop published", "--epochs 3"])
def test_relabel_has_no_variants(forgetkit: Run, model: Path, ids: Path, option: str) -> None:
    ran = forgetkit("relabel", "model.st", "-i", "ids.txt", *option.split(), "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
    assert forgetkit("relabel", "model.st", "-i", "ids.txt", "--mix", "forget-then-retain").code == 2


@pytest.mark.parametrize("command", ["relabel --mix joint", "random-labels --mix joint", "random-labels"])
def test_steps_beside_retained_samples_need_some(forgetkit: Run, model: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "all.txt").write_text("".join(f"{row}\n" for row in range(1297)))
    name, *more = command.split()
    ran = forgetkit(name, "model.st", "-i", "all.txt", *more, "--json")
    assert (ran.code, ran.json["code"]) == (2, "ids-empty")
