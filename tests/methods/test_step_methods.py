"""The field's methods: the direction of each, and its update beside a few lines written anew."""

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, softmax

from forgetkit.cli.commands.ascend import Ascend
from forgetkit.cli.commands.badteach import Badteach
from forgetkit.cli.commands.finetune import Finetune
from forgetkit.cli.commands.reset import Reset
from forgetkit.cli.commands.scrub import Scrub
from forgetkit.errors import ForgetkitError
from forgetkit.events import silent
from forgetkit.methods.ascend import ascend
from forgetkit.methods.badteach import badteach
from forgetkit.methods.dampen import dampen
from forgetkit.methods.finetune import finetune, penalty_at
from forgetkit.methods.importance import importance, saliency, top
from forgetkit.methods.reset import kernels, rate_at, reinitialise, reset, smallest, transpose
from forgetkit.methods.scrub import SHIFT, scrub
from forgetkit.training.batches import passes, shuffled
from forgetkit.training.classifier import Classifier, Samples, accuracy, predict
from forgetkit.training.device import Machine, seed_for
from forgetkit.training.draws import key_of
from forgetkit.training.mask import masked
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, fit, seeded
from forgetkit.unlearning.backtracking import Braking, brake
from forgetkit.unlearning.membership_gauge import gauge_of
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.run_method import MethodRun
from tests.conftest import Run
from tests.tiny import (
    CLASSES,
    Halted,
    Halting,
    carry_out,
    classifier,
    network,
    note,
    recall,
    record,
    same,
    samples,
    sets,
    sgd,
)

FORGET, RETAIN = samples(12, 100), samples(40)


def small(seed: int = 7) -> nn.Sequential:
    """Return a network in eval mode, without dropout."""
    return network(dropout=0.0, seed=seed).eval()


def one_step(model: nn.Module, updates: Iterator[Update], rate: float = 0.1) -> None:
    """Take the first step of a method with plain gradient descent."""
    next(fit(sgd(model, rate), updates))


def loss_of(model: nn.Module, on: Samples) -> float:
    with torch.no_grad():
        return float(cross_entropy(model(on[0]), on[1]))


