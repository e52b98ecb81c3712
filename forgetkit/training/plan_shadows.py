"""The trainings of shadow models."""

from dataclasses import replace
from pathlib import Path

from forgetkit.data.attributes import column_of
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell
from forgetkit.files.id_digests import KeySet
from forgetkit.training.device import Machine, seed_for
from forgetkit.training.job import Job, plan_jobs
from forgetkit.training.shadows import sides
from forgetkit.training.train_options import Shadowing, TrainOptions
from forgetkit.training.training_set import Base, TrainingSet, open_base, select_samples


def check_group(options: TrainOptions, tell: Tell) -> None:
    """Refuse a column that does not exist before the model itself is trained; raises as :func:`plan_shadows`."""
    shadowing, start = options.shadowing, options.start
    if shadowing.shadow_group is not None:
        base = open_base(start.like, start.from_)
        samples = select_samples(base, options.source, tell, form=options.form, image_size=start.image_size)
        column_of(samples.dataset, shadowing.shadow_group, shadowing.attributes, tell)


def plan_shadows(samples: TrainingSet, machine: Machine, shadowing: Shadowing, out: str, seed: int) -> list[Job]:
    """Plan the trainings of shadow models.

    Args:
        samples: of the model to train like, which is its base.
        machine: where to compute.
        shadowing: how many, and how samples are grouped.
        out: where to write, with ``{n}`` for the number of a shadow model.
        seed: the first one; that of each shadow model is drawn from it.

    Raises:
        ForgetkitError: ``usage`` for a column that does not exist; ``ids-empty`` where a half has no samples.
    """
    count, column = shadowing.shadows or 0, shadowing.shadow_group
    train, salt = samples.dataset.train, samples.forgotten.salt
    groups = train.ids if column is None else column_of(samples.dataset, column, shadowing.attributes)
    here = sides([groups[row] for row in samples.rows], count // 2, salt)
    base = _base(samples)
    jobs = []
    for number in range(count):
        rows = samples.rows[here[number // 2] == bool(number % 2)]
        if not len(rows):
            raise ForgetkitError("ids-empty", "a half of the samples is empty", "train on more samples or groups")
        entry = {"of": base.record.digest, "number": number, "count": count, "group": column}
        trained = KeySet.of(train.ids_at(rows), salt)
        half = replace(samples, rows=rows, trained=trained, only=[], shadow=entry)
        target = Path(out.replace("{n}", str(number)))
        jobs.append(plan_shadow(half, machine, target, seed_for(seed, "shadow", number)))
    return jobs


def plan_shadow(samples: TrainingSet, machine: Machine, target: Path, seed: int) -> Job:
    """Plan the training of one shadow model, whose ``samples`` say which."""
    job = plan_jobs(samples, machine, TrainOptions(), [seed])[0]
    return replace(job, target=target)


def _base(samples: TrainingSet) -> Base:
    if samples.base is None or not samples.base.like:
        raise ForgetkitError("usage", "shadow models are trained like another model", "name it: --like model.st")
    return samples.base
