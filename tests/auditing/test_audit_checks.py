from dataclasses import replace

import numpy as np
import pytest
import torch

from forgetkit.auditing.check import Check, check_of, with_control
from forgetkit.auditing.checks.integrity import copies, integrity
from forgetkit.auditing.checks.one_model import chance, membership, utility_check, vanished, worst_class
from forgetkit.auditing.predictions import Predictions, predictions_of, view_of
from forgetkit.auditing.verdict import exit_code, overall
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record, Step
from forgetkit.statistics.intervals import Estimate

PASSED = Check("membership", "pass", "like unseen", gating=True, proves=True, statistic=0.5, null=0.5)
REMEMBERED = replace(PASSED, verdict="fail", statistic=0.8)
OVER = replace(PASSED, verdict="fail", statistic=0.01)
UNSURE = replace(PASSED, verdict="inconclusive")
LOST = Check("utility", "fail", "worse", gating=True, statistic=-0.1, null=0.0)
KEPT = Check("utility", "pass", "as good", gating=True)
TORN = Check("integrity", "fail", "the weights are the original's", gating=True)


def a_record(digest: str = "b", steps: tuple[Step, ...] = ()) -> Record:
    salt = "00" * 32
    return Record(
        digest=digest,
        model={"name": "convnet", "options": {}},
        input={"shape": [1, 8, 8], "mean": [0.0], "std": [1.0]},
        classes=["a", "b"],
        dataset={"name": "digits", "options": {}, "size": 4, "fingerprint": salt},
        recipe={"epochs": 2, "threads": 1, "precision": "float32", "device": "cpu"},
        trained=None,
        forgotten=KeySet.of([], salt),
        steps=list(steps),
        software={},
    )


def a_step(command: str, parent: str | None) -> Step:
    return Step(command, {}, 0, parent, None, {})


def some_scores(phi: np.ndarray, classes: int = 2) -> Predictions:
    labels = np.arange(len(phi)) % classes
    return Predictions(phi.astype(np.float64), phi > 0, labels, np.zeros((len(phi), classes)))


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([PASSED, KEPT], "forgotten"),
        ([REMEMBERED, KEPT], "not-forgotten"),
        ([OVER, KEPT], "over-forgotten"),
        ([OVER, REMEMBERED, LOST, TORN], "utility-lost"),
        ([TORN, OVER], "over-forgotten"),
        ([TORN, PASSED, KEPT], "not-forgotten"),
        ([UNSURE, KEPT], "inconclusive"),
        ([KEPT], "inconclusive"),
        ([PASSED, replace(KEPT, verdict="inconclusive")], "inconclusive"),
    ],
)
def test_the_verdict_is_the_worst_of_the_checks(checks: list[Check], verdict: str) -> None:
    assert overall(checks, original=True).verdict == verdict


def test_without_the_original_nothing_is_ever_forgotten() -> None:
    judgement = overall([PASSED, KEPT], original=False)
    assert judgement.verdict == "inconclusive"
    assert "--original" in judgement.reasons[0]


def test_without_the_original_a_failure_still_fails() -> None:
    assert overall([REMEMBERED], original=False).verdict == "not-forgotten"


def test_every_verdict_but_forgotten_names_a_reason() -> None:
    for checks in ([REMEMBERED], [OVER], [LOST], [UNSURE], [KEPT]):
        assert overall(checks, original=True).reasons


def test_negative_verdicts_exit_1_and_inconclusive_3() -> None:
    assert [exit_code(v) for v in ("forgotten", "not-forgotten", "over-forgotten", "utility-lost", "inconclusive")] == [
        0,
        1,
        1,
        1,
        3,
    ]


def test_a_pass_that_the_original_passes_too_is_information() -> None:
    found = with_control(PASSED, PASSED)
    assert (found.verdict, found.gating) == ("info", False)
    assert "nothing measurable was memorised" in found.note


def test_a_pass_at_chance_is_information_in_the_words_of_chance_where_the_original_is_there_too() -> None:
    guesses = chance(np.arange(400) % 10 == 0, 10, level=0.05, gating=True)
    found = with_control(guesses, guesses)
    assert (found.verdict, found.gating) == ("info", False)
    assert "the original (10.00%) is not reliably more accurate than a guess" in found.note


def test_a_pass_counts_where_the_original_fails() -> None:
    assert with_control(PASSED, REMEMBERED) == PASSED


def test_a_pass_does_not_count_where_the_original_is_over_forgotten() -> None:
    assert with_control(PASSED, OVER).verdict == "info"


def test_a_constant_model_does_not_pass_by_its_ties() -> None:
    flat, unseen = some_scores(np.zeros(60)), some_scores(np.zeros(2000))
    assert membership(flat, unseen, level=0.05, margin=0.05).interval != (0.5, 0.5)


def test_a_failure_counts_even_where_the_original_passes() -> None:
    assert with_control(OVER, PASSED).verdict == "fail"


def test_integrity_passes_a_step_from_the_original() -> None:
    record = a_record("b", (a_step("train", None), a_step("relabel", "a")))
    assert integrity(record, a_record("a"), named=True, broken=None, duplicates=0).verdict == "pass"


