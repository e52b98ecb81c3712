"""The checks with shadow models: the twin test, and membership with each sample's difficulty taken away."""

from dataclasses import replace

from forgetkit.auditing.check import BY_ITSELF, Check
from forgetkit.auditing.checks.guesses import Wording, guess_check
from forgetkit.auditing.checks.one_model import membership
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import ModelPredictions, Predictions
from forgetkit.auditing.shadow_predictions import OnSamples, ShadowPredictions
from forgetkit.statistics.twin_test import MARGIN, Mask, read_coins

WORDING = Wording(
    passes="no trace",
    over="the twin that saw it knows less",
    counted="which of two twins had seen a sample is read correctly in {right} of {made} cases",
    needed="cases",
)


def checks_with_shadows(
    after: ModelPredictions, before: ModelPredictions | None, found: ShadowPredictions, policy: Policy
) -> list[Check]:
    """Return the twin test, its control, and the calibrated membership check, which only informs.

    The twin test judges the step that the shadow models took. That the model took the same one is what its record says,
    or the user; so it does not pass by theirs while it is itself plainly surer of the samples than shadow models that
    never saw them.

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
        if model is after and check.verdict == "fail" and not check.over:
            checks = [_barred(one) for one in checks]
        checks.append(replace(check, id=name, verdict="info", gating=False, proves=False, weak=False))
    return checks


def _barred(check: Check) -> Check:
    """Let a pass of the twin test only inform."""
    if check.verdict != "pass":
        return check
    note = f"the model is surer of the samples than shadow models that never saw them{BY_ITSELF}{check.note})"
    return replace(check, verdict="info", gating=False, note=note)


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
        note = f"{known}: a pass would prove little{BY_ITSELF}{after.note})"
        return [replace(after, verdict="info", gating=False, note=note)]
    return [after, replace(control, id="twins-retained", verdict="info", gating=False, proves=False)]


def _guessed(part: OnSamples, level: float, counts: Mask | None = None) -> Check | None:
    """Return the check on some samples; None if no coin was read."""
    right, read = read_coins(part.scores, part.sides, part.groups, counts)
    if not read:
        return None
    return guess_check("twins", right, read, level=level, margin=MARGIN, wording=WORDING)


def _calibrated(part: Predictions, usual: OnSamples) -> Predictions:
    """Return predictions with φ less what models say that never saw the samples."""
    return replace(part, phi=part.phi - usual.usual)
