"""The other methods of random labels, as options of relabel: each beside a few lines written anew, and their laws."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from forgetkit.methods.targets import any_label_targets, contrast_targets
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from forgetkit.methods.relabel import wrong_label_targets
from forgetkit.training.device import generator_for
from forgetkit.unlearning.relabel_steps import Relabeling
from tests.conftest import Run
from tests.watched import CLASSES, Watched, samples

FORGET, RETAIN = samples(10, 100), samples(24, 0)
PLAIN: dict[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "weight_decay": 0.01,
    "classes": CLASSES,
    "labels_per_id": 1,
    "replay": 8,
    "ids_per_step": 4,
    "forget_weight": 0.5,
    "margin": 0.02,
    "most_steps": 99,
    "seed": 3,
    "epochs": 2,
}


def relabeled(mix: str, *, done: int = 0, steps: int | None = None, **options: Any) -> Watched:  # noqa: ANN401
    """Take the steps of a variant on a fresh network; return it."""
    model = Watched(6)
    how = Relabeling(**{**PLAIN, **options})
    list(islice(how.begin(mix, model, FORGET, RETAIN, 0.05, done=done)[1], steps))
    return model


def drawn(kind: str, purpose: str, turn: int) -> Tensor:
    """Return the one label of each forgotten sample in a turn."""
    draw = wrong_label_targets if kind == "wrong" else any_label_targets
    return draw(FORGET[1], CLASSES, count=1, generator=generator_for(3, purpose, turn)).argmax(1)


def rows(count: int, size: int, purpose: str, number: int) -> tuple[Tensor, ...]:
    return torch.split(torch.randperm(count, generator=generator_for(3, purpose, number)), size)


def by_hand(losses: Callable[[nn.Module], Iterator[Tensor]]) -> nn.Module:
    """Descend each of some losses with SGD, momentum and weight decay."""
    model = Watched(6).eval()
    optimizer = SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    for loss in losses(model):
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=1e-6) for a, b in pairs)


@pytest.mark.parametrize("kind", ["wrong", "any"])
@pytest.mark.parametrize("redraw", ["once", "epoch", "step"])
def test_passes_in_turn_are_those_of_a_literal_loop(kind: str, redraw: str) -> None:
    def losses(model: nn.Module) -> Iterator[Tensor]:
        for epoch in (1, 2):
            labels = drawn(kind, "relabel turn", 1 if redraw == "once" else epoch)
            for batch in rows(10, 4, "turn forget", epoch):
                yield cross_entropy(model(FORGET[0][batch]), labels[batch])
            for batch in rows(24, 8, "turn retain", epoch):
                yield cross_entropy(model(RETAIN[0][batch]), RETAIN[1][batch])

    assert same(relabeled("forget-then-retain", targets=kind, redraw=redraw), by_hand(losses))


@pytest.mark.parametrize("kind", ["wrong", "any"])
@pytest.mark.parametrize("redraw", ["once", "epoch", "step"])
def test_steps_beside_are_those_of_a_literal_loop(kind: str, redraw: str) -> None:
    gone = [(turn, batch) for turn in range(1, 5) for batch in rows(10, 4, "joint forget", turn)]
    kept = [(epoch, batch) for epoch in (1, 2) for batch in rows(24, 8, "joint retain", epoch)]

    def losses(model: nn.Module) -> Iterator[Tensor]:
        for (turn, forgotten), (epoch, retained) in zip(gone, kept, strict=False):
            labels = drawn(kind, "relabel joint", {"once": 1, "epoch": epoch, "step": turn}[redraw])
            away = cross_entropy(model(FORGET[0][forgotten]), labels[forgotten])
            yield cross_entropy(model(RETAIN[0][retained]), RETAIN[1][retained]) + 0.5 * away

    model = relabeled("joint", targets=kind, redraw=redraw)
    assert len(model.batches) == 6  # two passes over 24 retained samples, 8 at a time
    assert same(model, by_hand(losses))


@pytest.mark.parametrize("kind", ["any", "contrast"])
def test_steps_per_id_are_those_of_a_literal_loop(kind: str) -> None:
    labels = any_label_targets(FORGET[1], CLASSES, count=1, generator=generator_for(3, "relabel")).argmax(1)
    if kind == "contrast":
        labels = contrast_targets(Watched(6).eval()(FORGET[0]).detach(), FORGET[1]).argmax(1)

    def losses(model: nn.Module) -> Iterator[Tensor]:
        yield from (cross_entropy(model(FORGET[0][row : row + 1]), labels[row : row + 1]) for row in range(10))

    assert same(relabeled("per-id", targets=kind, replay=0), by_hand(losses))


@pytest.mark.parametrize("mix", ["joint", "forget-then-retain"])
def test_contrastive_labels_are_the_originals_also_after_a_halt(mix: str) -> None:
    options = {"targets": "contrast", "momentum": 0.0}
    whole, halted, model = relabeled(mix, **options), relabeled(mix, **options, steps=4), Watched(6)
    _, rest = Relabeling(**{**PLAIN, **options}).begin(mix, model, FORGET, RETAIN, 0.05, done=4)
    model.load_state_dict(halted.state_dict())
    list(rest)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), model.parameters(), strict=True))
    assert not same(whole, halted)


@pytest.mark.parametrize("mix", ["joint", "forget-then-retain"])
@pytest.mark.parametrize("kind", ["wrong", "contrast"])
def test_the_loss_on_what_is_forgotten_rises_and_nothing_else_is_read(mix: str, kind: str) -> None:
    model, start = relabeled(mix, targets=kind, forget_weight=1.0, epochs=6, momentum=0.0), Watched(6)
    read = {number for batch in model.batches for number in batch}
    assert read == {*range(24), *range(100, 110)}
    before, after = (cross_entropy(one.eval()(FORGET[0]), FORGET[1]) for one in (start, model))
    assert after > before + 0.05
    statistics = zip(model.named_buffers(), start.named_buffers(), strict=True)
    assert all(torch.equal(one, other) for (_, one), (_, other) in statistics)


@given(st.lists(st.integers(0, 8), min_size=1, max_size=20), st.integers(1, 9), st.integers(0, 99))
def test_any_labels_are_distinct(labels: list[int], count: int, seed: int) -> None:
    targets = any_label_targets(torch.tensor(labels), 9, count=count, generator=generator_for(seed))
    assert ((targets > 0).sum(1) == count).all()
    assert torch.allclose(targets.sum(1), torch.ones(len(labels)))


def test_any_label_is_the_true_one_as_often_as_each_other() -> None:
    labels = torch.full((8000,), 2)
    shares = any_label_targets(labels, CLASSES, count=1, generator=generator_for(0)).mean(0)
    assert shares.tolist() == pytest.approx([0.25] * CLASSES, abs=0.02)
    with pytest.raises(ValueError, match=f"from 1 to {CLASSES}, not 5"):
        any_label_targets(labels, CLASSES, count=5, generator=generator_for(0))


def test_contrastive_labels_are_the_least_likely_classes_one_to_one() -> None:
    outputs = torch.tensor([[9.0, 1, 0, 5], [7, 9, 2, 1], [9, 3, 4, 5]])
    assert contrast_targets(outputs, torch.tensor([0, 1, 0])).argmax(1).tolist() == [1, 0, 1]


def test_joint_steps_weighted_by_the_sizes_are_those_of_one_shuffled_set() -> None:
    """Graves et al. 2021: the ids, relabeled, are mixed among the retained samples."""
    model, labels = Watched(6).eval(), drawn("wrong", "relabel joint", 1)
    mixed = torch.cat([RETAIN[0], FORGET[0]]), torch.cat([RETAIN[1], labels])
    parameters = list(model.parameters())
    union = torch.autograd.grad(cross_entropy(model(mixed[0]), mixed[1]), parameters)
    kept, away = cross_entropy(model(RETAIN[0]), RETAIN[1]), cross_entropy(model(FORGET[0]), labels)
    joint = torch.autograd.grad(24 / 34 * (kept + 10 / 24 * away), parameters)
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(union, joint, strict=True))


TURN = "--mix forget-then-retain --optimizer sgd --momentum 0.9 --rate 0.013 --stop published --epochs 2"


def options_of(forgetkit: Run, text: str) -> dict[str, Any]:
    ran = forgetkit("relabel", "model.st", "-i", "ids.txt", *text.split(), "--json", "-o", "out.st", "-f")
    assert ran.code == 0, ran.err
    step: dict[str, Any] = ran.json["record"]["steps"][-1]
    return step["options"] | {"steps": step["metrics"]["steps"]}


def test_the_record_names_a_variant_and_only_a_variant(forgetkit: Run, model: Path, ids: Path) -> None:
    plain = options_of(forgetkit, "--rate 0.01 --stop published")
    salun = options_of(forgetkit, f"{TURN} --targets any --labels-per-id 1 --weight-decay 0.0005")
    assert not {"targets", "redraw", "stop", "epochs", "weight_decay"} & set(plain)
    named = {"targets": "any", "labels_per_id": 1, "stop": "published", "epochs": 2, "weight_decay": 0.0005}
    assert salun | named == salun
    assert "redraw" not in salun
    assert (salun["mix"], salun["searched"], salun["steps"]) == ("forget-then-retain", [], 2 * (1 + 10))


def test_each_variant_ends_elsewhere(forgetkit: Run, model: Path, ids: Path) -> None:
    ends = set()
    for more in (
        "--labels-per-id 1 --mix joint",
        "--labels-per-id 1 --mix joint --redraw once",
        "--labels-per-id 1 --mix joint --redraw epoch",
        "--labels-per-id 1",
        "--labels-per-id 1 --redraw once",
        "--targets any",
        "--targets any --labels-per-id 1",
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
        ("--mix turn", "--mix: 'turn' is not one of"),
        ("--stop chance", "--stop: 'chance' is not one of"),
        ("--targets contrast --labels-per-id 1", "--labels-per-id does not go with --targets contrast"),
        ("--targets contrast --redraw once --mix joint", "--redraw once: nothing is drawn"),
        ("--redraw epoch --mix joint", "--redraw epoch: nothing is drawn"),
        ("--redraw once --labels-per-id 1 --rate 0.1", "does not go with steps per id"),
        ("--redraw once --labels-per-id 1 --mix per-id", "does not go with steps per id"),
        ("--mix forget-then-retain --forget-weight 1", "--forget-weight does not go with"),
        ("--stop published --mix joint", "--stop published needs a --rate"),
        ("--epochs 3", "--epochs goes with --mix joint or forget-then-retain"),
        ("--epochs 3 --stop published --rate 0.1", "--epochs goes with --mix joint or forget-then-retain"),
        ("--targets any --labels-per-id 11", "'11' does not fit 10 classes"),
    ],
)
def test_what_does_not_go_together_is_refused(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, text: str, words: str
) -> None:
    ran = forgetkit("relabel", "model.st", "-i", "ids.txt", *text.split())
    assert (ran.code, ran.out, words in ran.err) == (2, "", True), ran.err
    assert [line.split(":")[0] for line in ran.err.splitlines() if "error" in line or "hint" in line] == [
        "error",
        "hint",
    ]
    assert not (tmp_path / "model.relabel.st").exists()


@pytest.mark.parametrize("mix", ["joint", "forget-then-retain"])
def test_steps_beside_retained_samples_need_some(forgetkit: Run, model: Path, tmp_path: Path, mix: str) -> None:
    (tmp_path / "all.txt").write_text("".join(f"{row}\n" for row in range(1297)))
    ran = forgetkit("relabel", "model.st", "-i", "all.txt", "--mix", mix, "--json")
    assert (ran.code, ran.json["code"]) == (2, "ids-empty")
