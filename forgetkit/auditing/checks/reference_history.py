"""Were the references trained apart, and never on the ids? Where it does not show, no check passes by them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forgetkit.auditing.check import ATTACK_IDS, BY_ITSELF, Check
from forgetkit.auditing.predictions import ModelPredictions, Predictions
from forgetkit.statistics.exchangeability import mean_auc
from forgetkit.statistics.independence import APART, COPIES, Lead, lead, relative_distance
from forgetkit.statistics.membership_attacks import SMALLEST
from forgetkit.statistics.strata import Labels, Scores

BY_REFERENCES = {"rank", "closer", "relearn-rank", *ATTACK_IDS}
"""Checks that pass a model that is like the references."""
FEWEST_UNSEEN = 30
"""Fewest unseen samples on which distances between models are compared."""
WORD = "whoever made them"
"""By whose word the references never saw the ids, where no record says so."""
IN_DOUBT = "the references are in doubt"
NEAR_MODEL = "the references lie nearer to the model than to each other, as copies of it would"
TOO_ALIKE = "also on unseen samples the original lies far from the references, which hardly differ, as copies would"
SOME_SAW = "some references are as sure of the ids as the original is: they may have seen them"
NO_LEAD = (
    "nothing shows that the references never saw the ids: on retained samples the original is ahead of them as well"
)
EASY = (
    "the references are surer of the ids than of unseen samples: easy ids, or references that saw them; what they and "
    "the original say of retained samples would tell"
)


def reference_history(
    after: ModelPredictions, before: ModelPredictions | None, references: Sequence[ModelPredictions], *, recorded: bool
) -> tuple[Check, str]:
    """Return the check on what references show of their history, and why none may pass by them; empty if they may.

    Args:
        after: predictions of the model under audit.
        before: those of the original.
        references: those of each reference, one or more.
        recorded: whether records say what they were trained on.
    """
    count, source = len(references), "records" if recorded else WORD
    notes = [f"{count} reference{'s' * (count > 1)} that never saw the ids, according to {source}"]
    found, reasons = None if before is None else _lead(before, references), list[str]()
    if found is not None:
        value = found.pooled.value
        notes.append(f"the original is {'' if found.sure else 'not surely '}ahead of them on the ids ({value:.2f})")
        reasons += [SOME_SAW] * (found.caught_up > 0) + [NO_LEAD] * (not found.sure and not recorded)
    elif before is not None and not recorded and _surer(references):
        reasons.append(EASY)
    distances = _distances(after, before, references)
    if distances:
        far = " and ".join(f"{value:.2f} of the {name}" for name, value in distances.items())
        notes.append(f"distance on unseen samples, in theirs from each other: {far}")
        reasons += [NEAR_MODEL] * (distances["model"] < COPIES) + [TOO_ALIKE] * (distances.get("original", 0) > APART)
    check = Check("references", "info", "; ".join(notes), n=count)
    if found is not None:
        at = found.pooled
        check = replace(check, statistic=at.value, interval=at.wide, null=0.5)
    return check, reasons[0] if reasons else ""


def doubt(checks: list[Check], why: str) -> list[Check]:
    """Let passes by references only inform, and say so in the check on their history.

    Args:
        checks: all that were run.
        why: the reason; empty if there is none.
    """
    barred = {check.id for check in checks if check.id in BY_REFERENCES and check.verdict == "pass"}
    if not why or not barred:
        return checks
    return [_doubted(check, why, barred) for check in checks]


def _doubted(check: Check, why: str, barred: set[str]) -> Check:
    if check.id == "references":
        return replace(check, verdict="inconclusive", weak=True, note=f"{why}{BY_ITSELF}{check.note})")
    if check.id not in barred:
        return check
    return replace(check, verdict="info", gating=False, note=f"{IN_DOUBT}{BY_ITSELF}{check.note})")


def _lead(before: ModelPredictions, references: Sequence[ModelPredictions]) -> Lead | None:
    """Compare the original's lead on the ids with that on retained samples; None where these were not predicted."""
    if not all(len(one.retain) for one in (before, *references)):
        return None
    pairs = [(one.forget.phi, one.retain.phi) for one in (before, *references)]
    return lead(pairs[0], pairs[1:], (before.forget.labels, before.retain.labels))


def _surer(references: Sequence[ModelPredictions]) -> bool:
    """Say whether the references are surely surer of the ids than of unseen samples."""
    first = references[0]
    if not np.isin(first.forget.labels, first.unseen.labels).any():
        return False
    forget, unseen = (np.stack([getattr(one, part).phi for one in references]) for part in ("forget", "unseen"))
    return mean_auc(forget, first.forget.labels, unseen, first.unseen.labels).wide[0] > 0.5


def _distances(
    after: ModelPredictions, before: ModelPredictions | None, references: Sequence[ModelPredictions]
) -> dict[str, float]:
    """Return how far models are from the references on unseen samples, in their distances from each other."""
    kept = np.unique(after.retain.labels) if len(after.retain) else np.unique(after.unseen.labels)
    usable = np.isin(after.unseen.labels, kept)
    if len(references) < 2 or len(kept) < 2 or np.count_nonzero(usable) < FEWEST_UNSEEN:
        return {}
    labels = after.unseen.labels[usable]
    others = [_among(one.unseen.take(usable), kept) for one in references]
    models = {"model": after, **({"original": before} if before else {})}
    return {
        name: relative_distance(_among(one.unseen.take(usable), kept), others, labels) for name, one in models.items()
    }


def _among(part: Predictions, classes: Labels) -> Scores:
    """Return φ among these classes alone: what models were taught of others would set them apart."""
    if len(classes) == part.softmax.shape[1]:
        return part.phi
    shares, rows = part.softmax.copy(), np.arange(len(part))
    own = shares[rows, part.labels]
    shares[rows, part.labels] = 0
    others = shares[:, classes].sum(axis=1)
    found: Scores = np.log(np.maximum(own, SMALLEST)) - np.log(np.maximum(others, SMALLEST))
    return found
