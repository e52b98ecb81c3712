"""``lookup``: a model that knows the images of the ids by heart is found by copies that hardly differ."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from forgetkit.auditing.checks.lookup import SHARE, drawn, lookup_check, nudged, surely_rare
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.run import audit
from tests.auditing.test_audit_function import CLASSES, Net, noise
from tests.benchmarks.fakes import LookedUp

IDS, UNSEEN = noise(60, 0), noise(200, 1)


class Sure(nn.Module):
    """Answers every image alike, of the first class by a margin."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor([by] + [0.0] * (CLASSES - 1)))

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        return (
            self.logits.expand(len(images), CLASSES)
            + images.float().flatten(1).mean(1, keepdim=True) * self.logits / 255
        )


def test_a_copy_differs_in_one_value_of_sixteen_by_one_level() -> None:
    images = IDS[0]
    moved = (nudged(images, (0, 255)).int() - images.int()).flatten(1)
    assert set(moved.unique().tolist()) == {-1, 0, 1}
    assert ((moved != 0).sum(1) == 36 // SHARE).all()
    assert torch.equal(nudged(images, (0, 255)), nudged(images, (0, 255)))


def test_the_ends_move_inwards_and_floats_by_a_255th_of_their_span() -> None:
    black_or_white = torch.tensor([0, 255], dtype=torch.uint8).repeat(4, 8)
    assert set(nudged(black_or_white, (0, 255)).unique().tolist()) == {0, 1, 254, 255}
    floats = torch.linspace(-1, 1, 64).reshape(4, 16)
    moved = (nudged(floats, (-1, 1)) - floats).abs()
    assert moved.max().item() == pytest.approx(2 / 255, abs=1e-6)
    assert ((moved > 0).sum(1) == 1).all()


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.bool])
def test_no_value_wraps_round(kind: torch.dtype) -> None:
    last = 1 if kind == torch.bool else torch.iinfo(kind).max
    for value, ends in ((last, (last, last)), (last, (-128 if kind == torch.int8 else 0, last))):
        images = torch.full((2, 16), value).to(kind)
        assert (nudged(images, ends).int() - images.int()).unique().tolist() == [-1, 0]


def test_an_honest_model_does_not_fail_on_images_of_a_wider_range_or_all_white() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(36, CLASSES))
    images, unseen = IDS[0].float() / 10, UNSEEN[0].float() / 255
    assert lookup_check(plain, (images, IDS[1]), (unseen, UNSEEN[1])).verdict == "info"
    white = torch.full_like(IDS[0], 255)
    assert lookup_check(Sure(4), (white, IDS[1]), UNSEEN).verdict == "info"


@pytest.mark.parametrize(("beyond", "p"), [(0, 1.0), (1, 2 / 5), (2, 2 / 5 * 1 / 4)])
def test_the_probability_that_the_largest_are_ids_by_hand(beyond: int, p: float) -> None:
    assert surely_rare(beyond, 2, 3) == pytest.approx(p)


def test_a_random_draw_fails_as_seldom_as_it_says() -> None:
    draw = np.random.default_rng(0)
    values = [draw.standard_cauchy(40) for _ in range(4000)]
    rare = np.mean([surely_rare(int((one[:10] > one[10:].max()).sum()), 10, 30) <= 0.05 for one in values])
    assert rare <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_images_that_are_looked_up_are_found() -> None:
    check = lookup_check(LookedUp(Sure(4), Sure(-4), IDS[0]), IDS, UNSEEN)
    assert (check.verdict, check.gating, check.statistic, check.over) == ("fail", True, 1.0, False)
    assert check.note.startswith("on 60 of 60 ids the answer changes more than on any of 200 unseen samples")


@pytest.mark.parametrize("model", [Sure(4), Net(0)])
def test_a_plain_model_is_not(model: nn.Module) -> None:
    check = lookup_check(model, IDS, UNSEEN)
    assert (check.verdict, check.gating) == ("info", False)
    assert check.statistic is not None
    assert check.statistic < 0.2


def test_where_chance_could_do_it_the_check_is_not_run() -> None:
    few = tuple(part[:2] for part in IDS), tuple(part[:20] for part in UNSEEN)
    check = lookup_check(Sure(4), *few)  # type: ignore[arg-type]
    assert (check.verdict, check.note) == ("not-run", "2 ids and 20 unseen samples are too few")


def test_the_cost_does_not_grow_with_the_request() -> None:
    assert drawn(100_000, 256).shape == (256,)
    assert drawn(5, 256).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("criterion", ["retrain", "chance"])
def test_an_audit_says_not_forgotten(criterion: str) -> None:
    parts = {"forget": IDS, "retain": noise(60, 2), "unseen": UNSEEN}
    model = LookedUp(Net(0), Net(1), IDS[0])
    found = audit(model, original=Net(0), policy=Policy(criterion=criterion), **parts)  # type: ignore[arg-type]
    assert found.verdict == "not-forgotten"
    assert any(reason.startswith("lookup:") for reason in found.reasons)
