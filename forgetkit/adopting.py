"""Adoption: weights from elsewhere checked against a model, measured, and written with a record of their own."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from forgetkit.audit.intervals import accuracy as estimate
from forgetkit.checkpoint import not_finite, save_checkpoint
from forgetkit.compute import Machine
from forgetkit.console import Console
from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError
from forgetkit.foreign import WHITE, Config, read_weights
from forgetkit.keys import KeySet
from forgetkit.matching import match
from forgetkit.models import build_model, check_fit, resolve_options
from forgetkit.record import Record, Step
from forgetkit.results import Written, software
from forgetkit.steps import measure, on_machine, take
from forgetkit.training_set import input_of

Normalisation = tuple[list[float], list[float]]
"""Mean and standard deviation of each channel, pixels from 0 to 1."""


@dataclass(frozen=True)
class Adoption:
    """Weights that fit, and what will be written of them.

    Attributes:
        path: the file they come from.
        model: with the weights in it.
        record: what the checkpoint will say, with empty digest and without metrics.
        notes: what was found and changed, in words.
    """

    path: Path
    model: nn.Module
    record: Record
    notes: list[str]


def plan_adoption(
    path: Path,
    config: Config,
    dataset: Dataset,
    *,
    model: tuple[str | None, dict[str, Any]],
    normalisation: Normalisation | None,
    recipe: dict[str, Any],
) -> Adoption:
    """Read weights and check that they are those of a model of this data set.

    Args:
        path: a safetensors file without a record.
        config: what stands beside it.
        dataset: what the model was trained on.
        model: name and own options as far as they are given; else the config's.
        normalisation: if given; else the config's, else the data set's.
        recipe: how the model was trained, and on which machine it is measured.

    Raises:
        ForgetkitError: ``usage`` without a model; ``model-unknown``; ``model-mismatch``; ``checkpoint-missing``;
            ``checkpoint-malformed``; ``checkpoint-mismatch`` with all tensors that do not fit.
    """
    name, options = _model(config, *model)
    if config.labels != list(dataset.classes) and sorted(config.labels) == sorted(dataset.classes):
        message = f"{path}: its classes are those of {dataset.name} in another order"
        raise ForgetkitError("checkpoint-mismatch", message, "number the data set's classes as config.json does")
    tensors, digest = read_weights(path)
    shape, classes = dataset.shape, len(dataset.classes)
    built = build_model(name, options, shape=shape, classes=classes, seed=0)
    check_fit(built, name, shape=shape, classes=classes)
    state = built.state_dict()
    images = "×".join(str(length) for length in shape)
    matched, notes = match(tensors, state, where=str(path), what=f"{name} ({images} images, {classes} classes)")
    if broken := not_finite(matched):
        raise ForgetkitError("checkpoint-malformed", f"{path}: '{broken}' holds NaN or infinity", "adopt other weights")
    state.update(matched)  # in place of a new dictionary: some modules look at what else it knows
    built.load_state_dict(state)
    entry, origin = _input(config, normalisation, dataset)
    step_options = {
        "source": digest,
        "model": [name, options],
        "dataset": dataset.fingerprint,
        "mean": entry["mean"],
        "std": entry["std"],
        **recipe,
    }
    step = Step("adopt", step_options, 0, None, None, {})
    record = _record(dataset, {"name": name, "options": options}, entry, recipe, step)
    return Adoption(path, built, record, [f"{name}: {len(matched)} tensors of {path}", *notes, origin])


def _record(
    dataset: Dataset, model: dict[str, Any], entry: dict[str, Any], recipe: dict[str, Any], step: Step
) -> Record:
    """Return the record of a model that was trained on the whole training split, with empty digest."""
    return Record(
        digest="",
        model=model,
        input=entry,
        classes=list(dataset.classes),
        dataset={
            "name": dataset.name,
            "options": dict(dataset.options),
            "size": len(dataset.train),
            "fingerprint": dataset.fingerprint,
        },
        recipe=recipe,
        trained=None,
        forgotten=KeySet.of([], dataset.fingerprint),
        steps=[step],
        software=software(),
    )


def carry_out(adoption: Adoption, dataset: Dataset, machine: Machine, target: Path, console: Console) -> Written:
    """Measure the model and write the checkpoint.

    Warns with ``chance`` where the model is no better than always naming the most frequent class.

    Raises:
        ForgetkitError: ``diverged`` where the model's outputs are not finite; else as for writing.
    """
    begun, record = time.monotonic(), adoption.record
    classifier = on_machine(adoption.model, record, machine)
    nothing = take(dataset.train, np.array([], dtype=np.int64), machine.device)
    metrics: dict[str, Any] = measure(classifier, nothing, dataset, machine.device)
    _tell(metrics["test_accuracy"], dataset, console)
    step = replace(record.steps[0], metrics=metrics)
    written = save_checkpoint(target, adoption.model, replace(record, steps=[step]))
    return Written("adopt", target, written, time.monotonic() - begun, None)


def _model(config: Config, name: str | None, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return name and resolved options of the model: those given go before the config's."""
    if name is None and config.model is None:
        message = f"'{config.other}' in config.json is no model of timm" if config.other else "no model given"
        raise ForgetkitError("usage", message, "name it: --model timm:NAME, or register your own with --plugin FILE.py")
    if name is None or name == config.model:
        options = {**config.options, **options}
    chosen = name or config.model or ""
    return chosen, resolve_options(chosen, options)


def _input(config: Config, given: Normalisation | None, dataset: Dataset) -> tuple[dict[str, Any], str]:
    """Return the record's ``input``, and in words where its mean and standard deviation come from."""
    channels = dataset.shape[0]
    if given is None and config.mean and config.std:
        given = (config.mean, config.std)
        if not len(given[0]) == len(given[1]) == channels or min(given[1]) <= 0:
            message = f"mean and std in the config are not those of {channels} channels"
            raise ForgetkitError("checkpoint-mismatch", message, "give --mean and --std")
        origin = "input: mean and std of the config"
    elif given is None:
        rows = np.arange(len(dataset.train))
        origin = "input: mean and std of the data set's training split; if the model had others: --mean, --std"
        return input_of(dataset, rows), origin
    else:
        origin = "input: mean and std as given"
    mean, std = ([value * WHITE for value in values] for values in given)
    return {"shape": list(dataset.shape), "mean": mean, "std": std}, origin


def _tell(right: float, dataset: Dataset, console: Console) -> None:
    """Say how accurate the model is, and warn if a guess were as good."""
    count = len(dataset.test)
    console.note(f"  {right:.2%} right on the unseen split (chance {1 / len(dataset.classes):.0%})")
    most = float(np.bincount(dataset.test.labels).max()) / count
    if estimate(round(right * count), count).wide[0] <= most:
        text = f"{right:.2%} right on {count} unseen samples is no better than a guess ({most:.0%} are of one class)"
        console.warn("chance", f"{text}: are --mean, --std and the order of the classes those it was trained with?")
