"""The steps that relabelling can take: one for each id, as published, or joint with retained samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.methods.joint import joint
from forgetkit.methods.relabel import relabel, wrong_label_targets
from forgetkit.models.optimizer_state import load_optimizer
from forgetkit.training.classifier import Samples
from forgetkit.training.device import seed_for
from forgetkit.training.draws import key_of, uniform
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.updates import Update, seeded
from forgetkit.unlearning.relabel_options import Relabel
from forgetkit.unlearning.sets import Pool

SHARE_OF_RETRAINING = 0.1
"""Cost of joint steps at one rate, at most, as a share of a retraining."""

FEWEST_STEPS = 20
"""Joint steps at one rate that are allowed after the shortest training, too."""


@dataclass(frozen=True)
class RelabelSteps:
    """Begins the steps of relabelling at a rate.

    Attributes:
        settings: everything except the rate.
        classes: number of classes.
        seed: seed of the labels and the order.
        state: optimizer state to continue with, if any.
    """

    settings: Relabel
    classes: int
    seed: int
    state: Path | None = None

    def begin(
        self, kind: str, model: nn.Module, forget: Pool, retain: Pool, rate: float
    ) -> tuple[Optimizer, Iterator[Update]]:
        """Return an optimizer, and the updates of a kind.

        Args:
            kind: ``per-id`` or ``joint``; joint steps have no end.
            model: the model as it is before the first step.
            forget: the samples to forget.
            retain: the retain set.
            rate: learning rate.
        """
        how = self.settings
        optimizer = make_optimizer(
            model, how.optimizer, rate=rate, momentum=how.momentum, weight_decay=how.weight_decay
        )
        if self.state:
            load_optimizer(self.state, optimizer)
            for group in optimizer.param_groups:
                group["lr"] = rate
        if kind == "per-id":
            return optimizer, self._per_id(model, forget, retain)
        seed = seed_for(self.seed, key_of(forget.keys))  # other retained samples for the next request of a stream
        return optimizer, seeded(self._joint(model, forget, retain.samples, seed), seed, retain.samples[0].device)

    def _per_id(self, model: nn.Module, forget: Pool, retain: Pool) -> Iterator[Update]:
        how, count = self.settings, self.settings.labels(self.classes)
        return relabel(
            model,
            forget.samples,
            retain.samples if how.replay else None,
            keys=forget.keys,
            retain_keys=retain.keys if how.replay else None,
            classes=self.classes,
            labels_per_id=count,
            replay=how.replay,
            seed=self.seed,
        )

    def _joint(self, model: nn.Module, forget: Pool, retain: Samples, seed: int) -> Iterator[Update]:
        how, (_, labels) = self.settings, forget.samples

        def targets(turn: int) -> Tensor:
            """Draw the wrong labels of a pass."""
            draws = uniform(forget.keys, self.classes, self.seed, "relabel joint", turn)
            return wrong_label_targets(labels, draws, count=how.labels(self.classes))

        return joint(
            model,
            forget.samples,
            targets,
            retain,
            forget_weight=how.forget_weight,
            ids_per_step=how.ids_per_step,
            batch_size=how.retained_per_step,
            seed=seed,
        )

    def most(self, kind: str, ids: int, budget: int) -> int:
        """Return the number of steps of a kind at most; ``budget`` is that of joint steps."""
        return ids * (2 if self.settings.replay else 1) if kind == "per-id" else budget

    def batch(self, ids: int) -> int:
        """Return the number of samples in a joint step."""
        return min(self.settings.ids_per_step, ids) + self.settings.retained_per_step


def joint_budget(epochs: int, retained: int, how: Relabel) -> int:
    """Return the largest number of joint steps: they cost a tenth of a retraining, but may be 20.

    Args:
        epochs: of the training.
        retained: samples of the retain set.
        how: samples in a step.
    """
    return max(FEWEST_STEPS, int(SHARE_OF_RETRAINING * epochs * retained / (how.ids_per_step + how.retained_per_step)))
