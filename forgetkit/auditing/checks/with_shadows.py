"""The checks with shadow models: the twin test, and membership with each sample's difficulty taken away."""

from dataclasses import replace

from forgetkit.auditing.check import Check, CheckVerdict, check_of
from forgetkit.auditing.checks.one_model import membership
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import ModelPredictions, Predictions
from forgetkit.auditing.shadow_predictions import OnSamples, ShadowPredictions
from forgetkit.statistics.canary_guesses import guesses_needed
from forgetkit.statistics.intervals import accuracy, judge
from forgetkit.statistics.twin_test import MARGIN, Mask, read_coins


def checks_with_shadows(
    after: ModelPredictions, before: ModelPredictions | None, found: ShadowPredictions, policy: Policy
) -> list[Check]:
    """Return the twin test, its control, and the calibrated membership check, which only informs.

    Args:
        after: predictions of the model under audit.
        before: those of the original.
        found: those of the shadow models.
        policy: level and margins.
    """
    checks = _twins(found, level=policy.level)
    for model, name in ((after, "calibrated"), (before, "calibrated-original")):
        if model is None:
            continue
        forget, unseen = _calibrated(model.forget, found.forget), _calibrated(model.unseen, found.unseen)
        check = membership(forget, unseen, level=policy.level, margin=policy.membership_margin)
        checks.append(replace(check, id=name, verdict="info", gating=False, proves=False, weak=False))
    return checks


def _twins(found: ShadowPredictions, *, level: float) -> list[Check]:
    """Return the twin test and its control: the same guesses on retained samples, which the twins do remember."""
    if found.why:
        return [Check("twins", "not-run", found.why)]
    after = _guessed(found.forget, level, found.counts)
    control = _guessed(found.retained, level)
    if after is None or control is None:
        return [Check("twins", "not-run", "too few samples")]
    shows = control.verdict == "fail" and not control.over
    if not shows and after.verdict != "fail":
        known = f"of retained samples, which the twins remember, only {control.statistic:.1%} are read correctly"
        note = f"{known}: a pass would prove little (by itself: {after.note})"
        return [replace(after, verdict="info", gating=False, note=note)]
    return [after, replace(control, id="twins-retained", verdict="info", gating=False, proves=False)]


def _guessed(part: OnSamples, level: float, counts: Mask | None = None) -> Check | None:
    """Return the check on some samples; None if no coin was read."""
    right, read = read_coins(part.scores, part.sides, part.groups, counts)
    if not read:
        return None
    estimate = accuracy(right, read, level=level)
    verdict: CheckVerdict = judge(estimate, null=0.5, margin=MARGIN)
    possible = read >= guesses_needed(level=level, margin=MARGIN)
    meaning = {"fail": "remembered" if estimate.value > 0.5 else "over-forgotten: the twin that saw it knows less"}
    note = meaning.get(verdict, "no trace" if verdict == "pass" else "undecided")
    note += f"; which of two twins had seen a sample is read correctly in {right} of {read} cases"
    if verdict == "inconclusive":
        verdict = "inconclusive" if possible else "info"
        enough = guesses_needed(power=0.9, level=level, margin=MARGIN)
        note += f"; if nothing leaked, {enough:,} cases would pass in 9 of 10 audits"
    check = check_of("twins", estimate, verdict, note, null=0.5, margin=MARGIN)
    return replace(check, gating=possible or verdict == "fail", proves=True)


def _calibrated(part: Predictions, usual: OnSamples) -> Predictions:
    """Return predictions with φ less what models say that never saw the samples."""
    return replace(part, phi=part.phi - usual.usual)
