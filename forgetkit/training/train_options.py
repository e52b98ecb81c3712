"""Everything that a training can be told, for scripts and for ``forgetkit train`` alike. Without torch."""

from dataclasses import dataclass, field, fields
from typing import Annotated

from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    COMPUTE,
    DETAILS,
    INPUT,
    LARGEST_SEED,
    MOST,
    Attributes,
    Compute,
    KeepOptimizer,
    ListForm,
    Log,
    Mask,
    Option,
    ResumableOutput,
    Source,
    choice,
    refuse_given,
)

LARGEST_IMAGE_SIZE = 4096
MOST_SHADOWS = 128
MODEL = "convnet, resnet50, torchvision:NAME or timm:NAME."
ImageSize = Annotated[
    int | None,
    Option(
        "Resize images to N × N pixels; crop those of different sizes.",
        "N",
        min=1,
        max=LARGEST_IMAGE_SIZE,
        panel=DETAILS,
    ),
]


@dataclass(frozen=True)
class Training:
    """How to train; what is not given comes from the defaults, or from the recipe of a checkpoint."""

    epochs: Annotated[int | None, Option("Passes over the data.", metavar="N", min=1, max=MOST)] = None
    optimizer: Annotated[str | None, Option("adam, adamw, adadelta or sgd.", metavar="NAME")] = None
    rate: Annotated[float | None, Option("Learning rate.", metavar="FLOAT")] = None
    momentum: Annotated[float | None, Option("Momentum of sgd.", metavar="FLOAT", min=0, max=1, panel=DETAILS)] = None
    weight_decay: Annotated[float | None, Option("Weight decay.", metavar="FLOAT", min=0, panel=DETAILS)] = None
    schedule: Annotated[str | None, Option("Learning rate over time.", metavar="constant|cosine", panel=DETAILS)] = None
    augment: Annotated[
        str | None, Option("Random changes of images.", metavar="none|flip|flip-crop", panel=DETAILS)
    ] = None
    batch_size: Annotated[int | None, Option("Samples in a step.", metavar="N", min=1, max=MOST)] = None
    keep: Annotated[
        str | None, Option("Keep the last epoch, or the best on the tune half.", metavar="last|best", panel=DETAILS)
    ] = None


@dataclass(frozen=True)
class Start:
    """Which model to train, from which weights, on which samples."""

    model: Annotated[str | None, Option(MODEL, metavar="NAME", unset="convnet")] = None
    model_option: Annotated[
        list[str] | None, Option("An option of the model. Repeat for more.", metavar="KEY=VALUE", panel=DETAILS)
    ] = None
    image_size: ImageSize = None
    exclude: Annotated[
        list[str] | None, Option("ID list to leave out; its ids count as forgotten.", metavar="FILE", panel=INPUT)
    ] = None
    only: Annotated[str | None, Option("ID list to train on, and nothing else.", metavar="FILE", panel=INPUT)] = None
    like: Annotated[
        str | None, Option("Train from scratch as this checkpoint was trained.", "CHECKPOINT", panel=INPUT)
    ] = None
    from_: Annotated[
        str | None, Option("Train further from its weights.", metavar="CHECKPOINT", flags=("--from",), panel=INPUT)
    ] = None
    mask: Mask = None


@dataclass(frozen=True)
class Planting:
    """Canaries: samples that are put in or left out by the flip of a coin."""

    canaries: Annotated[
        int | None, Option("Samples for the audit, in or out by a coin flip each.", metavar="N", min=8, panel=DETAILS)
    ] = None
    canary_kind: Annotated[
        str | None,
        Option(
            "Labels of canaries: wrong or their own.", metavar="mislabelled|natural", unset="mislabelled", panel=DETAILS
        ),
    ] = None

    @property
    def kind(self) -> str:
        """How canaries are labelled."""
        return self.canary_kind or "mislabelled"


