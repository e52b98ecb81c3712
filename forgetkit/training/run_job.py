"""A job run from its first step to its checkpoint."""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.data.dataset import Dataset
from forgetkit.events import Note, Tell
from forgetkit.files.publish import publish_lines
from forgetkit.models.build import build_recorded, check_fit
from forgetkit.models.checkpoint import load_model, save_checkpoint
from forgetkit.models.optimizer_state import load_optimizer, save_optimizer
from forgetkit.training.classifier import Classifier, on_machine, take
from forgetkit.training.device import seed_for
from forgetkit.training.evaluate import BATCH, measure, pass_seconds
from forgetkit.training.history import History
from forgetkit.training.job import Job
from forgetkit.training.loop import complete, train_steps
from forgetkit.training.mask import masked, read_mask
from forgetkit.training.optimizers import optimizer_of
from forgetkit.training.outputs import Written
from forgetkit.training.resume import Bookmark, making


def run_steps(
    job: Job, dataset: Dataset, tell: Tell, *, force: bool = False, fresh: bool = False
) -> Generator[None, None, Written]:
    """Train and write the checkpoint; continue an interrupted run of the same job, unless ``fresh``.

    Yields:
        after each step, so that other runs can take theirs in between.

    Raises:
        ForgetkitError: ``diverged``, ``out-of-space`` and the like; nothing was written.
    """
    begun = time.monotonic()
    replaced = force or job.was_left
    with making(job.target, job.beside, asked=job.asked, force=replaced, fresh=fresh, tell=tell) as bookmark:
        model = start_model(job)
        classifier = on_machine(model, job.record, job.machine)
        optimizer = optimizer_of(classifier, job.recipe)
        if state := job.optimizer_state:
            load_optimizer(state, optimizer)
        with masked(model, mask_of(job)):
            history = yield from _train(
                job, classifier, optimizer, dataset, bookmark, tell, f"train seed {job.step.seed}"
            )
        step = replace(job.step, metrics=_metrics(job, classifier, dataset, history))
        written = save_checkpoint(job.target, model, replace(job.record, steps=[*job.record.steps[:-1], step]))
        if job.keeps_optimizer:
            save_optimizer(job.target, optimizer, name=job.recipe.optimizer, digest=written.digest)
        if job.log:
            publish_lines(job.log, bookmark.log)
    _tell_accuracy(step.metrics, 1 / len(written.classes), tell)
    return Written("train", job.target, written, time.monotonic() - begun, job.source)


def _tell_accuracy(metrics: dict[str, Any], chance: float, tell: Tell) -> None:
    """Tell the accuracy of a training; classes without training samples apart."""
    found, which = f"{metrics['test_accuracy']:.2%} (chance {chance:.0%})", ""
    if "vanished_accuracy" in metrics:
        found = f"{metrics['kept_test_accuracy']:.2%} (chance {chance:.0%}) of classes trained on"
        which = f", {metrics['vanished_accuracy']:.2%} of the others"
    tell(Note(f"  accuracy, unseen samples   {found}{which}, epoch {metrics['epoch']} of {metrics['epochs']}"))


def train_only(
    job: Job, dataset: Dataset, tell: Tell, *, watch: Callable[[nn.Module], AbstractContextManager[None]]
) -> Classifier:
    """Train, but neither measure nor write; return the model.

    Args:
        job: a training from scratch.
        dataset: what to train on.
        tell: gets the progress.
        watch: returns a context that surrounds the training of its model.
    """
    classifier = on_machine(start_model(job), job.record, job.machine)
    optimizer = optimizer_of(classifier, job.recipe)
    with watch(classifier):
        complete(_train(job, classifier, optimizer, dataset, Bookmark(), tell, "second teacher"))
    return classifier


def start_model(job: Job) -> nn.Module:
    """Return the model to train: that of the checkpoint to continue from, or a new one drawn from the seed.

    Raises:
        ForgetkitError: ``model-mismatch``, or as :func:`forgetkit.models.checkpoint.load_model`.
    """
    record = job.record
    if job.start is not None:
        return load_model(job.start, replace(record, digest=job.step.parent or ""))
    model = build_recorded(record, seed=seed_for(job.step.seed, "weights"))
    check_fit(model, record.model["name"], shape=tuple(record.input["shape"]), classes=len(record.classes))
    return model


def mask_of(job: Job) -> dict[str, Tensor] | None:
    """Return which weights may change, bool by name; None for all; raises as :func:`.mask.read_mask`."""
    return None if job.mask is None else read_mask(job.mask, job.step.options["mask"])[0]


def estimate_seconds(job: Job, dataset: Dataset) -> float:
    """Estimate the seconds of a training from one batch; raises ForgetkitError where the job cannot start."""
    model = start_model(job)
    with masked(model, mask_of(job)):
        samples = take(dataset.train, job.rows[:BATCH], job.machine.device)
        classifier = on_machine(model, job.record, job.machine)
        return pass_seconds(classifier, samples, len(job.rows)) * job.recipe.epochs


def _train(
    job: Job, classifier: Classifier, optimizer: Optimizer, dataset: Dataset, bookmark: Bookmark, tell: Tell, label: str
) -> Generator[None, None, History]:
    begun, spent = time.monotonic(), bookmark.log[-1]["seconds"] if bookmark.log else 0.0

    def watch(entry: dict[str, Any]) -> None:
        """Add the measurements of an epoch to the log."""
        bookmark.log.append({**entry, "seconds": round(spent + time.monotonic() - begun, 3)})

    return train_steps(
        classifier,
        *take(dataset.train, job.rows, job.machine.device),
        recipe=job.recipe,
        optimizer=optimizer,
        tune=take(dataset.test, dataset.tune_rows, job.machine.device),
        seed=job.step.seed,
        watch=watch if job.log else None,
        label=label,
        tell=tell,
        bookmark=bookmark,
    )


def _metrics(job: Job, classifier: Classifier, dataset: Dataset, history: History) -> dict[str, Any]:
    best = history.best_epoch if job.recipe.keep == "best" else None
    kept = best or job.recipe.epochs
    nothing = take(dataset.train, job.rows[:0], job.machine.device)
    trained = torch.from_numpy(np.bincount(dataset.train.labels[job.rows], minlength=len(dataset.classes)) > 0)
    measured = measure(classifier, nothing, dataset, job.machine.device, trained) | history.epochs[kept - 1]
    tried = {} if job.attempts is None else {"attempts": job.attempts}
    return {**measured, "epoch": kept, "epochs": job.recipe.epochs, "best_epoch": best, **tried}
