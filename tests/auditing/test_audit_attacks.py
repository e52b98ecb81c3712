"""The attacks of the field in an audit: what they say of honest models and of others, and where they cannot be made."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import Draft202012Validator
from numpy.random import default_rng
from torch import nn

from forgetkit.auditing.check import ATTACKS, Check
from forgetkit.auditing.checks.attack_checks import Attacked, attack_checks
from forgetkit.auditing.checks.attacks import Answers, family_of, outside_of, read, read_matched
from forgetkit.auditing.checks.rea import reminded
from forgetkit.auditing.policy import Policy, attacks_of
from forgetkit.auditing.predictions import Predictions
from forgetkit.auditing.run import audit
from forgetkit.auditing.shadow_predictions import OnSamples, ShadowPredictions
from forgetkit.errors import ForgetkitError
from tests.auditing.test_audit_function import Net, Samples, noise, trained
from tests.auditing.test_audit_options import SCHEMA
from tests.auditing.test_scores import save, table
from tests.benchmarks.attack_pool import Pool
from tests.benchmarks.bench_attacks import by_references
from tests.conftest import Run

IDS, UNSEEN, K = 60, 150, 19
ON_ANSWERS = ("loss", "phi", "label", "rmia", "lira", "bavaria")


def answers(draw: np.random.Generator, level: np.ndarray, left: float = 0.0) -> Answers:
    """Return what a model says of samples of these difficulties; it knows the ids by so much."""
    phi = level + draw.standard_normal(IDS + UNSEEN) + left * (np.arange(IDS + UNSEEN) < IDS)
    labels = np.arange(IDS + UNSEEN) % 4
    whole = Predictions(phi, phi > 0, labels, np.zeros((len(phi), 4)))
    ids = np.arange(IDS + UNSEEN) < IDS
    return whole.take(ids), whole.take(~ids)


def models(*, left: float, references: int = K, seed: int = 0, chosen: float = 0.0) -> Attacked:
    """Return an audit's models: one that still knows the ids by ``left``, the original, and references."""
    draw = default_rng(seed)
    level = 2 * draw.standard_normal(IDS + UNSEEN) - chosen * (np.arange(IDS + UNSEEN) < IDS)
    others = [answers(draw, level) for _ in range(references)]
    return Attacked(answers(draw, level, left), answers(draw, level, 3), others)


def made(attacked: Attacked, *names: str, drawn: bool = True, policy: Policy | None = None) -> dict[str, Check]:
    found = attack_checks(names or ON_ANSWERS, attacked, None, policy or Policy(), drawn=drawn)
    return {check.id: check for check in found}


def test_a_model_that_knows_the_ids_is_told_apart_and_an_honest_one_is_not() -> None:
    known, honest = made(models(left=2)), made(models(left=0, seed=1))
    outcome = "tells it from models that never saw the ids: remembered (exact p 0.05, this attack alone)"
    assert known["attack-lira"].p == 0.05
    assert known["attack-lira"].note.startswith(outcome)
    assert re.match(r"attack-\w+ tells it from 19 models that never saw the ids", known["attacks"].note)
    assert re.match("none of 6 attacks tells it from 19 models that never saw the ids", honest["attacks"].note)


def test_every_attack_only_informs() -> None:
    for check in made(models(left=3)).values():
        assert (check.verdict, check.gating, check.proves) == ("info", False, False)
        assert check.statistic is None or 0 <= check.statistic <= 1


def test_a_model_that_was_pushed_too_far_is_over_forgotten() -> None:
    check = made(models(left=-3))["attack-lira"]
    assert "over-forgotten (exact p 0.05, this attack alone)" in check.note
    assert check.over


def test_without_references_only_attacks_on_the_model_alone_are_made() -> None:
    found = made(models(left=3, references=0))
    assert found["attack-phi"].null == 0.5
    assert found["attack-phi"].p is not None
    assert found["attack-phi"].p < 0.001
    assert found["attack-lira"].verdict == "not-run"
    assert "--reference" in found["attack-lira"].note
    assert "corrected for 3 attacks" in found["attacks"].note


