"""Tables of scores that do not belong together, or would clear a model that remembers, are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forgetkit.auditing.scores.table import ScoreTable, logits_of
from forgetkit.errors import ForgetkitError
from tests.auditing.test_scores import CLASSES, EACH, save, table
from tests.conftest import Run

FORGET = np.arange(3 * EACH) < EACH
UNSEEN = np.arange(3 * EACH) >= 2 * EACH


def mixed(one: ScoreTable) -> ScoreTable:
    """Return the same scores in another order of rows."""
    order = np.random.default_rng(0).permutation(len(one))
    parts = {"ids": [one.ids[row] for row in order], "groups": [one.groups[row] for row in order]}
    return replace(one, **parts, labels=one.labels[order], logits=one.logits[order])


@pytest.mark.parametrize("copied", ["the model", "the original", "a reference"])
def test_a_copy_is_no_reference_in_another_order_or_rounding(forgetkit: Run, tmp_path: Path, copied: str) -> None:
    seed = {"the model": 1, "the original": 2, "a reference": 3}[copied]
    one = table(seed, known=3 * (seed == 2))
    copy = mixed(replace(one, logits=one.logits.astype(np.float32)))
    given = ("--original-scores", save(table(2, known=3), "o.npz"), "--reference-scores", save(table(3), "1.npz"))
    ran = forgetkit("audit", "--scores", save(table(1)), *given, "--reference-scores", save(copy, "2.csv"))
    assert (ran.code, ran.out) == (2, "")
    assert "2.csv: these are the scores of" in ran.err


def test_a_model_hardly_changed_from_the_original_is_judged(forgetkit: Run, tmp_path: Path) -> None:
    one = table(2, known=3)
    near = save(mixed(replace(one, logits=one.logits + 1e-7)))
    assert forgetkit("audit", "--scores", near, "--original-scores", save(one, "o.npz")).code == 1


def test_an_original_of_another_order_of_classes_is_refused(forgetkit: Run, tmp_path: Path) -> None:
    one = table(2, known=3)
    turned = save(replace(one, logits=np.roll(one.logits, 1, axis=1)), "o.npz")
    ran = forgetkit("audit", "--scores", save(table(1)), "--original-scores", turned)
    assert (ran.code, "no better than guessing" in ran.err) == (2, True)


def test_classes_of_other_names_are_refused(forgetkit: Run, tmp_path: Path) -> None:
    names = tuple("abcd"[:CLASSES])
    original = save(replace(table(2, known=3), classes=names[::-1]), "o.npz")
    ran = forgetkit("audit", "--scores", save(replace(table(1), classes=names)), "--original-scores", original)
    assert (ran.code, "its classes are named otherwise" in ran.err) == (2, True)


def test_a_reference_whose_table_says_that_it_saw_the_samples_is_refused(forgetkit: Run, tmp_path: Path) -> None:
    given = ("audit", "--scores", save(table(1)), "--reference-scores")
    ran = forgetkit(*given, save(replace(table(3), saw=FORGET), "1.npz"))
    assert (ran.code, f"trained on {EACH} of the samples in question" in ran.err) == (2, True)


def test_an_original_whose_table_says_that_it_did_not_see_the_samples_is_refused(
    forgetkit: Run, tmp_path: Path
) -> None:
    given = ("audit", "--scores", save(table(1)), "--original-scores")
    for name, forgot in (("never.npz", ~FORGET & FORGET), ("forgot.npz", FORGET)):
        one = replace(table(2, known=3), saw=FORGET & forgot, forgot=forgot)
        ran = forgetkit(*given, save(one, name))
        assert (ran.code, f"never saw, or forgot, {EACH} of the {EACH}" in ran.err) == (2, True)


def test_unseen_samples_that_a_model_saw_are_refused(forgetkit: Run, tmp_path: Path) -> None:
    ran = forgetkit("audit", "--scores", save(replace(table(1), saw=UNSEEN)))
    assert (ran.code, f"trained on {EACH} of the 'unseen' samples" in ran.err) == (2, True)


def test_groups_of_other_tables_say_what_their_models_saw(forgetkit: Run, tmp_path: Path) -> None:
    """A reference that calls the samples retained was trained on them; an original that calls them unseen was not."""
    given = ("audit", "--scores", save(table(1)))
    for option, group, said in (
        ("--reference-scores", "retain", "so it is no reference"),
        ("--original-scores", "unseen", "it never saw, or forgot"),
    ):
        one = replace(table(3), groups=[group] * (2 * EACH) + ["unseen"] * EACH)
        ran = forgetkit(*given, option, save(one, f"{group}.csv"))
        assert (ran.code, said in ran.err) == (2, True)


@pytest.mark.parametrize(("known", "verdict"), [(0.0, "pass"), (2.0, "info")])
def test_shadow_models_that_never_saw_the_samples_do_not_clear_a_model_that_remembers(
    forgetkit: Run, tmp_path: Path, known: float, verdict: str
) -> None:
    source, names = np.random.default_rng(0), list[str]()
    for number in range(0, 12, 2):
        half = source.random(3 * EACH) < 0.5
        for twin, saw in enumerate((half & ~UNSEEN, ~half & ~UNSEEN)):
            one = table(10 + number + twin)
            one.logits[np.arange(3 * EACH), one.labels] -= 3.0 * (~saw & (np.array(one.groups) == "retain"))
            names += ["--shadow-scores", save(replace(one, saw=saw), f"t/{number + twin}.npz")]
    given = ("--original-scores", save(table(2, known=3), "o.npz"), *names, "--json")
    ran = forgetkit("audit", "--scores", save(table(1, known=known)), *given)
    found = {check["id"]: check["verdict"] for check in ran.json["checks"]}
    assert found["twins"] == verdict, ran.out


@pytest.mark.parametrize(
    ("row", "cure"),
    [
        ([0.33, 0.33, 0.32], "if they were rounded"),
        ([20.0, 30.0, 50.0], "percentages"),
        ([-1.0, 1.0, 1.0], "call them logits"),
        ([0.2, 0.2, 0.2], "one probability for each class"),
    ],
)
def test_probabilities_that_are_none_say_what_they_may_be(row: list[float], cure: str) -> None:
    with pytest.raises(ForgetkitError) as caught:
        logits_of(np.array([row]), "s.csv:{}".format)
    assert cure in str(caught.value.hint)


@pytest.mark.parametrize(("retained", "run"), [(0, False), (8, False), (EACH, True)])
def test_a_class_that_few_retained_samples_miss_has_not_vanished(
    forgetkit: Run, tmp_path: Path, retained: int, run: bool
) -> None:
    one = table(1)
    group = np.array(one.groups)
    left = np.flatnonzero((group != "retain") | ((one.labels != 0) & (np.cumsum(group == "retain") <= retained)))
    groups = [one.groups[row] for row in left]
    fewer = replace(one, ids=[one.ids[row] for row in left], groups=groups, labels=one.labels[left])
    ran = forgetkit("audit", "--scores", save(replace(fewer, logits=one.logits[left])), "--json")
    assert ("vanished" in [check["id"] for check in ran.json["checks"]]) is run
