"""On what a step finds its setting out: the ids themselves, or retained samples in their place."""

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
from forgetkit.training.classifier import Samples, take
from forgetkit.training.device import Machine
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning import tuning_groups as courses
from forgetkit.unlearning.early_stopping import Start, rehearsed_steps, stop_unseen
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.membership_gauge import Gauge, Look
from forgetkit.unlearning.tuning_groups import Course, course_of, gauge_on, steps_between

MACHINE = Machine("cpu", "float32", 1)
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


TUNE = take(DATASET.test, DATASET.tune_rows, "cpu")


def course(ids: object) -> Course:
    return course_of(request_for(ids), TUNE, MACHINE, seed=0)


def test_a_hundred_ids_drawn_at_random_speak_for_themselves() -> None:
    found = course(range(100))
    assert (found.direct, found.why) == (True, "")
    assert numbers(found.groups[0]) == list(range(100)) == numbers(found.gauges[0].forget)
    assert numbers(found.retain) == list(range(100, 1000))
    assert "forget set and the tune half" in found.says()


def test_looks_at_the_ids_are_at_the_tune_half_only() -> None:
    gauge = course(range(100)).gauges[0]
    tune = {10_000 + row for row in DATASET.tune_rows.tolist()}
    assert set(numbers(gauge.unseen)) | set(numbers(gauge.guard)) <= tune


@pytest.mark.parametrize("size, groups", [(1, 200), (3, 67), (30, 7), (99, 3)])
def test_few_ids_are_stood_in_for_by_groups_of_as_many_retained_samples(size: int, groups: int) -> None:
    found = course(range(size))
    assert not found.direct
    assert [len(group[1]) for group in found.groups] == [size] * groups
    drawn = [n for group in found.groups for n in numbers(group)]
    assert len(set(drawn)) == len(drawn) == size * groups
    rest = numbers(found.retain)
    assert sorted(drawn + rest) == list(range(size, 1000))
    assert f"{size} ids are too few" in found.says()
    assert [gauge.forget is group for gauge, group in zip(found.gauges, found.groups, strict=True)] == [True] * groups


def test_where_groups_are_dear_there_are_fewer() -> None:
    few = (whole := course(range(5))).first(4)
    assert [numbers(group) for group in few.groups] == [numbers(group) for group in whole.groups[:4]]
    assert (len(few.gauges), few.why) == (4, whole.why)


def test_groups_leave_half_of_a_small_retain_set() -> None:
    assert course(range(40, 1000)).direct
    few = course_of(request_for(range(30), dataset=small(70)), TUNE, MACHINE, seed=0)
    assert [len(group[1]) for group in few.groups] == [20]
    assert len(few.retain[1]) == 20


def small(size: int) -> Dataset:
    """Return the data set with fewer training samples."""
    return Dataset("numbers", CLASSES, split(size, 0), DATASET.test, "00" * 32)


def test_ids_of_one_class_were_chosen() -> None:
    found = course(range(0, 800, 4))  # 200 of the 250 of class a
    assert not found.direct
    assert "chosen" in found.why
    assert [len(group[1]) for group in found.groups] == [200]
    assert set(found.groups[0][1].tolist()) == {0, 1, 2, 3}


def test_a_whole_class_speaks_for_itself() -> None:
    found = course(range(0, 1000, 4))
    assert found.direct
    assert found.gauges[0].kept.tolist() == [False, True, True, True]
    assert 0 not in found.gauges[0].guard[1].tolist()