def test_chosen_ids_have_no_p_without_references() -> None:
    found = made(models(left=0, references=0, chosen=2), drawn=False)
    assert found["attack-phi"].p is None
    assert "only the same attack on 19 references would show what is right" in found["attack-phi"].note
    assert found["attacks"].verdict == "not-run"


def test_chosen_ids_are_judged_by_what_references_read() -> None:
    check = made(models(left=0, chosen=4), drawn=False)["attack-phi"]
    assert check.null is not None
    assert check.null < 0.2  # hard ids, for every model: AUC ½ would call an honest model over-forgotten
    assert check.p is not None
    assert check.p > 0.05


def test_too_few_references_for_a_rank_leave_the_normal_p() -> None:
    found = made(models(left=3, references=5))["attack-rmia"]
    assert "(p " in found.note
    assert found.p is not None
    assert found.p < 0.05


def test_the_note_has_the_rate_at_few_false_alarms_and_its_ceiling() -> None:
    note = made(models(left=5))["attack-lira"].note
    rate = r"finds \d+\.\d% \[\d+\.\d%, \d+\.\d%\] at 1% false alarms"
    assert re.search(rate + r" \(by chance up to \d+\.\d%; perfect separation would show 94\.0% to 100%\)", note)
    assert re.search(r"from the original 0\.\d{3}$", note)


def test_an_attack_that_the_policy_names_fails_a_model_that_remembers() -> None:
    policy = Policy(gating=("rank", "attack-lira"))
    check = made(models(left=3), policy=policy)["attack-lira"]
    assert (check.verdict, check.gating) == ("fail", True)
    check = made(models(left=0, seed=1), policy=policy)["attack-lira"]
    assert (check.verdict, check.gating, check.proves) == ("pass", True, True)


def test_an_attack_that_misses_the_original_passes_nothing() -> None:
    blind = models(left=0, seed=1)
    blind = Attacked(blind.after, blind.after, blind.references)
    check = made(blind, policy=Policy(gating=("rank", "attack-lira")))["attack-lira"]
    assert (check.verdict, check.gating) == ("info", False)
    assert "not told apart either" in check.note


def test_under_the_criterion_chance_no_attack_decides() -> None:
    with pytest.raises(ForgetkitError, match="never decides under the criterion 'chance'"):
        Policy(criterion="chance", gating=("chance", "attack-lira"))


def shadows(*, left: float, pairs: int = 8, seed: int = 0) -> tuple[Attacked, ShadowPredictions]:
    """Return models, and shadow models that forgot the ids by a step that leaves so much."""
    draw = default_rng(seed)
    level = 2 * draw.standard_normal(IDS + UNSEEN)
    sides = draw.random((pairs, IDS)) < 0.5
    never = np.stack([sides, ~sides], axis=1).reshape(2 * pairs, IDS)
    scores = level[:IDS] + draw.standard_normal((2 * pairs, IDS)) + left * ~never
    ids = OnSamples(scores, sides, np.arange(IDS))
    drawn = draw.random((pairs, UNSEEN)) < 0.5
    unseen = OnSamples(level[IDS:] + draw.standard_normal((2 * pairs, UNSEEN)), drawn, np.arange(UNSEEN))
    found = ShadowPredictions(ids, unseen, ids, np.ones((pairs, IDS), bool), "")
    others = [answers(draw, level) for _ in range(K)]
    return Attacked(answers(draw, level, left), answers(draw, level, 3), others, found), found


@pytest.mark.parametrize("name", ["ulira", "ruli"])
def test_shadow_models_that_took_the_step_show_what_it_leaves(name: str) -> None:
    known, honest = (made(shadows(left=left, seed=seed)[0], name)[f"attack-{name}"] for left, seed in ((2, 0), (0, 3)))
    assert known.p == 0.05
    assert known.statistic is not None
    assert known.statistic > 0.8
    assert honest.p is not None
    assert honest.p > 0.05


