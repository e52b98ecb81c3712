"""The training loop, the evaluation loop, the recipe, and the order and augmentation of samples."""

import copy
import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD

from forgetkit.errors import ForgetkitError
from forgetkit.training.batches import augmented, drawn_changes, shuffled
from forgetkit.training.classifier import Classifier, Samples, accuracy, predict
from forgetkit.training.history import History
from forgetkit.training.loop import complete, train_steps
from forgetkit.training.optimizers import make_optimizer, optimizer_of
from forgetkit.training.recipe import Recipe, halved, recipe_of, recorded_epochs, resolve_recipe
from forgetkit.training.resume import Bookmark
from forgetkit.training.train_options import Training
from forgetkit.training.updates import Update, fit, started, walk
from tests import tiny
from tests.tiny import Halted, Halting, note, recall, same, sgd, weights


def network(*, dropout: float = 0.0) -> nn.Sequential:
    """Return a network in train mode."""
    return tiny.network(norm=False, dropout=dropout)


def samples(count: int = 64, first: int = 0) -> Samples:
    """Return images that a network can learn, and labels."""
    images, _ = tiny.samples(count, first)
    return images, images[:, 0, 1:3, 1:3].flatten(1).argmax(1)


def run(
    model: nn.Module,
    *,
    seed: int = 0,
    data: Samples | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
    **changes: Any,  # noqa: ANN401 - Recipe's own fields
) -> History:
    """Train on the samples with plain SGD."""
    recipe = Recipe(**{"epochs": 3, "optimizer": "sgd", "rate": 0.1, "batch_size": 16, **changes})
    optimizer = optimizer_of(model, recipe)
    return complete(
        train_steps(
            model,
            *(data or samples()),
            recipe=recipe,
            optimizer=optimizer,
            tune=samples(32, 200),
            seed=seed,
            watch=watch,
        )
    )


def test_fit_is_gradient_descent_by_hand() -> None:
    x = torch.tensor([1.0], requires_grad=True)
    # loss b·x², slope 2·b·x: 1 → 1 − 0.1·2·1 = 0.8 → 0.8 − 0.1·4·0.8 = 0.48
    losses = list(fit(SGD([x], lr=0.1), [Update(lambda b: (b * x * x).sum(), b) for b in (1.0, 2.0)]))
    assert x.item() == pytest.approx(0.48)
    assert [loss.item() for loss in losses] == pytest.approx([1.0, 1.28])
    assert not any(loss.requires_grad for loss in losses)


def test_fit_stops_when_its_caller_stops_to_ask() -> None:
    x = torch.tensor([1.0], requires_grad=True)
    steps = fit(SGD([x], lr=0.1), [Update(lambda b: (b * x * x).sum(), 1.0)] * 9)
    next(steps)
    next(steps)
    assert x.item() == pytest.approx(0.64)


def method(model: nn.Module, computed: list[Tensor]) -> Iterator[Update]:
    """Yield six updates towards the outputs of the model as it is before the first."""
    images = samples()[0]
    computed.append(known := predict(model, images).roll(1, 0))

    def loss(rows: Tensor) -> Tensor:
        return (model(images[rows]) - known[rows]).square().mean()

    for start in range(6):
        yield Update(loss, torch.arange(start, 64, 6))


@pytest.mark.parametrize("done", range(7))
def test_updates_that_were_carried_out_are_skipped(done: int) -> None:
    batches, computed = note(model := network(), torch.is_grad_enabled), list[Tensor]()
    updates = started(method(model, computed), done)
    assert torch.equal(computed[0], predict(network(), samples()[0]).roll(1, 0))  # before any step
    assert batches == []
    assert len(list(fit(sgd(model), updates))) == 6 - done
    assert [batch[0] for batch in batches] == list(range(done, 6))


def test_a_method_without_updates_is_started_and_over() -> None:
    assert list(started(iter(()))) == list(started(iter(()), 3)) == []


