"""The checks of an audit without references, from logits and records. Statistics: the modules beside this one."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from forgetkit.audit.check import Check, CheckVerdict, measured
from forgetkit.audit.exposure import advantage, low_fpr, per_id
from forgetkit.audit.intervals import accuracy, judge, judge_utility, utility
from forgetkit.audit.membership import ids_to_decide, ids_to_pass, stratified_auc
from forgetkit.audit.scores import phi
from forgetkit.record import Record

FEWEST_IDS = 20
"""Ids below which a membership check says nothing."""
MEMBERSHIP_MARGIN = 0.05
UTILITY_MARGIN = 0.02
VANISHED_MARGIN = 0.05
VIEWS = ("hflip", "vflip", "crop")


@dataclass(frozen=True)
class Scored:
    """What a model says of some samples, as arrays on the CPU.

    Attributes:
        phi: φ of each sample, float64 of shape ``(samples,)``.
        right: whether its largest logit is its label's, bool of shape ``(samples,)``.
        labels: int64 of shape ``(samples,)``.
        softmax: float64 of shape ``(samples, classes)``.
    """

    phi: NDArray[np.float64]
    right: NDArray[np.bool_]
    labels: NDArray[np.int64]
    softmax: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, mask: NDArray[np.bool_]) -> "Scored":
        """Return the samples of ``mask``."""
        return Scored(self.phi[mask], self.right[mask], self.labels[mask], self.softmax[mask])


def scored(logits: Tensor, labels: Tensor) -> Scored:
    """Return φ and correctness of each row of ``logits``, of shape ``(samples, classes)``."""
    logits, labels = logits.cpu(), labels.cpu()
    right, softmax = logits.argmax(1) == labels, logits.double().softmax(1)
    return Scored(phi(logits, labels).numpy(), right.numpy(), labels.numpy(), softmax.numpy())


def integrity(record: Record, original: Record | None, *, named: bool, broken: str | None, duplicates: int) -> Check:
    """Check what needs no statistics: the tensors, the record, the lineage, copies of forgotten images.

    Args:
        record: of the model under audit.
        original: of the original, if it was given.
        named: whether the record names every id in question as forgotten.
        broken: name of a tensor that is not finite, if there is one.
        duplicates: samples of the retain set that equal a forgotten image.
    """
    faults = []
    if broken:
        faults.append(f"'{broken}' holds NaN or infinity")
    if not named:
        faults.append("the record does not name these ids as forgotten")
    if original is not None and record.digest == original.digest:
        faults.append("the weights are the original's, bit for bit")
    elif original is not None and not descends(record, original):
        faults.append("the record does not lead back to the original, nor to a training by its recipe")
    if duplicates:
        faults.append(f"{duplicates} retained samples are exact copies of forgotten images")
    note = "; ".join(faults) or "weights, record and lineage are in order"
    return Check("integrity", "fail" if faults else "pass", note, gating=True)


def descends(record: Record, original: Record) -> bool:
    """Say whether a model comes from the original, or was trained from nothing by its recipe."""
    return any(step.parent == original.digest for step in record.steps) or same_recipe(record, original)


def same_recipe(record: Record, original: Record) -> bool:
    """Say whether a model was last trained from nothing by the original's recipe, on its data."""
    trainings = [step for step in record.steps if step.command == "train"]
    same = (record.model, record.dataset, _training(record)) == (original.model, original.dataset, _training(original))
    return bool(trainings) and trainings[-1].parent is None and same


def utility_check(after: Scored, before: Scored, *, level: float) -> Check:
    """Check that accuracy on unseen samples was not lost, paired; the same samples in both."""
    estimate = utility(before.right, after.right, level=level)
    verdict: CheckVerdict = judge_utility(estimate, margin=UTILITY_MARGIN)
    fewest = math.ceil(math.log(level) / math.log(1 - UTILITY_MARGIN))
    if verdict == "pass" and len(after) < fewest:
        verdict = "inconclusive"
    note = f"accuracy on unseen samples {before.right.mean():.2%} → {after.right.mean():.2%}"
    if verdict == "inconclusive":
        spread = (estimate.narrow[1] - estimate.narrow[0]) / 2 * math.sqrt(estimate.n)
        enough = max(fewest, math.ceil((2 * spread / UTILITY_MARGIN) ** 2))
        note += f"; if nothing was lost, about {enough} unseen samples would show it"
    return replace(measured("utility", estimate, verdict, note, null=0.0, margin=UTILITY_MARGIN), gating=True)


