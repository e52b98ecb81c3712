"""One training from beginning to end, as a value that another process can carry out."""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError
from forgetkit.events import Note, Tell
from forgetkit.files.id_list import digest_of
from forgetkit.files.lock import was_left
from forgetkit.files.publish import publish_lines
from forgetkit.files.record import Record, Step
from forgetkit.models.build import build_recorded, check_fit
from forgetkit.models.checkpoint import load_model, save_checkpoint
from forgetkit.models.optimizer_state import find_optimizer, load_optimizer, optimizer_path, save_optimizer
from forgetkit.options import Training
from forgetkit.training.classifier import Classifier, on_machine, take
from forgetkit.training.device import Machine, seed_for
from forgetkit.training.evaluate import BATCH, measure, pass_seconds
from forgetkit.training.history import History
from forgetkit.training.loop import train_steps, whole
from forgetkit.training.mask import masked, read_mask
from forgetkit.training.optimizers import optimizer_of
from forgetkit.training.outputs import Written, asked_of, ids_entry
from forgetkit.training.recipe import Recipe, recipe_of, resolve_recipe
from forgetkit.training.resume import Bookmark, making
from forgetkit.training.training_set import Base, TrainingSet


@dataclass(frozen=True)
class Plan:
    """A training that was checked and can be carried out.

    Attributes:
        record: what the checkpoint will say, with empty digest and without this step's metrics.
        recipe: how to train.
        machine: where to compute.
        rows: training rows to train on.
        start: checkpoint to go on from, or None to begin from nothing.
        root: folder where the data set was found.
        target: where to write the checkpoint.
        log: where to write a JSON line an epoch, if anywhere.
        keep_optimizer: whether to go on with the optimizer state beside ``start``, and to write one.
        mask: file that says which weights may move, if not all; its digest stands in the step's options.
        original: the checkpoint to train like, where that is an original: what an audit compares with.
        attempts: what was tried before this training, for its metrics, if it is a last resort.
    """

    record: Record
    recipe: Recipe
    machine: Machine
    rows: NDArray[np.int64]
    start: Path | None
    root: Path
    target: Path
    log: Path | None
    keep_optimizer: bool
    mask: Path | None = None
    original: Path | None = None
    attempts: list[dict[str, Any]] | None = None

    @property
    def step(self) -> Step:
        """The training itself, the record's last step."""
        return self.record.steps[-1]

    @property
    def beside(self) -> tuple[Path, ...]:
        """What is written beside the checkpoint."""
        log = (self.log,) if self.log else ()
        return (*log, optimizer_path(self.target)) if self.keep_optimizer else log

    @property
    def asked(self) -> str:
        """Digest of what is to be written."""
        return asked_of(self.record, self.beside)

    @property
    def was_left(self) -> bool:
        """Whether a run of the same plan ended before all was written."""
        return was_left(self.target, self.asked)

    def says(self) -> str:
        """Say in one line what it is."""
        recipe, machine = self.recipe, self.machine
        return (
            f"{self.record.model['name']}, {recipe.epochs} epochs of {recipe.optimizer} at {recipe.rate:g}, "
            f"{machine.device} {machine.precision} {machine.threads} threads → {self.target}"
        )


def make_plans(
    base: Base | None,
    chosen: TrainingSet,
    machine: Machine,
    *,
    model: tuple[str, dict[str, Any]],
    training: Training,
    keep_optimizer: bool,
    mask: Path | None = None,
    seeds: range,
    targets: tuple[str, str | None],
) -> list[Plan]:
    """Return a plan for each seed.

    Args:
        base: the checkpoint to train like, or on from; None for a new model.
        chosen: what to train on.
        machine: where to compute.
        model: name and own options of a new model.
        training: what the command line says of the recipe.
        keep_optimizer: go on with the optimizer state beside the checkpoint, and write it.
        mask: file that says which weights may move, if not all.
        seeds: of the trainings.
        targets: paths of output and log (or None), in which ``{n}`` is the seed.

    Raises:
        ForgetkitError: ``usage`` or ``model-unknown``; as :func:`forgetkit.training.mask.read_mask`.
    """
    recipe = resolve_recipe(recipe_of(base.record.recipe) if base else Recipe(), training)
    going_on = base is not None and not base.like
    parent = base.record.digest if base and going_on else None
    start = base.path if base and going_on else None
    if keep_optimizer and recipe.keep == "best":
        raise ForgetkitError("usage", "--keep best does not go with --keep-optimizer: its state is of the last epoch")
    root = chosen.new_record(base, model, {**asdict(recipe), **machine.options()})
    state = optimizer_state(start, parent, recipe.optimizer, wanted=keep_optimizer)
    options = {
        **asdict(recipe),
        **machine.options(),
        "model": [root.model["name"], root.model["options"]],
        "dataset": chosen.dataset.fingerprint,
        "like": base.record.digest if base and base.like else None,
        "only": digest_of(chosen.only) if chosen.only else None,
        "keep_optimizer": keep_optimizer,
        "optimizer_state": state[1] if state else None,
        **({"canaries": chosen.canaries["commitment"]} if chosen.canaries else {}),
        **({"mask": read_mask(mask)[1], "norm_statistics": "frozen"} if mask else {}),
    }
    before = base.record.steps if base and going_on else []
    original = base.path if base and not going_on and base.record.steps[-1].trains else None
    plans = []
    for seed in seeds:
        step = Step("train", options, seed, parent, ids_entry(chosen.excluded), {})
        record = replace(root, steps=[*before, step])
        target, log = (Path(text.replace("{n}", str(seed))) if text else None for text in targets)
        place = (chosen.dataset.root, target or Path(), log)
        plans.append(Plan(record, recipe, machine, chosen.rows, start, *place, keep_optimizer, mask, original))
    return plans


