"""Are the ids learned again no sooner than by models that never saw them? Each is taught the same, step by step."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from forgetkit.auditing.check import Check, CheckVerdict
from forgetkit.auditing.checks.relearn import RETAINED, SAMPLES, teach
from forgetkit.statistics.relearning import Losses, Rows, Sooner, sooner
from forgetkit.training.classifier import Samples, learner_of, rows_of, state_of
from forgetkit.training.device import seed_for

REPEATS = 2
"""Blocks of ids that every model is taught, each from the model's own weights."""
STEPS = 50
"""Steps for each block; a step takes up to 64 ids and 64 retained samples, so a model learns from 12,800 images."""
FEWEST = 10
"""Ids that a shadow model must not have seen, to be compared on them."""
Lesson = tuple[Samples, Samples]
"""A block of forgotten samples, and retained ones."""


def lesson_rows(ids: int, retained: int, *, seed: int = 0) -> list[tuple[Rows, Rows]]:
    """Draw what every model is taught: rows of up to 64 ids and of up to 500 retained samples, for each repeat.

    The blocks have no id in common if there are enough.

    Args:
        ids: number of forgotten samples, 1 or more.
        retained: number of retained samples, 0 or more.
        seed: of the draws.
    """
    draw = np.random.default_rng(seed_for(seed, "lessons"))
    order, size = draw.permutation(ids), min(SAMPLES, ids)
    blocks = [order[np.arange(repeat * size, (repeat + 1) * size) % ids] for repeat in range(REPEATS)]
    return [(block, draw.permutation(retained)[:RETAINED]) for block in blocks]


def lessons_of(forget: Samples, retain: Samples, *, seed: int = 0) -> list[Lesson]:
    """Draw what every model is taught from the forgotten and the retained samples themselves."""
    drawn = lesson_rows(len(forget[1]), len(retain[1]), seed=seed)
    return [(rows_of(forget, block), rows_of(retain, kept)) for block, kept in drawn]


def losses_of(classifier: nn.Module, lessons: Sequence[Lesson]) -> Losses:
    """Teach copies of a model; return the loss of the ids before each step, float64 of shape ``(repeats · steps,)``.

    As in :func:`forgetkit.auditing.checks.relearn.relearn`, dropout is off and batch norm keeps its statistics; and all
    weights learn, for nobody who has the file is bound to what was frozen in it.
    """
    learner = learner_of(classifier)
    start, found = state_of(learner), list[float]()
    for samples, retain in lessons:
        learner.load_state_dict(start)
        found += teach(learner, samples, retain, steps=STEPS)
    return np.array(found)


def rank_of_relearning(after: Losses, before: Losses | None, references: list[Losses], *, level: float) -> Check:
    """Return the check against references; it decides with enough of them, if the original learns sooner than they do.

    A statistic above 0 means that the ids are learned sooner. Later than by every reference only informs.

    Args:
        after: losses of the model under audit.
        before: those of the original.
        references: those of each reference.
        level: error rate of the check.
    """
    if len(references) < 2:
        return Check("relearn-rank", "not-run", "needs at least two references")
    found = sooner(after, before, references, level=level)
    decides = found.possible and found.verdict != "inconclusive"
    verdict: CheckVerdict = found.verdict if decides else "info"
    note = f"{_in_words(found)}; {_as_share(found.share, f'{len(references)} references')}"
    check = Check("relearn-rank", verdict, note, n=len(references), statistic=found.lead, null=0.0, p=found.p)
    return replace(check, gating=decides, proves=found.possible)


def compare_with_shadows(found: Sequence[tuple[Losses, Losses]], count: int) -> Check:
    """Return the comparison with shadow models, each on ids that it never saw; it only informs.

    They were trained on half of the samples, and a model that saw twice as many may learn sooner for that alone.

    Args:
        found: losses of the model and of a shadow model on the same ids, for each that never saw enough of them.
        count: number of shadow models.
    """
    if not found:
        return Check("relearn-shadows", "not-run", f"none of {count} shadow models never saw {FEWEST} of the ids")
    ahead = [float(np.log(other / own).mean()) for own, other in found]
    mean, first = float(np.mean(ahead)), sum(one > 0 for one in ahead)
    note = (
        f"learned again sooner than by {first} of {len(ahead)} shadow models, each on ids that it never saw; "
        f"{_as_share(float(np.exp(-mean)), 'those models')}; they saw half of the samples, so this cannot decide"
    )
    return Check("relearn-shadows", "info", note, n=len(ahead), statistic=mean, null=0.0)


def _in_words(found: Sooner) -> str:
    """Say what was found."""
    count = len(found.leads)
    if not found.possible:
        return f"{count} references; at least {found.needed} are needed to decide"
    if found.verdict == "fail":
        return f"the ids are learned again sooner than by {count} models that never saw them"
    if found.diverged:
        return "the model diverged while it learned, which shows nothing"
    said = f"learned again no sooner than by {count} models that never saw the ids"
    if found.p_slower <= 1 / (count + 1):
        return f"{said}, but later than by each of them, which shows nothing"
    if found.verdict == "inconclusive" and found.p_before is not None:
        return "no power: the original does not learn the ids sooner than the references either"
    needs = "needs --original to show that not every model is"
    return f"{said}; {'the original learns them sooner' if found.verdict == 'pass' else needs}"


def _as_share(share: float, of: str) -> str:
    return f"over {STEPS} steps, the loss on them is {share:.2g} of that of {of}"