def membership(forget: Scored, unseen: Scored, *, level: float) -> Check:
    """Check that forgotten samples rank like unseen ones of their class: AUC of φ, ½ is right."""
    if not np.isin(forget.labels, unseen.labels).any():
        return Check("membership", "inconclusive", "no unseen samples of these classes", gating=True, proves=True)
    found = stratified_auc(forget.phi, forget.labels, unseen.phi, unseen.labels, level=level)
    verdict: CheckVerdict = judge(found.estimate, null=0.5, margin=MEMBERSHIP_MARGIN)
    usable = int(np.isin(unseen.labels, forget.labels).sum())
    fewest = ids_to_pass(usable, margin=MEMBERSHIP_MARGIN, level=level)
    if found.n < FEWEST_IDS or (verdict == "pass" and (fewest is None or found.n < fewest)):
        verdict = "inconclusive"
    meaning = {"fail": "remembered" if found.estimate.value > 0.5 else "over-forgotten: they stick out as unfamiliar"}
    note = meaning.get(verdict, "like unseen samples" if verdict == "pass" else "cannot tell")
    if verdict == "inconclusive":
        note += f"; {_enough_ids(found.n, usable, level)}"
    if found.left_out:
        note += f"; {found.left_out} ids of classes without unseen samples are left out"
    check = measured("membership", found.estimate, verdict, note, null=0.5, margin=MEMBERSHIP_MARGIN)
    return replace(check, gating=True, proves=True)


def _enough_ids(n: int, usable: int, level: float) -> str:
    """Say how many ids would decide the membership check."""
    if n < FEWEST_IDS:
        return f"{n} ids are too few, it takes {FEWEST_IDS} to say anything"
    enough = ids_to_decide(usable, margin=MEMBERSHIP_MARGIN, level=level)
    if enough is None:
        return f"with {usable} unseen samples no number of ids decides surely"
    if enough <= n:
        return "the value lies too near the margin for this number of ids"
    return f"if nothing leaked, about {enough} ids would show it 9 times in 10"


def chance(right: NDArray[np.bool_], classes: int, *, level: float, gating: bool, view: str = "") -> Check:
    """Check that accuracy on forgotten samples is that of a guess, 1/classes (Kim & Woo 2022, section 3.2)."""
    estimate = accuracy(int(right.sum()), len(right), level=level)
    null, margin = 1 / classes, max(0.05, 1 / (2 * classes))
    verdict: CheckVerdict = judge(estimate, null=null, margin=margin)
    where = {"fail": "above chance" if estimate.value > null else "below chance", "pass": "at chance"}
    note = where.get(verdict, "cannot tell") + (f" ({view})" if view else "")
    if verdict == "inconclusive" and gating:
        note += f"; about {_ids_for_chance(null, margin, level)} ids would decide"
    check = measured(
        f"chance-{view}" if view else "chance", estimate, verdict if gating else "info", note, null=null, margin=margin
    )
    return replace(check, gating=gating, proves=gating)


def exposures(forget: Scored, unseen: Scored, *, level: float) -> list[Check]:
    """Return what an attacker could gain, as information: the distance of φ, and rates at few false alarms."""
    found = advantage(forget.phi, unseen.phi, level=level)
    blind = 0.87 * math.sqrt((len(forget) + len(unseen)) / (len(forget) * len(unseen)))
    note = (
        f"largest gain of any single threshold (equal groups of this size show about {blind:.2f}); "
        f"a guess errs {found.bayes_error.value:.0%} of the time (blind: 50 %)"
    )
    checks = [measured("advantage", found.distance, "info", note, null=0.0)]
    tails = low_fpr(forget.phi, unseen.phi, level=level)
    if tails is None:
        return [*checks, Check("low-fpr", "not-run", "needs 1,000 unseen samples", n=len(unseen))]
    for name, tail, what in (
        ("low-fpr", tails.upper, "remembered"),
        ("low-fpr-over", tails.lower, "over-forgotten"),
    ):
        note = f"found as {what} at 1 % false alarms; ε ≥ {tail.epsilon:.2f}, of at most {tail.ceiling:.2f} at this n"
        checks.append(measured(name, tail.tpr, "info", note, null=0.01))
    return checks


