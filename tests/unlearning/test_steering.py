"""On which samples a step tunes its settings: the ids themselves, or retained samples in their place."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn

from forgetkit.data.canaries import as_trained, draw_canaries, entry_of
from forgetkit.data.dataset import Dataset, Split, row_numbers
from forgetkit.events import silent
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record
from forgetkit.training.classifier import Samples
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update
from forgetkit.unlearning.backtracking import Braking
from forgetkit.unlearning.early_stopping import Begin, Stopped, rehearsed_steps, stop_when_forgotten
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.membership_gauge import Gauge, Reading
from forgetkit.unlearning.rate_search import Evaluation
from forgetkit.unlearning.sets import Pool, Sets
from forgetkit.unlearning.tuning_groups import BACKWARD, SHARES, TuningGroups, gauge_on, steps_between, tuning_groups

CLASSES = ("a", "b", "c", "d")


def split(size: int, first: int) -> Split:
    """Return samples of 4 classes in turn, whose first two pixels are their number."""
    images = np.zeros((size, 1, 4, 4), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = divmod(np.arange(first, first + size), 256)
    return Split(row_numbers(size), images, np.arange(size) % 4)


DATASET = Dataset("numbers", CLASSES, split(1000, 0), split(600, 10_000), "00" * 32)


def request_for(ids: object, *, dataset: Dataset = DATASET, recipe: dict[str, object] | None = None) -> Request:
    """Return a request for rows of the data set, of a model of all of it."""
    salt = dataset.fingerprint
    record = Record(
        digest="",
        model={},
        input={},
        classes=list(CLASSES),
        dataset={},
        recipe=recipe or {},
        trained=None,
        forgotten=KeySet.of([], salt),
        steps=[],
        software={},
    )
    return Request(Path("m.st"), record, dataset, [str(row) for row in ids], ())  # type: ignore[attr-defined]


def numbers(samples: Samples) -> list[int]:
    """Return the numbers of samples."""
    return (samples[0][:, 0, 0, 0].int() * 256 + samples[0][:, 0, 0, 1].int()).tolist()


def sets_for(ids: object, *, dataset: Dataset = DATASET, recipe: dict[str, object] | None = None) -> Sets:
    """Return the sets of a request for rows of the data set."""
    return Sets.of_request(request_for(ids, dataset=dataset, recipe=recipe), "cpu")


def groups_for(ids: object) -> TuningGroups:
    return tuning_groups(sets_for(ids), seed=0)


def test_a_hundred_ids_drawn_at_random_are_measured_themselves() -> None:
    found = groups_for(range(100))
    assert (found.direct, found.reason) == (True, "")
    assert numbers(found.groups[0].samples) == list(range(100)) == numbers(found.gauges[0].forget)
    assert numbers(found.retain.samples) == list(range(100, 1000))
    assert "forget set and the tune half" in found.describe()


def test_ids_are_measured_against_the_tune_half_only() -> None:
    gauge = groups_for(range(100)).gauges[0]
    tune = {10_000 + row for row in DATASET.tune_rows.tolist()}
    assert set(numbers(gauge.unseen)) | set(numbers(gauge.guard)) <= tune


@pytest.mark.parametrize("size, groups", [(1, 200), (3, 67), (30, 7), (99, 3)])
def test_few_ids_are_stood_in_for_by_groups_of_as_many_retained_samples(size: int, groups: int) -> None:
    found = groups_for(range(size))
    assert not found.direct
    assert [len(group) for group in found.groups] == [size] * groups
    drawn = [n for group in found.groups for n in numbers(group.samples)]
    assert len(set(drawn)) == len(drawn) == size * groups
    rest = numbers(found.retain.samples)
    assert sorted(drawn + rest) == list(range(size, 1000))
    assert f"{size} ids are too few" in found.describe()
    assert all(gauge.forget is group.samples for gauge, group in zip(found.gauges, found.groups, strict=True))


def test_expensive_steps_use_fewer_groups() -> None:
    few = (whole := groups_for(range(5))).first(4)
    assert [numbers(group.samples) for group in few.groups] == [numbers(group.samples) for group in whole.groups[:4]]
    assert (len(few.gauges), few.reason) == (4, whole.reason)


def test_groups_leave_half_of_a_small_retain_set() -> None:
    assert groups_for(range(40, 1000)).direct
    few = tuning_groups(sets_for(range(30), dataset=small(70)), seed=0)
    assert [len(group) for group in few.groups] == [20]
    assert len(few.retain) == 20


def small(size: int) -> Dataset:
    """Return the data set with fewer training samples."""
    return Dataset("numbers", CLASSES, split(size, 0), DATASET.test, "00" * 32)


def test_ids_of_one_class_were_chosen() -> None:
    found = groups_for(range(0, 800, 4))  # 200 of the 250 of class a
    assert not found.direct
    assert "chosen" in found.reason
    assert [len(group) for group in found.groups] == [200]
    assert set(found.groups[0].labels.tolist()) == {0, 1, 2, 3}


def test_a_whole_class_is_measured_itself() -> None:
    found = groups_for(range(0, 1000, 4))
    assert found.direct
    assert found.gauges[0].kept.tolist() == [False, True, True, True]
    assert 0 not in found.gauges[0].guard[1].tolist()


def test_the_groups_depend_on_the_seed_alone() -> None:
    drawn = [
        [numbers(group.samples) for group in tuning_groups(sets_for(range(30)), seed=seed).groups] for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def with_canaries() -> tuple[Dataset, dict[str, object], np.ndarray]:
    """Return a data set with 40 mislabelled canaries, the recipe that knows them, and the included rows."""
    found = draw_canaries(DATASET, np.arange(500, 1000), count=40, kind="mislabelled", seed=3)
    entry = entry_of(found, DATASET, kind="mislabelled", seed=3, salt=DATASET.fingerprint)
    recipe: dict[str, object] = {"canaries": entry}
    return as_trained(DATASET, request_for([], recipe=recipe).record), recipe, found.included_rows


def test_canaries_are_unlearned_but_never_measured() -> None:
    dataset, recipe, canaries = with_canaries()
    ids = [*range(120), *canaries.tolist()]
    found = tuning_groups(sets_for(ids, dataset=dataset, recipe=recipe), seed=0)
    assert found.direct
    assert numbers(found.groups[0].samples) == ids
    assert numbers(found.gauges[0].forget) == list(range(120))


def test_nothing_but_canaries_is_rehearsed_on_retained_samples() -> None:
    dataset, recipe, canaries = with_canaries()
    found = tuning_groups(sets_for(canaries, dataset=dataset, recipe=recipe), seed=0)
    assert found.reason == "the ids are canaries"
    assert {len(group) for group in found.groups} == {len(canaries)}
    assert not {n for group in found.groups for n in numbers(group.samples)} & set(canaries.tolist())


class Bias(nn.Module):
    """A model that says the same of every image but for class a, by how many steps it took."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.tensor([0.25, 7.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits: those of training images are right, ever less with each step."""
        number = images[:, 0, 0, 0].float() * 256 + images[:, 0, 0, 1]
        known = (number < 10_000) * (4 - self.taken)
        noise = torch.sin(number * 12.9898)
        return torch.nn.functional.one_hot(number.long() % 4, 4) * (known + noise)[:, None]


