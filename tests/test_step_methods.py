"""The field's methods: the direction of each, and its update beside a few lines written anew."""

import copy
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, softmax

from forgetkit.methods.ascend import ascend
from forgetkit.methods.badteach import badteach
from forgetkit.methods.dampen import dampen
from forgetkit.methods.finetune import finetune, penalty_at
from forgetkit.methods.importance import importance, saliency, top
from forgetkit.methods.reset import begin_reset, kernels, rate_at, reinitialise, smallest, transpose, tuned
from forgetkit.methods.scrub import SHIFT, scrub
from forgetkit.training.batches import passes, shuffled
from forgetkit.training.mask import masked
from forgetkit.training.optimizers import make_optimizer
from forgetkit.unlearning.backtracking import brake
from tests.conftest import Run

Samples = tuple[Tensor, Tensor]


def small() -> nn.Module:
    """Return a network of about 1,000 parameters, with batch norm."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8 * 16, 4)).eval()


def samples(count: int, seed: int) -> Samples:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 8, 8, generator=source), torch.randint(0, 4, (count,), generator=source)


FORGET, RETAIN = samples(12, 1), samples(40, 2)


def loss_of(model: nn.Module, on: Samples) -> float:
    with torch.no_grad():
        return float(cross_entropy(model(on[0]), on[1]))


def same(one: nn.Module, other: nn.Module, *, within: float = 0.0) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=within) for a, b in pairs)


def sgd(model: nn.Module, rate: float = 0.1) -> torch.optim.Optimizer:
    return make_optimizer(model, "sgd", rate=rate)


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
    list(ascend(model, FORGET, RETAIN, optimizer=sgd(model), alpha=0.5, epochs=3, batch_size=20, forget_batch=6))
    assert loss_of(model, FORGET) > before


def test_ascent_is_the_equation() -> None:
    model, by_hand = small(), small()
    next(ascend(model, FORGET, RETAIN, optimizer=sgd(model), alpha=0.9, batch_size=20, forget_batch=6, seed=3))
    gone = next(passes(12, 6, seed=3, purpose="ascend forget"))[1]
    rows = next(passes(40, 20, seed=3, purpose="ascend retain"))[1]
    kept = cross_entropy(by_hand(RETAIN[0][rows]), RETAIN[1][rows])
    stepped(by_hand, 0.9 * kept - 0.1 * cross_entropy(by_hand(FORGET[0][gone]), FORGET[1][gone]))
    assert same(model, by_hand, within=1e-6)


def test_plain_ascent_reads_nothing_that_is_retained() -> None:
    ends = [small(), small()]
    for model, retain in zip(ends, (RETAIN, (RETAIN[0] * 9, RETAIN[1])), strict=True):
        list(ascend(model, FORGET, retain, optimizer=sgd(model), alpha=0.0, epochs=1, forget_batch=6))
    assert same(*ends)
    assert not same(ends[0], small())


def test_fine_tuning_lowers_the_loss_on_what_is_retained() -> None:
    model = small()
    before = loss_of(model, RETAIN)
    list(finetune(model, RETAIN, optimizer=sgd(model), epochs=3, batch_size=20))
    assert loss_of(model, RETAIN) < before


def test_fine_tuning_is_the_equation_with_its_penalty() -> None:
    model, by_hand = small(), small()
    next(finetune(model, RETAIN, optimizer=sgd(model), batch_size=20, l1=0.01, seed=5))
    rows = shuffled(40, 20, seed=5, epoch=1)[0]
    penalty = sum((weight.abs().sum() for weight in by_hand.parameters()), torch.zeros(()))
    stepped(by_hand, cross_entropy(by_hand(RETAIN[0][rows]), RETAIN[1][rows]) + 0.01 * penalty)
    assert same(model, by_hand, within=1e-6)


def test_penalty_falls_to_nothing() -> None:
    assert [penalty_at(epoch, 5, l1=0.3, free=2) for epoch in range(5)] == pytest.approx([0.3, 0.2, 0.1, 0, 0])


def test_scrub_moves_away_on_what_is_forgotten_and_its_teacher_stays() -> None:
    model, original = small(), small()
    teacher = original(FORGET[0]).detach()
    run = scrub(model, FORGET, RETAIN, optimizer=sgd(model), epochs=1, forget_batch=6, batch_size=20)
    next(run)  # the first step has no gradient: student and teacher are the same
    assert same(model, original, within=1e-6)
    model.load_state_dict({name: value + 0.01 for name, value in original.state_dict().items()})
    before = float(kl(teacher, model(FORGET[0]), 2.0).detach())
    next(run)
    assert float(kl(teacher, model(FORGET[0]), 2.0).detach()) > before


def test_scrub_is_its_equations() -> None:
    model, by_hand = small(), small()
    steps = scrub(
        model, FORGET, RETAIN, optimizer=sgd(model), forget_batch=12, batch_size=20, kl_weight=0.7, away_epochs=2
    )
    assert list(islice(steps, 6)) == [1, 1, 1, 2, 2, 2]
    teachers = by_hand(FORGET[0]).detach(), by_hand(RETAIN[0]).detach()
    for epoch in (1, 2):
        gone = shuffled(12, 12, seed=0, epoch=epoch + SHIFT)[0]
        stepped(by_hand, -kl(teachers[0][gone], by_hand(FORGET[0][gone]), 2.0))
        for rows in shuffled(40, 20, seed=0, epoch=epoch):
            logits = by_hand(RETAIN[0][rows])
            stepped(by_hand, cross_entropy(logits, RETAIN[1][rows]) + 0.7 * kl(teachers[1][rows], logits, 2.0))
    assert same(model, by_hand, within=1e-5)


def test_bad_teaching_takes_what_is_forgotten_to_the_bad_teacher() -> None:
    model, bad = small(), torch.zeros(12, 4)
    before = float(kl(bad, model(FORGET[0]), 1.0).detach())
    list(badteach(model, FORGET[0], bad, RETAIN[0], optimizer=sgd(model), epochs=5, batch_size=8))
    assert float(kl(bad, model(FORGET[0]), 1.0).detach()) < before


def test_bad_teaching_is_its_equation() -> None:
    model, by_hand, bad = small(), small(), torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    list(badteach(model, FORGET[0], bad, RETAIN[0], optimizer=sgd(model), retain_fraction=1.0, batch_size=60))
    images = torch.cat([FORGET[0], RETAIN[0]])
    good = by_hand(RETAIN[0]).detach()
    stepped(by_hand, (12 * kl(bad, by_hand(images[:12]), 1.0) + 40 * kl(good, by_hand(images[12:]), 1.0)) / 52)
    assert same(model, by_hand, within=1e-5)


def test_transposing_twice_changes_nothing_and_once_does() -> None:
    model = small()
    begin_reset(model, FORGET, RETAIN, kind="ct", share=0.3, seed=0)
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
    model, by_hand = small(), small()
    chosen = {name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in kernels(model).items()}
    next(tuned(model, RETAIN, optimizer=sgd(model), rate=0.5, kind="msg", chosen=chosen, epochs=1, batch_size=20))
    rows = shuffled(40, 20, seed=0, epoch=1)[0]
    stepped(by_hand, cross_entropy(by_hand(RETAIN[0][rows]), RETAIN[1][rows]), 0.5 * rate_at("msg", 0, 2) * 0.1)
    assert same(model, by_hand, within=1e-6)


def test_model_without_convolutions_is_refused_for_a_reset() -> None:
    from forgetkit.errors import ForgetkitError

    with pytest.raises(ForgetkitError, match="nothing to reset"):
        begin_reset(nn.Linear(3, 2), FORGET, RETAIN, kind="ct", share=0.3, seed=0)


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
    list(finetune(model, (torch.cat([FORGET[0], RETAIN[0]]), torch.cat([FORGET[1], RETAIN[1]])), optimizer=sgd(model)))
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
        list(ascend(model, FORGET, RETAIN, optimizer=optimizer, epochs=2, batch_size=20))
    for key, weight in model.named_parameters():
        assert torch.equal(weight[~mask[key]], start[key][~mask[key]])
        kept = [value for value in optimizer.state[weight].values() if torch.is_tensor(value) and value.dim()]
        assert all(not value[~mask[key]].any() for value in kept)
    assert not same(model, small())


def test_running_statistics_stay_under_a_mask_in_train_mode_too() -> None:
    model, start = small(), small().state_dict()
    mask = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in model.named_parameters()}
    with masked(model, mask):
        model.train()
        optimizer = sgd(model)
        cross_entropy(model(RETAIN[0]), RETAIN[1]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert torch.equal(model[1].running_mean, start["1.running_mean"])
    assert not torch.equal(model[0].weight, start["0.weight"])


@pytest.mark.parametrize("method", ["ascend", "finetune", "scrub", "badteach", "tuned"])
def test_running_statistics_stay_and_steps_go_on_where_they_stood(method: str) -> None:
    def begin(model: nn.Module, done: int) -> object:
        given = {"optimizer": sgd(model, 0.01), "epochs": 2, "batch_size": 20, "done": done}
        if method == "badteach":
            return badteach(model, FORGET[0], torch.zeros(12, 4), RETAIN[0], **given)  # type: ignore[arg-type]
        if method in {"finetune", "tuned"}:
            return {"finetune": finetune, "tuned": tuned}[method](model, RETAIN, **given)  # type: ignore[operator]
        return {"ascend": ascend, "scrub": scrub}[method](model, FORGET, RETAIN, **given)  # type: ignore[operator]

    whole, halted, resumed = small(), small(), small()
    list(begin(whole, 0))  # type: ignore[call-overload]
    list(islice(begin(halted, 0), 2))  # type: ignore[call-overload]
    run = begin(resumed, 2)
    resumed.load_state_dict(copy.deepcopy(halted.state_dict()))
    list(run)  # type: ignore[call-overload]
    assert same(whole, resumed)
    assert not same(whole, small())
    assert torch.equal(whole[1].running_mean, small()[1].running_mean)


def test_brake_that_goes_onward_takes_all_steps() -> None:
    from forgetkit.unlearning.membership_gauge import gauge_of

    model = small()
    gauge = gauge_of(FORGET, samples(60, 3), torch.ones(4, dtype=torch.bool))
    steps = scrub(model, FORGET, RETAIN, optimizer=sgd(model), epochs=3, batch_size=20, forget_batch=12)
    before = gauge.look(model)
    visits = list(brake(model, sgd(model), steps, gauge, before=before, margin=1.0, every=1, onward=True))
    assert [visit.step for visit in visits] == list(range(1, 10))


def test_step_that_moved_nothing_says_so(forgetkit: Run, model: Path, ids: Path) -> None:
    settings = ("--stop", "published", "--epochs", "1", "--rate", "1e-9", "--json")
    ran = forgetkit("finetune", model, "--ids", ids, *settings)
    assert (ran.code, [warning["code"] for warning in ran.json["warnings"]]) == (0, ["unmoved"])