def test_few_shadow_models_are_too_few_for_u_lira() -> None:
    attacked, found = shadows(left=2, pairs=4)
    why = read_matched("ulira", family_of(attacked.after, attacked.references), found, level=0.05)
    assert why == "needs --shadows with 16 models, and --reference with 19"


def test_shadow_models_stand_in_for_references() -> None:
    attacked, found = shadows(left=2)
    reading = read("lira", family_of(attacked.after), outside_of(found), level=0.05, drawn=True)
    assert not isinstance(reading, str)
    assert reading.null == 0.5
    assert reading.p is not None
    assert reading.p < 0.001


def test_shadow_models_that_saw_a_sample_do_not_judge_it() -> None:
    _, found = shadows(left=2)
    outside = outside_of(found)
    assert np.array_equal(np.isnan(outside[:, :IDS]), ~found.forget.never)
    assert np.count_nonzero(~np.isnan(outside), axis=0).tolist() == [8] * (IDS + UNSEEN)


@pytest.mark.parametrize(("text", "names"), [("none", ()), ("all", ATTACKS), ("lira, rea", ("lira", "rea"))])
def test_attacks_are_named_with_commas(text: str, names: tuple[str, ...]) -> None:
    assert attacks_of(text) == names


def test_an_unknown_attack_is_refused_with_the_nearest(forgetkit: Run) -> None:
    ran = forgetkit("audit", "m.st", "--attacks", "lyra")
    assert ran.code == 2
    assert "'lyra' is not one of loss, phi" in ran.err
    assert "lira" in ran.err.splitlines()[-1]


@pytest.fixture(scope="module")
def parts() -> dict[str, Samples]:
    sizes = {"forget": 80, "retain": 120, "unseen": 300}
    return {name: noise(count, seed) for seed, (name, count) in enumerate(sizes.items())}


@pytest.fixture(scope="module")
def nets(parts: dict[str, Samples]) -> dict[str, Any]:
    """Return the original, a retrained model, and 19 references."""
    everything = [torch.cat(pair) for pair in zip(parts["forget"], parts["retain"], strict=True)]
    made = [trained(*parts["retain"], seed=seed) for seed in range(1, K + 2)]
    return {"original": trained(*everything, seed=0), "retrained": made[0], "references": made[1:]}


def test_an_audit_of_modules_makes_all_attacks(parts: dict[str, Samples], nets: dict[str, Any]) -> None:
    known = {name: nets[name] for name in ("original", "references")}
    honest = audit(nets["retrained"], **known, **parts, attacks="all")
    Draft202012Validator(SCHEMA).validate({**honest.report, "warnings": []})
    found = {check.id: check for check in honest.checks}
    assert found["attack-ruli"].verdict == "not-run"
    assert found["attack-rea"].p is not None
    assert "attacks" in honest.text("m.st")
    assert "from the original" in " ".join(honest.text("m.st", complete=True).split())
    moved = Net(0)
    moved.load_state_dict({name: one * 1.001 for name, one in nets["original"].state_dict().items()})
    caught = audit(moved, **known, **parts, attacks="all")
    assert {check.id: check for check in caught.checks}["attacks"].p == 0.05


def test_attacks_are_made_only_if_asked(parts: dict[str, Samples], nets: dict[str, Any]) -> None:
    found = audit(nets["retrained"], original=nets["original"], **parts)
    assert not [check.id for check in found.checks if check.id.startswith("attack")]


def test_reminding_leaves_the_model_as_it_was_and_sees_neither_side(parts: dict[str, Samples]) -> None:
    model = trained(*parts["retain"], seed=3)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    first = reminded(model, parts["forget"], parts["unseen"], parts["retain"])
    other = reminded(model, parts["unseen"], parts["forget"], parts["retain"])
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert np.array_equal(first[0].phi, other[1].phi)
    assert np.array_equal(first[1].phi, other[0].phi)