def begins(model: Bias, most: int = 1000) -> Begin:
    """Return what begins a run of at most ``most`` steps, each of which adds 1 to ``taken``."""

    def begin(_: Pool) -> tuple[torch.optim.Optimizer, Iterator[Update]]:
        return torch.optim.SGD(model.parameters(), lr=1.0), iter([Update(lambda _: -model.taken, None)] * most)

    return begin


def stopped(model: Bias, found: TuningGroups, *, every: int = 1, most: int = 9, margin: float = 1.0) -> Stopped:
    """Forget the first 30 ids."""
    before, forget = found.rehearse(model, lambda _: None), Pool.of_split(DATASET.train, np.arange(30), "cpu")
    how = Braking(before, margin, every)
    return stop_when_forgotten(model, forget, found, begins(model), how, most=most, bookmark=Bookmark(), tell=silent)


def test_a_rehearsal_puts_the_weights_back_bit_for_bit() -> None:
    model, found = Bias(), groups_for(range(30))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen: list[float] = []

    def work(_: Pool) -> None:
        seen.append(float(model.taken.detach()))
        with torch.no_grad():
            model.taken.add_(3.3)
            model.mean.mul_(0.1)

    found.rehearse(model, work)
    assert seen == [0.0] * len(found.groups)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_rehearsal_pools_what_all_groups_show() -> None:
    model, found = Bias(), groups_for(range(30))
    readings = [gauge.read(model) for gauge in found.gauges]
    pooled = found.rehearse(model, lambda _: None)
    assert pooled.auc == pytest.approx(np.mean([reading.auc for reading in readings]))
    assert pooled.error < min(reading.error for reading in readings)


