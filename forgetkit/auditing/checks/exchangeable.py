"""Are the ids a random draw of their classes, or were they chosen? Membership compares with unseen samples.

One person's samples, or the hardest ones, do not rank like unseen samples even if nothing of them is left. A list of
ids does not say how it was made; the classes in it, and models that never saw either side, do.
"""

from dataclasses import replace

from forgetkit.auditing.check import Check
from forgetkit.statistics.exchangeability import Exchangeability


def exchangeable_check(found: Exchangeability, *, assumed: bool) -> Check:
    """Say in words what was found; ``assumed`` is the policy's word that the ids were drawn."""
    note = "the classes are mixed as a random draw mixes them"
    if not found.mixed:
        note = f"chosen, not drawn: a random draw seldom mixes the classes so (p = {found.p:.4f})"
    note += f"; {_beside(found)}"
    if not found.holds:
        note += "; the policy says they were drawn" if assumed else "; so membership and per-id are hints only"
    at = found.beside
    check = Check("exchangeable", "info", note, p=found.p)
    return check if at is None else replace(check, n=at.n, statistic=at.value, interval=at.wide, null=0.5)


def _beside(found: Exchangeability) -> str:
    """Say what the references, which saw neither side, make of the ids."""
    if found.beside is None:
        return "whether they are one person's, or hard ones, only --reference can show"
    one = found.references == 1
    who = f"{'a reference' if one else f'{found.references} references'}, which saw neither,"
    if found.near_unseen or (found.like_unseen and found.mixed):
        return f"{who} cannot tell them from unseen samples"
    if found.like_unseen:
        return f"{who} cannot rule out that they differ from unseen samples by more than {found.margin:g}"
    side = "easier" if found.beside.value > 0.5 else "harder"
    return f"{who} {'finds' if one else 'find'} them {side} than unseen samples of their classes: chosen, not drawn"
