"""Train from Python: a registered model on a data set, into a checkpoint, or your own module on tensors.

    train("digits", out="model.st", epochs=5)
    train(like="model.st", exclude=["12", "40"], out="reference.st")
    train(start="model.st", only="new.txt", out="model.more.st")

Only the functions import torch.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from forgetkit.errors import ForgetkitError
from forgetkit.events import Note, Tell, Warned, silent
from forgetkit.files.id_list import IdList, Ids, as_list
from forgetkit.training.train_options import Seeds, Shadowing, TrainOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from forgetkit.files.record import Record
    from forgetkit.training.history import History
    from forgetkit.training.outputs import Written
    from forgetkit.training.recipe import Recipe
    from forgetkit.training.training_set import TrainingSet

T = TypeVar("T")
LARGE = 128
"""Rows or columns of an image above which a stem for small images is too dear."""


def train(
    dataset: str | None = None,
    model: str | None = None,
    *,
    out: str | Path,
    like: str | Path | None = None,
    start: str | Path | None = None,
    exclude: Ids = (),
    only: Ids | None = None,
    epochs: int | None = None,
    optimizer: str | None = None,
    rate: float | None = None,
    seed: int | None = None,
    options: TrainOptions | None = None,
    tell: Tell = silent,
) -> "Written":
    """Train one model, write its checkpoint unless the same training wrote it before, and return it.

    The arguments are the usual options of ``forgetkit train``; they override ``options``.

    Args:
        dataset: name of the data set; with ``like`` or ``start`` only where the record's name does not lead to it.
        model: name of a new model; ``convnet`` if not given.
        out: where to write the checkpoint.
        like: checkpoint to train like: from scratch with its model, data, samples and recipe.
        start: checkpoint to continue from.
        exclude: ids to leave out; they count as forgotten.
        only: the only ids to train on.
        epochs: passes over the data.
        optimizer: ``adam``, ``adamw``, ``adadelta`` or ``sgd``.
        rate: learning rate, above 0.
        seed: seed of everything random; 0, or with ``like`` the recorded one + 1.
        options: all other options.
        tell: gets the events.

    Raises:
        ForgetkitError: for bad input or a training that diverges.
    """
    base = options or TrainOptions()
    merged = replace(
        base,
        start=replace(
            base.start,
            model=_either(model, base.start.model),
            like=_either(None if like is None else str(like), base.start.like),
            from_=_either(None if start is None else str(start), base.start.from_),
        ),
        training=replace(
            base.training,
            epochs=_either(epochs, base.training.epochs),
            optimizer=_either(optimizer, base.training.optimizer),
            rate=_either(rate, base.training.rate),
        ),
        source=replace(base.source, dataset=_either(dataset, base.source.dataset)),
        seeds=Seeds(1, _either(seed, base.seeds.seed)),
        output=replace(base.output, out=str(out), dry_run=False),
    )
    return train_all(merged, exclude=exclude, only=only, tell=tell)[0]


def train_all(
    options: TrainOptions, *, exclude: Ids = (), only: Ids | None = None, tell: Tell = silent
) -> "list[Written]":
    """Train one model, or several replicas at the same time, as ``forgetkit train`` does.

    Replicas are trained in other processes on a CPU: a script must call this under ``if __name__ == "__main__":``.

    Args:
        options: all options of the command.
        exclude: ids to leave out besides those of the lists that ``options`` names.
        only: the only ids to train on, in place of the list that ``options`` names.
        tell: gets the events.

    Returns:
        what was written, or was up to date, in the order of the seeds; nothing in a dry run.

    Raises:
        ForgetkitError: for bad input or a training that diverges; outputs of replicas that ended are kept.
    """
    options.check()
    start, planting, seeds, compute = options.start, options.planting, options.seeds, options.compute
    if seeds.replicas > 1 or options.shadowing.shadows:
        from forgetkit.processes import prepare

        prepare("forgetkit.training.replicas")  # while this process imports torch, too
    if options.shadowing.shadows:
        return _train_shadows(options, exclude=exclude, only=only, tell=tell)

    from forgetkit.training.device import set_up
    from forgetkit.training.job import plan_jobs
    from forgetkit.training.replicas import run_missing
    from forgetkit.training.training_set import open_base, select_samples

    base = open_base(start.like, start.from_)
    left_out = [*(start.exclude or []), *_lists(exclude, "exclude")]
    limit = start.only if only is None else as_list(only, "only")
    samples = select_samples(
        base, options.source, tell, exclude=left_out, only=limit, form=options.form, image_size=start.image_size
    )
    first = seeds.seed if seeds.seed is not None else base.next_seed if base else 0
    if planting.canaries is not None:
        samples = _plant(samples, planting.canaries, planting.kind, first, tell)
    machine = set_up(compute.device, compute.precision, 1 if seeds.replicas > 1 else compute.threads)
    jobs = plan_jobs(samples, machine, options, range(first, first + seeds.replicas))
    _warn_of_size(jobs[0].record, tell)
    names = (start.like, start.from_, start.mask, limit, *left_out)
    inputs = _files(names)
    return run_missing(jobs, samples.dataset, inputs, tell, options.output, workers=compute.threads)


def _train_shadows(options: TrainOptions, *, exclude: Ids, only: Ids | None, tell: Tell) -> "list[Written]":
    """Train shadow models of the checkpoint that is trained ``like``, or of one that is trained first."""
    from forgetkit.training.device import set_up
    from forgetkit.training.plan_shadows import check_group, plan_shadows
    from forgetkit.training.replicas import run_missing
    from forgetkit.training.shadows import folder_beside
    from forgetkit.training.training_set import Base, open_base, select_samples

    out, source, found = options.output.out or "", options.source, list["Written"]()
    if "{n}" in out:
        base, left_out = open_base(options.start.like, None), options.start.exclude or []
        limit = options.start.only if only is None else as_list(only, "only")
    else:
        check_group(options, tell)
        found = train_all(replace(options, shadowing=Shadowing()), exclude=exclude, only=only, tell=tell)
        if not found:
            tell(Note(f"  to follow: {options.shadowing.shadows} shadow models, at the cost of half a training each"))
            return []
        base, left_out, limit = Base(Path(out), found[0].record, like=True), [], None
        out, exclude = str(folder_beside(Path(out)) / "{n}.st"), ()
    lists = [*left_out, *_lists(exclude, "exclude")]
    samples = select_samples(base, source, tell, exclude=lists, only=limit, form=options.form)
    first = options.seeds.seed if options.seeds.seed is not None else base.next_seed if base else 0
    machine = set_up(options.compute.device, options.compute.precision, 1)
    jobs = plan_shadows(samples, machine, options.shadowing, out, first)
    read = (options.start.like, limit, *lists)
    workers = options.compute.threads
    return found + run_missing(jobs, samples.dataset, _files(read), tell, options.output, workers=workers)


def fit_model(
    model: "nn.Module",
    images: "Tensor",
    labels: "Tensor",
    *,
    recipe: "Recipe | None" = None,
    tune: "tuple[Tensor, Tensor] | None" = None,
    seed: int = 0,
    tell: Tell = silent,
) -> "History":
    """Train your own module on tensors, with cross-entropy, in place; nothing is read or written.

    The model stays on its device, in train mode. On a CPU, the same seed gives the same weights.

    Args:
        model: maps a batch of ``images`` to logits of shape ``(batch, classes)``.
        images: of shape ``(samples, …)``, as the model takes them, on its device; ``recipe.augment`` needs
            ``(samples, channels, height, width)``.
        labels: true classes, int64 of shape ``(samples,)``, on the same device.
        recipe: how to train; Kim & Woo's defaults if not given.
        tune: unseen images and labels; with them, the accuracy on them is measured after each epoch.
        seed: seed of order, augmentation and dropout.
        tell: gets progress and losses.

    Returns:
        the history; its ``epochs`` hold ``epoch``, ``loss`` and, with ``tune``, ``tune_accuracy`` in [0, 1].

    Raises:
        ForgetkitError: ``usage`` for a recipe that is not possible; ``diverged`` where the loss is not finite.
    """
    from forgetkit.training.loop import complete, train_steps
    from forgetkit.training.optimizers import optimizer_of
    from forgetkit.training.recipe import Recipe, check_recipe

    recipe = check_recipe(recipe or Recipe())
    if recipe.keep == "best" and tune is None:
        raise ForgetkitError("usage", "keep='best' needs unseen samples to choose the epoch by", "give tune=")
    return complete(
        train_steps(
            model,
            images,
            labels,
            recipe=recipe,
            optimizer=optimizer_of(model, recipe),
            tune=tune or (images[:0], labels[:0]),
            seed=seed,
            watch=(lambda _: None) if tune else None,
            tell=tell,
        )
    )


def _plant(samples: "TrainingSet", count: int, kind: str, seed: int, tell: Tell) -> "TrainingSet":
    """Return the training set with canaries, and tell what that number of them can show."""
    from forgetkit.statistics.canary_guesses import prospects
    from forgetkit.training.training_set import with_canaries

    planted = with_canaries(samples, count=count, kind=kind, seed=seed)
    withheld = len(samples.rows) - len(planted.rows)
    tell(Note(f"train: {count:,} canaries, {kind}: {count - withheld:,} included, {withheld:,} withheld"))
    tell(Note(f"  {prospects(count)}"))
    return planted


def _warn_of_size(record: "Record", tell: Tell) -> None:
    """Warn of large images for a stem that does not shrink them: a batch may not fit into any memory."""
    _, height, width = record.input["shape"]
    if record.model["options"].get("stem") == "small" and max(height, width) > LARGE:
        text = f"with stem=small, images of {height}×{width} take 16 times the memory and time of the usual stem"
        tell(Warned("large-images", f"{text}: resize them with --image-size, or take --model-option stem=usual"))


def _files(names: Iterable[object]) -> tuple[Path, ...]:
    """Return those that name files, which no output may replace."""
    return tuple(Path(name) for name in names if isinstance(name, str) and name not in {"", "-"})


def _lists(ids: Ids, name: str) -> list[str | IdList]:
    found = ids if isinstance(ids, str | Path) else list(ids)
    return [as_list(found, name)] if found else []


def _either(given: T | None, other: T | None) -> T | None:
    return other if given is None else given
