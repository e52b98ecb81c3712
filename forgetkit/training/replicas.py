"""Trainings carried out: what is done already is left, several go side by side, then all are reported."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from forgetkit.console import Console
from forgetkit.data.canaries import as_trained
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import find_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.files.interrupts import install
from forgetkit.files.publish import check_target
from forgetkit.files.record import Record
from forgetkit.options import LongRun
from forgetkit.processes import available_cores, prepare, settle
from forgetkit.registry import load_plugins, loaded_plugins
from forgetkit.training.cuda_streams import side_by_side
from forgetkit.training.device import set_up
from forgetkit.training.evaluate import about
from forgetkit.training.job import Plan, carry_out, carry_out_steps, epoch_seconds, mask_of, start_model
from forgetkit.training.mask import masked
from forgetkit.training.outputs import Written, document, report_done, report_written, up_to_date


def finish(
    plans: list[Plan],
    dataset: Dataset,
    inputs: tuple[Path, ...],
    console: Console,
    output: LongRun,
    *,
    workers: int,
) -> None:
    """Carry out what is not done already, and report all of it; ``inputs`` no output may replace."""
    finished = {plan.target: record for plan in plans if (record := up_to_date(plan.target, plan.record, plan.beside))}
    missing = [plan for plan in plans if plan.target not in finished]
    _check_targets(missing, inputs, force=output.force)
    for plan in plans:
        if record := finished.get(plan.target):
            alone = len(plans) == 1
            report_done(console, "train", plan.target, record, output, beside=plan.beside, alone=alone)
    if missing:
        console.note(f"train: {len(missing[0].rows)} samples of {dataset.name}, {missing[0].says()}")
    if output.dry_run:
        for plan in missing[:1]:
            with masked(model := start_model(plan), mask_of(plan)):
                at_once = 1 if _on_gpu(plan) or len(plans) == 1 else min(len(missing), workers or available_cores())
                seconds = epoch_seconds(plan, model, dataset) * plan.recipe.epochs * len(missing) / at_once
                console.note(f"  {about(seconds)} of training")
        console.note("dry run: nothing was written")
    elif len(plans) > 1:
        _train_replicas(plans, missing, finished, dataset, workers=workers, console=console, output=output)
    elif missing:
        report_written(console, carry_out(missing[0], dataset, console, force=output.force, fresh=output.fresh))


def carry_out_all(
    plans: list[Plan],
    dataset: Dataset,
    workers: int,
    told: Callable[[Written], None],
    *,
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
        told: of each that is written.
        force: replace existing outputs.
        fresh: do not go on where earlier runs stood.
    """
    if _on_gpu(plans[0]) and plans[0].mask is None:  # masks are hooks, which would take each other's steps for theirs
        runs = (carry_out_steps(plan, dataset, Console(quiet=True), force=force, fresh=fresh) for plan in plans)
        for written in side_by_side(runs, plans[0].machine.device, workers):
            told(written)
        return
    workers = min(workers or available_cores(), len(plans))
    pool = ProcessPoolExecutor(workers, prepare(__name__), initializer=_begin_worker)
    try:
        for done in as_completed([pool.submit(_worker, plan, loaded_plugins(), force, fresh) for plan in plans]):
            told(done.result())
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


def _train_replicas(
    plans: list[Plan],
    missing: list[Plan],
    finished: dict[Path, Record],
    dataset: Dataset,
    *,
    workers: int,
    console: Console,
    output: LongRun,
) -> None:
    """Train what is missing of several replicas side by side, then print them all."""
    done = dict(finished)

    def told(written: Written) -> None:
        done[written.path] = written.record
        sha = written.record.digest[:16]
        console.note(f"train: wrote {written.path}  sha256:{sha}  in {written.seconds:.1f} s")

    if missing:
        carry_out_all(missing, dataset, workers, told, force=output.force, fresh=output.fresh)
    entries = [document("train", plan.target, done[plan.target], up_to_date=plan.target in finished) for plan in plans]
    console.result([str(plan.target) for plan in plans], _joined(entries))


def _joined(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one document of several replicas."""
    parts = [{key: entry[key] for key in ("outputs", "digest", "up_to_date", "metrics", "record")} for entry in entries]
    return {
        "ok": True,
        "command": "train",
        "outputs": [path for entry in entries for path in entry["outputs"]],
        "digest": None,
        "up_to_date": all(entry["up_to_date"] for entry in entries),
        "metrics": None,
        "record": None,
        "replicas": parts,
    }


def _begin_worker() -> None:
    settle()
    install(interrupt=False)


def _worker(plan: Plan, plugins: list[Path], force: bool, fresh: bool) -> Written:
    load_plugins(plugins)
    set_up(plan.machine.device, plan.machine.precision, plan.machine.threads)
    return carry_out(plan, _dataset_of(plan), Console(quiet=True), force=force, fresh=fresh)


def _dataset_of(plan: Plan) -> Dataset:
    data = plan.record.dataset
    share, classes = data["options"].get("unseen"), plan.record.classes
    dataset = find_dataset(data["name"], data["fingerprint"], [plan.root], unseen=share, classes=classes)
    return as_trained(dataset, plan.record)
