"""Trainings carried out: what is done already is left, several go side by side, then all are reported."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children
from pathlib import Path

from forgetkit.data.canaries import as_trained
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import find_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.events import Event, Note, Paused, Resumed, Tell, Warned, silent
from forgetkit.files.interrupts import install
from forgetkit.files.publish import check_target
from forgetkit.options import ResumableOutput
from forgetkit.processes import available_cores, prepare, settle
from forgetkit.registry import load_plugins, loaded_plugins
from forgetkit.training.cuda_streams import side_by_side
from forgetkit.training.device import set_up
from forgetkit.training.evaluate import about
from forgetkit.training.job import Plan, carry_out, carry_out_steps, epoch_seconds, mask_of, start_model
from forgetkit.training.mask import masked
from forgetkit.training.outputs import Written, done_already, up_to_date


def finish(
    plans: list[Plan],
    dataset: Dataset,
    inputs: tuple[Path, ...],
    tell: Tell,
    output: ResumableOutput,
    *,
    workers: int,
) -> list[Written]:
    """Carry out the plans that are not done already; ``inputs`` no output may replace.

    Returns:
        what was written, and what was there; empty in a dry run.
    """
    finished = {plan.target: record for plan in plans if (record := up_to_date(plan.target, plan.record, plan.beside))}
    missing = [plan for plan in plans if plan.target not in finished]
    _check_targets(missing, inputs, force=output.force)
    found = [
        done_already("train", plan.target, finished[plan.target], plan.beside)
        for plan in plans
        if plan.target in finished
    ]
    if missing:
        tell(Note(f"train: {len(missing[0].rows)} samples of {dataset.name}, {missing[0].says()}"))
    if output.dry_run:
        _estimate(missing, dataset, tell, of=len(plans), workers=workers)
        return []
    if len(plans) > 1 and missing:
        carry_out_all(missing, dataset, workers, found.append, tell=tell, force=output.force, fresh=output.fresh)
    elif missing:
        found.append(carry_out(missing[0], dataset, tell, force=output.force, fresh=output.fresh))
    order = {plan.target: place for place, plan in enumerate(plans)}
    return sorted(found, key=lambda written: order[written.path])


def _estimate(missing: list[Plan], dataset: Dataset, tell: Tell, *, of: int, workers: int) -> None:
    """Tell how long the trainings will take."""
    for plan in missing[:1]:
        with masked(model := start_model(plan), mask_of(plan)):
            at_once = 1 if _on_gpu(plan) or of == 1 else min(len(missing), workers or available_cores())
            seconds = epoch_seconds(plan, model, dataset) * plan.recipe.epochs * len(missing) / at_once
            tell(Note(f"  {about(seconds)} of training"))
    tell(Note("dry run: nothing was written"))


def carry_out_all(
    plans: list[Plan],
    dataset: Dataset,
    workers: int,
    ended: Callable[[Written], None],
    *,
    tell: Tell = silent,
    force: bool = False,
    fresh: bool = False,
) -> None:
    """Carry out ``plans`` side by side, each as it would be by itself.

    On a GPU, ``workers`` of them take their steps in turn, each on a stream of its own; elsewhere in as many processes,
    with one thread each, as single runs would with ``--threads 1``.

    Args:
        plans: what to carry out, on one device.
        dataset: to train on; other processes read it again.
        workers: how many at a time; 0 for all cores, or as many as a GPU gains by.
        ended: called with each that is written.
        tell: told what the trainings warn of, and which go on where an earlier run stopped.
        force: replace existing outputs.
        fresh: do not go on where earlier runs stood.
    """
    if _on_gpu(plans[0]) and plans[0].mask is None:  # masks are hooks, which would take each other's steps for theirs
        quiet = _only_important(tell)
        runs = (carry_out_steps(plan, dataset, quiet, force=force, fresh=fresh) for plan in plans)
        for written in side_by_side(runs, plans[0].machine.device, workers):
            ended(written)
        return
    workers = min(workers or available_cores(), len(plans))
    pool = ProcessPoolExecutor(workers, prepare(__name__), initializer=_begin_worker)
    try:
        for done in as_completed([pool.submit(_worker, plan, loaded_plugins(), force, fresh) for plan in plans]):
            written, events = done.result()
            for event in events:
                tell(event)
            ended(written)
    except BaseException as problem:  # interrupted, or one failed: the others' work is not waited for
        pool.shutdown(wait=False, cancel_futures=True)
        for process in active_children():
            process.terminate()
        if isinstance(problem, BrokenProcessPool):
            message = "a training's process was killed, for lack of memory perhaps"
            hint = "train fewer at a time: --threads; those that ended are kept"
            raise ForgetkitError("out-of-memory", message, hint) from problem
        raise
    pool.shutdown()


def _on_gpu(plan: Plan) -> bool:
    return plan.machine.device.startswith("cuda")


def _check_targets(plans: list[Plan], inputs: tuple[Path, ...], *, force: bool) -> None:
    """Refuse outputs that cannot or must not be written, before anything is computed."""
    for plan in plans:
        replaced = force or plan.was_left
        check_target(plan.target, force=replaced, inputs=inputs)
        for path in plan.beside:
            check_target(path, force=replaced, inputs=(*inputs, plan.target))


def _begin_worker() -> None:
    settle()
    install(interrupt=False)


def _only_important(tell: Tell) -> Tell:
    """Return what passes on the events that a user must see of several trainings at once."""
    return lambda event: tell(event) if isinstance(event, Warned | Paused | Resumed) else None


def _worker(plan: Plan, plugins: list[Path], force: bool, fresh: bool) -> tuple[Written, list[Event]]:
    load_plugins(plugins)
    set_up(plan.machine.device, plan.machine.precision, plan.machine.threads)
    events: list[Event] = []
    written = carry_out(plan, _dataset_of(plan), _only_important(events.append), force=force, fresh=fresh)
    return written, events


def _dataset_of(plan: Plan) -> Dataset:
    data = plan.record.dataset
    share, classes = data["options"].get("unseen"), plan.record.classes
    dataset = find_dataset(data["name"], data["fingerprint"], [plan.root], unseen=share, classes=classes)
    return as_trained(dataset, plan.record)
