"""``forgetkit relabel``: Li & Ghosh 2023, one step towards all wrong labels for each id."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import NotReached
from forgetkit.options import Booked, Checkpoint, Compute, Lists, LongRun, Mask, Seed, Source
from forgetkit.unlearning.relabel_options import Method
from forgetkit.unlearning.stream_limits import Limits

if TYPE_CHECKING:
    from forgetkit.training.device import Machine
    from forgetkit.unlearning.inputs import Request


def relabel(
    checkpoint: Checkpoint,
    *,
    lists: Lists,
    booked: Booked,
    method: Method,
    limits: Limits,
    mask: Mask = None,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: LongRun,
) -> None:
    """Forget each id by one training step towards all its wrong labels (Li & Ghosh 2023).

    The rate decides everything: too low and nothing is forgotten, too high and the model is lost. By default it is
    searched for: where the ids look like data never seen, and accuracy holds. Where no rate does both, joint steps
    with retained samples are tried. --rate FLOAT is the paper as published.

    Examples:
        forgetkit relabel model.st --ids ids.txt --optimizer adadelta
        forgetkit forget-ids model.st --class 3 | forgetkit relabel model.st --ids - --rate 0.1
        forgetkit relabel model.st -i ids.txt --optimizer adam --mix joint
        forgetkit relabel model.st -i ids.txt --optimizer sgd --rate 0.0001 --replay 8
        forgetkit relabel model.st -i ids.txt --mix forget-then-retain --labels-per-id 1
    """
    from forgetkit.files.id_list import draw
    from forgetkit.training.device import set_up
    from forgetkit.training.outputs import Written, output_path
    from forgetkit.unlearning.fallback import retraining
    from forgetkit.unlearning.inputs import begin

    method.check()
    limits.check()
    console = Console(output)
    request = begin(
        "relabel", checkpoint, lists.ids, lists, source=source, tell=console, dry_run=output.dry_run, booked=booked
    )
    if isinstance(request, Written):
        report(console, request)
        return
    if method.mix in {"joint", "forget-then-retain"} or limits.on_limit == "retrain":
        request.check_retained()
    if method.order == "shuffle":
        request = replace(request, ids=draw(request.ids, len(request.ids), seed))
    machine = set_up(compute.device, "float32" if compute.precision == "auto" else compute.precision, compute.threads)
    fallback = None
    if limits.on_limit == "retrain":
        fallback = retraining(request, machine, output_path(request.path, "relabel", output.out))
    if fallback and fallback.done:
        report(console, fallback.carry_out(console, output))
        return
    try:
        limits.check_sequence(request)
        _relabel(request, method, limits, seed, machine, console, output, mask)
    except NotReached as reached:
        if fallback is None:
            raise
        console.warn("retraining", f"{reached.message}: retraining")
        report(console, fallback.carry_out(console, output))


def _relabel(
    request: "Request",
    method: Method,
    limits: Limits,
    seed: int,
    machine: "Machine",
    console: Console,
    output: LongRun,
    mask: str | None,
) -> None:
    """Relabel, write and report; raises NotReached, and what :func:`forgetkit.unlearning.step.carry_out` raises."""
    from forgetkit.files.record import Step
    from forgetkit.models.optimizer_state import find_optimizer, optimizer_path, save_optimizer
    from forgetkit.training.classifier import Classifier, Samples
    from forgetkit.training.outputs import ids_entry, output_path
    from forgetkit.training.resume import Bookmark
    from forgetkit.unlearning.fallback import check_limits
    from forgetkit.unlearning.relabel import Aimed, unlearn
    from forgetkit.unlearning.relabel_steps import Relabeling, most_joint_steps
    from forgetkit.unlearning.step import Outcome, carry_out, warn_unmoved
    from forgetkit.unlearning.stream_limits import open_references

    record, target = request.record, output_path(request.path, "relabel", output.out)
    found = find_optimizer(request.path, record.digest, method.optimizer) if method.keep_optimizer else None
    references = open_references(limits.reference or [], request)
    count = method.count(len(record.classes))
    options = {
        **method.options(count, found[1] if found else None),
        **limits.options([reference.digest for _, reference in references]),
        **machine.options(),
        "searched": method.searched + limits.searched,
    }
    step = Step("relabel", options, seed, record.digest, ids_entry(request.ids), {})
    how = Relabeling(
        optimizer=method.optimizer,
        momentum=method.momentum,
        weight_decay=method.weight_decay,
        classes=len(record.classes),
        labels_per_id=count,
        targets=method.targets,
        redraw=method.redraw,
        replay=method.replay,
        ids_per_step=method.ids_per_step,
        forget_weight=method.forget_weight,
        margin=method.utility_margin,
        most_steps=most_joint_steps(record, len(request.retain_rows), method.ids_per_step, method.replay),
        epochs=method.passes,
        published=method.published,
        seed=seed,
        state=found[0] if found else None,
    )
    ended: list[Aimed] = []

    def work(classifier: Classifier, tune: Samples, bookmark: Bookmark) -> Outcome:
        found = unlearn(classifier, tune, request, machine, how, aim=method.aim, tell=console, bookmark=bookmark)
        ended.append(found)
        judged = check_limits(classifier, tune, request, machine, limits, references)
        bound = {"max_divergence": judged["divergence_bound"]} if "divergence_bound" in judged else {}
        outcome = ended[0].outcome
        return Outcome({**outcome.metrics, **judged}, {**outcome.resolved, **bound})

    def keep(_: Path, bookmark: Bookmark, digest: str) -> None:
        save_optimizer(target, ended[0].optimizer, name=method.optimizer, digest=digest)

    beside = {optimizer_path(target): keep} if method.keep_optimizer else {}
    models = tuple(path for path, _ in references)
    written = carry_out(
        request, step, machine, tell=console, output=output, models=models, beside=beside, mask=mask, work=work
    )
    if written is None:
        return
    if method.fixed is not None and (method.aim[0] == "per-id" or method.published):
        warn_unmoved(console, written.record.steps[-1].metrics, "raise --rate, or leave it to be found")
    report(console, written)
