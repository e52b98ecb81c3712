"""``forgetkit distill``: Kim & Woo 2022, stage 2."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    INPUT,
    Booked,
    Checkpoint,
    Compute,
    ListForm,
    Log,
    LongRun,
    Mask,
    Option,
    Seed,
    Source,
    Training,
    UtilityMargin,
    choice,
    positive,
)

if TYPE_CHECKING:
    from forgetkit.training.recipe import Recipe
    from forgetkit.unlearning.distill import Distilling

PUBLISHED = ("retain_fraction", "alpha", "beta", "temperature", "distill_epochs")
"""The options of the paper's stage 2."""


@dataclass(frozen=True, kw_only=True)
class Lists(ListForm):
    """The ID lists of a step that may do without."""

    ids: Annotated[
        list[str] | None,
        Option(
            "More ids to leave out; - is stdin. Repeat for more.",
            metavar="FILE",
            flags=(
                "--ids",
                "-i",
            ),
            panel=INPUT,
        ),
    ] = None


@dataclass(frozen=True)
class Method:
    """How to distil."""

    retain_fraction: Annotated[
        float,
        Option("Share of the retain set in an epoch, drawn anew.", metavar="F"),
    ] = 0.5
    alpha: Annotated[float, Option("Weight of the cross-entropy.", metavar="FLOAT", min=0)] = 1.1
    beta: Annotated[float, Option("Weight of the distillation.", metavar="FLOAT", min=0)] = 0.9
    temperature: Annotated[float, Option("Softens both outputs.", metavar="T")] = 4.0
    distill_epochs: Annotated[
        int,
        Option("Epochs with the teacher; then plain cross-entropy.", metavar="N", min=0),
    ] = 10

    forget_teacher: Annotated[
        str | None,
        Option("A model that never saw the ids: what they are distilled towards.", metavar="CHECKPOINT", panel=INPUT),
    ] = None
    forget_weight: Annotated[float, Option("Weight of the ids beside the retain set.", metavar="W")] = 1.0
    ids_per_step: Annotated[int, Option("Ids in a step with both teachers.", metavar="N", min=1)] = 16
    replay: Annotated[
        int,
        Option("Retained samples in a step with both teachers.", metavar="N", min=1),
    ] = 32
    stop: Annotated[
        str,
        Option("With both teachers: stop where the second one is, or after all epochs.", metavar="unseen|epochs"),
    ] = "unseen"
    utility_margin: UtilityMargin = 0.02

    def options(self) -> dict[str, Any]:
        """Return what the record holds of it; that of the second teacher only where there is one."""
        options = asdict(self)
        del options["forget_teacher"]
        return options if self.forget_teacher is not None else {name: options[name] for name in PUBLISHED}

    def distilling(self, recipe: "Recipe", seed: int) -> "Distilling":
        """Return it as the library takes it."""
        from forgetkit.unlearning.distill import Distilling

        options = asdict(self)
        del options["forget_teacher"], options["stop"]
        return Distilling(recipe=recipe, seed=seed, brake=self.stop == "unseen", **options)

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        choice("--stop", self.stop, ("unseen", "epochs"))
        positive("--forget-weight", self.forget_weight)
        positive("--utility-margin", self.utility_margin)
        if not 0 < self.retain_fraction <= 1:
            message = f"--retain-fraction: {self.retain_fraction} is not in (0, 1]"
            raise ForgetkitError("usage", message, "the paper's is 0.5")
        positive("--temperature", self.temperature)


def distill(
    checkpoint: Checkpoint,
    *,
    teacher: Annotated[str, Option("The original model.", metavar="CHECKPOINT", panel=INPUT)],
    lists: Lists,
    booked: Booked,
    method: Method,
    training: Training,
    mask: Mask = None,
    log: Log = None,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: LongRun,
) -> None:
    """Retrain on the retain set with the original as teacher (Kim & Woo 2022, stage 2).

    Everything that the record says was forgotten is left out, and --ids too. The teacher did see the forgotten
    samples: look at the membership AUC before and after, and audit the result. Without other options
    the training is the recorded recipe, with half its epochs.

    With --forget-teacher, a model that never saw the ids (a short training is enough), the ids are distilled as well,
    towards what that one says of them, until the student knows them no better.

    Examples:
        forgetkit distill model.neutralize.st --teacher model.st
        forgetkit distill model.neutralize.st --teacher model.st --epochs 5 --log epochs.jsonl
        forgetkit train --like model.st --exclude ids.txt --epochs 3 --batch-size 32 -o proxy.st
        forgetkit distill model.st --teacher model.st --forget-teacher proxy.st --ids ids.txt
    """
    from forgetkit.files.record import Step
    from forgetkit.training.classifier import Classifier, Samples
    from forgetkit.training.device import set_up
    from forgetkit.training.outputs import Written, ids_entry
    from forgetkit.training.recipe import halved, recipe_of, resolve_recipe
    from forgetkit.training.resume import Bookmark
    from forgetkit.unlearning.distill import distilled, open_teachers
    from forgetkit.unlearning.inputs import begin
    from forgetkit.unlearning.step import Outcome, carry_out, log_beside

    method.check()
    console = Console(output)
    request = begin(
        "distill",
        checkpoint,
        lists.ids or [],
        lists,
        source=source,
        tell=console,
        dry_run=output.dry_run,
        needs_ids=False,
        booked=booked,
    )
    if isinstance(request, Written):
        report(console, request)
        return
    teachers = open_teachers(request, teacher, method.forget_teacher)
    if not len(request.forgotten):
        console.warn("nothing-forgotten", "nothing was forgotten yet and no --ids are given: this is plain training")
    recipe = resolve_recipe(halved(recipe_of(request.record.recipe)), training)
    machine = set_up(compute.device, compute.precision, compute.threads)
    options = {**asdict(recipe), **method.options(), **teachers.options(), **machine.options()}
    step = Step("distill", options, seed, request.record.digest, ids_entry(request.ids), {})

    def work(classifier: Classifier, tune: Samples, bookmark: Bookmark) -> Outcome:
        how = method.distilling(recipe, seed)
        given = (request, machine, teachers, how)
        return distilled(classifier, tune, *given, tell=console, bookmark=bookmark, watched=log is not None)

    written = carry_out(
        request,
        step,
        machine,
        tell=console,
        output=output,
        models=teachers.paths,
        beside=log_beside(log),
        measured=request.with_all_forgotten.measured_rows,
        mask=mask,
        work=work,
    )
    report(console, written)
