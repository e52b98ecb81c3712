"""A retraining in place of a step, and the limits of a stream of requests that call for one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from forgetkit.errors import NotReached
from forgetkit.events import Tell, Warned
from forgetkit.files.header import read_record
from forgetkit.files.record import Record
from forgetkit.models.checkpoint import load_model
from forgetkit.options import ResumableOutput
from forgetkit.statistics.divergence import AUTO_FROM
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import on_machine, predict
from forgetkit.training.device import Machine
from forgetkit.training.job import Job, plan_jobs
from forgetkit.training.outputs import Written, output_path, up_to_date
from forgetkit.training.replicas import run_missing
from forgetkit.training.train_options import Training, TrainOptions
from forgetkit.training.training_set import Base, TrainingSet
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.stream_limits import Limits, check_divergence, check_membership


def check_limits(
    classifier: nn.Module, request: Request, limits: Limits, references: list[tuple[Path, Record]], machine: Machine
) -> dict[str, Any]:
    """Judge a model after a step over all ids forgotten so far.

    Args:
        classifier: the model.
        request: of the step; what was forgotten before counts too.
        limits: what is allowed.
        references: models that saw none of these ids; loaded one at a time.
        machine: where to compute.

    Returns:
        what the record holds of it.

    Raises:
        NotReached: if a limit is exceeded.
    """
    if limits.max_divergence is None:
        return {}
    sets = Sets.of_request(request.with_all_forgotten, machine.device)
    judged = sets.measured[np.isin(sets.measured_labels, sets.retain.labels)]  # classes that vanish are not compared
    images, labels = sets.forget.gather(judged)
    if not len(labels):
        return {}
    logits = predict(classifier, images)
    if references and (limits.bound is not None or len(references) >= AUTO_FROM):

        def softmax(path: Path, record: Record) -> NDArray[np.float64]:
            """Return a reference's probabilities."""
            model = on_machine(load_model(path, record), record, machine)
            return predict(model, images).double().softmax(1).cpu().numpy()

        own = logits.double().softmax(1).cpu().numpy()
        return check_divergence(own, [softmax(*reference) for reference in references], limits.bound)
    unseen, truth = predict(classifier, sets.tune[0]), sets.tune[1]
    scores = [(phi(said, of).cpu().numpy(), of.cpu().numpy()) for said, of in ((logits, labels), (unseen, truth))]
    return check_membership(scores[0], scores[1])


@dataclass(frozen=True)
class Retraining:
    """A training from scratch without every id forgotten so far, in place of a step."""

    job: Job
    request: Request

    @property
    def done(self) -> bool:
        """Whether its checkpoint exists already."""
        return up_to_date(self.job.target, self.job.record) is not None

    def carry_out(
        self, tell: Tell, output: ResumableOutput, attempts: list[dict[str, Any]] | None = None
    ) -> Written | None:
        """Train and write; ``attempts`` are what was tried before it, for the metrics of its record."""
        job = replace(self.job, attempts=attempts)
        found = run_missing([job], self.request.dataset, self.request.inputs, tell, output, workers=1)
        if self.request.booking and not output.dry_run:
            self.request.booking.publish("train", read_record(self.job.target).digest)
        return found[0] if found else None


def or_retrain(
    command: str,
    request: Request,
    machine: Machine,
    output: ResumableOutput,
    attempt: Callable[[], Written | None],
    *,
    retrain: bool,
    tell: Tell,
) -> Written | None:
    """Make an attempt; if it does not reach its goal, retrain without every id forgotten so far.

    Args:
        command: name of the step.
        request: what is to be forgotten.
        machine: where to compute.
        output: where to write, which is the same for both.
        attempt: the step; raises NotReached.
        retrain: whether to retrain; if not, the error is raised.
        tell: receives the events of the run.
    """
    if not retrain:
        return attempt()
    fallback = retraining(request, machine, output_path(request.path, command, output.out))
    if fallback.done:
        return fallback.carry_out(tell, output)
    try:
        return attempt()
    except NotReached as reached:
        tell(Warned("retraining", f"{reached.message}: retraining"))
        return fallback.carry_out(tell, output, reached.attempts)


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
) -> Job:
    """Plan a training without every id forgotten so far, by the recorded recipe, with another seed.

    Args:
        request: what is to be forgotten.
        machine: where to compute.
        training: what is not as recorded.
        seed: the recorded one + 1 if not given.
    """
    record = request.record
    base = Base(request.path, record, like=True)
    samples = TrainingSet(
        base,
        request.dataset,
        request.retain_rows,
        record.trained,
        request.forgotten,
        request.ids,
        [],
        record.recipe.get("canaries"),
    )
    seed = base.next_seed if seed is None else seed
    options = TrainOptions(training=training or Training())
    return plan_jobs(samples, machine, options, [seed])[0]
