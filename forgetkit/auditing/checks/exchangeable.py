"""Are the ids a random draw of their classes, as the membership check assumes, or were they chosen?

One person's samples, or the hardest ones, do not rank like unseen samples even in a model that never saw them. An ID
list does not say how it was made; the mix of its classes, and models that saw neither side, do.
"""

from dataclasses import replace

import numpy as np

from forgetkit.auditing.check import Check
from forgetkit.auditing.predictions import Predictions
from forgetkit.statistics.exchangeability import Exchangeability
from forgetkit.statistics.membership_auc import stratified_auc


def harder_than_unseen(forget: Predictions, unseen: Predictions, *, level: float) -> bool:
    """Say whether a model that was trained on samples is less certain of them than of unseen ones of their classes.

    Of a random draw it would be at least as certain: such samples were chosen.
    """
    if not np.isin(forget.labels, unseen.labels).any():
        return False
    found = stratified_auc(forget.phi, forget.labels, unseen.phi, unseen.labels, level=level)
    return found.estimate.wide[1] < 0.5


def exchangeable_check(found: Exchangeability, *, assumed: bool, harder: bool = False, by_owner: bool = False) -> Check:
    """Return the check.

    Args:
        found: by the mix of classes and by references.
        assumed: whether the policy assumes that the ids were drawn.
        harder: whether the original is less certain of the ids than of unseen samples.
        by_owner: whether the ids are all samples of some people.
    """
    note = "the mix of classes is that of a random draw"
    if not found.mixed:
        note = f"chosen, not drawn: a random draw rarely has this mix of classes (p = {found.p:.4f})"
    note += f"; {_in_references(found)}"
    if harder:
        note += "; the original was trained on them and is still less certain of them: chosen, not drawn"
    if by_owner:
        note += "; they are all samples of some people: chosen, not drawn"
    if harder or by_owner or not found.holds:
        note += "; the policy says they were drawn" if assumed else "; membership and per-id are therefore only hints"
    at = found.auc
    check = Check("exchangeable", "info", note, p=found.p)
    return check if at is None else replace(check, n=at.n, statistic=at.value, interval=at.wide, null=0.5)


def _in_references(found: Exchangeability) -> str:
    """Say how the ids rank in the references, which saw neither side."""
    if found.auc is None:
        return "only --reference can show whether they are one person's, or hard ones"
    one = found.references == 1
    who = f"{'a reference' if one else f'{found.references} references'}, which saw neither,"
    if found.near_unseen or (found.like_unseen and found.mixed):
        return f"{who} cannot tell them from unseen samples"
    if found.like_unseen:
        return f"{who} cannot rule out that they differ from unseen samples by more than {found.margin:g}"
    side = "easier" if found.auc.value > 0.5 else "harder"
    return f"{who} {'finds' if one else 'find'} them {side} than unseen samples of their classes: chosen, not drawn"
