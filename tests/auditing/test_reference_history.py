"""References that are copies of one model, or that saw the ids, clear no model that remembers; honest ones still do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from forgetkit.auditing.checks import reference_history as history
from forgetkit.auditing.predictions import ModelPredictions, predictions_of
from forgetkit.auditing.run import audit
from forgetkit.auditing.scores.table import ScoreTable
from forgetkit.statistics.independence import APART, COPIES, lead, relative_distance
from tests.auditing.test_audit_function import Net, noise, trained
from tests.auditing.test_scores import CLASSES, EACH, save
from tests.conftest import Ran, Run

K = 19
GROUP = np.repeat(["forget", "retain", "unseen"], EACH)
LABELS = np.arange(3 * EACH) % CLASSES
DIFFICULTY = np.random.default_rng(99).normal(size=3 * EACH)


def model(seed: int, *, ids: float = 0.0, retain: float = 3.0, easy: float = 0.0) -> ScoreTable:
    """Return scores of a model that is so much surer of ids and retained samples; ids may be easy for every model."""
    logits = np.random.default_rng(seed).normal(size=(3 * EACH, CLASSES)) * 0.5
    logits[np.arange(3 * EACH), LABELS] += 1 + DIFFICULTY + (ids + easy) * (GROUP == "forget")
    logits[np.arange(3 * EACH), LABELS] += retain * (GROUP == "retain")
    return ScoreTable(f"{seed}.npz", [f"x{row}" for row in range(3 * EACH)], LABELS, GROUP.tolist(), logits)


def noisy(one: ScoreTable, seed: int, size: float = 0.1) -> ScoreTable:
    logits = one.logits + size * np.random.default_rng(seed).normal(size=one.logits.shape)
    return replace(one, logits=logits, name=f"{seed}.npz")


def only(one: ScoreTable, *groups: str) -> ScoreTable:
    rows = np.flatnonzero(np.isin(GROUP, groups))
    ids, kept = [one.ids[row] for row in rows], [one.groups[row] for row in rows]
    return replace(one, ids=ids, groups=kept, labels=one.labels[rows], logits=one.logits[rows])


def judged(forgetkit: Run, judge: ScoreTable, original: ScoreTable, references: list[ScoreTable], *more: str) -> Ran:
    for number, one in enumerate(references):
        save(one, f"refs/{number}.npz")
    given = ("--original-scores", save(original, "o.npz"), "--reference-scores", "refs")
    return forgetkit("audit", "--scores", save(judge, "m.npz"), *given, *more)


def predictions(one: ScoreTable) -> ModelPredictions:
    parts = {
        group: predictions_of(torch.from_numpy(one.logits[group == GROUP]), torch.from_numpy(LABELS[group == GROUP]))
        for group in ("forget", "retain", "unseen")
    }
    return ModelPredictions(**parts, earlier=parts["forget"], views={}, canaries=np.empty(0))


def checks(ran: Ran) -> dict[str, dict[str, Any]]:
    return {check["id"]: check for check in ran.json["checks"]}


def saw(seed: int) -> ScoreTable:
    """Return a reference that saw the ids: it is as sure of them as of retained samples."""
    return model(seed, ids=3)


HONEST = [model(seed, easy=1.5) for seed in range(10, 10 + K)]
CASES: dict[str, tuple[ScoreTable, ScoreTable, list[ScoreTable], str]] = {
    "copies": (
        model(1, ids=3),
        model(2, ids=6),
        [noisy(model(1, ids=3), seed) for seed in range(K)],
        history.NEAR_MODEL,
    ),
    "copies of another": (
        noisy(model(1, ids=2), 50),
        model(2, ids=6),
        [noisy(model(1, ids=2), seed) for seed in range(K)],
        history.TOO_ALIKE,
    ),
    "saw": (model(1, ids=3), model(2, ids=5, retain=5), [saw(seed) for seed in range(10, 10 + K)], history.NO_LEAD),
    "some saw": (
        model(1, ids=2),
        model(2, ids=6, retain=6),
        [model(seed, ids=3.0 * (seed < 15)) for seed in range(10, 10 + K)],
        history.SOME_SAW,
    ),
    "nothing tells": (
        *(only(one, "forget", "unseen") for one in (model(1, ids=3), model(2, ids=5))),  # type: ignore[dict-item]
        [only(saw(seed), "forget", "unseen") for seed in range(10, 10 + K)],
        history.EASY,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_references_that_are_not_what_they_should_be_clear_no_model(forgetkit: Run, tmp_path: Path, case: str) -> None:
    judge, original, references, why = CASES[case]
    ran = judged(forgetkit, judge, original, references, "--json")
    found = checks(ran)
    assert (ran.code, ran.json["verdict"]) == (3, "inconclusive")
    assert any(reason.startswith(f"references: {why}") for reason in ran.json["reasons"]), ran.json["reasons"]
    assert (found["rank"]["verdict"], found["rank"]["gating"]) == ("info", False)
    assert (found["references"]["verdict"], found["references"]["gating"]) == ("inconclusive", False)
    shown = " ".join(judged(forgetkit, judge, original, references).out.split())
    assert f"open references {why}"[:50] in shown
    assert "forgetkit train --like" in shown


def test_easy_ids_are_cleared_by_honest_references_and_the_report_says_on_whose_word(
    forgetkit: Run, tmp_path: Path
) -> None:
    ran = judged(forgetkit, model(1, easy=1.5), model(2, ids=2, easy=1.5), HONEST, "--json")
    found = checks(ran)
    assert (ran.code, ran.json["verdict"]) == (0, "forgotten")
    assert found["membership"]["statistic"] > 0.7  # as in every model that never saw them
    assert found["references"]["note"].startswith(
        "19 references that never saw the ids, according to whoever made them"
    )
    assert any("is the word of whoever made them" in limit for limit in ran.json["limits"])
    short = judged(forgetkit, model(1, easy=1.5), model(2, ids=2, easy=1.5), HONEST).out
    assert "according to whoever made them" in " ".join(short.split())


def test_references_by_their_records_are_shown_in_the_short_report_if_they_are_in_doubt(
    forgetkit: Run, tmp_path: Path
) -> None:
    nothing = np.zeros(3 * EACH, dtype=bool)
    copies = [replace(noisy(model(1), seed), saw=nothing) for seed in range(K)]
    honest = [replace(model(seed), saw=nothing) for seed in range(10, 10 + K)]
    for references, shown in ((copies, True), (honest, False)):
        ran = judged(forgetkit, model(1), model(2, ids=6), references)
        assert ("references" in [word for line in ran.lines for word in line.split()[2:3]]) is shown, ran.out


def test_easy_ids_without_retained_samples_are_open_unless_the_tables_say_what_was_seen(
    forgetkit: Run, tmp_path: Path
) -> None:
    parts = [only(one, "forget", "unseen") for one in (model(1, easy=1.5), model(2, ids=2, easy=1.5), *HONEST)]
    ran = judged(forgetkit, parts[0], parts[1], parts[2:], "--json")
    assert (ran.code, any(history.EASY in reason for reason in ran.json["reasons"])) == (3, True)
    said = [replace(one, saw=np.zeros(len(one), dtype=bool)) for one in parts[2:]]
    assert judged(forgetkit, parts[0], parts[1], said, "--json").code == 0


def test_records_stand_for_a_lead_that_is_too_small_to_show() -> None:
    """Where the original memorised little, only the word of someone is in doubt; a record is not."""
    whole = [predictions(one) for one in (model(1), model(2, ids=0.1), *HONEST[:2])]
    for recorded, why in ((False, history.NO_LEAD), (True, "")):
        check, found = history.reference_history(whole[0], whole[1], whole[2:], recorded=recorded)
        assert (found, "not surely ahead" in check.note) == (why, True)


def test_modules_are_held_to_the_same(tmp_path: Path) -> None:
    parts = {"forget": noise(60, 0), "retain": noise(60, 1), "unseen": noise(200, 2)}
    both = [torch.cat(pair) for pair in zip(parts["forget"], parts["retain"], strict=True)]
    base = trained(*parts["retain"], seed=1)
    copies = []
    for seed in range(K):
        copies.append(Net(0))
        draw = torch.Generator().manual_seed(seed)
        moved = {name: one + 0.001 * torch.randn(one.shape, generator=draw) for name, one in base.state_dict().items()}
        copies[-1].load_state_dict(moved)
    found = audit(base, original=trained(*both, seed=0), references=copies, **parts)  # type: ignore[arg-type]
    kept = {check.id: check for check in found.checks}
    assert kept["references"].note.startswith(history.NEAR_MODEL)
    assert kept["rank"].verdict == "info"


def test_a_copied_model_is_at_half_the_distance_and_one_more_model_at_1() -> None:
    draw = np.random.default_rng(0)
    base, labels = draw.normal(size=2000), np.arange(2000) % 5
    copies = [base + 0.1 * draw.normal(size=2000) for _ in range(K)]
    assert relative_distance(base, copies, labels) == pytest.approx(0.5, abs=0.02)
    assert relative_distance(copies[0], copies[1:], labels) == pytest.approx(1, abs=0.05)
    assert relative_distance(draw.normal(size=2000), copies, labels) > APART
    assert relative_distance(base, [base, base], labels) == 1
    assert relative_distance(-base, [base, base], labels) == np.inf


def test_a_model_that_is_surer_on_the_whole_or_of_a_class_is_no_farther() -> None:
    draw = np.random.default_rng(0)
    models, labels = draw.normal(size=(6, 400)) + draw.normal(size=400), np.arange(400) % 5
    near = relative_distance(models[0], list(models[1:]), labels)
    assert relative_distance(3 * models[0] + 2 * labels, list(models[1:]), labels) == pytest.approx(near)


def test_the_lead_by_hand() -> None:
    original = np.array([3.0, 2.0]), np.array([1.0, 1.0])
    references = [(np.array([1.0, 2.0]), np.array([1.0, 2.0])), (np.array([1.0, 0.0]), np.array([1.0, 0.0]))]
    found = lead(original, references, (np.zeros(2, int), np.zeros(2, int)))
    assert found.pooled.value == 1  # 2 and 1, against 0 and 0
    assert [one.value for one in found.each] == [0.875, 1]  # 2, 0 against 0, −1; and 2, 2 against 0, 1
    apart = lead(original, references, (np.zeros(2, int), np.ones(2, int)))
    assert apart.pooled.value == 1  # no class in common: all are compared


@pytest.mark.parametrize("repeats", [200, pytest.param(5000, marks=pytest.mark.slow)])
def test_honest_models_are_seldom_doubted(repeats: int) -> None:
    """At most 1 in 1,000 simulated groups is, with as few as 30 unseen samples and long tails."""
    draw, doubted = np.random.default_rng(1), 0
    labels = np.arange(history.FEWEST_UNSEEN) % 2
    for _ in range(repeats):
        models = draw.normal(size=history.FEWEST_UNSEEN) + draw.standard_t(4, (K + 2, history.FEWEST_UNSEEN))
        near, far = (relative_distance(models[place], list(models[2:]), labels) for place in (0, 1))
        doubted += near < COPIES or far > APART
    assert doubted <= repeats / 1000