@dataclass(frozen=True)
class Shadowing:
    """Shadow models: trained likewise, each on a random half of the samples."""

    shadows: Annotated[
        int | None, Option("Also train N shadow models, each on a random half.", metavar="N", min=2, max=MOST_SHADOWS)
    ] = None
    shadow_group: Annotated[
        str | None, Option("Keep samples that agree in it in the same half.", metavar="COLUMN", panel=DETAILS)
    ] = None
    attributes: Attributes = None

    def check(self, out: str, *, like: bool, log: bool) -> None:
        """Refuse what does not go together; raises ForgetkitError ``usage``."""
        alone = "{n}" in out
        grouped, count = bool(self.shadow_group or self.attributes), self.shadows
        _refuse(grouped and count is None, "--shadow-group needs --shadows", "for example: --shadows 8")
        why, hint = "--attributes needs --shadow-group", "for example: --shadow-group writer"
        _refuse(bool(self.attributes) and not self.shadow_group, why, hint)
        if count is None:
            return
        possible = 2 <= count <= MOST_SHADOWS and count % 2 == 0
        why = f"--shadows: {count} is not an even number from 2 to {MOST_SHADOWS}"
        _refuse(not possible, why, "they come in pairs: --shadows 8")
        why, hint = "--shadows alone needs --like", "for example: --like model.st --shadows 8 -o model.shadows/{n}.st"
        _refuse(alone and not like, why, hint)
        _refuse(alone and log, "--log does not go with shadow models", "leave it out")


@dataclass(frozen=True)
class Seeds:
    """How many models to train, from which seed on."""

    replicas: Annotated[
        int, Option("Train N models; {n} in --out is the seed.", metavar="N", min=1, max=10_000, panel=COMPUTE)
    ] = 1
    seed: Annotated[
        int | None,
        Option(
            "Random seed.", "N", min=0, max=LARGEST_SEED, unset="0; with --like, the recorded one + 1", panel=COMPUTE
        ),
    ] = None


@dataclass(frozen=True)
class TrainOptions:
    """Everything that ``forgetkit train`` can be told."""

    start: Start = Start()
    training: Training = field(default_factory=Training)
    planting: Planting = Planting()
    shadowing: Shadowing = Shadowing()
    keep_optimizer: KeepOptimizer = False
    seeds: Seeds = Seeds()
    log: Log = None
    form: ListForm = field(default_factory=ListForm)
    source: Source = field(default_factory=Source)
    compute: Compute = field(default_factory=Compute)
    output: ResumableOutput = field(default_factory=ResumableOutput)

    def check(self) -> None:
        """Refuse options that do not go together; raises ForgetkitError ``usage``."""
        from forgetkit.data.canaries import KINDS

        choice("canary_kind", self.planting.kind, KINDS)
        start, canaries, several = self.start, self.planting.canaries is not None, self.seeds.replicas > 1
        like, from_ = start.like is not None, start.from_ is not None
        out, log = self.output.out or "", self.log or "{n}"
        _refuse(like and from_, "--like trains from scratch, --from continues a training", "give one of them")
        named = bool(start.model or start.model_option)
        _refuse(
            named and (like or from_), "--model does not go with --like or --from", "the checkpoint names its model"
        )
        size, hint = start.image_size, "for example: --image-size 28"
        possible = size is None or 1 <= size <= LARGEST_IMAGE_SIZE
        _refuse(not possible, f"--image-size: {size} is not between 1 and {LARGEST_IMAGE_SIZE}", hint)
        why, hint = "--image-size does not go with --like or --from", "the checkpoint says at what size it sees images"
        _refuse(size is not None and (like or from_), why, hint)
        masked, example = start.mask is not None, "for example: --from model.st --mask mask.st"
        _refuse(masked and not from_, "--mask goes with --from: a new model has no weights to keep", example)
        labelled = bool(self.planting.canary_kind)
        _refuse(labelled and not canaries, "--canary-kind needs --canaries", "for example: --canaries 1000")
        why, hint = "that model has already seen its samples", "train a model with canaries from scratch"
        _refuse(canaries and from_, f"--canaries does not go with --from: {why}", hint)
        why, hint = "each replica would flip other coins", "train one model with canaries, then replicas --like it"
        _refuse(canaries and several, f"--canaries does not go with --replicas: {why}", hint)
        self.shadowing.check(out, like=like, log=self.log is not None)
        if self.shadowing.shadows is not None and "{n}" in out:
            names = tuple(entry.name for entry in fields(Training))
            hint = "they are trained by the recipe of the model: leave it out"
            refuse_given(self.training, names, "not with shadow models", hint)
        shadows = self.shadowing.shadows is not None
        why, hint = "--shadows does not go with --replicas", "train the shadow models of one of them with --like"
        _refuse(shadows and several, why, hint)
        _refuse(not out, "train needs --out", "for example: forgetkit train --dataset digits -o model.st")
        example = "for example: -o refs/{n}.st"
        _refuse(several and "{n}" not in out, "--replicas needs {n} in --out, for the seed", example)
        example = "for example: --log logs/{n}.jsonl"
        _refuse(several and "{n}" not in log, "--replicas needs {n} in --log, too", example)


def _refuse(wrong: bool, message: str, hint: str) -> None:
    if wrong:
        raise ForgetkitError("usage", message, hint)
