"""Are forgotten samples relearned sooner than unseen ones? What the weights still hold comes back quickly."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.auditing.check import Check
from forgetkit.statistics.relearning import pair_by_class, sign_flip
from forgetkit.training.classifier import Samples, learner_of, rows_of, state_of
from forgetkit.training.cuda_graphs import take_step
from forgetkit.training.device import seed_for
from forgetkit.training.optimizers import make_optimizer

REPEATS = 10
SAMPLES = 64
RETAINED = 500
RATE = 0.01
LEARNED = 0.1
"""The mean cross-entropy at which samples count as learned."""
CAP = 200
"""Most steps of a run; one that is not done by then is given up and counts as this many."""


@dataclass(frozen=True)
class Relearned:
    """Steps to learn a block of forgotten samples, and as many unseen ones of the same classes; paired.

    Attributes:
        forget: steps of each repeat, in ``[0, CAP]``.
        unseen: the same for the unseen samples.
        samples: how many samples a block has.
    """

    forget: tuple[int, ...]
    unseen: tuple[int, ...]
    samples: int

    @property
    def ratio(self) -> float:
        """Mean of ``ln((1 + unseen) / (1 + forget))``; above 0, forgotten samples are relearned sooner."""
        return float(np.mean(self._logs))

    @property
    def p(self) -> float:
        """Exact two-sided p of :attr:`ratio`."""
        return sign_flip(self._logs)

    @property
    def given_up(self) -> int:
        """Number of runs that were given up after ``CAP`` steps."""
        return sum(steps == CAP for steps in (*self.forget, *self.unseen))

    @property
    def _logs(self) -> NDArray[np.float64]:
        return np.asarray(np.log1p(self.unseen) - np.log1p(self.forget))


def relearn(classifier: nn.Module, forget: Samples, unseen: Samples, retain: Samples, *, seed: int = 0) -> Relearned:
    """Count the steps of SGD that teach forgotten samples again, and those that teach unseen ones.

    Ten disjoint blocks of up to 64 forgotten samples each meet a block of unseen samples of the same classes, so that
    if both kinds are exchangeable within a class, each pair may be swapped by itself: the test over pairs is exact.
    Every run starts from the same weights, on a copy; ``classifier`` is not changed. A step takes the block and 64 of
    500 retained samples in turn, both with equal weight.

    Dropout is off and batch norm keeps its statistics: a run must differ from its twin by the samples alone, not by
    luck, nor by what a few of them do to the statistics of a batch.

    Args:
        classifier: the model under audit.
        forget: its forgotten samples.
        unseen: samples that it never saw, of the check half.
        retain: its retained samples; there may be none.
        seed: of the draws.

    Raises:
        ValueError: fewer than ten forgotten samples can be paired with unseen ones of their class.
    """
    draw = np.random.default_rng(seed_for(seed, "relearn"))
    pairs = pair_by_class(forget[1].cpu().numpy(), unseen[1].cpu().numpy(), draw)
    if len(pairs) < REPEATS:
        raise ValueError(f"{len(pairs)} ids have an unseen sample of their class, {REPEATS} are needed")
    size = min(SAMPLES, len(pairs) // REPEATS)
    learner = learner_of(classifier)
    start = state_of(learner)
    steps: list[list[int]] = [[], []]
    for repeat in range(REPEATS):
        block = pairs[repeat * size : (repeat + 1) * size]
        kept = rows_of(retain, draw.permutation(len(retain[1]))[:RETAINED])
        for side, samples in enumerate((forget, unseen)):
            learner.load_state_dict(start)
            steps[side].append(steps_to_learn(learner, rows_of(samples, block[:, side]), kept))
    return Relearned(tuple(steps[0]), tuple(steps[1]), size)


def steps_to_learn(learner: nn.Module, samples: Samples, retain: Samples) -> int:
    """Train ``learner`` until the mean cross-entropy of ``samples`` is at most 0.1; return the steps, or ``CAP``."""
    for taken, loss in enumerate(teach(learner, samples, retain, steps=CAP)):
        if loss <= LEARNED:
            return taken
    return CAP


def teach(learner: nn.Module, samples: Samples, retain: Samples, *, steps: int) -> Iterator[float]:
    """Train ``learner`` on ``samples`` and on retained ones; yield the samples' mean cross-entropy before each step.

    Args:
        learner: in the mode in which it learns; its weights change.
        samples: a block, learned whole in each step.
        retain: samples of which 64 are taken in turn; there may be none.
        steps: how many to take at most.
    """
    images, labels = samples
    before = 0.0

    def loss(rows: Tensor) -> Tensor:
        """Return the loss of the block and of these retained samples; note that of the block."""
        nonlocal before
        logits = learner(torch.cat([images, retain[0][rows]]))
        own = cross_entropy(logits[: len(labels)], labels)
        before = own.item()
        return own + cross_entropy(logits[len(labels) :], retain[1][rows]) if len(rows) else own

    optimizer, count = make_optimizer(learner, "sgd", rate=RATE), len(retain[1])
    for step in range(steps):
        rows = torch.arange(step * SAMPLES, step * SAMPLES + min(SAMPLES, count)) % max(count, 1)
        take_step(optimizer, loss, rows)
        yield before


def relearn_check(classifier: nn.Module, forget: Samples, unseen: Samples, retain: Samples, *, seed: int = 0) -> Check:
    """Return the result of :func:`relearn` as a check that only informs."""
    try:
        found = relearn(classifier, forget, unseen, retain, seed=seed)
    except ValueError as problem:
        return Check("relearn", "not-run", str(problem), n=len(forget[1]))
    runs = 2 * REPEATS
    note = (
        f"{found.samples} samples at a time: relearned in {median(found.forget):g} steps, unseen ones in "
        f"{median(found.unseen):g} (medians of {REPEATS}; exact p {found.p:.3f}); above 0 means relearned sooner"
    )
    if found.given_up:
        note += f"; {found.given_up} of {runs} runs were given up after {CAP} steps"
    n = found.samples * REPEATS
    return Check("relearn", "info", note, n=n, statistic=found.ratio, null=0.0, p=found.p)