def test_integrity_passes_a_reference_by_the_same_recipe_on_other_threads() -> None:
    reference = a_record("b", (a_step("train", None),))
    reference = replace(reference, recipe={**reference.recipe, "threads": 2})
    assert integrity(reference, a_record("a"), named=True, broken=None, duplicates=0).verdict == "pass"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"named": False}, "does not name"),
        ({"broken": "fc.weight"}, "NaN or infinity"),
        ({"duplicates": 3}, "3 retained samples are exact copies"),
    ],
)
def test_integrity_fails_on(changes: dict[str, object], fault: str) -> None:
    given = {"named": True, "broken": None, "duplicates": 0, **changes}
    record = a_record("b", (a_step("train", None), a_step("relabel", "a")))
    found = integrity(record, a_record("a"), **given)  # type: ignore[arg-type]
    assert found.verdict == "fail"
    assert fault in found.note


def test_integrity_fails_the_originals_own_weights() -> None:
    record = a_record("a", (a_step("train", None), a_step("relabel", "a")))
    assert "bit for bit" in integrity(record, a_record("a"), named=True, broken=None, duplicates=0).note


def test_integrity_fails_a_model_from_elsewhere() -> None:
    stranger = a_record("b", (a_step("train", None), a_step("relabel", "x")))
    stranger = replace(stranger, recipe={"epochs": 9})
    assert integrity(stranger, a_record("a"), named=True, broken=None, duplicates=0).verdict == "fail"


def test_membership_says_nothing_of_19_ids() -> None:
    rng = np.random.default_rng(0)
    forget, unseen = some_scores(rng.normal(9, 1, 19)), some_scores(rng.normal(0, 1, 500))
    assert membership(forget, unseen, level=0.05, margin=0.05).verdict == "inconclusive"


def test_membership_below_the_smallest_number_cannot_pass() -> None:
    unseen = some_scores(np.linspace(-1, 1, 5000))
    assert membership(some_scores(np.linspace(-1, 1, 80)), unseen, level=0.05, margin=0.05).verdict == "inconclusive"


def test_membership_pushed_below_is_a_failure_not_a_success() -> None:
    rng = np.random.default_rng(0)
    found = membership(
        some_scores(rng.normal(-9, 1, 400)), some_scores(rng.normal(0, 1, 2000)), level=0.05, margin=0.05
    )
    assert (found.verdict, found.over) == ("fail", True)


def test_membership_names_the_number_that_would_decide() -> None:
    rng = np.random.default_rng(0)
    found = membership(some_scores(rng.normal(0, 1, 100)), some_scores(rng.normal(0, 1, 2000)), level=0.05, margin=0.05)
    assert "about 441 ids would pass" in found.note


def test_utility_of_a_tiny_unseen_set_does_not_pass() -> None:
    same = some_scores(np.ones(20))
    assert utility_check(same, same, level=0.05, margin=0.02).verdict == "inconclusive"


def test_utility_of_unchanged_answers_passes_at_149_samples() -> None:
    same = some_scores(np.ones(149))
    assert utility_check(same, same, level=0.05, margin=0.02).verdict == "pass"


def test_chance_is_two_sided() -> None:
    right = np.zeros(500, dtype=bool)
    below = chance(right, 10, level=0.05, gating=True)
    right[:50] = True
    at = chance(right, 10, level=0.05, gating=True)
    assert (below.verdict, below.over, at.verdict) == ("fail", True, "pass")


def test_flips_are_flips() -> None:
    images = torch.arange(8, dtype=torch.uint8).view(1, 1, 2, 4)
    assert view_of(images, "hflip")[0, 0].tolist() == [[3, 2, 1, 0], [7, 6, 5, 4]]
    assert view_of(images, "vflip")[0, 0].tolist() == [[4, 5, 6, 7], [0, 1, 2, 3]]


def test_the_crop_magnifies_the_middle_and_keeps_the_size() -> None:
    images = torch.zeros(1, 1, 20, 20, dtype=torch.uint8)
    images[:, :, 0] = 255
    cropped = view_of(images, "crop")
    assert cropped.shape == images.shape
    assert cropped.max() == 0


def test_copies_counts_exact_ones_only() -> None:
    rng = np.random.default_rng(0)
    retain = rng.integers(0, 256, (5000, 1, 8, 8), dtype=np.uint8)
    forget = retain[[3, 9]].copy()
    forget[1, 0, 0, 0] ^= 1
    assert copies(forget, np.concatenate([retain, retain[3:4]])) == 2


def test_copies_of_nothing_are_none() -> None:
    images = np.zeros((3, 1, 2, 2), dtype=np.uint8)
    assert copies(images[:0], images) == copies(images, images[:0]) == 0


def test_scored_holds_phi_and_correctness() -> None:
    found = predictions_of(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
    assert found.phi.tolist() == [2.0, -1.0]
    assert found.correct.tolist() == [True, False]


def test_an_interval_without_an_end_is_none_and_said() -> None:
    check = check_of("closer", Estimate(1.2, (0.8, float("inf")), (0.9, 7.0), 3), "inconclusive", "a distance")
    assert (check.to_json()["interval"], check.note) == (None, "a distance; at least 0.800, no upper bound")


def test_notes_name_classes_and_number_those_without_names() -> None:
    before, names = some_scores(np.ones(12), classes=3), ["2", "a\x1b", "4"]
    after = replace(before, correct=before.labels != 1)
    assert worst_class(after, before, classes=names).note == "class 'a\\x1b': 100.00% → 0.00% of 4"
    assert worst_class(after, before).note == "class 1: 100.00% → 0.00% of 4"
    assert vanished(before, level=0.05, classes=names).note.startswith("no sample of classes '2', 'a\\x1b', '4' is ")


def test_of_many_classes_a_note_names_five() -> None:
    note = vanished(some_scores(np.ones(14), classes=7), level=0.05, classes=list("abcdefg")).note
    assert note.startswith("no sample of classes 'a', 'b', 'c', 'd', 'e' and 2 more is retained")
