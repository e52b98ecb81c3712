"""Drawn or chosen: a random draw is hardly ever taken for a chosen one, and chosen ones show."""

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from scipy.stats import norm

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.exchangeable import exchangeable_check, harder_than_unseen
from forgetkit.auditing.predictions import Predictions
from forgetkit.auditing.verdict import as_hint
from forgetkit.statistics.exchangeability import (
    CHOSEN_LEVEL,
    Exchangeability,
    assess_exchangeability,
    class_mix,
    mean_auc,
)
from forgetkit.statistics.intervals import Estimate
from forgetkit.statistics.strata import Labels, Scores, auc
from tests.conftest import Run

DRAWS = 2000
MANY = pytest.mark.parametrize("draws", [300, pytest.param(DRAWS, marks=pytest.mark.slow)])
"""A rate of 0.001 seldom shows above this in 2,000 draws."""


def labels_of(rng: Generator, count: int) -> Labels:
    """Draw ten classes, the tenth ten times as frequent as the first."""
    return rng.choice(10, size=count, p=np.arange(1, 11) / 55)


def difficulties(rng: Generator, models: int, labels: Labels, *, harder: float = 0.0) -> Scores:
    """Draw φ of models that agree on what is difficult; ``(models, samples)``, heavy tails, classes unlike."""
    shared = rng.standard_t(3, labels.size) + labels - harder
    return shared + rng.normal(0, 0.7, (models, labels.size))


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, (low, high), (low, high), 100)


def rarely(draws: int) -> float:
    """Return the share of random draws that may be called chosen: the level, and three standard errors."""
    return CHOSEN_LEVEL + 3 * sqrt(CHOSEN_LEVEL / draws)


@MANY
@pytest.mark.parametrize("ids", [7, 60, 400])
def test_the_classes_of_a_random_draw_are_hardly_ever_called_chosen(ids: int, draws: int) -> None:
    rng, called = default_rng(ids), 0
    for _ in range(draws):
        labels = rng.permutation(labels_of(rng, 900))
        called += class_mix(labels[:ids], labels[ids:]) <= CHOSEN_LEVEL
    assert called / draws <= rarely(draws)


def test_p_of_the_class_mix_by_counting_all_draws() -> None:
    # Of the 36 draws of 2 of 9 samples, 3 of them in class 0, 3 have two of that class; no other X² is as large.
    p = class_mix(np.array([0, 0]), np.array([0, 1, 1, 1, 1, 1, 1]))
    assert p == pytest.approx(3 / 36, abs=3 * sqrt(3 / 36 / DRAWS))


def test_one_class_asked_for_shows() -> None:
    rng = default_rng(1)
    rest = rng.permutation(np.repeat(np.arange(10), 100))
    assert class_mix(np.full(30, 3), rest) <= CHOSEN_LEVEL


def test_a_whole_class_is_no_choice_within_it() -> None:
    rest = default_rng(2).choice(9, 900)
    assert class_mix(np.full(100, 9), rest) == 1.0


def test_a_mix_that_is_off_a_little_everywhere_shows_in_many_ids() -> None:
    taken = np.repeat(np.arange(10), [130, 70] * 5)
    assert class_mix(taken, np.repeat(np.arange(10), 900)) <= CHOSEN_LEVEL


def test_one_id_is_never_called_chosen_of_ten_equal_classes() -> None:
    assert class_mix(np.array([4]), np.repeat(np.arange(10), 50)) == 1.0


@MANY
@pytest.mark.parametrize("models, ids, classes", [(1, 20, 1), (5, 20, 10), (5, 200, 3)])
def test_references_hardly_ever_tell_a_random_draw_from_unseen_samples(
    models: int, ids: int, classes: int, draws: int
) -> None:
    rng, told = default_rng(classes), 0
    for _ in range(draws):
        labels = rng.integers(classes, size=ids + 400)
        phi = difficulties(rng, models, labels)
        low, high = mean_auc(phi[:, :ids], labels[:ids], phi[:, ids:], labels[ids:]).wide
        told += not low <= 0.5 <= high
    assert told / draws <= rarely(draws)


def test_the_mean_auc_is_the_mean_of_the_aucs() -> None:
    rng = default_rng(3)
    labels, others = rng.integers(3, size=40), rng.integers(3, size=90)
    forget, unseen = difficulties(rng, 4, labels, harder=0.5), difficulties(rng, 4, others)
    single = [auc(own, labels, other, others) for own, other in zip(forget, unseen, strict=True)]
    assert mean_auc(forget, labels, unseen, others).value == pytest.approx(np.mean(single))


def test_the_error_of_one_model_without_ties_is_mann_and_whitneys() -> None:
    rng = default_rng(4)
    zeros = np.zeros(100, dtype=np.int64)
    found = mean_auc(rng.normal(size=(1, 30)), zeros[:30], rng.normal(size=(1, 70)), zeros[:70])
    error = sqrt((30 + 70 + 1) / (12 * 30 * 70))
    assert found.wide[1] - found.value == pytest.approx(norm.ppf(1 - CHOSEN_LEVEL / 2) * error)