@pytest.mark.parametrize("after", [1, 3, 6])
def test_a_walk_that_was_halted_ends_in_the_same_bytes(after: int, tmp_path: Path) -> None:
    computed: list[Tensor] = []

    def run(bookmark: Bookmark) -> nn.Module:
        model = network()
        begin = lambda: (make_optimizer(model, "adam", rate=0.1), method(model, computed))  # noqa: E731
        optimizer, taken = walk(bookmark, "steps", model, begin)
        assert (taken, float(optimizer.state_dict()["state"][0]["step"])) == (6, 6)
        return model

    whole = run(Bookmark())
    with pytest.raises(Halted):
        run(Halting(tmp_path, after))
    assert same(run(recall(tmp_path)), whole)
    assert torch.equal(computed[0], computed[2])
    assert not same(whole, network(), within=1e-3)


def test_train_is_a_literal_loop_of_sgd() -> None:
    model, (images, labels) = network(), samples()
    other = copy.deepcopy(model)
    history = run(model)
    optimizer = sgd(other)
    for epoch in (1, 2, 3):
        losses = []
        for rows in shuffled(64, 16, seed=0, epoch=epoch):
            optimizer.zero_grad()
            loss = cross_entropy(other(images[rows]), labels[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert history.epochs[epoch - 1]["loss"] == pytest.approx(sum(losses) / 4)
    assert torch.allclose(weights(model), weights(other), atol=1e-12, rtol=0)


def test_training_learns() -> None:
    history = run(network(), epochs=40, rate=0.5)
    assert history.epochs[-1]["loss"] < 0.2 < history.epochs[0]["loss"]


@pytest.mark.parametrize("mode", [True, False])
def test_predict_leaves_mode_and_weights_as_they_were(mode: bool) -> None:
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5), network()).double().train(mode)
    before = copy.deepcopy(model.state_dict())
    logits = predict(model, samples()[0])
    assert model.training == mode
    assert not logits.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(logits, predict(model, samples()[0]))


def test_predict_does_not_depend_on_its_batches() -> None:
    model, images = network(), samples()[0]
    assert torch.allclose(predict(model, images, batch_size=7), predict(model, images), atol=1e-12)


@pytest.mark.parametrize("shape, most", [((1, 28, 28), 256), ((3, 32, 32), 256), ((3, 96, 96), 37), ((3, 224, 224), 8)])
def test_a_batch_of_evaluation_is_smaller_for_larger_images(shape: tuple[int, ...], most: int) -> None:
    seen: list[int] = []

    class Counting(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return images.flatten(1)[:, :2].float()

    predict(Counting(), torch.zeros(1, *shape, dtype=torch.uint8).expand(300, *shape))
    assert max(seen) == most
    assert sum(seen) == 300


def test_accuracy_by_hand() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [5.0, 1.0]])
    assert accuracy(logits, torch.tensor([0, 1, 1])) == 2 / 3


def test_the_best_epochs_weights_are_kept() -> None:
    changes = {"epochs": 8, "rate": 1.5, "batch_size": 4}
    history = run(model := network(), keep="best", **changes)
    rights = [entry["tune_accuracy"] for entry in history.epochs]
    best = rights.index(max(rights)) + 1
    assert history.best_epoch == best < 8
    assert accuracy(predict(model, samples(32, 200)[0]), samples(32, 200)[1]) == max(rights)
    run(stopped := network(), **{**changes, "epochs": best})
    assert torch.equal(weights(model), weights(stopped))


def test_the_last_epochs_weights_are_kept_by_default() -> None:
    history = run(model := network(), epochs=8, rate=1.5, batch_size=4, watch=[].append)
    assert accuracy(predict(model, samples(32, 200)[0]), samples(32, 200)[1]) == history.epochs[-1]["tune_accuracy"]


def test_no_epoch_is_looked_at_unless_somebody_watches() -> None:
    history = run(network(), epochs=3)
    assert not any("tune_accuracy" in entry for entry in history.epochs)
    assert history.best_epoch is None


def test_every_epoch_is_looked_at_where_somebody_watches() -> None:
    seen: list[dict[str, Any]] = []
    history = run(network(), epochs=3, watch=seen.append)
    rights = [entry["tune_accuracy"] for entry in seen]
    assert history.best_epoch == rights.index(max(rights)) + 1


def rates(schedule: str) -> list[float]:
    """Return the rate of every step of 3 epochs of 4 steps."""
    found: list[float] = []
    model, recipe = network(), Recipe(epochs=3, optimizer="sgd", rate=0.2, batch_size=16, schedule=schedule)
    optimizer = optimizer_of(model, recipe)
    optimizer.register_step_pre_hook(lambda moving, *_: found.append(moving.param_groups[0]["lr"]))
    complete(train_steps(model, *samples(), recipe=recipe, optimizer=optimizer, tune=samples(8), seed=0))
    return found


