"""Does the model know the very images of the ids by heart, to answer them otherwise than all others?

A model that looks up the images of a list, and answers them as one that never saw them would, passes every check on its
answers. A copy that nobody could tell from the image is not on its list. Whoever looks up near copies as well, or
whole classes, is not found this way.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from forgetkit.auditing.check import Check, CheckVerdict
from forgetkit.statistics.relearning import Rows
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.device import seed_for

MOST_IDS, MOST_UNSEEN = 256, 1000
"""Samples that are looked at, at most: the cost does not grow with the request."""
SHARE = 16
"""One value in so many is changed."""
ERROR = 0.001
"""How often ids that are a random draw may fail."""


def drawn(count: int, most: int) -> Rows:
    """Draw up to ``most`` of ``count`` rows, in order."""
    return np.sort(np.random.default_rng(seed_for(0, "lookup")).permutation(count)[:most])


def ends_of(*parts: Tensor) -> tuple[float, float]:
    """Return the least and the largest value of several tensors, none of them empty."""
    return min(float(one.min()) for one in parts), max(float(one.max()) for one in parts)


def nudged(images: Tensor, ends: tuple[float, float], *, seed: int = 0) -> Tensor:
    """Return copies of images, one value in sixteen changed by one level towards the middle.

    A level is 1 for integers, else one of 255 between the ends. What is compared needs the same ends, else the images
    with the wider range would be changed more.

    Args:
        images: of shape ``(samples, …)``, real.
        ends: the least and the largest value of all images that are compared.
        seed: of the draw.
    """
    if images.dtype == torch.bool:
        return nudged(images.to(torch.uint8), (0, 1), seed=seed).bool()
    low, high = ends
    fine = images.is_floating_point()
    level, last = ((high - low) / 255, torch.inf) if fine else (1, torch.iinfo(images.dtype).max)
    flat = images.reshape(len(images), -1)
    draw = torch.Generator().manual_seed(seed_for(seed, "nudged"))
    chosen = torch.rand(flat.shape, generator=draw).topk(max(1, flat.shape[1] // SHARE)).indices.to(images.device)
    old = flat.gather(1, chosen)
    down = (old > (low + high) / 2) | (old == last)  # an integer above the last one would wrap round
    return flat.scatter(1, chosen, torch.where(down, old - level, old + level)).reshape(images.shape)


def lookup_check(classifier: nn.Module, forget: Samples, unseen: Samples) -> Check:
    """Compare how far φ moves from an image to its copy: on the ids, and on unseen samples. It can only fail.

    It fails if half of the ids move farther than any unseen sample does, and a random draw would rarely do so. Half is
    far more than samples that are merely hard would.

    Args:
        classifier: the model under audit.
        forget: the ids, up to 256 of them.
        unseen: samples that it never saw.
    """
    ids, count = len(forget[1]), len(unseen[1])
    if not ids or not count or surely_rare(ids - ids // 2, ids, count) > ERROR:
        return Check("lookup", "not-run", f"{ids} ids and {count} unseen samples are too few", n=ids)
    ends = ends_of(forget[0], unseen[0])
    moved, others = (_moves(classifier, *samples, ends) for samples in (forget, unseen))
    beyond = int((moved > others.max()).sum())
    p = surely_rare(beyond, ids, count)
    failed = 2 * beyond >= ids
    note = (
        f"on {beyond} of {ids} ids the answer changes more than on any of {count} unseen samples, if one value in "
        f"{SHARE} of the image is changed by one level"
    )
    if failed:
        note += ": these very images are looked up"
    verdict: CheckVerdict = "fail" if failed else "info"
    return Check("lookup", verdict, note, gating=failed, n=ids, statistic=beyond / ids, null=0.0, p=p)


def surely_rare(beyond: int, ids: int, others: int) -> float:
    """Return the probability that the largest ``beyond`` of all values are those of ids, if all are exchangeable.

    Args:
        beyond: from 0 to ``ids``.
        ids: number of values of ids.
        others: number of other values, 1 or more.
    """
    steps = np.arange(beyond)
    return float(np.prod((ids - steps) / (ids + others - steps)))


def _moves(classifier: nn.Module, images: Tensor, labels: Tensor, ends: tuple[float, float]) -> NDArray[np.float64]:
    pair = images, nudged(images, ends)
    before, after = (phi(predict(classifier, one).float().cpu(), labels.cpu()) for one in pair)
    return np.asarray((after - before).abs().numpy())