def test_the_command_makes_the_attacks(forgetkit: Run, tmp_path: Path) -> None:
    assert forgetkit("train", "--dataset", "digits", "--epochs", 1, "--out", "m.st").code == 0
    forgetkit("forget-ids", "m.st", "--count", 60, "--out", "ids.txt")
    forgetkit("train", "--like", "m.st", "--exclude", "ids.txt", "--out", "r.st")
    ran = forgetkit("audit", "r.st", "--original", "m.st", "--attacks", "loss,rmia,rea", "--json")
    found = {check["id"]: check for check in ran.json["checks"] if check["id"].startswith("attack")}
    assert list(found) == ["attack-loss", "attack-rmia", "attack-rea", "attacks"]
    assert found["attack-rmia"]["verdict"] == "not-run"
    assert "none of 2 attacks tells it from models that never saw the ids" in found["attacks"]["note"]
    assert "attacks" in forgetkit("audit", "r.st", "--original", "m.st", "--attacks", "loss").out


def test_a_frozen_model_is_reminded_as_one_that_is_not(parts: dict[str, Samples]) -> None:
    free, frozen = Net(0), Net(0).requires_grad_(False)
    one, other = (reminded(model, parts["forget"], parts["unseen"], parts["retain"]) for model in (free, frozen))
    assert np.array_equal(one[0].phi, other[0].phi)
    assert not any(weight.requires_grad for weight in frozen.parameters())


def test_a_reminding_that_diverged_is_no_reading() -> None:
    known = models(left=0)
    lost = replace(known.after[0], phi=np.full(IDS, np.nan))
    found = attack_checks(("rea",), known, replace(known, after=(lost, known.after[1])), Policy(), drawn=True)
    assert [(check.id, check.verdict) for check in found] == [("attack-rea", "not-run"), ("attacks", "not-run")]
    assert found[0].note == "the little training on the retain set diverged"


def test_a_network_with_batch_norm_and_dropout_is_reminded_the_same_way_twice(parts: dict[str, Samples]) -> None:
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(36, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 4)
    images = {name: (part[0].float() / 128 - 1, part[1]) for name, part in parts.items()}
    model = nn.Sequential(*layers)
    first, again = (reminded(model, images["forget"], images["unseen"], images["retain"]) for _ in range(2))
    assert np.isfinite(first[0].phi).all()
    assert np.array_equal(first[0].phi, again[0].phi)


def test_scores_alone_are_attacked_too(forgetkit: Run, tmp_path: Path) -> None:
    known = ("--original-scores", save(table(7, known=3, name="o.npz")), "--attacks", "all", "--json")
    for seed in range(K):
        save(table(seed + 10), f"refs/{seed}.npz")
    ran = forgetkit("audit", "--scores", save(table(1, known=3)), *known, "--reference-scores", "refs")
    found = {check["id"]: check for check in ran.json["checks"]}
    assert found["attack-rmia"]["p"] == found["attacks"]["p"] == 0.05
    assert found["attack-rea"]["note"] == "needs the model itself, and retained samples that could remind it"
    assert "--shadow-scores" in found["attack-ulira"]["note"]


@pytest.mark.slow
def test_of_80_honest_retrainings_of_digits_few_are_told_apart_and_most_originals(tmp_path: Path) -> None:
    pool = Pool("digits", tmp_path, 80)
    pool.train()
    honest, originals = by_references(pool, 1)
    bound = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 80)
    for name, found in honest.items():
        values, _, p, _ = np.array(found).T
        assert np.mean(p <= 0.05) <= bound, name
        assert name == "attacks" or abs(values.mean() - 0.5) < 0.02, name
    assert np.mean(np.array(originals["attack-rmia"])[:, 2] <= 0.05) > 0.7
