"""A training as a value: checked, with the record of what it will write, and ready to run in any process."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.errors import ForgetkitError
from forgetkit.files.id_list import digest_of
from forgetkit.files.lock import was_left
from forgetkit.files.record import Record, Step
from forgetkit.models.factory import parse_options
from forgetkit.models.optimizer_state import find_optimizer, optimizer_path
from forgetkit.training.device import Machine
from forgetkit.training.mask import read_mask
from forgetkit.training.outputs import asked_of, ids_entry
from forgetkit.training.recipe import Recipe, recipe_of, resolve_recipe
from forgetkit.training.train_options import TrainOptions
from forgetkit.training.training_set import TrainingSet, image_size_of


@dataclass(frozen=True)
class Job:
    """A training that was checked and can be run.

    Attributes:
        record: what the checkpoint will say, except its digest and the metrics of this training.
        machine: where to compute.
        rows: training rows to train on, int64 of shape ``(samples,)``.
        root: folder where the data set was found.
        target: where to write the checkpoint.
        log: where to write one JSON object an epoch, if anywhere.
        source: the checkpoint to continue from, or the original to train like, if any.
        mask: file that says which weights may change, if not all; its digest is in the options of the step.
        attempts: what was tried before this training, for its metrics, where it is the last resort.
    """

    record: Record
    machine: Machine
    rows: NDArray[np.int64]
    root: Path
    target: Path
    log: Path | None = None
    source: Path | None = None
    mask: Path | None = None
    attempts: list[dict[str, Any]] | None = None

    @property
    def step(self) -> Step:
        """The training itself: the last step of the record."""
        return self.record.steps[-1]

    @property
    def recipe(self) -> Recipe:
        """How to train."""
        return recipe_of(self.step.options)

    @property
    def start(self) -> Path | None:
        """The checkpoint to continue from; None for a training from scratch."""
        return None if self.step.parent is None else self.source

    @property
    def keeps_optimizer(self) -> bool:
        """Whether to read the optimizer state beside ``start``, and to write one beside ``target``."""
        return bool(self.step.options["keep_optimizer"])

    @property
    def optimizer_state(self) -> Path | None:
        """The optimizer state to continue with, if there is one that fits; raises ForgetkitError."""
        found = _optimizer_state(self.start, self.step.parent, self.recipe) if self.keeps_optimizer else None
        return found and found[0]

    @property
    def beside(self) -> tuple[Path, ...]:
        """The files to write beside the checkpoint."""
        log = (self.log,) if self.log else ()
        return (*log, optimizer_path(self.target)) if self.keeps_optimizer else log

    @property
    def asked(self) -> str:
        """Digest of what is to be written."""
        return asked_of(self.record, self.beside)

    @property
    def was_left(self) -> bool:
        """Whether an earlier run of this job ended before everything was written."""
        return was_left(self.target, self.asked)

    @property
    def summary(self) -> str:
        """What the job does, in one line."""
        recipe, name = self.recipe, self.record.model["name"]
        epochs = f"{recipe.epochs} epoch{'s' * (recipe.epochs != 1)}"
        how = f"{epochs} of {recipe.optimizer} at rate {recipe.rate:g}"
        return f"{name}, {how}, {self.machine} → {self.target}"


def plan_jobs(samples: TrainingSet, machine: Machine, options: TrainOptions, seeds: Iterable[int]) -> list[Job]:
    """Check a training and write its record, once for each seed.

    Args:
        samples: what to train on, and the checkpoint to train like or to continue from.
        machine: where to compute.
        options: which model to train, how, and where to write; ``{n}`` in the name of an output is the seed.
        seeds: seeds of weights, order, augmentation and dropout.

    Raises:
        ForgetkitError: ``usage`` or ``model-unknown``; as :func:`forgetkit.training.mask.read_mask`.
    """
    base, start, keep = samples.base, options.start, options.keep_optimizer
    recipe = resolve_recipe(recipe_of(base.record.recipe) if base else Recipe(), options.training)
    if keep and recipe.keep == "best":
        message = "--keep-optimizer does not go with --keep best: the state is that of the last epoch"
        raise ForgetkitError("usage", message, "leave one of them out")
    resolved = {**asdict(recipe), **machine.options()}
    root = samples.new_record(start.model or "convnet", parse_options(start.model_option or []), resolved)
    source, parent = (base.path, base.record.digest) if base and not base.like else (None, None)
    state = _optimizer_state(source, parent, recipe) if keep else None
    mask = Path(start.mask) if start.mask is not None else None
    said = {
        **resolved,
        "model": [root.model["name"], root.model["options"]],
        "dataset": samples.dataset.fingerprint,
        "like": base.record.digest if base and base.like else None,
        "only": digest_of(samples.only) if samples.only else None,
        "keep_optimizer": keep,
        "optimizer_state": state[1] if state else None,
        **({"canaries": samples.canaries["commitment"]} if samples.canaries else {}),
        **({"shadow": samples.shadow} if samples.shadow else {}),
        **image_size_of(root.input),
        **({"mask": read_mask(mask)[1]} if mask else {}),
    }
    before = base.record.steps if base and parent else []
    if base and base.record.steps[-1].trains:
        source = base.path
    jobs = []
    for seed in seeds:
        record = replace(root, steps=[*before, Step("train", said, seed, parent, ids_entry(samples.excluded), {})])
        names = (name and name.replace("{n}", str(seed)) for name in (options.output.out, options.log))
        target, log = (Path(name) if name else None for name in names)
        place = (samples.dataset.root, target or Path(), log)
        jobs.append(Job(record, machine, samples.rows, *place, source=source, mask=mask))
    return jobs


def _optimizer_state(start: Path | None, digest: str | None, recipe: Recipe) -> tuple[Path, str] | None:
    return None if start is None or digest is None else find_optimizer(start, digest, recipe.optimizer)