def test_the_cosine_schedule_is_its_formula() -> None:
    assert rates("cosine") == pytest.approx([0.1 * (1 + math.cos(math.pi * step / 12)) for step in range(12)])
    assert rates("constant") == [0.2] * 12


@given(st.integers(1, 200), st.integers(1, 40), st.floats(0.01, 1), st.integers(0, 9), st.integers(1, 9))
def test_an_epoch_draws_each_row_at_most_once(count: int, batch_size: int, part: float, seed: int, epoch: int) -> None:
    batches = shuffled(count, batch_size, seed=seed, epoch=epoch, part=part)
    rows = torch.cat(batches).tolist()
    assert len(rows) == len(set(rows)) == math.ceil(count * part)
    assert set(rows) <= set(range(count))
    assert max(len(batch) for batch in batches) <= batch_size + 1


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    first = torch.cat(shuffled(50, 8, seed=3, epoch=2))
    torch.manual_seed(1)
    assert torch.equal(torch.cat(shuffled(50, 16, seed=3, epoch=2)), first)
    assert not torch.equal(torch.cat(shuffled(50, 8, seed=3, epoch=3)), first)
    assert not torch.equal(torch.cat(shuffled(50, 8, seed=4, epoch=2)), first)


@pytest.mark.parametrize(
    "count, batch_size, sizes", [(17, 8, [8, 9]), (18, 8, [8, 8, 2]), (16, 8, [8, 8]), (1, 8, [1]), (3, 1, [1, 1, 1])]
)
def test_a_last_batch_of_one_joins_the_one_before(count: int, batch_size: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in shuffled(count, batch_size, seed=0, epoch=1)] == sizes


def pictures(height: int = 16, width: int = 16) -> Tensor:
    """Return eight uint8 images of two channels without a zero pixel."""
    shape = (8, 2, height, width)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def changed(images: Tensor, kind: str, seed: int) -> Tensor:
    size = (images.shape[2], images.shape[3])
    return augmented(images, *drawn_changes(kind, len(images), size, seed))


def shifted(image: Tensor, top: int, left: int) -> Tensor:
    """Return ``image`` moved up by ``top`` and left by ``left`` pixels, zeros moved in, pixel by pixel."""
    found = torch.zeros_like(image)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row + top < height and 0 <= column + left < width:
                found[:, row, column] = image[:, row + top, column + left]
    return found


@pytest.mark.parametrize("kind", ["none", "flip", "flip-crop"])
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (33, 21)])
def test_augmentation_keeps_shape_and_dtype_and_is_determined_by_its_seed(kind: str, size: tuple[int, int]) -> None:
    images = pictures(*size)
    before = images.clone()
    found = changed(images, kind, 5)
    assert (found.shape, found.dtype) == (images.shape, torch.uint8)
    assert torch.equal(images, before)
    assert torch.equal(changed(images, kind, 5), found)
    assert torch.equal(changed(images, kind, 6), found) == (kind == "none")


def test_flip_mirrors_some_images_and_leaves_the_others() -> None:
    images = pictures()
    flips = [
        (torch.equal(new, old), torch.equal(new, old.flip(2)))
        for new, old in zip(changed(images, "flip", 0), images, strict=True)
    ]
    assert set(flips) == {(True, False), (False, True)}


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (16, 40)])
def test_flip_crop_shifts_each_image_by_up_to_an_eighth_of_each_side(size: tuple[int, int]) -> None:
    images = pictures(*size)
    tall, wide = size[0] // 8, size[1] // 8
    shifts = [(top, left) for top in range(-tall, tall + 1) for left in range(-wide, wide + 1)]
    for new, old in zip(changed(images, "flip-crop", 1), changed(images, "flip", 1), strict=True):
        assert sum(torch.equal(new, shifted(old, *by)) for by in shifts) == 1


def test_flip_crop_reaches_every_shift() -> None:
    dot = torch.zeros(900, 1, 8, 8, dtype=torch.uint8)
    dot[:, :, 4, 4] = 1
    places = torch.nonzero(changed(dot, "flip-crop", 0))[:, 2:]
    assert set(places[:, 0].tolist()) == {3, 4, 5}
    assert set(places[:, 1].tolist()) == {2, 3, 4, 5}


