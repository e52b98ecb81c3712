"""Which single ids stand out, corrected for their difficulty to models that never saw them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from forgetkit.statistics.attacks import PerId, per_id
from forgetkit.statistics.divergence import Probabilities, read_models, same_shape
from forgetkit.statistics.strata import Labels, Scores

SPREAD_FROM, SMALLEST_SPREAD = 5, 1e-6  # references; of log p: less is the rounding of a float32 softmax
SMALLEST_PROBABILITY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Calibrated:
    """Which ids stand out, corrected for their difficulty to the references.

    Attributes:
        found: the ids that stand out.
        forget: calibrated scores, float64 of shape ``(n,)``; positive is more certain than the references.
        unseen: the same of the unseen set, float64 of shape ``(m,)``.
        scaled: whether they are in units of the references' spread.
    """

    found: PerId
    forget: Scores
    unseen: Scores
    scaled: bool


def calibrate(
    p_after: Probabilities,
    p_references: Iterable[Probabilities],
    p_after_unseen: Probabilities,
    p_references_unseen: Iterable[Probabilities],
    *,
    labels: Labels,
    unseen_labels: Labels,
    rate: float = 0.05,
) -> Calibrated:
    """Find the ids whose certainty, less that of the references, is unlike that of unseen samples of their class.

    The score is ``log p(y|x) - log mean_j p_j(y|x)``, from 5 references on divided by the standard deviation of
    ``log p_j(y|x)``. Most of a sample's difficulty cancels; for samples that are no random draw it stays approximate.

    Args:
        p_after: softmax of the model under audit on the forget set, float of shape ``(n, classes)``.
        p_references: softmax of k >= 1 references, each of that shape, or one array.
        p_after_unseen: the model's on the unseen set, float of shape ``(m, classes)``.
        p_references_unseen: the same references' on the unseen set.
        labels: classes of the forget set, int64 of shape ``(n,)``, values in ``[0, classes)``.
        unseen_labels: classes of the unseen set, int64 of shape ``(m,)``.
        rate: the false-discovery rate of each direction, in (0, 1).

    Raises:
        ValueError: what is no softmax, shapes that differ, no reference, or labels that do not fit.

    Source: Watson et al., "On the Importance of Difficulty Calibration in Membership Inference Attacks", 2022; the
    conformal p-values and discoveries of ``attacks.per_id``.
    """
    models, models_unseen = read_models(p_references, fewest=1), read_models(p_references_unseen, fewest=1)
    if len(models) != len(models_unseen):
        raise ValueError(f"{len(models)} references on the forget set, but {len(models_unseen)} on the unseen set")
    forget = _residuals(same_shape(p_after, models[0], "after"), models, labels, "forget")
    unseen = _residuals(same_shape(p_after_unseen, models_unseen[0], "after"), models_unseen, unseen_labels, "unseen")
    found = per_id(forget, labels, unseen, unseen_labels, rate=rate)
    return Calibrated(found, forget, unseen, len(models) >= SPREAD_FROM)


def _residuals(after: Probabilities, references: list[Probabilities], labels: Labels, name: str) -> Scores:
    """Return how much more certain of the labels a model is than the references, float64 ``(n,)``."""
    n, classes = after.shape
    if labels.shape != (n,) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"{name} labels of shape {labels.shape} do not fit a softmax of shape {after.shape}")
    true = np.stack([np.maximum(p[np.arange(n), labels], SMALLEST_PROBABILITY) for p in (after, *references)])
    more = np.log(true[0]) - np.log(true[1:].mean(axis=0))
    spread = np.log(true[1:]).std(axis=0, ddof=1) if len(references) >= SPREAD_FROM else 1.0
    return np.asarray(more / np.maximum(spread, SMALLEST_SPREAD))
