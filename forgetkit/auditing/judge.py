"""From predictions to a verdict: the checks, what decides among them, and the report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.auditing.check import ONLY_CANARIES, Check
from forgetkit.auditing.checks.attack_checks import Attacked, attack_checks
from forgetkit.auditing.checks.exchangeable import exchangeable_check, harder_than_unseen
from forgetkit.auditing.checks.hardness import hardness_checks
from forgetkit.auditing.checks.one_model import Masks, single_ids
from forgetkit.auditing.checks.reference_history import doubt, reference_history
from forgetkit.auditing.checks.with_references import ReferenceResults, compare_with_references
from forgetkit.auditing.checks.with_shadows import checks_with_shadows
from forgetkit.auditing.checks.without_references import checks_without_references
from forgetkit.auditing.evidence import Evidence
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import ModelPredictions
from forgetkit.auditing.report.curves import Curves
from forgetkit.auditing.report.document import document
from forgetkit.auditing.result import Audited
from forgetkit.auditing.self_check import self_check as check_self
from forgetkit.auditing.verdict import apply_policy, overall
from forgetkit.statistics.exchangeability import Exchangeability, assess_exchangeability

NO_UNSEEN = "no unseen samples of these classes"
"""Why no attack is made."""


@dataclass(frozen=True)
class CheckResults:
    """The results of the checks, before the policy says which of them decide.

    Attributes:
        checks: in the order of the report.
        exchangeable: whether the ids may be taken for a random draw of their classes.
        masks: which single ids stand out.
        compared: results of the checks against references.
    """

    checks: list[Check]
    exchangeable: bool
    masks: Masks | None
    compared: ReferenceResults


def judge(
    evidence: Evidence, policy: Policy, *, digest: str | None = None, self_check: bool = False, show_ids: bool = False
) -> Audited:
    """Run the checks on the predictions, and judge.

    Args:
        evidence: what is judged.
        policy: what decides, and by how much.
        digest: SHA-256 of the policy's file, if it came from one.
        self_check: also measure how often the checks err at these numbers of samples.
        show_ids: list single ids in the report.
    """
    found = _check(evidence, policy)
    checks = apply_policy(found.checks, policy, exchangeable=found.exchangeable)
    after, before = evidence.after, evidence.before
    retained = after is None or len(after.retain) > 0
    given = evidence.inputs["original"] is not None
    judgement = overall(checks, original=given, retained=retained, by_rank="rank" in policy.deciding)
    checked = check_self(after.unseen, after.forget.labels, policy=policy) if after and self_check else None
    report = document(
        judgement,
        checks,
        accuracy=_accuracies(after, before),
        ids=_single_entry(evidence.ids, found.masks, show_ids=show_ids),
        inputs=evidence.inputs,
        policy=policy.to_json(digest),
        self_check=checked.to_json() if checked else None,
        weights=evidence.weights,
        recorded=evidence.recorded,
    )
    remembered = _masked(evidence.ids, found.masks[0] if found.masks else None)
    return Audited(report, judgement, tuple(checks), _curves(evidence, found.compared), remembered, checked)


def _check(evidence: Evidence, policy: Policy) -> CheckResults:
    """Run the checks."""
    after, before, compared = evidence.after, evidence.before, ReferenceResults([])
    checks = [evidence.integrity]
    if after is None:
        checks += [Check(name, "not-run", "NaN or infinity") for name in ("utility", "membership", "chance")]
        return CheckResults([*checks, *evidence.others], True, None, compared)
    exchangeable, masks, why = True, None, ""
    if len(after.forget):
        if evidence.references:
            history, why = reference_history(after, before, evidence.references, recorded=evidence.recorded)
            checks.append(history)
        draw = _exchangeability(after, evidence.references, policy)
        harder = before is not None and harder_than_unseen(before.forget, before.unseen, level=policy.level)
        # References in doubt may show that the ids were chosen, not that they were drawn.
        drawn = draw.holds and (draw.mixed or not why) and not harder and not evidence.by_owner
        exchangeable = drawn or policy.assume_exchangeable
        assumed, by_owner = policy.assume_exchangeable, evidence.by_owner
        checks.append(exchangeable_check(draw, assumed=assumed, harder=harder, by_owner=by_owner))
    checks += checks_without_references(after, before, policy, classes=evidence.classes, drawn=not evidence.weights)
    if evidence.references and not len(after.forget):
        checks += [Check(name, "not-run", ONLY_CANARIES) for name in ("rank", "closer")]
    if len(after.forget):
        if evidence.references:
            compared = compare_with_references(after, before, evidence.references, level=policy.level)
        if len(after.unseen):
            single, masks = single_ids(after.forget, after.unseen)
            checks.append(single)
            masks = compared.masks or masks  # corrected for the samples' difficulty
        checks += compared.checks
        checks += hardness_checks(after, before, evidence.references, evidence.shadows, level=policy.level)
    if evidence.shadows is not None:
        checks += checks_with_shadows(after, before, evidence.shadows, policy)
    checks += _attacks(evidence, policy, drawn=exchangeable)
    return CheckResults(doubt([*checks, *evidence.others], why), exchangeable, masks, compared)


def _attacks(evidence: Evidence, policy: Policy, *, drawn: bool) -> list[Check]:
    """Make the attacks that were asked for."""
    after, before = evidence.after, evidence.before
    if not evidence.attacks or after is None:
        return []
    if not np.isin(after.forget.labels, after.unseen.labels).any():
        return [Check("attacks", "not-run", ONLY_CANARIES if not len(after.forget) else NO_UNSEEN)]
    said = Attacked(
        (after.forget, after.unseen),
        None if before is None else (before.forget, before.unseen),
        [(one.forget, one.unseen) for one in evidence.references],
        evidence.shadows,
    )
    return attack_checks(evidence.attacks, said, evidence.reminded, policy, drawn=drawn)


def _exchangeability(after: ModelPredictions, references: list[ModelPredictions], policy: Policy) -> Exchangeability:
    """Ask whether the ids were drawn or chosen."""
    return assess_exchangeability(
        after.forget.labels,
        after.retain.labels,
        [(model.forget.phi, model.unseen.phi) for model in references],
        after.unseen.labels,
        margin=policy.membership_margin,
    )


def _accuracies(after: ModelPredictions | None, before: ModelPredictions | None) -> dict[str, float | None]:
    """Return the accuracies of the report; on unseen samples also without classes of which nothing is retained."""
    parts = {
        "forget": after and after.forget,
        "retain": after and after.retain,
        "unseen": after and after.unseen,
        "original_unseen": before and before.unseen,
    }
    found = {name: float(part.correct.mean()) if part else None for name, part in parts.items()}
    if after is None or (kept := np.isin(after.unseen.labels, after.retain.labels)).all() or not kept.any():
        return found
    both = {"kept_unseen": after, "kept_original_unseen": before}
    return found | {name: float(one.unseen.correct[kept].mean()) if one else None for name, one in both.items()}


def _single_entry(ids: list[str], masks: Masks | None, *, show_ids: bool) -> dict[str, Any]:
    """Return how many single ids stand out, and which ones if they may be shown."""
    entry = {}
    for name, mask in zip(("remembered", "over_forgotten"), masks or (None, None), strict=True):
        listed = _masked(ids, mask)
        entry[name] = {"count": None if listed is None else len(listed), "ids": listed if show_ids else None}
    return entry


def _masked(ids: list[str], mask: NDArray[np.bool_] | None) -> list[str] | None:
    return None if mask is None else [id_ for id_, hit in zip(ids, mask, strict=True) if hit]


def _curves(evidence: Evidence, compared: ReferenceResults) -> Curves | None:
    """Return what the figures of a report are drawn from."""
    after, before = evidence.after, evidence.before
    if after is None or len(after.forget) == 0:
        return None
    return Curves(
        forget=after.forget.phi,
        labels=after.forget.labels,
        unseen=after.unseen_alike.phi,
        unseen_labels=after.unseen_alike.labels,
        original=before.forget.phi if before else None,
        original_unseen=before.unseen_alike.phi if before else None,
        references=tuple(model.forget.phi for model in evidence.references),
        rank=compared.rank,
        closer=compared.closer,
    )