def test_ten_copies_of_a_reference_are_no_more_evidence_than_one() -> None:
    rng = default_rng(5)
    labels, others = rng.integers(3, size=40), rng.integers(3, size=90)
    forget, unseen = difficulties(rng, 1, labels), difficulties(rng, 1, others)
    once = mean_auc(forget, labels, unseen, others)
    copied = mean_auc(forget.repeat(10, axis=0), labels, unseen.repeat(10, axis=0), others)
    assert copied.wide == pytest.approx(once.wide)


@pytest.mark.parametrize("harder, side", [(1.5, "harder"), (-1.5, "easier")])
def test_hard_or_easy_samples_show_beside_references(harder: float, side: str) -> None:
    rng = default_rng(6)
    labels, others = labels_of(rng, 100), labels_of(rng, 400)
    phi, phi_unseen = difficulties(rng, 5, labels, harder=harder), difficulties(rng, 5, others)
    found = assess_exchangeability(
        labels, labels_of(rng, 900), list(zip(phi, phi_unseen, strict=True)), others, margin=0.05
    )
    assert (found.mixed, found.holds) == (True, False)
    assert f"5 references, which saw neither, find them {side}" in exchangeable_check(found, assumed=False).note


@pytest.mark.parametrize(
    ("p", "beside", "holds"),
    [
        (0.5, None, True),
        (0.001, None, False),
        (0.5, estimate(0.40, 0.55), True),
        (0.5, estimate(0.40, 0.49), False),
        (0.5, estimate(0.46, 0.49), True),
        (0.001, estimate(0.40, 0.55), False),
        (0.001, estimate(0.47, 0.53), True),
    ],
)
def test_references_decide_and_a_chosen_mix_turns_the_burden_of_proof(
    p: float, beside: Estimate | None, holds: bool
) -> None:
    found = Exchangeability(p, beside, 5, 0.05)
    assert found.holds is holds
    note = exchangeable_check(found, assumed=False).note
    assert ("membership and per-id are therefore only hints" in note) is not holds
    assert ("the policy says they were drawn" in exchangeable_check(found, assumed=True).note) is not holds


def test_a_hint_keeps_its_figures_and_decides_nothing() -> None:
    check = Check("membership", "fail", "remembered", gating=True, proves=True, statistic=0.8, null=0.5)
    found = as_hint(check)
    assert (found.verdict, found.gating, found.statistic) == ("info", False, 0.8)
    assert "chosen, not drawn" in found.note
    assert "remembered" in found.note


def predictions(phi: Scores, labels: Labels) -> Predictions:
    return Predictions(phi, phi > 0, labels, np.full((len(phi), 10), 0.1))


def share_called_harder(draws: int, *, harder: float, n: int = 60, m: int = 400) -> float:
    """Return how often samples are called chosen that a model, if anything, remembers, or that are so much harder."""
    rng, found = default_rng(5), 0
    for _ in range(draws):
        labels, unseen = labels_of(rng, n), labels_of(rng, m)
        forget = predictions(difficulties(rng, 1, labels, harder=harder)[0], labels)
        found += harder_than_unseen(forget, predictions(difficulties(rng, 1, unseen)[0], unseen), level=0.05)
    return found / draws


def test_a_random_draw_is_seldom_called_harder_than_unseen_samples_and_hard_samples_mostly() -> None:
    assert share_called_harder(300, harder=0) <= 0.025 + 3 * sqrt(0.025 * 0.975 / 300)
    assert share_called_harder(100, harder=2) > 0.9


def test_hard_samples_are_named_as_chosen_and_membership_is_a_hint() -> None:
    drawn = Exchangeability(p=0.5, auc=None, references=0, margin=0.05)
    assert "still less certain of them: chosen" in exchangeable_check(drawn, assumed=False, harder=True).note
    assert "only hints" in exchangeable_check(drawn, assumed=False, harder=True).note


@pytest.mark.slow
def test_one_persons_samples_of_mnist_are_not_taken_for_drawn(forgetkit: Run, mnist_root: Path, tmp_path: Path) -> None:
    root, writers = ("--data-root", mnist_root, "-q"), mnist_root / "MNIST" / "writers.csv"
    if not writers.is_file():
        pytest.skip("needs a table of who wrote which digit: MNIST/writers.csv with columns id and writer")
    whose = ("--where", "writer=w0030", "--attributes", writers)
    forgetkit("forget-ids", "--dataset", "mnist", *whose, "-o", "w.txt", *root)
    forgetkit("forget-ids", "--dataset", "mnist", "--count", 2000, "-o", "others.txt", *root)
    both = {id_ for name in ("w.txt", "others.txt") for id_ in (tmp_path / name).read_text().split()}
    (tmp_path / "both.txt").write_text("\n".join(sorted(both)))
    forgetkit("train", "--dataset", "mnist", "--only", "both.txt", "--epochs", 4, "-o", "m.st", *root)
    for name in ("r1.st", "r2.st"):
        forgetkit("train", "--like", "m.st", "--exclude", "w.txt", "--seed", name[1], "-o", name, *root)
    ran = forgetkit("audit", "r1.st", "--original", "m.st", "--reference", "r2.st", "--json", *root)
    checks = {check["id"]: check for check in ran.json["checks"]}
    assert "easier than unseen samples" in checks["exchangeable"]["note"]
    assert (checks["membership"]["verdict"], ran.code) == ("info", 3)
