"""Adoption: check weights from elsewhere against a model, measure it, and write a checkpoint with a new record."""

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.events import Note, Tell, Warned
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record, Step
from forgetkit.models.build import build_model, check_fit, model_entry, resolve_options, state_of
from forgetkit.models.checkpoint import save_checkpoint
from forgetkit.models.finite import not_finite
from forgetkit.models.foreign import WHITE, Config, read_weights
from forgetkit.models.match import Matched, Tensors, head_of, match
from forgetkit.models.selection import Selection
from forgetkit.statistics.intervals import accuracy as estimate
from forgetkit.training.adopt_options import Origin
from forgetkit.training.class_order import check_order, in_order
from forgetkit.training.classifier import on_machine, take
from forgetkit.training.device import Machine, seed_for
from forgetkit.training.evaluate import measure
from forgetkit.training.outputs import Written, next_training, software
from forgetkit.training.training_set import image_size_of, input_of

Normalisation = tuple[list[float], list[float]]
"""Mean and standard deviation of each channel, pixels from 0 to 1."""
Built = tuple[str, dict[str, Any]]
"""Name and own options of a model."""


@dataclass(frozen=True)
class Adoption:
    """Weights that fit their model, and what will be written.

    Attributes:
        path: file of the weights.
        model: with the weights.
        dataset: its labels are numbered as the model's classes are.
        record: of the checkpoint, without digest and metrics.
        notes: what was found and changed, in words.
        head: names of the tensors that are new, and therefore untrained.
        ordered: whether the user, or names beside the weights, say the order of the classes, or it does not matter.
    """

    path: Path
    model: nn.Module
    dataset: Dataset
    record: Record
    notes: list[str]
    head: list[str]
    ordered: bool


def plan_adoption(
    path: Path,
    config: Config,
    dataset: Dataset,
    *,
    origin: Origin,
    options: dict[str, Any],
    recipe: dict[str, Any],
    seed: int = 0,
) -> Adoption:
    """Read weights and check that they fit a model for this data set.

    With a new head, the model counts as trained on none of the samples, otherwise on the whole training split.

    Args:
        path: a safetensors file without a record.
        config: of the folder of the weights.
        dataset: that the model was trained on, at the size at which it saw the images.
        origin: what the user says of the weights; what is not given is taken from the config, else from the data set.
        options: options of the model, as far as they are given.
        recipe: how the model was trained, and on which machine it is measured.
        seed: of the draw of a new head.

    Raises:
        ForgetkitError: ``usage`` without a model; ``model-unknown``; ``model-mismatch``; ``checkpoint-missing``;
            ``checkpoint-malformed``; ``checkpoint-mismatch`` with all tensors that do not fit.
    """
    name, options = _model(config, origin.model, options)
    tensors, digest, named = read_weights(path)
    labels = [] if origin.replace_head else config.labels or named
    dataset, order, numbered = in_order(dataset, labels, origin.class_order)
    shape, classes = dataset.seen_shape, len(dataset.classes)
    # Another seed than for train: else the new head could be the very one beside which the weights were first drawn.
    built = build_model(name, options, shape=shape, classes=classes, seed=seed_for(seed, "head"))
    check_fit(built, name, shape=shape, classes=classes)
    state = built.state_dict()
    matched, head = _matched(path, tensors, state, built=(name, options), dataset=dataset, origin=origin)
    if broken := not_finite(matched.state):
        raise ForgetkitError("checkpoint-malformed", f"{path}: '{broken}' holds NaN or infinity", "adopt other weights")
    state.update(matched.state)  # not a new dictionary: some modules need the versions in this one
    built.load_state_dict(state)
    entry, how = _input(config, origin.normalisation(dataset.shape[0]), dataset)
    made = {"source": digest, "model": [name, options], "dataset": dataset.fingerprint}
    made |= {"mean": entry["mean"], "std": entry["std"], **({"replace_head": head} if head else {}), **recipe}
    made |= image_size_of(entry) | ({"class_order": order} if order else {})
    made |= {} if matched.prefix is None else {"prefix": matched.prefix}
    made |= {"drop": sorted(origin.drop)} if origin.drop else {}
    step = Step("adopt", made, seed, None, None, {})
    record = _record(dataset, model_entry(name, options), entry, recipe, step)
    if head:
        record = replace(record, trained=KeySet.of([], dataset.fingerprint))
    notes = [f"{name}: {len(matched.state) - len(head)} tensors of {path}", *matched.notes, *numbered, how]
    ordered = bool(head or origin.class_order) or sorted(labels) == sorted(dataset.classes)
    return Adoption(path, built, dataset, record, notes, head, ordered)


def _head(name: str, options: dict[str, Any], state: Tensors, dataset: Dataset) -> dict[str, tuple[bool, ...]]:
    """Return the head of a model: the tensors that have another shape with one class more; raises ForgetkitError."""
    more = len(dataset.classes) + 1
    wider = state_of(lambda: build_model(name, options, shape=dataset.seen_shape, classes=more, seed=0))
    if not (head := head_of(state, wider)):
        message = f"--replace-head: no tensor of {name} has a shape that depends on the number of classes"
        raise ForgetkitError("usage", message, "leave the option out")
    return head