def single_ids(forget: Scored, unseen: Scored) -> tuple[Check, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which single ids stand out among unseen samples of their class: a check, and two masks."""
    found = per_id(forget.phi, forget.labels, unseen.phi, unseen.labels)
    remembered, over = int(found.remembered.sum()), int(found.over_forgotten.sum())
    note = f"{remembered} stand out as remembered, {over} as over-forgotten (5 % of them by mistake)"
    if not found.possible:
        note = "no single id could be told at this number of ids and unseen samples"
    elif found.needed and found.needed > 1:
        note += f"; fewer than {found.needed} together cannot be told"
    return Check("per-id", "info", note, n=len(forget)), found.remembered, found.over_forgotten


def vanished(forget: Scored, *, level: float) -> Check:
    """Check that classes of which nothing was retained are gone. It can only fail: being wrong proves no forgetting.

    Args:
        forget: the forgotten samples of these classes.
        level: error rate of the check.
    """
    estimate = accuracy(int(forget.right.sum()), len(forget), level=level)
    failed = judge(estimate, null=0.0, margin=VANISHED_MARGIN) == "fail"
    known = ", ".join(str(label) for label in np.unique(forget.labels))
    note = (
        f"nothing is retained of class {known}: retrained, a model is right on none; this one on {estimate.value:.2%}"
    )
    check = measured("vanished", estimate, "fail" if failed else "info", note, null=0.0, margin=VANISHED_MARGIN)
    return replace(check, gating=failed)


def worst_class(after: Scored, before: Scored) -> Check:
    """Return the class that lost most accuracy, as information."""
    change = {int(c): _mean(after, c) - _mean(before, c) for c in np.unique(after.labels)}
    worst = min(change, key=lambda c: change[c])
    count = int((after.labels == worst).sum())
    note = f"class {worst}: {_mean(before, worst):.2%} → {_mean(after, worst):.2%} of {count}"
    if change[worst] >= 0:
        note = "no class lost accuracy"
    return Check("utility-worst-class", "info", note, n=count, statistic=change[worst], null=0.0)


def view_of(images: Tensor, view: str) -> Tensor:
    """Return images flipped (``hflip``, ``vflip``) or with the middle 90 % magnified (``crop``), as float32."""
    if view in {"hflip", "vflip"}:
        return images.flip(3 if view == "hflip" else 2).float()
    height, width = images.shape[2:]
    rows, columns = round(0.9 * height), round(0.9 * width)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = images[:, :, top : top + rows, left : left + columns].float()
    return interpolate(middle, size=(height, width), mode="bilinear", align_corners=False)


def copies(forget: NDArray[np.uint8], retain: NDArray[np.uint8]) -> int:
    """Count the images of ``retain`` that equal one of ``forget``, byte for byte."""
    if len(forget) == 0 or len(retain) == 0:
        return 0
    keys = [_hashes(images) for images in (forget, retain)]
    maybe = np.flatnonzero(np.isin(keys[1], keys[0]))
    known = {image.tobytes() for image in forget[np.isin(keys[0], keys[1])]}
    return sum(retain[row].tobytes() in known for row in maybe)


def _hashes(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return a 64-bit linear hash of each image; equal images have equal hashes."""
    flat = images.reshape(len(images), -1)
    weights = np.random.RandomState(0).randint(-(2**62), 2**62, size=flat.shape[1], dtype=np.int64)
    parts = [(flat[start : start + 4096].astype(np.int64) * weights).sum(1) for start in range(0, len(flat), 4096)]
    return np.concatenate(parts)


def _training(record: Record) -> dict[str, object]:
    """Return a recipe without the machine: threads and precision do not make another recipe."""
    return {key: value for key, value in record.recipe.items() if key not in {"threads", "precision", "device"}}


def _mean(found: Scored, label: int) -> float:
    return float(found.right[found.labels == label].mean())


def _ids_for_chance(null: float, margin: float, level: float) -> int:
    """Return the ids with which a model at chance passes 9 times in 10, by the normal approximation."""
    from scipy.stats import norm

    z = float(norm.ppf(1 - level) + norm.ppf(0.95))
    return math.ceil(null * (1 - null) * (z / margin) ** 2)