def test_augmentation_changes_with_the_epoch() -> None:
    assert run(network(), augment="flip", seed=0).epochs != run(network(), augment="flip", seed=1).epochs
    assert run(network(), augment="flip").epochs[0] != run(network()).epochs[0]


def test_a_loss_that_is_not_finite_is_diverged() -> None:
    images, labels = samples()
    last = shuffled(64, 4, seed=0, epoch=1)[-1]  # past the steps whose gradients are looked at
    images[last] = math.inf
    with pytest.raises(ForgetkitError, match="the loss is not finite in epoch 1") as caught:
        run(network(), data=(images, labels), batch_size=4)
    assert (caught.value.code, caught.value.hint) == ("diverged", "lower --rate")


def test_a_gradient_that_is_not_finite_ends_a_training_at_once_and_is_named() -> None:
    images, labels = samples()
    with pytest.raises(ForgetkitError, match=r"the gradient of '0\.weight' is not finite in step 1, in float32"):
        run(network(), data=(images * math.inf, labels))


def test_predict_keeps_no_output_of_a_batch() -> None:
    """Small tensors among large ones that come and go would cut the memory into pieces: 2 GB for a million images."""
    outputs: list[weakref.ref[Tensor]] = []

    class Watched(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert sum(output() is not None for output in outputs) <= 1  # that of the batch before, at the most
            outputs.append(weakref.ref(logits := images.flatten(1)[:, :4].clone()))
            return logits

    images = samples()[0]
    assert torch.equal(predict(Watched(), images, batch_size=7), images.flatten(1)[:, :4])
    assert len(outputs) == 10


def test_training_leaves_the_global_randomness_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    run(model := network(dropout=0.5))
    torch.manual_seed(5)
    run(model)
    assert torch.equal(torch.rand(4), expected)


def test_dropout_depends_on_the_seed_only() -> None:
    ends = []
    for seed, disturbance in ((0, 1), (0, 2), (1, 1)):
        model = network(dropout=0.5)
        torch.manual_seed(disturbance)
        run(model, seed=seed)
        ends.append(weights(model))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


@pytest.mark.parametrize(
    "name, kind, defaults",
    [
        ("adam", torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8}),
        ("adamw", torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
        ("adadelta", torch.optim.Adadelta, {"rho": 0.9, "eps": 1e-6}),
        ("sgd", torch.optim.SGD, {"momentum": 0.9, "nesterov": False, "dampening": 0}),
    ],
)
def test_each_optimizer_is_torchs_own(name: str, kind: type, defaults: dict[str, object]) -> None:
    found = make_optimizer(network(), name, rate=0.03, momentum=0.9, weight_decay=0.2)
    group = found.param_groups[0]
    assert type(found).__base__ is kind
    assert {key: group[key] for key in defaults} == defaults
    assert (group["lr"], group["weight_decay"], len(group["params"])) == (0.03, 0.2, 6)


def test_a_frozen_parameter_is_not_optimized() -> None:
    model = network()
    model[0].weight.requires_grad_(False)
    assert len(make_optimizer(model, "sgd", rate=0.1).param_groups[0]["params"]) == 5


def test_an_unknown_optimizer_names_the_nearest() -> None:
    with pytest.raises(ForgetkitError, match="'adm'") as caught:
        make_optimizer(network(), "adm", rate=0.1)
    assert caught.value.hint in {"did you mean 'adam'?", "did you mean 'adamw'?"}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adadelta"])
def test_a_loaded_state_goes_on_as_if_never_saved_whatever_its_layout(name: str) -> None:
    images = torch.randn(4, 8, 9, 9, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = nn.Conv2d(8, 16, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model, name, rate=0.01, momentum=0.9)
    list(fit(optimizer, [Update(lambda batch: model(batch).square().mean(), images)] * 3))
    other = copy.deepcopy(model)
    again = make_optimizer(other, name, rate=0.01, momentum=0.9)
    kept = {
        row: {key: torch.as_tensor(value).clone(memory_format=torch.contiguous_format) for key, value in entry.items()}
        for row, entry in optimizer.state_dict()["state"].items()
    }
    again.load_state_dict({"state": kept, "param_groups": again.state_dict()["param_groups"]})
    for moving, network_ in ((optimizer, model), (again, other)):
        list(fit(moving, [Update(lambda batch, m=network_: m(batch).square().mean(), images)] * 3))  # type: ignore[misc]
    assert torch.equal(weights(other), weights(model))


def given_training(**changes: object) -> Training:
    """Return the recipe options of a command line that gives only ``changes``."""
    return Training(**{**{field.name: None for field in fields(Training)}, **changes})  # type: ignore[arg-type]


def test_nothing_given_is_kim_and_woos_recipe() -> None:
    recipe = resolve_recipe(Recipe(), given_training())
    assert (recipe.optimizer, recipe.rate, recipe.batch_size, recipe.epochs) == ("adam", 0.001, 128, 20)


def test_adamws_default_decay_is_torchs() -> None:
    default = torch.optim.AdamW(network().parameters()).defaults["weight_decay"]
    assert resolve_recipe(Recipe(), given_training(optimizer="adamw")).weight_decay == default == 0.01
    assert resolve_recipe(Recipe(), given_training(optimizer="adamw", weight_decay=0.0)).weight_decay == 0.0


def test_naming_the_recorded_optimizer_changes_nothing() -> None:
    for recorded in (Recipe(optimizer="adamw", weight_decay=0.05), Recipe(optimizer="sgd", momentum=0.9)):
        assert resolve_recipe(recorded, given_training(optimizer=recorded.optimizer)) == recorded


def test_another_optimizer_begins_with_its_own_momentum_and_decay() -> None:
    recorded = Recipe(optimizer="sgd", momentum=0.9, weight_decay=5e-4)
    found = resolve_recipe(recorded, given_training(optimizer="adam"))
    assert (found.momentum, found.weight_decay) == (0.0, 0.0)


@pytest.mark.parametrize(
    "changes",
    [{"optimizer": "adm"}, {"schedule": "x"}, {"augment": "x"}, {"keep": "x"}, {"rate": 0.0}, {"momentum": 0.5}],
)
def test_a_recipe_that_is_not_to_be_had_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ForgetkitError) as caught:
        resolve_recipe(Recipe(), given_training(**changes))
    assert (caught.value.code, caught.value.status) == ("usage", 2)


def test_half_the_epochs_are_rounded_up() -> None:
    assert [halved(Recipe(epochs=epochs, keep="best")) for epochs in (1, 2, 5)] == [
        Recipe(epochs=1),
        Recipe(epochs=1),
        Recipe(epochs=3),
    ]


def test_a_record_without_a_whole_recipe_is_malformed() -> None:
    with pytest.raises(ForgetkitError, match="epochs") as caught:
        recipe_of({"optimizer": "adam"})
    assert caught.value.code == "checkpoint-malformed"


def test_the_classifier_normalises_and_shares_its_models_weights() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    classifier = Classifier(model, mean=[10.0, 20.0], std=[2.0, 4.0])
    images = torch.arange(16, dtype=torch.uint8).reshape(2, 2, 2, 2)
    scaled = torch.stack([(images[:, 0] - 10.0) / 2, (images[:, 1] - 20.0) / 4], 1)
    assert torch.allclose(classifier(images), model(scaled), atol=1e-6)
    assert {p.data_ptr() for p in classifier.parameters()} == {p.data_ptr() for p in model.parameters()}


def test_mixed_precision_gives_float32_logits() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    mixed = Classifier(model, mean=[0.0], std=[255.0], precision="bfloat16")
    plain = Classifier(model, mean=[0.0], std=[255.0])
    images = torch.randint(0, 256, (4, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert mixed(images).dtype == torch.float32
    assert not torch.equal(mixed(images), plain(images))
    assert torch.allclose(mixed(images), plain(images), atol=0.05)


def test_training_is_in_train_mode_whatever_mode_the_model_comes_in() -> None:
    run(first := network(dropout=0.5))
    run(second := network(dropout=0.5).eval())
    assert torch.equal(weights(first), weights(second))


@pytest.mark.parametrize("epochs", ["os:system", None, True, 0, -1, 1e308, 2**70, []])
def test_a_record_without_a_number_of_epochs_is_refused(epochs: object) -> None:
    with pytest.raises(ForgetkitError, match="unusable 'epochs'"):
        recorded_epochs({"epochs": epochs})
