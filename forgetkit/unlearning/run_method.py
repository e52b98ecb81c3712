"""What is common to the methods that take steps: all published epochs, or until the ids look like data never seen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from math import ceil, inf

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Note, Tell, silent
from forgetkit.files.record import Record
from forgetkit.options import Booked, Compute, Lists, LongRun, Source
from forgetkit.training.classifier import Classifier, Samples, accuracy, predict, take
from forgetkit.training.device import Machine
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.outputs import Written
from forgetkit.training.resume import Bookmark, Place, pack, part, unpack, walk
from forgetkit.unlearning.early_stopping import stop_unseen
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.membership_gauge import entry, words
from forgetkit.unlearning.method_options import Steps
from forgetkit.unlearning.step import Outcome
from forgetkit.unlearning.tuning_groups import course_of, steps_between

GROUPS = 8
"""Groups of retained samples that steps are rehearsed on, at the most."""
REWIND = "rewind"


@dataclass(frozen=True)
class Task:
    """What a method's steps are to be taken on.

    Attributes:
        model: in its state before the first step; changed in place.
        forget: images and labels of what is to be forgotten, or of what stands in for it.
        retain: images and labels of the retain set.
        method: the options.
        record: of the checkpoint.
        seed: of everything random.
        done: steps to pass over; the model is put into the state after them before the next one is asked for.
    """

    model: Classifier
    forget: Samples
    retain: Samples
    method: Steps
    record: Record
    seed: int
    done: int

    def optimizer(self) -> Optimizer:
        """Return the optimizer that the options name, over the model's parameters."""
        how = self.method
        given = {"rate": how.rate, "momentum": how.momentum, "weight_decay": how.weight_decay}
        return make_optimizer(self.model, how.optimizer, **given)


Begin = Callable[[Task], tuple[Optimizer, Iterator[object]]]
"""Makes an optimizer, and a generator of steps that ends after all published epochs."""


def run_method(
    command: str,
    checkpoint: str,
    method: Steps,
    begin_steps: Begin,
    *,
    onward: bool = False,
    lists: Lists,
    booked: Booked,
    mask: str | None,
    log: str | None,
    seed: int,
    source: Source,
    compute: Compute,
    output: LongRun,
    tell: Tell = silent,
) -> Written | None:
    """Carry out a method's command: read, take its steps, write, report.

    Args:
        command: its name.
        checkpoint: the input.
        method: its options, checked.
        begin_steps: begins its steps.
        onward: whether it goes too far at first, and comes back; see :func:`forgetkit.unlearning.backtracking.brake`.
        lists: the ID lists.
        booked: the request in a book that it fulfils, if any.
        mask: file that says which weights may move, if not all.
        log: where to write the looks.
        seed: of everything random.
        source: where the data is.
        compute: on what to compute.
        output: where to write.
        tell: told what is done.

    Raises:
        ForgetkitError: as :func:`forgetkit.unlearning.inputs.begin` and :func:`forgetkit.unlearning.step.carry_out`.
    """
    from forgetkit.files.record import Step
    from forgetkit.training.device import set_up
    from forgetkit.training.outputs import ids_entry
    from forgetkit.unlearning.inputs import begin
    from forgetkit.unlearning.step import carry_out, log_beside, warn_unmoved

    request = begin(
        command, checkpoint, lists.ids, lists, source=source, tell=tell, dry_run=output.dry_run, booked=booked
    )
    if isinstance(request, Written):
        return request
    request.check_retained()
    machine = set_up(compute.device, compute.precision, compute.threads)
    options = {**method.options(), "norm_statistics": "frozen", **machine.options()}
    step = Step(command, options, seed, request.record.digest, ids_entry(request.ids), {})

    def work(classifier: Classifier, tune: Samples, bookmark: Bookmark) -> Outcome:
        def task(forget: Samples, retain: Samples, done: int) -> Task:
            return Task(classifier, forget, retain, method, request.record, seed, done)

        run = Stepping(method, onward, lambda *given: begin_steps(task(*given)), seed)
        return run.taken(classifier, tune, request, machine, tell=tell, bookmark=bookmark)

    beside = log_beside(log)
    written = carry_out(request, step, machine, tell=tell, output=output, beside=beside, mask=mask, work=work)
    if written and written.state == "written":
        warn_unmoved(tell, written.record.steps[-1].metrics, "raise --rate or --epochs, or take another method")
    return written