def rehearsed(model: Bias, *, every: int, most: int, steps: int = 1000, onward: bool = False) -> list[Evaluation]:
    """Rehearse on groups of 30."""
    found = groups_for(range(30))
    how = Braking(found.rehearse(model, lambda _: None), 1.0, every, onward)
    return rehearsed_steps(found, model, begins(model, steps), how, most=most, bookmark=Bookmark())


def test_rehearsed_steps_are_counted_from_the_same_start_and_put_back() -> None:
    model = Bias()
    seen = rehearsed(model, every=1, most=9)
    gaps = [one.reading.gap for one in seen]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.3 > -0.2 > gaps[-1]
    assert max(one.step for one in seen) <= 9
    assert float(model.taken.detach()) == 0.0


def test_steps_that_end_before_the_next_reading_are_counted_as_taken() -> None:
    seen = rehearsed(Bias(), every=3, most=100, steps=5, onward=True)
    assert [one.step for one in seen] == [3, 5]


def test_the_number_of_steps_that_was_rehearsed_is_taken_on_the_ids() -> None:
    model = Bias()
    end = stopped(model, groups_for(range(30)))
    assert end.best is not None
    assert float(model.taken.detach()) == end.best.step == 4
    assert abs(end.best.reading.gap) < 0.1


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        (Reading(None, 0.0, 0.9), "on the ids themselves accuracy is lost (95.00% → 90.00% on the tune half)"),
        (Reading(None, 0.0, 0.95, vanished=0.5), "accuracy on their classes without retained samples is 50.00%"),
        (Reading(None, 0.0, 0.94, vanished=0.0), ""),
    ],
)
def test_what_was_rehearsed_must_hold_on_the_ids(after: Reading, fault: str) -> None:
    shown = iter([Reading(None, 0.0, 0.95, vanished=1.0), after])
    own = cast(Gauge, SimpleNamespace(read=lambda _: next(shown)))
    end = stopped(Bias(), replace(groups_for(range(30)), own=own), margin=0.02)
    assert (fault in end.fault, end.best is None) == (True, bool(fault))
    assert bool(end.fault) is bool(fault)


def test_few_steps_that_all_jump_are_no_success() -> None:
    model = Bias()
    end = stopped(model, groups_for(range(100)), every=8, most=8)
    assert (end.best, len(end.seen)) == (None, 1)
    assert float(model.taken.detach()) == 0.0


def test_readings_cost_a_share_of_the_steps() -> None:
    for ids in (range(100), range(999)):
        gauge = gauge_on(sets_for(ids), seed=0)
        every = steps_between(gauge, 32)
        assert gauge.size <= SHARES[0] * BACKWARD * 32 * every
        assert every == 1 or gauge.size > SHARES[0] * BACKWARD * 32 * (every - 1)


def test_a_reading_is_of_the_ids() -> None:
    assert gauge_on(sets_for(range(100)), seed=0).read(Bias()).auc == 1.0