def carry_out_steps(
    plan: Plan, dataset: Dataset, tell: Tell, *, force: bool = False, fresh: bool = False
) -> Generator[None, None, Written]:
    """Train as planned and write the checkpoint; go on where an earlier run stood, unless ``fresh``.

    Yields:
        after each step.

    Raises:
        ForgetkitError: ``diverged``, ``out-of-space`` …; nothing was written.
    """
    begun = time.monotonic()
    with making(
        plan.target, plan.beside, asked=plan.asked, force=force or plan.was_left, fresh=fresh, tell=tell
    ) as bookmark:
        model = start_model(plan)
        classifier = on_machine(model, plan.record, plan.machine)
        optimizer = optimizer_of(classifier, plan.recipe)
        if state := optimizer_state(plan.start, plan.step.parent, plan.recipe.optimizer, wanted=plan.keep_optimizer):
            load_optimizer(state[0], optimizer)
        with masked(model, mask_of(plan)):
            label = f"train seed {plan.step.seed}"
            history = yield from _train(plan, classifier, optimizer, dataset, bookmark, tell, label)
        step = replace(plan.step, metrics=_metrics(plan, classifier, dataset, history))
        written = save_checkpoint(plan.target, model, replace(plan.record, steps=[*plan.record.steps[:-1], step]))
        if plan.keep_optimizer:
            save_optimizer(plan.target, optimizer, name=plan.recipe.optimizer, digest=written.digest)
        if plan.log:
            publish_lines(plan.log, bookmark.log)
    right = f"{step.metrics['test_accuracy']:.2%} right on the unseen split (chance {1 / len(written.classes):.0%})"
    tell(Note(f"  {right}, epoch {step.metrics['epoch']} of {plan.recipe.epochs}"))
    return Written("train", plan.target, written, time.monotonic() - begun, plan.start or plan.original)


carry_out = whole(carry_out_steps)
"""Carry out all steps of a plan; returns what was written."""


def train_only(
    plan: Plan, dataset: Dataset, tell: Tell, *, watch: Callable[[nn.Module], AbstractContextManager[None]]
) -> Classifier:
    """Train as planned, and neither measure nor write; return the model.

    Args:
        plan: from nothing.
        dataset: to train on.
        tell: shown the epochs.
        watch: of the model, entered while it is trained.
    """
    classifier = on_machine(start_model(plan), plan.record, plan.machine)
    with watch(classifier):
        begin = whole(_train)
        begin(plan, classifier, optimizer_of(classifier, plan.recipe), dataset, Bookmark(), tell, "second teacher")
    return classifier


def _train(
    plan: Plan,
    classifier: Classifier,
    optimizer: Optimizer,
    dataset: Dataset,
    bookmark: Bookmark,
    tell: Tell,
    label: str,
) -> Generator[None, None, History]:
    begun, spent = time.monotonic(), bookmark.log[-1]["seconds"] if bookmark.log else 0.0

    def watch(entry: dict[str, Any]) -> None:
        bookmark.log.append({**entry, "seconds": round(spent + time.monotonic() - begun, 3)})

    return train_steps(
        classifier,
        *take(dataset.train, plan.rows, plan.machine.device),
        recipe=plan.recipe,
        optimizer=optimizer,
        tune=take(dataset.test, dataset.tune_rows, plan.machine.device),
        seed=plan.step.seed,
        watch=watch if plan.log else None,
        label=label,
        tell=tell,
        bookmark=bookmark,
    )


def epoch_seconds(plan: Plan, model: nn.Module, dataset: Dataset) -> float:
    """Estimate the seconds of an epoch."""
    samples = take(dataset.train, plan.rows[:BATCH], plan.machine.device)
    return pass_seconds(on_machine(model, plan.record, plan.machine), samples, len(plan.rows))


def _metrics(plan: Plan, classifier: Classifier, dataset: Dataset, history: History) -> dict[str, Any]:
    kept = history.best_epoch if plan.recipe.keep == "best" and history.best_epoch else plan.recipe.epochs
    measured = measure(
        classifier, take(dataset.train, plan.rows[:0], plan.machine.device), dataset, plan.machine.device
    )
    best = {"epoch": kept, "epochs": plan.recipe.epochs, "best_epoch": kept if plan.recipe.keep == "best" else None}
    tried = {} if plan.attempts is None else {"attempts": plan.attempts}
    return {**measured, **history.epochs[kept - 1], **best, **tried}


def optimizer_state(start: Path | None, digest: str | None, name: str, *, wanted: bool) -> tuple[Path, str] | None:
    """Return path and digest of the optimizer state to go on with, if it is wanted and there is one that fits."""
    return find_optimizer(start, digest, name) if wanted and start is not None and digest is not None else None


def mask_of(plan: Plan) -> dict[str, Tensor] | None:
    """Return which weights may change, bool by name; None for all; raises as :func:`.mask.read_mask`."""
    return None if plan.mask is None else read_mask(plan.mask, plan.step.options["mask"])[0]


def start_model(plan: Plan) -> nn.Module:
    """Return the model to train: that of the checkpoint to go on from, or a new one drawn from the seed.

    Raises:
        ForgetkitError: ``model-mismatch``, or as :func:`forgetkit.models.checkpoint.load_model`.
    """
    record = plan.record
    if plan.start is not None:
        return load_model(plan.start, replace(record, digest=plan.step.parent or ""))
    model = build_recorded(record, seed=seed_for(plan.step.seed, "weights"))
    check_fit(model, record.model["name"], shape=tuple(record.input["shape"]), classes=len(record.classes))
    return model
