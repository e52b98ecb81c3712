"""A retraining in place of a step."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Tell, Warned
from forgetkit.files.header import read_record
from forgetkit.options import ResumableOutput
from forgetkit.training.device import Machine
from forgetkit.training.job import Job, plan_jobs
from forgetkit.training.outputs import Written, output_path, up_to_date
from forgetkit.training.replicas import run_missing
from forgetkit.training.train_options import Training, TrainOptions
from forgetkit.training.training_set import Base, TrainingSet
from forgetkit.unlearning.inputs import Request


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
            self.request.answer(self.job.target, read_record(self.job.target), output)
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
        attempt: the step; raises NotReached, or ForgetkitError ``diverged``.
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
    except ForgetkitError as problem:
        if not isinstance(problem, NotReached) and problem.code != "diverged":
            raise
        tell(Warned("retraining", f"retraining, because this failed: {problem.message}"))
        return fallback.carry_out(tell, output, problem.attempts if isinstance(problem, NotReached) else None)


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
