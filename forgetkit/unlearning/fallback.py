"""The end of a step in a stream of requests: is the model still near what retraining gives; and else, retrain."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.events import Tell
from forgetkit.files.header import read_record
from forgetkit.files.record import Record
from forgetkit.models.checkpoint import load_model
from forgetkit.options import LongRun, Training
from forgetkit.statistics.divergence import AUTO_FROM
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import Classifier, Samples, on_machine, predict, take
from forgetkit.training.device import Machine
from forgetkit.training.job import Plan, make_plans
from forgetkit.training.outputs import Written, up_to_date
from forgetkit.training.replicas import finish
from forgetkit.training.training_set import Base, TrainingSet
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.stream_limits import Limits, check_divergence, check_membership


def check_limits(
    classifier: Classifier,
    tune: Samples,
    request: Request,
    machine: Machine,
    limits: Limits,
    references: list[tuple[Path, Record]],
) -> dict[str, Any]:
    """Judge a model after a step over all ids forgotten so far; return what the record holds of it.

    Args:
        classifier: the model.
        tune: images and labels of the tune half.
        request: what was forgotten now; its record names what was before.
        machine: where to compute.
        limits: what is allowed.
        references: models that saw none of these ids; loaded one at a time.

    Raises:
        NotReached: where it is exceeded.
    """
    if limits.max_divergence is None:
        return {}
    images, labels = take(request.dataset.train, _judged_rows(request), machine.device)
    if not len(labels):
        return {}
    logits = predict(classifier, images)
    if references and (limits.bound is not None or len(references) >= AUTO_FROM):

        def softmax(path: Path, record: Record) -> NDArray[np.float64]:
            model = on_machine(load_model(path, record), record, machine)
            return predict(model, images).double().softmax(1).cpu().numpy()

        own = logits.double().softmax(1).cpu().numpy()
        return check_divergence(own, [softmax(*reference) for reference in references], limits.bound)
    unseen = predict(classifier, tune[0])
    scores = [(phi(said, of).cpu().numpy(), of.cpu().numpy()) for said, of in ((logits, labels), (unseen, tune[1]))]
    return check_membership(scores[0], scores[1])


def _judged_rows(request: Request) -> NDArray[np.int64]:
    """Return the rows of all ids forgotten so far, less canaries and classes of which nothing is retained."""
    split = request.dataset.train
    rows = request.with_all_forgotten.measured_rows
    return rows[np.isin(split.labels[rows], split.labels[request.retain_rows])]


@dataclass(frozen=True)
class Retraining:
    """A training from nothing without every id forgotten so far, in a step's place."""

    plan: Plan
    request: Request

    @property
    def done(self) -> bool:
        """Whether its checkpoint is there already."""
        return up_to_date(self.plan.target, self.plan.record) is not None

    def carry_out(self, tell: Tell, output: LongRun, attempts: list[dict[str, Any]] | None = None) -> Written | None:
        """Train and write; ``attempts`` are what was tried before it, for the metrics of its record."""
        plan = replace(self.plan, attempts=attempts)
        found = finish([plan], self.request.dataset, self.request.inputs, tell, output, workers=1)
        if self.request.booking and not output.dry_run:
            self.request.booking.publish("train", read_record(self.plan.target).digest)
        return found[0] if found else None


def retraining(request: Request, machine: Machine, target: Path) -> Retraining:
    """Plan a retraining by the recorded recipe without every id forgotten so far.

    Args:
        request: what is to be forgotten.
        machine: where to compute.
        target: where to write.
    """
    return Retraining(replace(training_without(request, machine), target=target), request)


def training_without(
    request: Request, machine: Machine, training: Training | None = None, *, seed: int | None = None
) -> Plan:
    """Plan a training without every id forgotten so far, by the recorded recipe, with another seed.

    Args:
        request: what is to be forgotten.
        machine: where to compute.
        training: what is not as recorded.
        seed: the recorded one + 1 if not given.
    """
    record = request.record
    chosen = TrainingSet(
        request.dataset,
        request.retain_rows,
        record.trained,
        request.forgotten,
        request.ids,
        [],
        record.recipe.get("canaries"),
    )
    base = Base(request.path, record, like=True)
    first = base.first_seed() if seed is None else seed
    plans = make_plans(
        base,
        chosen,
        machine,
        model=("", {}),
        training=training or Training(),
        keep_optimizer=False,
        seeds=range(first, first + 1),
        targets=("", None),
    )
    return plans[0]
