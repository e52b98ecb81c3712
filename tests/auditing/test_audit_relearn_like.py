"""``--relearn`` beside references or shadow models: what is taught, what decides, and where an audit goes on."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from forgetkit.auditing import relearned
from forgetkit.auditing.checks import relearn, relearn_like
from forgetkit.auditing.checks.relearn_like import (
    REPEATS,
    STEPS,
    compare_with_shadows,
    lesson_rows,
    lessons_of,
    losses_of,
    rank_of_relearning,
)
from forgetkit.auditing.run import audit
from forgetkit.statistics.relearning import Losses
from tests.auditing.test_audit_function import Samples, noise, trained
from tests.auditing.test_audit_relearn import NOTHING, awkward, linear
from tests.conftest import Run


def curve(height: float) -> Losses:
    return height * np.exp(-np.arange(REPEATS * STEPS) / 20)


SLOW = [curve(1 + number / 100) for number in range(19)]


def test_blocks_have_no_id_in_common_if_there_are_enough() -> None:
    (first, kept), (second, others) = lesson_rows(133, 1000)
    assert len(first) == len(second) == 64
    assert not set(first.tolist()) & set(second.tolist())
    assert len(set(kept.tolist())) == len(set(others.tolist())) == 500
    few = lesson_rows(5, 0)
    assert [sorted(block.tolist()) for block, _ in few] == [[0, 1, 2, 3, 4]] * 2


def test_every_model_is_taught_the_same_and_none_is_changed() -> None:
    lessons = lessons_of(noise_8(80, 0), noise_8(90, 1))
    model = awkward()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first, again = losses_of(model, lessons), losses_of(model, lessons)
    assert first.shape == (REPEATS * STEPS,)
    assert np.array_equal(first, again)
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_loss_falls_and_each_block_begins_from_the_models_own_weights() -> None:
    losses = losses_of(linear(), lessons_of(noise_8(20, 0), NOTHING)).reshape(REPEATS, STEPS)
    assert (np.diff(losses) < 0).all()
    assert losses[0, 0] == pytest.approx(losses[1, 0])  # of the same 20 samples


def noise_8(count: int, seed: int) -> Samples:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=draw)
    return images, torch.randint(0, 4, (count,), generator=draw)


def test_a_model_that_learns_them_sooner_fails_though_the_original_is_not_given() -> None:
    check = rank_of_relearning(curve(0.1), None, SLOW, level=0.05)
    assert (check.id, check.verdict, check.gating, check.p, check.over) == ("relearn-rank", "fail", True, 0.05, False)
    assert "learned again sooner than by 19 models that never saw them" in check.note


def test_a_model_like_the_references_passes_if_the_original_is_caught() -> None:
    check = rank_of_relearning(curve(1.05), curve(0.1), SLOW, level=0.05)
    assert (check.verdict, check.gating, check.proves) == ("pass", True, True)
    assert check.note.endswith("over 50 steps, the loss on them is 0.96 of that of 19 references")


def test_without_power_it_informs_and_says_so() -> None:
    check = rank_of_relearning(curve(1.05), curve(1.1), SLOW, level=0.05)
    assert (check.verdict, check.gating) == ("info", False)
    assert check.note.startswith("no power: the original does not learn the ids sooner")


def test_later_than_every_reference_only_informs() -> None:
    check = rank_of_relearning(curve(9), curve(0.1), SLOW, level=0.05)
    assert (check.verdict, check.gating) == ("info", False)
    assert "but later than by each of them" in check.note


def test_too_few_references_inform_and_one_is_none() -> None:
    few = rank_of_relearning(curve(0.1), curve(0.1), SLOW[:5], level=0.05)
    assert (few.verdict, few.gating, few.proves) == ("info", False, False)
    assert few.note.startswith(
        "5 references; at least 19 are needed to decide; over 50 steps, the loss on them is 0.098"
    )
    assert rank_of_relearning(curve(1), None, SLOW[:1], level=0.05).verdict == "not-run"


def test_shadow_models_inform_and_say_how_many_were_later() -> None:
    check = compare_with_shadows([(curve(1), curve(2)), (curve(1), curve(8)), (curve(2), curve(1))], 4)
    assert (check.id, check.verdict, check.n) == ("relearn-shadows", "info", 3)
    assert check.statistic == pytest.approx(np.log(8) / 3)
    assert check.note.startswith("learned again sooner than by 2 of 3 shadow models, each on ids that it never saw")
    assert compare_with_shadows([], 4).verdict == "not-run"


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let lessons end after a few steps."""
    monkeypatch.setattr(relearn_like, "STEPS", 8)
    monkeypatch.setattr(relearn, "CAP", 2)


class Hidden(nn.Module):
    """A model that keeps its answers to itself: on every image it is sure of the first class, until it is taught."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.held = model, nn.Parameter(torch.tensor([9.0, 0.0, 0.0, 0.0]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:  # noqa: D102
        logits: torch.Tensor = self.model(images) + self.held
        return logits


def test_what_a_module_still_holds_is_found_though_its_answers_hide_it(brief: None) -> None:
    parts = {"forget": noise(60, 0), "retain": noise(60, 1), "unseen": noise(200, 2)}
    both = [torch.cat(pair) for pair in zip(parts["forget"], parts["retain"], strict=True)]
    original = trained(*both, seed=0)
    references = [trained(*parts["retain"], seed=seed) for seed in range(1, 20)]
    found = audit(Hidden(original), original=original, references=references, relearn=True, **parts)
    (check,) = (check for check in found.checks if check.id == "relearn-rank")
    assert (check.verdict, check.gating, found.verdict != "forgotten") == ("fail", True, True)
    honest = audit(trained(*parts["retain"], seed=21), original=original, references=references, relearn=True, **parts)
    assert {check.id: check.verdict for check in honest.checks}["relearn-rank"] == "pass"


def test_an_interrupted_audit_teaches_no_reference_twice(
    forgetkit: Run, monkeypatch: pytest.MonkeyPatch, brief: None
) -> None:
    assert forgetkit("train", "--dataset", "digits", "--epochs", 1, "-o", "m.st", "-q").code == 0
    assert forgetkit("forget-ids", "m.st", "--class", 3, "-o", "ids.txt").code == 0
    for seed in (7, 8, 9, 10):
        given = ("--like", "m.st", "--exclude", "ids.txt", "--seed", seed)
        assert forgetkit("train", *given, "-o", f"refs/{seed}.st", "-q").code == 0
    command = ("audit", "refs/7.st", "--original", "m.st", "--relearn", "--json")
    references = [word for seed in (8, 9, 10) for word in ("--reference", f"refs/{seed}.st")]
    whole = forgetkit(*command, *references).json
    taught: list[int] = []
    load, keep = relearned.load_classifier, relearned.Bookmark.reached

    def stop(mark: Any, loop: str, place: Any) -> None:  # noqa: ANN401 - a place is what it returns
        if loop == "relearn" and len(taught) == 2:
            mark.keep(loop, place)
            raise KeyboardInterrupt
        keep(mark, loop, place)

    monkeypatch.setattr(relearned, "load_classifier", lambda *model: taught.append(1) or load(*model))
    monkeypatch.setattr(relearned.Bookmark, "reached", stop)
    assert forgetkit(*command, *references).code == 130
    monkeypatch.setattr(relearned.Bookmark, "reached", keep)
    assert forgetkit(*command, *references).json == whole
    assert len(taught) == 3
