"""The ids in thirds by how much was memorised: what the report says of each."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.hardness import FEWEST_IDS, NAMES, hardness_checks
from forgetkit.auditing.predictions import ModelPredictions, Predictions
from forgetkit.auditing.shadow_predictions import OnSamples, ShadowPredictions
from tests.conftest import Run

N, UNSEEN = 90, 60
DIFFICULTY = np.random.default_rng(0).normal(0, 2, N + UNSEEN)


def said(phi: NDArray[np.float64], classes: int = 3) -> Predictions:
    labels = np.arange(len(phi)) % classes
    return Predictions(phi, phi > 0, labels, np.full((len(phi), 3), 1 / 3))


def model(seed: int, *, knows: float = 0.0, of: int = N, n: int = N) -> ModelPredictions:
    """Return the answers of a model that is surer of the first ids, by ``knows``, than one that never saw them."""
    phi = DIFFICULTY + np.random.default_rng([1, seed]).normal(0, 0.5, N + UNSEEN)
    phi[:of] += knows
    nothing = said(np.empty(0))
    return ModelPredictions(said(phi[:n]), said(phi[N:]), nothing, nothing, {}, np.empty(0))


def shadows() -> ShadowPredictions:
    """Return the answers of four shadow models; the sides of the ids take turns."""
    rng, parts = np.random.default_rng(2), []
    for place in (DIFFICULTY[:N], DIFFICULTY[N:]):
        sides = np.stack([np.arange(len(place)) % 2 == 0, np.arange(len(place)) % 3 == 0])
        scores = place + rng.normal(0, 0.5, (4, len(place)))
        parts.append(OnSamples(scores, sides, np.arange(len(place))))
    return ShadowPredictions(*parts, parts[0], np.ones((2, N), dtype=bool), "")


BEFORE = model(0, knows=6.0, of=N // 3)
"""An original that memorised a third of the ids."""
REFERENCES = [model(seed) for seed in range(2, 12)]


def checks(after: ModelPredictions, references: list[ModelPredictions] = REFERENCES) -> list[Check]:
    return hardness_checks(after, BEFORE, references, None, level=0.05)


def test_a_retrained_model_is_as_sure_of_each_third_as_of_unseen_samples() -> None:
    found = checks(model(1))
    assert tuple(check.id for check in found) == NAMES
    assert {check.verdict for check in found} == {"info"}
    assert not any(check.gating for check in found)
    assert all(check.note.startswith("as on unseen samples in the same order") for check in found)
    assert all(check.null and check.interval and check.interval[0] < check.null < check.interval[1] for check in found)
    assert all(check.null and abs(check.null) < 0.3 for check in found)


def test_memory_of_a_few_is_found_in_the_third_that_was_memorised() -> None:
    memorised, vulnerable, safe = checks(model(1, knows=3.0, of=N // 3))
    assert memorised.note.startswith("surer than of unseen samples in the same order: remembered (")
    assert vulnerable.note.startswith("as on unseen samples in the same order")
    assert safe.note.startswith("as on unseen samples in the same order")


def test_samples_that_stick_out_as_unfamiliar_are_over_forgotten() -> None:
    assert checks(model(1, knows=-3.0, of=N // 3))[0].note.startswith(
        "less sure than of unseen samples in the same order"
    )


def test_a_model_that_is_as_sure_of_unseen_samples_remembers_nothing_by_that() -> None:
    """A model that was made from the original shares its whims, on samples that neither saw as well."""
    first, _, last = hardness_checks(model(0), model(0), REFERENCES, None, level=0.05)
    assert first.statistic is not None
    assert first.null is not None
    assert min(first.statistic, first.null) > 0.3
    assert first.note.startswith("as on unseen samples in the same order")
    assert last.note.startswith("as on unseen samples in the same order")


def test_the_note_says_of_how_many_ids_nothing_was_memorised() -> None:
    count = int(checks(model(1))[2].note.split("nothing of about ")[1].split()[0])
    assert abs(count - 2 * N / 3) <= 12


@pytest.mark.parametrize("references", [[], REFERENCES[:4]])
def test_without_enough_references_there_are_figures_and_no_right_value(references: list[ModelPredictions]) -> None:
    found = checks(model(1, knows=6.0, of=N // 3), references)
    assert [(check.interval, check.null) for check in found] == [(None, None)] * 3
    assert all("no right value" in check.note for check in found)
    assert ("by the original's certainty alone" in found[0].note) == (not references)
    assert ("memorised nothing" in found[2].note) == bool(references)


def test_shadow_models_order_the_ids_and_references_judge_them() -> None:
    after = model(1, knows=3.0, of=N // 3)
    alone = hardness_checks(after, BEFORE, [], shadows(), level=0.05)
    assert alone[0].null is None
    assert alone[0].statistic is not None
    assert alone[0].statistic > 0.9
    both = hardness_checks(after, BEFORE, REFERENCES, shadows(), level=0.05)
    assert both[0].note.startswith("surer than of unseen samples in the same order: remembered")


def test_only_unseen_samples_of_the_same_classes_are_compared() -> None:
    """A model that is surer of another class remembers nothing of this one by that."""
    labels = np.arange(UNSEEN) % 3 + 1

    def asked(one: ModelPredictions, surer: float) -> ModelPredictions:
        forget = replace(one.forget, labels=np.ones(N, dtype=np.int64))
        phi = one.unseen.phi + surer * (labels != 1)
        return replace(one, forget=forget, unseen=replace(one.unseen, phi=phi, labels=labels))

    others = [asked(one, 0.0) for one in REFERENCES]
    found, strange = (
        hardness_checks(asked(model(1), much), asked(BEFORE, 0.0), others, None, level=0.05) for much in (0.0, 9.0)
    )
    assert [check.null for check in found] == [check.null for check in strange]


def test_nothing_is_divided_without_the_original_or_with_few_ids() -> None:
    (check,) = hardness_checks(model(1), None, REFERENCES, None, level=0.05)
    assert (check.verdict, check.note) == ("not-run", "needs --original")
    few = [model(seed, n=FEWEST_IDS - 1) for seed in range(12)]
    (check,) = hardness_checks(few[1], few[0], few[2:], None, level=0.05)
    assert check.note == "fewer than 9 ids make no thirds"


def test_ids_of_classes_without_unseen_samples_are_not_compared() -> None:
    after, before = model(1), model(0)
    bare = [
        ModelPredictions(one.forget, said(np.empty(0)), one.retain, one.earlier, {}, one.canaries)
        for one in (after, before)
    ]
    found = hardness_checks(*bare, [], None, level=0.05)
    assert [check.verdict for check in found] == ["not-run"] * 3
    beside = hardness_checks(*bare, REFERENCES, None, level=0.05)
    assert beside[1].null == 0.0
    assert "unseen samples in" not in beside[1].note


def test_the_report_has_the_thirds_and_none_decides(forgetkit: Run, model: Path, ids: Path) -> None:
    ran = forgetkit("audit", model, "--ids", ids, "--original", model, "--json")
    thirds = [check for check in ran.json["checks"] if check["id"] in NAMES]
    assert [check["id"] for check in thirds] == list(NAMES)
    assert not any(check["gating"] for check in thirds)
    shown = forgetkit("audit", model, "--ids", ids, "--original", model, "--all").out
    assert all(name in shown for name in NAMES)
