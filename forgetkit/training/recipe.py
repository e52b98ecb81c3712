"""The recipe of a training: everything except the seed, the data and the machine."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from forgetkit.errors import ForgetkitError
from forgetkit.options import OPTIMIZERS, choice, positive
from forgetkit.training.train_options import Training

SCHEDULES = ("constant", "cosine")
AUGMENTS = ("none", "flip", "flip-crop")
KEEPS = ("last", "best")
MACHINE = frozenset({"device", "precision", "threads"})
"""What a recorded recipe, or the options of a step, say of the machine."""
MOST_EPOCHS = 1 << 31
"""No record holds that many."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained; the defaults are Kim & Woo's.

    Attributes:
        epochs: passes over the data.
        optimizer: one of ``OPTIMIZERS``.
        rate: learning rate, above 0.
        momentum: momentum of sgd, in [0, 1).
        weight_decay: 0 or more; AdamW's default is 0.01.
        schedule: of the rate: ``constant``, or ``cosine`` down to 0.
        augment: ``none``, ``flip`` (left to right) or ``flip-crop`` (also shifted by up to an eighth).
        batch_size: samples in a step, 1 or more.
        keep: which weights to keep: those of the ``last`` epoch, or of the ``best`` one on the tune half.
    """

    epochs: int = 20
    optimizer: str = "adam"
    rate: float = 0.001
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    augment: str = "none"
    batch_size: int = 128
    keep: str = "last"


def recipe_of(recorded: dict[str, Any]) -> Recipe:
    """Return the recipe in a record, without the machine.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` if it is not one.
    """
    try:
        found = Recipe(**{field.name: recorded[field.name] for field in fields(Recipe)})
    except KeyError as problem:
        raise ForgetkitError("checkpoint-malformed", f"the record's recipe has no {problem}") from problem
    for name, default in asdict(Recipe()).items():
        kind = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(getattr(found, name), kind):
            raise ForgetkitError("checkpoint-malformed", f"the record's recipe has an unusable '{name}'")
    return found


def without_machine(recorded: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded recipe without the machine: threads and precision do not make another recipe."""
    return {name: value for name, value in recorded.items() if name not in MACHINE}


def recorded_epochs(recorded: dict[str, Any]) -> int:
    """Return the number of epochs in a record; 1 if it has none.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` for anything else than a number of epochs.
    """
    epochs = recorded.get("epochs", 1)
    if type(epochs) is not int or not 1 <= epochs < MOST_EPOCHS:
        raise ForgetkitError("checkpoint-malformed", "the record's recipe has an unusable 'epochs'")
    return epochs


def halved(recipe: Recipe) -> Recipe:
    """Return ``recipe`` with half its epochs, rounded up, keeping the last one (Kim & Woo 2022, section 4)."""
    return replace(recipe, epochs=math.ceil(recipe.epochs / 2), keep="last")


def resolve_recipe(base: Recipe, given: Training) -> Recipe:
    """Return ``base`` with the settings that are given.

    Another optimizer starts with its own default momentum and weight decay.

    Raises:
        ForgetkitError: as :func:`check_recipe`.
    """
    changes = {name: value for name, value in asdict(given).items() if value is not None}
    if changes.get("optimizer", base.optimizer) != base.optimizer:  # the other one's settings do not fit
        base = replace(base, momentum=0.0, weight_decay=0.01 if changes["optimizer"] == "adamw" else 0.0)
    return check_recipe(replace(base, **changes))


def check_recipe(recipe: Recipe) -> Recipe:
    """Return ``recipe`` if all its values are possible; raises ForgetkitError ``usage`` if not."""
    if recipe.epochs < 1 or recipe.batch_size < 1 or recipe.weight_decay < 0:
        raise ForgetkitError("usage", "epochs and batch size must be at least 1, weight decay at least 0")
    check_optimizer(recipe.optimizer, recipe.rate, recipe.momentum)
    choice("schedule", recipe.schedule, SCHEDULES)
    choice("augment", recipe.augment, AUGMENTS)
    choice("keep", recipe.keep, KEEPS)
    return recipe


def check_optimizer(optimizer: str, rate: float, momentum: float, *, usual: float = 0.0) -> None:
    """Refuse an unknown optimizer, a rate that is not above 0, and a momentum, not the ``usual`` one, that has no use.

    Raises:
        ForgetkitError: ``usage``.
    """
    choice("optimizer", optimizer, OPTIMIZERS)
    positive("rate", rate)
    if momentum not in {0, usual} and optimizer != "sgd":
        message = f"{optimizer} has no momentum"
        raise ForgetkitError("usage", message, "use --optimizer sgd", option="momentum")