@dataclass(frozen=True)
class Stepping:
    """Steps to be taken: the options, whether they come back, what begins them, and the seed of looks."""

    method: Steps
    onward: bool
    begin: Callable[[Samples, Samples, int], tuple[Optimizer, Iterator[object]]]
    seed: int

    def taken(
        self,
        classifier: Classifier,
        tune: Samples,
        request: Request,
        machine: Machine,
        *,
        tell: Tell,
        bookmark: Bookmark,
    ) -> Outcome:
        """Take them on the ids of a request; the classifier is changed in place.

        Raises:
            NotReached: where no state that was seen both forgets and keeps accuracy.
        """
        if self.method.stop == "unseen":
            return self._until_unseen(classifier, tune, request, machine, tell, bookmark)
        split, device = request.dataset.train, machine.device
        sets = take(split, request.forget_rows, device), take(split, request.retain_rows, device)

        def start(done: int) -> tuple[Optimizer, Iterator[object]]:
            return self.begin(*sets, done)

        if self.method.stop == "rewind":
            return rewound(classifier, sets[0], tune, start, bookmark)
        return Outcome({"steps": walk(bookmark, "steps", classifier, start)[1]})

    def _until_unseen(
        self,
        classifier: Classifier,
        tune: Samples,
        request: Request,
        machine: Machine,
        tell: Tell,
        bookmark: Bookmark,
    ) -> Outcome:
        course = course_of(request, tune, machine, seed=self.seed).first(GROUPS)
        before = course.before(classifier)
        tell(Note(f"  {course.says()}"))
        tell(Note(f"  before: {words(before)}"))
        forget = take(request.dataset.train, request.forget_rows, machine.device)
        passes = len(forget[1]) + ceil(len(course.retain[1]) / self.method.batch_size)
        found = stop_unseen(
            classifier,
            forget,
            course,
            lambda samples, done: self.begin(samples, course.retain, done),
            every=steps_between(course.gauges[0], self.method.batch_size),
            most=self.method.epochs * passes,
            before=before,
            margin=self.method.utility_margin,
            onward=self.onward,
            tell=tell,
            bookmark=bookmark,
        )
        looks = [{"step": visit.step, **entry(visit.look)} for visit in found.visits]
        bookmark.log.extend(looks)
        shown = found.best or min(found.visits, key=lambda visit: abs(visit.look.gap))
        tell(Note(f"  after {shown.step} steps: {words(shown.look)}"))
        hint = "another --rate, more --epochs, a larger --utility-margin; or --stop published"
        if found.fault:
            raise NotReached(found.fault, hint)
        if found.best is None:
            message = f"of {len(looks)} looks none shows the ids forgotten and accuracy kept; nearest"
            message += f" after {shown.step} steps, {shown.look.gap:+.3f} from the goal ({words(shown.look)})"
            raise NotReached(message, hint)
        return Outcome({"steps": shown.step, "looks": looks, "judged": course.says()})


def rewound(
    model: nn.Module,
    forget: Samples,
    tune: Samples,
    start: Callable[[int], tuple[Optimizer, Iterator[object]]],
    bookmark: Bookmark,
) -> Outcome:
    """Take all epochs, then go back to the one whose forget error is nearest to the error on unseen data.

    Args:
        model: changed in place.
        forget: images and labels.
        tune: images and labels of the tune half, of which the classes of the forget set are taken, where there are any.
        start: for a number of steps to pass over, an optimizer and a generator of steps that yields their epochs.
        bookmark: where the run stands.

    Source: Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023, section 3.2 (SCRUB+R).
    """
    left = bookmark.open(REWIND)
    taken, at, nearest = (left.at["steps"], left.at["epoch"], left.at["nearest"]) if left else (0, 0, inf)
    best: dict[str, Tensor] = part(left.tensors, "best.") if left else {}
    optimizer, steps = start(taken)
    if left:
        unpack(left.tensors, model, optimizer)
    alike = torch.isin(tune[1], forget[1])
    alike = alike if bool(alike.any()) else ~alike

    def place() -> Place:
        whole = {f"best.{name}": tensor for name, tensor in best.items()}
        return Place({"steps": taken, "epoch": at, "nearest": nearest}, whole | pack(model, optimizer))

    for epoch, group in groupby(steps):
        taken += sum(1 for _ in group)
        unseen = accuracy(predict(model, tune[0][alike]), tune[1][alike])
        gap = abs(accuracy(predict(model, forget[0]), forget[1]) - unseen)
        bookmark.log.append({"epoch": epoch, "error_gap": gap})
        if gap <= nearest:
            at, nearest, best = epoch, gap, pack(model)
        bookmark.reached(REWIND, place)
    unpack(best, model)
    return Outcome({"steps": taken, "epoch": at, "error_gap": nearest})