def _matched(
    path: Path, tensors: Tensors, state: Tensors, *, built: Built, dataset: Dataset, origin: Origin
) -> tuple[Matched, list[str]]:
    """Return the state of the model, and the names of its new tensors.

    Raises:
        ForgetkitError: ``checkpoint-mismatch``; the hint says where a new head would be enough.
    """
    name, images = built[0], "×".join(str(length) for length in dataset.seen_shape)
    what = f"{name} ({images} images, {len(dataset.classes)} classes)"
    fit = partial(match, tensors, state, where=str(path), what=what)
    selection = Selection(origin.prefix, tuple(origin.drop or ()))
    if origin.replace_head:
        head = _head(*built, state, dataset)
        return fit(head=head, selection=selection), sorted(head)
    try:
        return fit(selection=selection), []
    except ForgetkitError as problem:
        hint = problem.hint
        if "of another shape" in problem.message:
            with suppress(ForgetkitError):
                fit(head=_head(*built, state, dataset), selection=selection)
                hint = f"if the weights are for other classes, --replace-head makes a new head; else {hint}"
        raise ForgetkitError(problem.code, problem.message, hint) from problem


def _record(
    dataset: Dataset, model: dict[str, Any], entry: dict[str, Any], recipe: dict[str, Any], step: Step
) -> Record:
    """Return the record of a model that was trained on the whole training split, without digest."""
    return Record(
        digest="",
        model=model,
        input=entry,
        classes=list(dataset.classes),
        dataset=dataset.entry,
        recipe=recipe,
        trained=None,
        forgotten=KeySet.of([], dataset.fingerprint),
        steps=[step],
        software=software(),
    )


def carry_out(adoption: Adoption, machine: Machine, target: Path, tell: Tell) -> Written:
    """Measure the model and write the checkpoint.

    Warns with ``chance`` if the model is no better than naming the most frequent class every time.

    Raises:
        ForgetkitError: ``diverged`` for outputs that are not finite; if nothing says the order of the classes, as
            :func:`forgetkit.training.class_order.check_order`; else as for writing.
    """
    begun, record, dataset = time.monotonic(), adoption.record, adoption.dataset
    classifier = on_machine(adoption.model, record, machine)
    nothing = take(dataset.train, np.array([], dtype=np.int64), machine.device)
    metrics: dict[str, Any] = measure(classifier, nothing, dataset, machine.device)
    if not adoption.ordered:
        check_order(classifier, dataset, metrics["tune_accuracy"], machine.device)
    _tell(metrics["test_accuracy"], dataset, tell, head=adoption.head, target=target)
    step = replace(record.steps[0], metrics=metrics)
    written = save_checkpoint(target, adoption.model, replace(record, steps=[step]))
    return Written("adopt", target, written, time.monotonic() - begun, None)


def _model(config: Config, name: str | None, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return name and resolved options of the model: those given, else those of the config."""
    if name is None and config.model is None:
        message = f"timm has no model '{config.other}', which config.json names" if config.other else "no model given"
        raise ForgetkitError("usage", message, "name it: --model timm:NAME, or register your own with --plugin FILE.py")
    if name is None or name == config.model:
        options = {**config.options, **options}
    chosen = name or config.model or ""
    return chosen, resolve_options(chosen, options)


def _input(config: Config, given: Normalisation | None, dataset: Dataset) -> tuple[dict[str, Any], str]:
    """Return the ``input`` of the record, and in words where its mean and standard deviation come from."""
    channels = dataset.shape[0]
    if given is None and config.mean and config.std:
        given = (config.mean, config.std)
        if not len(given[0]) == len(given[1]) == channels or min(given[1]) <= 0:
            message = f"mean and std of the config are not for {channels} channels"
            raise ForgetkitError("checkpoint-mismatch", message, "give --mean and --std")
        origin = "input: mean and std of the config"
    elif given is None:
        rows = np.arange(len(dataset.train))
        origin = "input: mean and std of the training split; if the model had others, give --mean and --std"
        return input_of(dataset, rows), origin
    else:
        origin = "input: mean and std as given"
    mean, std = ([value * WHITE for value in values] for values in given)
    return {**dataset.input_entry, "mean": mean, "std": std}, origin


def _tell(right: float, dataset: Dataset, tell: Tell, *, head: list[str], target: Path) -> None:
    """Tell the accuracy; warn if it is no better than a guess, or if the head is new."""
    count = len(dataset.test)
    tell(Note(f"  accuracy, unseen samples   {right:.2%} (chance {1 / len(dataset.classes):.0%})"))
    if head:
        text = f"the head is new ({', '.join(shorten(name) for name in head)}), so the model guesses"
        tell(Warned("new-head", f"{text}; train it next: {next_training(target)}"))
        return
    most = float(np.bincount(dataset.test.labels).max()) / count
    if estimate(round(right * count), count).wide[0] <= most:
        text = f"accuracy on {count} unseen samples, {right:.2%}, is no better than a guess ({most:.0%} have one class)"
        tell(Warned("chance", f"{text}: are --mean, --std and the order of the classes those it was trained with?"))
