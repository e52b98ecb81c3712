"""Neutralization, run to its goal: an accuracy on the ids, or the place where a retrained model would be."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import ceil

from torch import nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Measured, Note, Tell, progress
from forgetkit.methods.neutralize import mislabel, neutral_steps, neutralize
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Classifier, Samples, accuracy, predict, take
from forgetkit.training.device import Machine
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.resume import Bookmark, Place, pack, unpack
from forgetkit.unlearning.early_stopping import stop_unseen
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.membership_gauge import closes, entry, keeps, words
from forgetkit.unlearning.step import Outcome
from forgetkit.unlearning.tuning_groups import MANY, course_of, steps_between

GROUPS = 20
"""Groups to rehearse on, at the most."""
LOOP = "neutralize"
REHEARSED_STEPS = 200
"""Steps of a rehearsal, at the most."""


@dataclass(frozen=True, kw_only=True)
class Neutralizing:
    """How to neutralize; the fields are options of the command.

    Attributes:
        margin: accuracy on unseen samples that may be lost where ``stop`` is ``unseen``.
        logged: whether each look is to tell the accuracy over all ids, not only that the goal is not reached yet.
    """

    labels: str
    average: str
    stop: str
    looks_per_epoch: int
    max_epochs: int
    optimizer: str
    rate: float
    momentum: float
    margin: float
    batch_size: int
    seed: int
    logged: bool

    def contrast(self, model: nn.Module, forget: Samples) -> dict[int, int]:
        """Return the contrastive label of each class of the forget set."""
        outputs = predict(model, forget[0])
        return mislabel(outputs if self.average == "logits" else outputs.softmax(1), forget[1], kind=self.labels)

    def start(self, model: nn.Module, forget: Samples, done: int) -> tuple[Optimizer, Iterator[object]]:
        """Return an optimizer, and the steps towards the contrastive labels of ``forget``, less the first ``done``."""
        optimizer = make_optimizer(model, self.optimizer, rate=self.rate, momentum=self.momentum)
        steps = neutral_steps(
            model,
            *forget,
            contrast=self.contrast(model, forget),
            optimizer=optimizer,
            batch_size=self.batch_size,
            epochs=range(1, self.max_epochs + 1),
            seed=self.seed,
            done=done,
        )
        return optimizer, steps


def neutralized(
    classifier: Classifier,
    tune: Samples,
    request: Request,
    machine: Machine,
    how: Neutralizing,
    *,
    tell: Tell,
    bookmark: Bookmark,
) -> Outcome:
    """Neutralize the ids of a request until the goal.

    Args:
        classifier: changed in place.
        tune: images and labels of the tune half.
        request: what is to be forgotten.
        machine: where to compute.
        how: the options.
        tell: told of the progress.
        bookmark: where the run stands; its log is told of every look.

    Raises:
        NotReached: where the goal is not reached in time, or not without losing accuracy.
    """
    forget = take(request.dataset.train, request.forget_rows, machine.device)
    names, contrast = request.record.classes, how.contrast(classifier, forget)
    named = {names[true]: names[wrong] for true, wrong in contrast.items()}
    if how.stop == "unseen":
        return _until_unseen(classifier, forget, tune, request, machine, how, tell, bookmark, named)
    goal = 1 / len(names) if how.stop == "chance" else 0.0
    right, left = 1.0, bookmark.open(LOOP)
    optimizer = make_optimizer(classifier, how.optimizer, rate=how.rate, momentum=how.momentum)
    if left:
        unpack(left.tensors, classifier, optimizer)

    def place() -> Place:
        return Place({"steps": look.step, "right": right}, pack(classifier, optimizer))

    for look in neutralize(
        classifier,
        *forget,
        contrast=contrast,
        optimizer=optimizer,
        batch_size=how.batch_size,
        epochs=progress(range(1, how.max_epochs + 1), "neutralize", how.max_epochs, tell),
        looks_per_epoch=how.looks_per_epoch,
        goal=None if how.logged else goal,
        seed=how.seed,
        done=left.at["steps"] if left else 0,
        last=left.at["right"] if left else 1.0,
    ):
        bookmark.log.append(asdict(look))
        right = look.accuracy
        tell(Measured(f"{right:.1%} of the ids right (goal {goal:.0%})"))
        if right <= goal:
            return Outcome({"steps": look.step, "epochs": look.epoch, "contrast": named})
        if look.step:
            bookmark.reached(LOOP, place)
    right = accuracy(predict(classifier, forget[0]), forget[1])  # the last look may have ended early
    message = f"after {how.max_epochs} epochs {right:.2%} of the forget set is right, above {goal:.2%}"
    raise NotReached(message, "raise --max-epochs or --rate")


def _until_unseen(
    classifier: Classifier,
    forget: Samples,
    tune: Samples,
    request: Request,
    machine: Machine,
    how: Neutralizing,
    tell: Tell,
    bookmark: Bookmark,
    contrast: dict[str, str],
) -> Outcome:
    """Neutralize until the ids look like data never seen."""
    course = course_of(request, tune, machine, seed=how.seed).first(GROUPS)
    before = course.before(classifier)
    tell(Note(f"  {course.says()}"))
    tell(Note(f"  before: {words(before)}"))
    batches = len(shuffled(len(forget[1]), how.batch_size, seed=how.seed, epoch=1))
    every = ceil(batches / how.looks_per_epoch)
    if len(forget[1]) >= MANY:
        every = max(every, steps_between(course.gauges[0], how.batch_size))
    found = stop_unseen(
        classifier,
        forget,
        course,
        lambda samples, done: how.start(classifier, samples, done),
        every=every,
        most=how.max_epochs * batches if course.direct else min(REHEARSED_STEPS, how.max_epochs * batches),
        before=before,
        margin=how.margin,
        tell=tell,
        bookmark=bookmark,
    )
    for visit in found.visits:
        bookmark.log.append({"step": visit.step, "epoch": visit.step / batches, **entry(visit.look)})
    shown = found.best or min(found.visits, key=lambda visit: abs(visit.look.gap))
    tell(Note(f"  after {shown.step} steps: {words(shown.look)}"))
    if found.best is None:
        fault = "accuracy is lost" if closes(shown.look, before) else "the ids are still recognisable"
        if not keeps(shown.look, before, how.margin) and not closes(shown.look, before):
            fault = "accuracy is lost, and the ids are not forgotten"
        nearest = f"nearest after {shown.step} steps, {shown.look.gap:+.3f} from the goal"
        message = found.fault or f"{nearest}: {fault} ({words(shown.look)})"
        raise NotReached(message, "the paper's way: --stop chance, then distill; or a larger --utility-margin")
    metrics = {"steps": shown.step, "epochs": shown.step / batches, "contrast": contrast, "judged": course.says()}
    return Outcome({**metrics, "looks": [{"step": visit.step, **entry(visit.look)} for visit in found.visits]})
