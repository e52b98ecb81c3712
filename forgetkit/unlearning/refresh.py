"""Shadow models hold their half's memory of the samples: they must forget them as well.

Each shadow model that saw the ids takes the step that the model took, with shadow models of other pairs as teachers:
taught by its own twin, it would pass too easily in the audit that compares it with that twin. Or it is retrained.
"""

import copy
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Note, Tell, Warned, silent
from forgetkit.files.id_digests import forgotten_with
from forgetkit.files.publish import sync_folder
from forgetkit.models.checkpoint import load_model, save_checkpoint
from forgetkit.options import ResumableOutput
from forgetkit.training.classifier import on_machine
from forgetkit.training.device import Machine
from forgetkit.training.job import Job
from forgetkit.training.outputs import Written, asked_of, done_already, software, up_to_date
from forgetkit.training.plan_shadows import plan_shadow
from forgetkit.training.recipe import recipe_of, resolve_recipe
from forgetkit.training.replicas import run_missing
from forgetkit.training.resume import making
from forgetkit.training.shadows import Shadow, open_shadows
from forgetkit.training.training_set import Base, TrainingSet
from forgetkit.unlearning.distillation import BETA, SHADOW_SHARE, STUDENT, Distillation, joint_steps
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.method_options import Distill
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.step import new_step, norm_statistics
from forgetkit.unlearning.teachers import shadow_teachers

PLACE = "refreshing"
"""Folder for new shadow models until they replace the old ones."""
HOW = Distill(alpha=1.0, beta=BETA, allow_unforgotten=True)
"""As the model was distilled; the audit judges the result, from outside."""


@dataclass(frozen=True)
class Refresh:
    """Makes the shadow models of a folder forget ids.

    Attributes:
        folder: where they are.
        dataset: their data set.
        machine: where to compute.
        seed: seed of the steps.
        tell: receives the events.
        rate: of the steps.
        fresh: start over, even if an interrupted refresh could be resumed.
    """

    folder: Path
    dataset: Dataset
    machine: Machine
    seed: int
    tell: Tell
    rate: float = STUDENT.rate or 0.0
    fresh: bool = False

    def carry_out(self, ids: Sequence[str], *, exactly: bool = False) -> list[Written]:
        """Make all shadow models forget ``ids``.

        A file is replaced as soon as its successor is complete; those that are retrained, when all are.

        Args:
            ids: training ids.
            exactly: retrain those that hold some of them, instead of taking steps.
        """
        shadows = open_shadows(self.folder)
        stale = shadows.stale(ids)
        if not stale:
            return []
        self.tell(Note(f"shadows: {len(stale)} of {len(shadows)} hold some of the {len(ids)} ids"))
        if exactly:
            return self._retrain(stale, ids)
        found, members = [], list(shadows.members)
        for one in stale:
            try:
                found.append(self._step(one, members, ids))
            except ForgetkitError as problem:
                if not isinstance(problem, NotReached) and problem.code != "diverged":
                    raise
                self.tell(Warned("retraining", f"{one.path} is retrained, because its step failed: {problem.message}"))
                found += self._retrain([one], ids)
            members[one.number] = replace(one, record=found[-1].record)
        return found

    def _step(self, one: Shadow, members: list[Shadow], ids: Sequence[str]) -> Written:
        """Take the step with those of the other pairs as teachers; ``members`` are all, as they are by now."""
        request = Request(one.path, one.record, self.dataset, self._held(one, ids), (one.path,))
        others = [other for other in members if other.number // 2 != one.number // 2]
        if not others:
            raise NotReached("a single pair of shadow models has no others to learn from")
        aim, epochs = request.with_all_forgotten, recipe_of(one.record.recipe).epochs
        student = replace(STUDENT, rate=self.rate)
        steps = joint_steps(epochs, len(request.retain_rows), HOW, SHADOW_SHARE)
        said = {"way": "shadows", **HOW.options(second_teacher=True), "steps": steps, **norm_statistics(frozen=False)}
        said |= {"optimizer": student.optimizer, "rate": student.rate}
        said |= {"shadows": [other.record.digest for other in others], **self.machine.options()}
        step, target = new_step("forget", said, self.seed, request), self._place(one)
        history = [*one.record.steps, step]
        expected = replace(one.record, forgotten=request.forgotten, steps=history, software=software())
        if done := up_to_date(target, expected):
            return self._replace(one, done_already("forget", target, done))
        with making(target, (), asked=asked_of(expected), force=True, fresh=self.fresh, tell=self.tell) as bookmark:
            model = load_model(one.path, one.record)
            classifier, sets = on_machine(model, one.record, self.machine), Sets.of_request(aim, self.machine.device)
            original, recipe = copy.deepcopy(classifier), resolve_recipe(recipe_of(one.record.recipe), student)
            teachers = shadow_teachers(others, aim.ids, self.machine, seed=self.seed)
            run = Distillation(HOW, recipe, classifier, sets, self.seed, bookmark, silent, steps)
            history[-1] = replace(step, metrics=run.towards_both(original, teachers).metrics)
            record = save_checkpoint(target, model, replace(expected, steps=history))
        self.tell(Note(f"  {one.path}: forgot {len(request.ids)} ids in {steps} steps"))
        return self._replace(one, Written("forget", target, record, 0.0))

    def _retrain(self, stale: list[Shadow], ids: Sequence[str]) -> list[Written]:
        """Train those shadow models again, without everything that they are to have forgotten."""
        jobs = [self._job(one, self._held(one, ids)) for one in stale]
        output = ResumableOutput(force=True, fresh=self.fresh)
        inputs = tuple(one.path for one in stale)
        found = run_missing(jobs, self.dataset, inputs, self.tell, output, workers=self.machine.threads)
        return [self._replace(one, written) for one, written in zip(stale, found, strict=True)]

    def _job(self, one: Shadow, ids: list[str]) -> Job:
        record = one.record
        forgotten = forgotten_with(record.forgotten, ids)
        rows = np.flatnonzero(record.was_trained(self.dataset.train.ids) & ~forgotten.contains(self.dataset.train.ids))
        if not len(rows):
            raise ForgetkitError("ids-empty", f"{one.path}: no training samples remain", "train new shadow models")
        base = Base(one.path, record, like=True)
        canaries = record.recipe.get("canaries")
        samples = TrainingSet(base, self.dataset, rows, record.trained, forgotten, ids, [], canaries, one.entry)
        seed = next(step.seed for step in reversed(record.steps) if step.trains)
        return replace(plan_shadow(samples, self.machine, self._place(one), seed), source=None)

    def _held(self, one: Shadow, ids: Sequence[str]) -> list[str]:
        """Return those of ``ids`` that a shadow model still holds, in the order of the data."""
        row_of = self.dataset.train.row_of
        held = [id_ for id_, here in zip(ids, one.holds(ids), strict=True) if here]
        return sorted(held, key=lambda id_: row_of[id_])

    def _place(self, one: Shadow) -> Path:
        return self.folder / PLACE / one.path.name

    def _replace(self, one: Shadow, written: Written) -> Written:
        """Put the new shadow model in the place of the old one."""
        os.replace(written.path, one.path)
        sync_folder(one.path)
        with suppress(OSError):  # others are there
            written.path.parent.rmdir()
        return replace(written, path=one.path, command="shadows refresh")
