"""Several jobs: those that are done already are left alone, the others run at the same time."""

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children
from pathlib import Path

from forgetkit.data.canaries import as_trained
from forgetkit.data.dataset import Dataset, classes_of
from forgetkit.data.duplicates import warn_of_equal, warn_of_unseen
from forgetkit.data.find import find_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.events import Event, Note, Paused, Resumed, Tell, Warned
from forgetkit.files.interrupts import TERMINATED, install
from forgetkit.files.lock import state_folder
from forgetkit.files.publish import check_target
from forgetkit.options import ResumableOutput
from forgetkit.processes import available_cores, prepare, settle
from forgetkit.registry import load_plugins, loaded_plugins
from forgetkit.training.cuda_streams import side_by_side
from forgetkit.training.device import set_up
from forgetkit.training.evaluate import about
from forgetkit.training.job import Job
from forgetkit.training.loop import complete
from forgetkit.training.outputs import Written, done_already, up_to_date
from forgetkit.training.run_job import estimate_seconds, run_steps


def run_missing(
    jobs: list[Job], dataset: Dataset, inputs: tuple[Path, ...], tell: Tell, output: ResumableOutput, *, workers: int
) -> list[Written]:
    """Run the jobs that are not done yet, each as it would run alone.

    Args:
        jobs: trainings on one data set.
        dataset: that data set.
        inputs: files that no output may replace.
        tell: gets the events.
        output: ``force``, ``fresh`` and ``dry_run`` count.
        workers: how many jobs run at the same time; 0 for all cores, or as many as a GPU has room for.

    Returns:
        what was written or was there already, in the order of ``jobs``; nothing in a dry run.
    """
    done = {job.target: record for job in jobs if (record := up_to_date(job.target, job.record, job.beside))}
    missing = [job for job in jobs if job.target not in done]
    for job in missing:
        force = output.force or job.was_left
        check_target(job.target, force=force, inputs=inputs)
        for path in job.beside:
            check_target(path, force=force, inputs=(*inputs, job.target))
    if missing:
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        tell(Note(f"train: {len(missing[0].rows)} samples of {dataset.name}, {missing[0].summary}{more}"))
        tell(Note(f"  {classes_of(dataset)}"))
        warn_of_unseen(dataset, tell)
        warn_of_equal(dataset, tell)
    if output.dry_run:
        if missing:
            at_once = 1 if _on_gpu(missing[0]) or len(jobs) == 1 else min(len(missing), workers or available_cores())
            seconds = estimate_seconds(missing[0], dataset) * len(missing) / at_once
            tell(Note(f"  estimated training time: {about(seconds)}"))
        tell(Note("dry run: nothing was written"))
        return []
    found = [done_already("train", job.target, done[job.target], job.beside) for job in jobs if job.target in done]
    if missing and len(jobs) > 1:
        found += _run_several(missing, dataset, workers, tell, output)
    elif missing:
        found.append(complete(run_steps(missing[0], dataset, tell, force=output.force, fresh=output.fresh)))
    order = [job.target for job in jobs]
    return sorted(found, key=lambda written: order.index(written.path))


def _run_several(
    jobs: list[Job], dataset: Dataset, workers: int, tell: Tell, output: ResumableOutput
) -> Iterator[Written]:
    """Run several jobs at the same time and yield what each wrote.

    On a GPU they take their steps in turn, each on its own stream; elsewhere each runs in its own process with one
    thread, as a single run would with ``--threads 1``.
    """
    important = _only_important(tell)
    if _on_gpu(jobs[0]) and jobs[0].mask is None:  # masks are hooks of every optimizer, also of the other runs'
        runs = (run_steps(job, dataset, important, force=output.force, fresh=output.fresh) for job in jobs)
        yield from side_by_side(runs, jobs[0].machine.device, workers)
        return
    pool = ProcessPoolExecutor(
        min(workers or available_cores(), len(jobs)), prepare(__name__), initializer=_begin_worker
    )
    try:
        for done in as_completed([pool.submit(_worker, job, loaded_plugins(), output) for job in jobs]):
            written, events = done.result()
            for event in events:
                tell(event)
            yield written
    except BaseException as problem:  # interrupted, or one failed: the work of the others is not waited for
        pool.shutdown(wait=False, cancel_futures=True)
        workers_left = active_children()
        for process in workers_left:
            process.terminate()
        if isinstance(problem, KeyboardInterrupt | SystemExit):
            for process in workers_left:
                process.join()
            if any(state_folder(job.target).exists() for job in jobs):
                tell(Paused())
        if isinstance(problem, BrokenProcessPool):
            message = "a training process was killed, perhaps for lack of memory"
            hint = "train fewer models at the same time: --threads N; those that ended are kept"
            raise ForgetkitError("out-of-memory", message, hint) from problem
        raise
    pool.shutdown()


def _on_gpu(job: Job) -> bool:
    return job.machine.device.startswith("cuda")


def _begin_worker() -> None:
    settle()
    install(alone=False)


def _only_important(tell: Tell) -> Tell:
    """Return what passes on only the events that a user must see while several trainings run."""
    return lambda event: tell(event) if isinstance(event, Warned | Paused | Resumed) else None


def _worker(job: Job, plugins: list[Path], output: ResumableOutput) -> tuple[Written, list[Event]]:
    load_plugins(plugins)
    set_up(job.machine.device, job.machine.precision, job.machine.threads)
    data = job.record.dataset
    options, classes = data["options"], job.record.classes
    dataset = find_dataset(data["name"], data["fingerprint"], [job.root], options=options, classes=classes)
    events: list[Event] = []
    tell = _only_important(events.append)
    steps = run_steps(job, as_trained(dataset, job.record), tell, force=output.force, fresh=output.fresh)
    try:
        return complete(steps), events
    except SystemExit:  # the pool would wait for another job, and a second SIGTERM may have been ignored by now
        os._exit(TERMINATED)
