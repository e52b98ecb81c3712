"""A model after a step, judged by the limits of a stream of requests."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from forgetkit.events import Tell, Warned
from forgetkit.files.record import Record
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import accuracy, load_classifier, predict
from forgetkit.training.device import Machine
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.outcome import Outcome, Work
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.stream_limits import (
    JUDGED_FROM,
    Limits,
    check_accuracy,
    check_divergence,
    check_membership,
    open_references,
)


@dataclass(frozen=True)
class StreamJudge:
    """Judges a model after a step by the limits of a stream of requests.

    Attributes:
        limits: what is allowed.
        request: of the step; what was forgotten before counts too.
        references: models that saw none of these ids; loaded one at a time.
        margin: accuracy on the tune half that may be lost.
        machine: where to compute.
        tell: receives a warning if a limit cannot be judged.
    """

    limits: Limits
    request: Request
    references: list[tuple[Path, Record]]
    margin: float
    machine: Machine
    tell: Tell

    @property
    def options(self) -> dict[str, Any]:
        """What the step records of the limits."""
        return self.limits.options([reference.digest for _, reference in self.references])

    @property
    def models(self) -> tuple[Path, ...]:
        """The files of the references."""
        return tuple(path for path, _ in self.references)

    def around(self, work: Work) -> Work:
        """Return ``work``, with its model judged after it.

        Raises:
            NotReached: when it is called, if a limit is exceeded.
        """
        if self.limits.max_divergence is None:
            return work

        def judged(classifier: nn.Module, sets: Sets, bookmark: Bookmark) -> Outcome:
            """Carry out the work and judge the model."""
            kept = guard_accuracy(classifier, sets) + sets.eroded
            outcome = work(classifier, sets, bookmark)
            check_accuracy(kept, guard_accuracy(classifier, sets), self.margin)
            found = self._divergence(classifier)
            bound = {"max_divergence": found["divergence_bound"]} if "divergence_bound" in found else {}
            return replace(outcome, metrics={**outcome.metrics, **found}, resolved={**outcome.resolved, **bound})

        return judged

    def _divergence(self, classifier: nn.Module) -> dict[str, Any]:
        """Judge the outputs on all ids forgotten so far; return what the record holds of it."""
        sets = Sets.of_request(self.request.with_all_forgotten, self.machine.device)
        judged = sets.measured[np.isin(sets.measured_labels, sets.retain.labels)]
        if left := len(sets.forget) - len(judged):
            what = f"{left} of {len(sets.forget)} ids are canaries, or of classes without retained samples"
            self.tell(Warned("limit-not-judged", f"--max-divergence does not judge all ids: {what}"))
        images, labels = sets.forget.gather(judged)
        if not len(labels):
            return {}
        logits = predict(classifier, images)
        if self.references:

            def softmax(path: Path, record: Record) -> NDArray[np.float64]:
                """Return a reference's probabilities."""
                model = load_classifier(path, record, self.machine)
                return predict(model, images).double().softmax(1).cpu().numpy()

            own = logits.double().softmax(1).cpu().numpy()
            return check_divergence(own, [softmax(*reference) for reference in self.references], self.limits.bound)
        if len(labels) < JUDGED_FROM:
            text = (
                f"{len(labels)} ids are too few: without references, --max-divergence auto judges from {JUDGED_FROM} on"
            )
            self.tell(Warned("limit-not-judged", f"{text}; until then it limits the loss of accuracy alone"))
        unseen, truth = predict(classifier, sets.tune[0]), sets.tune[1]
        scores = [(phi(said, of).cpu().numpy(), of.cpu().numpy()) for said, of in ((logits, labels), (unseen, truth))]
        return check_membership(scores[0], scores[1])


def stream_judge(limits: Limits, request: Request, machine: Machine, *, margin: float, tell: Tell) -> StreamJudge:
    """Open the references of ``limits`` and return what judges a step.

    Raises:
        ForgetkitError: for a reference that is none, or too few of them.
    """
    references = open_references(limits.reference or [], request)
    limits.check_references(len(references))
    return StreamJudge(limits, request, references, margin, machine, tell)


def guard_accuracy(model: nn.Module, sets: Sets) -> float:
    """Return the accuracy on the tune half, of the classes that keep retained samples."""
    images, labels = sets.tune
    kept = sets.kept_classes[labels]
    return accuracy(predict(model, images[kept]), labels[kept])