def stepped(model: nn.Module, value: Tensor, rate: float = 0.1) -> None:
    """Take one plain step of gradient descent, by hand."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    with torch.no_grad():
        for weight, part in zip(weights, torch.autograd.grad(value, weights), strict=True):
            weight -= rate * part


def kl(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    p = softmax(teacher / temperature, 1)
    return temperature**2 * (p * (p.log() - log_softmax(student / temperature, 1))).sum(1).mean()


def test_ascent_raises_the_loss_on_what_is_forgotten() -> None:
    model = small()
    before = loss_of(model, FORGET)
    carry_out(model, ascend(model, FORGET, RETAIN, alpha=0.5, epochs=3, batch_size=20, ids_per_step=6))
    assert loss_of(model, FORGET) > before


def test_ascent_is_the_equation() -> None:
    model, by_hand = small(), small().train()
    one_step(model, ascend(model, FORGET, RETAIN, alpha=0.9, batch_size=20, ids_per_step=6, seed=3))
    gone = next(passes(12, 6, seed=3, purpose="ascend forget"))[1]
    rows = next(passes(40, 20, seed=3, purpose="ascend retain"))[1]
    logits = by_hand(torch.cat([RETAIN[0][rows], FORGET[0][gone]]))
    kept, away = cross_entropy(logits[:20], RETAIN[1][rows]), cross_entropy(logits[20:], FORGET[1][gone])
    stepped(by_hand, 0.9 * kept - 0.1 * away)
    assert same(model, by_hand, within=1e-6)


def test_plain_ascent_reads_nothing_that_is_retained() -> None:
    ends = [small(), small()]
    for model, retain in zip(ends, (RETAIN, (RETAIN[0] * 9, RETAIN[1])), strict=True):
        carry_out(model, ascend(model, FORGET, retain, alpha=0.0, epochs=1, ids_per_step=6))
    assert same(*ends)
    assert not same(ends[0], small())


def test_fine_tuning_lowers_the_loss_on_what_is_retained() -> None:
    model = small()
    before = loss_of(model, RETAIN)
    carry_out(model, finetune(model, FORGET, RETAIN, epochs=3, batch_size=20))
    assert loss_of(model, RETAIN) < before


def test_fine_tuning_is_the_equation_with_its_penalty() -> None:
    model, by_hand = small(), small().train()
    one_step(model, finetune(model, FORGET, RETAIN, batch_size=20, l1=0.01, seed=5))
    rows = shuffled(40, 20, seed=5, epoch=1)[0]
    penalty = sum((weight.abs().sum() for weight in by_hand.parameters()), torch.zeros(()))
    stepped(by_hand, cross_entropy(by_hand(RETAIN[0][rows]), RETAIN[1][rows]) + 0.01 * penalty)
    assert same(model, by_hand, within=1e-6)


def test_penalty_falls_to_nothing() -> None:
    assert [penalty_at(epoch, 5, l1=0.3, free=2) for epoch in range(5)] == pytest.approx([0.3, 0.2, 0.1, 0, 0])


def test_scrub_moves_away_on_what_is_forgotten_and_its_teacher_stays() -> None:
    model, original = small(), small()
    teacher = original(FORGET[0]).detach()
    run = fit(sgd(model), scrub(model, FORGET, RETAIN, epochs=1, ids_per_step=6, batch_size=20))
    next(run)  # the first step has no gradient: student and teacher are the same
    assert same(model, original, within=1e-6)
    model.load_state_dict({name: value + 0.01 for name, value in original.state_dict().items()})
    before = float(kl(teacher, model(FORGET[0]), 2.0).detach())
    next(run)
    assert float(kl(teacher, model(FORGET[0]), 2.0).detach()) > before


def test_scrub_is_its_equations() -> None:
    model, by_hand = small(), small()
    updates = scrub(model, FORGET, RETAIN, ids_per_step=12, batch_size=20, kl_weight=0.7, away_epochs=2)
    first = list(islice(updates, 6))
    assert [update.epoch for update in first] == [1, 1, 1, 2, 2, 2]
    carry_out(model, iter(first))
    teachers = by_hand(FORGET[0]).detach(), by_hand(RETAIN[0]).detach()
    for epoch in (1, 2):
        gone = shuffled(12, 12, seed=0, epoch=epoch + SHIFT)[0]
        stepped(by_hand, -kl(teachers[0][gone], by_hand.eval()(FORGET[0][gone]), 2.0))
        for rows in shuffled(40, 20, seed=0, epoch=epoch):
            logits = by_hand.train()(RETAIN[0][rows])
            stepped(by_hand, cross_entropy(logits, RETAIN[1][rows]) + 0.7 * kl(teachers[1][rows], logits, 2.0))
    assert same(model, by_hand, within=1e-5)


def test_bad_teaching_takes_what_is_forgotten_to_the_bad_teacher() -> None:
    model, bad = small(), torch.zeros(12, 4).double()
    before = float(kl(bad, model(FORGET[0]), 1.0).detach())
    given: dict[str, Any] = {"classes": CLASSES, "untrained": small, "target": "uniform"}
    carry_out(model, badteach(model, FORGET, RETAIN, epochs=5, batch_size=8, **given))
    assert float(kl(bad, model(FORGET[0]), 1.0).detach()) < before


@pytest.mark.parametrize("target", ["uniform", "random-net"])
def test_bad_teaching_is_its_equation(target: str) -> None:
    model, by_hand, other = small(), small(), small(seed=8)
    given: dict[str, Any] = {"classes": CLASSES, "untrained": lambda: other, "target": target}
    carry_out(model, badteach(model, FORGET, RETAIN, retain_fraction=1.0, batch_size=60, **given))
    images = torch.cat([FORGET[0], RETAIN[0]])
    bad = torch.zeros(12, 4).double() if target == "uniform" else other(FORGET[0]).detach()
    good = by_hand(RETAIN[0]).detach()
    logits = by_hand.train()(images)
    stepped(by_hand, (12 * kl(bad, logits[:12], 1.0) + 40 * kl(good, logits[12:], 1.0)) / 52)
    assert same(model, by_hand, within=1e-5)


def test_transposing_twice_changes_nothing_and_once_does() -> None:
    model = small()
    next(reset(model, FORGET, RETAIN, optimizer=sgd(model), kind="ct"))  # the update is not carried out
    assert torch.equal(model[0].weight, small()[0].weight.transpose(2, 3))
    transpose(model)
    assert same(model, small())


def test_the_weights_drawn_anew_are_those_of_least_difference_in_gradient() -> None:
    model = small()
    chosen = smallest(model, FORGET, RETAIN, share=0.3)
    difference = cross_entropy(model(RETAIN[0]), RETAIN[1]) - cross_entropy(model(FORGET[0]), FORGET[1])
    sizes = [part.abs() for part in torch.autograd.grad(difference, list(kernels(model).values()))]
    picked = torch.cat([size[of] for size, of in zip(sizes, chosen.values(), strict=True)])
    left = torch.cat([size[~of] for size, of in zip(sizes, chosen.values(), strict=True)])
    assert len(picked) == round(0.3 * (54 + 432))
    assert float(picked.max()) <= float(left.min()) + 1e-6
    reinitialise(model, chosen, seed=0)
    for (name, weight), start in zip(kernels(model).items(), kernels(small()).values(), strict=True):
        assert torch.equal(weight != start, chosen[name])


def test_weights_that_were_not_drawn_anew_move_by_a_tenth() -> None:
    model, by_hand, start = small(), small(), small()
    chosen = smallest(by_hand, FORGET, RETAIN, share=0.3)
    for one in (by_hand, start):
        reinitialise(one, chosen, seed=0)
    optimizer = sgd(model)
    updates = reset(model, FORGET, RETAIN, optimizer=optimizer, kind="msg", rate=0.5, epochs=1, batch_size=20)
    next(fit(optimizer, updates))
    rows = shuffled(40, 20, seed=0, epoch=1)[0]
    kept = cross_entropy(by_hand.train()(RETAIN[0][rows]), RETAIN[1][rows])
    stepped(by_hand, kept, 0.5 * rate_at("msg", 0, 2) * 0.1)
    with torch.no_grad():
        for (name, weight), before in zip(kernels(by_hand).items(), kernels(start).values(), strict=True):
            weight[chosen[name]] += 9 * (weight - before)[chosen[name]]
    assert same(model, by_hand, within=1e-6)


def test_model_without_convolutions_is_refused_for_a_reset() -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(ForgetkitError, match="nothing to reset"):
        next(reset(model, FORGET, RETAIN, optimizer=sgd(model), kind="ct"))


def test_importance_squares_each_sample_by_itself() -> None:
    model = small()
    found = importance(model, FORGET)
    weights = list(model.parameters())
    parts = [torch.autograd.grad(cross_entropy(model(x[None]), y[None]), weights) for x, y in zip(*FORGET, strict=True)]
    for row, value in enumerate(found.values()):
        assert torch.allclose(value, torch.stack([part[row] ** 2 for part in parts]).mean(0), atol=1e-8)


def test_dampening_shrinks_what_matters_more_for_the_forget_set_and_nothing_else() -> None:
    model, start = nn.Linear(3, 1, bias=False), torch.tensor([[1.0, -2.0, 4.0]])
    model.load_state_dict({"weight": start.clone()})
    of_forget, of_all = {"weight": torch.tensor([[30.0, 9.0, 40.0]])}, {"weight": torch.tensor([[1.0, 1.0, 2.0]])}
    assert dampen(model, of_forget, of_all, alpha=10, strength=6) == pytest.approx(2 / 3)
    assert model.weight.tolist()[0] == pytest.approx([1.0 * 6 / 30, -2.0, 4.0 * 12 / 40])


def test_dampening_raises_the_loss_on_what_is_forgotten() -> None:
    model = small()
    known = torch.cat([FORGET[0], RETAIN[0]]), torch.cat([FORGET[1], RETAIN[1]])
    carry_out(model, finetune(model, FORGET, known, epochs=60, batch_size=20))
    assert loss_of(model, FORGET) < loss_of(small(), FORGET) / 2
    before, of_all = loss_of(model, FORGET), importance(model, RETAIN)
    dampen(model, importance(model, FORGET), of_all, alpha=2)
    assert loss_of(model, FORGET) > before


def test_mask_is_the_largest_part_of_the_gradient_over_all_weights_together() -> None:
    model = small()
    sizes = saliency(model, FORGET)
    parts = torch.autograd.grad(cross_entropy(model(FORGET[0]), FORGET[1]), list(model.parameters()))
    assert all(torch.allclose(size, part.abs(), atol=1e-6) for size, part in zip(sizes.values(), parts, strict=True))
    chosen = top(sizes, 0.25)
    picked = torch.cat([sizes[name][of] for name, of in chosen.items()])
    left = torch.cat([sizes[name][~of] for name, of in chosen.items()])
    assert len(picked) == round(0.25 * (len(picked) + len(left)))
    assert float(picked.min()) >= float(left.max())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "adadelta"])
def test_masked_weights_and_their_momentum_stay_under_weight_decay(name: str) -> None:
    model, start = small(), small().state_dict()
    mask = top(saliency(model, FORGET), 0.5)
    momentum = 0.9 if name == "sgd" else 0.0
    optimizer = make_optimizer(model, name, rate=0.1, momentum=momentum, weight_decay=0.1)
    with masked(model, mask):
        list(fit(optimizer, ascend(model, FORGET, RETAIN, epochs=2, batch_size=20)))
    for key, weight in model.named_parameters():
        assert torch.equal(weight[~mask[key]], start[key][~mask[key]])
        kept = [value for value in optimizer.state[weight].values() if torch.is_tensor(value) and value.dim()]
        assert all(not value[~mask[key]].any() for value in kept)
    assert not same(model, small())


RETAINED_TOO = ("ascend", "badteach", "finetune", "reset ct", "scrub")


@pytest.mark.parametrize("name", ["ascent alone", *RETAINED_TOO])
def test_forgotten_samples_alone_leave_the_statistics_and_dropout_off(name: str) -> None:
    """A step on retained samples is an ordinary training step; one on forgotten samples alone is not."""
    ends = []
    for seed in (1, 2):
        model = network()
        method: Any = {"ascent alone": ascend, "ascend": ascend, "badteach": badteach, "finetune": finetune}.get(name)
        given: dict[str, Any] = {"alpha": 0.0} if name == "ascent alone" else {}
        other = network(seed=8)
        given |= {"classes": CLASSES, "untrained": lambda of=other: of, "batch_size": 8} if name == "badteach" else {}
        optimizer = sgd(model)
        if name == "reset ct":
            updates = reset(model, FORGET, RETAIN, optimizer=optimizer)
        elif name == "scrub":
            updates = islice(scrub(model, FORGET, RETAIN, ids_per_step=12), 1, None)
        else:
            updates = method(model, FORGET, RETAIN, **given)
        torch.manual_seed(seed)
        list(islice(fit(optimizer, updates), 3))
        ends.append(model)
    moved = not torch.equal(ends[0][1].running_mean, network()[1].running_mean)
    assert moved == (name != "ascent alone")
    assert same(*ends) == (name == "ascent alone")


def test_scrub_leaves_statistics_and_dropout_off_in_its_ascent() -> None:
    model = network()
    list(islice(fit(sgd(model), scrub(model, FORGET, RETAIN, ids_per_step=4)), 3))
    assert torch.equal(model[1].running_mean, network()[1].running_mean)


def test_running_statistics_are_no_weights_so_a_mask_lets_train_mode_update_them() -> None:
    model, start = small(), small().state_dict()
    mask = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in model.named_parameters()}
    with masked(model, mask):
        model.train()
        optimizer = sgd(model)
        cross_entropy(model(RETAIN[0]), RETAIN[1]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert not torch.equal(model[1].running_mean, start["1.running_mean"])
    assert not torch.equal(model[0].weight, start["0.weight"])


METHODS: dict[str, tuple[Any, Any]] = {
    "ascend": (ascend, Ascend()),
    "finetune": (finetune, Finetune(l1=0.001)),
    "scrub": (scrub, Scrub()),
    "badteach": (badteach, Badteach(target="uniform")),
    "reset ct": (reset, Reset()),
    "reset msg": (reset, Reset(kind="msg", momentum=0.9)),
}


@pytest.mark.parametrize("name", METHODS)
def test_running_statistics_move_and_the_runner_goes_on_where_it_stood(name: str, tmp_path: Path) -> None:
    method, settings = METHODS[name]
    settings = replace(settings, stop="published", rate=0.01, epochs=2, batch_size=20)
    run = MethodRun(method, settings, record(), Machine("cpu", "float32", 1), 0, False)
    batches: list[list[list[int]]] = []

    def trained(bookmark: Bookmark) -> Classifier:
        batches.append(note(model := classifier(), torch.is_grad_enabled))
        run.carry_out(model, sets(), bookmark, silent)
        return model

    whole = trained(Bookmark())
    with pytest.raises(Halted):
        trained(Halting(tmp_path, after=2))
    assert same(whole, trained(recall(tmp_path)))
    assert not same(whole, classifier(), within=1e-6)
    assert not torch.equal(whole.model[1].running_mean, network()[1].running_mean)
    first = len(batches[1]) - 2  # of the gradients that choose weights, computed again
    assert first == 2 * (name == "reset msg")
    assert batches[1] == batches[0][: first + 2]
    assert batches[2] == batches[0][:first] + batches[0][first + 2 :]


def test_rewind_returns_to_the_nearest_epoch_as_it_was_after_its_last_step(tmp_path: Path) -> None:
    settings = Scrub(stop="rewind", optimizer="sgd", rate=0.3, epochs=4, batch_size=20)
    run = MethodRun(scrub, settings, record(), Machine("cpu", "float32", 1), 18, True)

    def rewind(bookmark: Bookmark) -> tuple[Outcome, Classifier]:
        return run.carry_out(model := classifier(), sets(), bookmark, silent), model

    outcome, model = rewind(bookmark := Bookmark())
    by_hand, of, ends = classifier(), sets(), []
    seed = seed_for(18, key_of(of.forget.keys))
    updates = list(scrub(by_hand, of.forget.samples, of.retain.samples, epochs=4, batch_size=20, seed=seed))
    steps = seeded(updates, seed, torch.device("cpu"))
    for count in Counter(update.epoch for update in updates).values():
        list(islice(fit(sgd(by_hand, 0.3), steps), count))
        right = [accuracy(predict(by_hand, images), labels) for images, labels in (of.forget.samples, of.tune)]
        ends.append((abs(right[0] - right[1]), copy.deepcopy(by_hand)))
    gaps = [gap for gap, _ in ends]
    assert bookmark.log == [{"epoch": epoch, "error_gap": gap} for epoch, gap in enumerate(gaps, 1)]
    assert outcome.metrics == {"steps": len(updates), "epoch": 3, "error_gap": min(gaps)}
    assert gaps.index(min(gaps)) == 2
    assert same(model, ends[2][1], within=1e-6)
    for after in (2, 3):
        with pytest.raises(Halted):
            rewind(Halting(tmp_path, after))
        again, resumed = rewind(recall(tmp_path))
        assert again == outcome
        assert same(resumed, model)


def test_brake_that_goes_onward_takes_all_steps() -> None:
    model = small()
    gauge = gauge_of(FORGET, samples(60, 200), torch.ones(4, dtype=torch.bool))
    steps = fit(sgd(model), scrub(model, FORGET, RETAIN, epochs=3, batch_size=20, ids_per_step=12))
    how = Braking(gauge.read(model), margin=1.0, every=1, onward=True)
    visits = list(brake(model, sgd(model), steps, gauge, how))
    assert [visit.step for visit in visits] == list(range(1, 10))


def test_step_that_moved_nothing_says_so(forgetkit: Run, model: Path, ids: Path) -> None:
    settings = ("--stop", "published", "--epochs", "1", "--rate", "1e-9", "--json")
    ran = forgetkit("finetune", model, "--ids", ids, *settings)
    assert (ran.code, [warning["code"] for warning in ran.json["warnings"]]) == (0, ["unmoved"])