def test_the_groups_depend_on_the_seed_alone() -> None:
    drawn = [
        [numbers(group) for group in course_of(request_for(range(30)), TUNE, MACHINE, seed=seed).groups]
        for seed in (1, 1, 2)
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
    found = course_of(request_for(ids, dataset=dataset, recipe=recipe), TUNE, MACHINE, seed=0)
    assert found.direct
    assert numbers(found.groups[0]) == ids
    assert numbers(found.gauges[0].forget) == list(range(120))


def test_nothing_but_canaries_is_rehearsed_on_retained_samples() -> None:
    dataset, recipe, canaries = with_canaries()
    found = course_of(request_for(canaries, dataset=dataset, recipe=recipe), TUNE, MACHINE, seed=0)
    assert found.why == "the ids are canaries"
    assert {len(group[1]) for group in found.groups} == {len(canaries)}
    assert not {n for group in found.groups for n in numbers(group)} & set(canaries.tolist())


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


def started(model: Bias, most: int = 1000) -> Start:
    """Return what begins a run whose every step takes 1, of so many at the most."""

    def start(samples: Samples, done: int) -> tuple[torch.optim.Optimizer, Iterator[int]]:
        def steps() -> Iterator[int]:
            for number in range(1, most + 1):
                with torch.no_grad():
                    model.taken += 1.0
                yield number

        return torch.optim.SGD(model.parameters(), lr=1.0), steps()

    return start


def test_a_rehearsal_puts_the_weights_back_bit_for_bit() -> None:
    model, found = Bias(), course(range(30))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen: list[float] = []

    def work(samples: Samples) -> None:
        seen.append(float(model.taken.detach()))
        with torch.no_grad():
            model.taken.add_(3.3)
            model.mean.mul_(0.1)

    found.rehearse(model, work)
    assert seen == [0.0] * len(found.groups)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_rehearsal_pools_what_all_groups_show() -> None:
    model, found = Bias(), course(range(30))
    looks = [gauge.look(model) for gauge in found.gauges]
    pooled = found.rehearse(model, lambda _: None)
    assert pooled.auc == pytest.approx(np.mean([look.auc for look in looks]))
    assert pooled.error < min(look.error for look in looks)


def test_rehearsed_steps_are_counted_from_the_same_start_and_put_back() -> None:
    model, found = Bias(), course(range(30))
    start = started(model)
    visits = rehearsed_steps(found, model, start, every=1, most=9, bookmark=Bookmark())
    gaps = [visit.look.gap for visit in visits]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.3 > -0.2 > gaps[-1]
    assert max(visit.step for visit in visits) <= 9
    assert float(model.taken.detach()) == 0.0


def test_steps_that_end_before_the_next_look_are_counted_as_taken() -> None:
    model, found = Bias(), course(range(30))
    visits = rehearsed_steps(found, model, started(model, most=5), every=3, most=100, onward=True, bookmark=Bookmark())
    assert [visit.step for visit in visits] == [3, 5]


def test_the_number_of_steps_that_was_rehearsed_is_taken_on_the_ids() -> None:
    model, found = Bias(), course(range(30))
    before = found.rehearse(model, lambda _: None)
    forget = take(DATASET.train, np.arange(30), "cpu")
    stopped = stop_unseen(
        model,
        forget,
        found,
        started(model),
        every=1,
        most=9,
        before=before,
        margin=1.0,
        tell=silent,
        bookmark=Bookmark(),
    )
    assert stopped.best is not None
    assert float(model.taken.detach()) == stopped.best.step == 4
    assert abs(stopped.best.look.gap) < 0.1


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        (Look(None, 0.0, 0.9), "on the ids themselves accuracy is lost (95.00% → 90.00% on the tune half)"),
        (Look(None, 0.0, 0.95, vanished=0.5), "50.00% of the ids' classes that are gone are right"),
        (Look(None, 0.0, 0.94, vanished=0.0), ""),
    ],
)
def test_what_was_rehearsed_must_hold_on_the_ids(after: Look, fault: str) -> None:
    model = Bias()
    shown = iter([Look(None, 0.0, 0.95, vanished=1.0), after])
    own = cast(Gauge, SimpleNamespace(look=lambda _: next(shown)))
    found = replace(course(range(30)), own=own)
    stopped = stop_unseen(
        model,
        take(DATASET.train, np.arange(30), "cpu"),
        found,
        started(model),
        every=1,
        most=9,
        before=found.rehearse(model, lambda _: None),
        margin=0.02,
        tell=silent,
        bookmark=Bookmark(),
    )
    assert (fault in stopped.fault, stopped.best is None) == (True, bool(fault))
    assert bool(stopped.fault) is bool(fault)


def test_few_steps_that_all_jump_are_no_success() -> None:
    model, found = Bias(), course(range(100))
    before = found.rehearse(model, lambda _: None)
    stopped = stop_unseen(
        model,
        found.groups[0],
        found,
        started(model),
        every=8,
        most=8,
        before=before,
        margin=1.0,
        tell=silent,
        bookmark=Bookmark(),
    )
    assert (stopped.best, len(stopped.visits)) == (None, 1)
    assert float(model.taken.detach()) == 0.0


def test_looking_costs_a_share_of_the_steps() -> None:
    for ids in (range(100), range(999)):
        gauge = gauge_on(request_for(ids), TUNE, MACHINE, seed=0)
        every = steps_between(gauge, 32)
        assert gauge.size <= courses.SHARES[0] * courses.BACKWARD * 32 * every
        assert every == 1 or gauge.size > courses.SHARES[0] * courses.BACKWARD * 32 * (every - 1)


def test_a_look_is_of_the_ids() -> None:
    assert gauge_on(request_for(range(100)), TUNE, MACHINE, seed=0).look(Bias()).auc == 1.0
