"""``forgetkit adopt``: weights that were trained elsewhere become a checkpoint."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, Argument, Compute, Option, Output, Seed, Source, Training

if TYPE_CHECKING:
    from forgetkit.data.dataset import Dataset
    from forgetkit.training.adopt import Adoption
    from forgetkit.training.device import Machine

Weights = Annotated[str, Argument("A safetensors file, or a folder with config.json.", "WEIGHTS")]


@dataclass(frozen=True)
class Origin:
    """What the weights are of."""

    model: Annotated[
        str | None,
        Option("convnet, resnet50 or torchvision:NAME.", metavar="NAME"),
    ] = None
    model_option: Annotated[
        list[str] | None,
        Option("An option of the model. Repeat for more.", metavar="KEY=VALUE"),
    ] = None
    replace_head: Annotated[
        bool,
        Option(
            "The weights are of other classes: draw what the number of classes shapes anew.", flags=("--replace-head",)
        ),
    ] = False
    mean: Annotated[
        str | None,
        Option("What was subtracted of each channel, pixels from 0 to 1.", metavar="M,M,M", panel=INPUT),
    ] = None
    std: Annotated[
        str | None,
        Option("What each channel was divided by after that.", metavar="S,S,S", panel=INPUT),
    ] = None

    def normalisation(self, channels: int) -> tuple[list[float], list[float]] | None:
        """Return mean and standard deviation of each channel, if they are given.

        Raises:
            ForgetkitError: ``usage``.
        """
        if self.mean is None and self.std is None:
            return None
        if self.mean is None or self.std is None:
            raise ForgetkitError("usage", "--mean and --std go together", "for example: --mean 0.5 --std 0.5")
        return _numbers("--mean", self.mean, channels), _numbers("--std", self.std, channels)


def adopt(
    weights: Weights,
    *,
    origin: Origin,
    training: Training,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: Output,
) -> None:
    """Make a checkpoint of weights that were trained elsewhere, and measure it.

    The model counts as trained on the whole training split. How it was trained is recorded as the options say; a
    reference of the audit is trained by that recipe. A wrong mean or std, or another order of classes, shows as
    an accuracy no better than chance.

    Weights of other classes, ImageNet's say, are adopted with --replace-head, then trained with train --from; until
    then they count as trained on none of the samples.

    Examples:
        forgetkit adopt weights.safetensors --model convnet --dataset digits -o adopted.st
        forgetkit adopt exported --dataset digits --epochs 3 -o adopted.st
        forgetkit adopt imagenet --dataset digits --replace-head -o start.st
    """
    from forgetkit.data.open import data_root, open_dataset
    from forgetkit.models.factory import parse_options
    from forgetkit.models.foreign import find_weights
    from forgetkit.training.adopt import plan_adoption
    from forgetkit.training.device import set_up
    from forgetkit.training.recipe import Recipe, resolve_recipe

    if not output.out:
        raise ForgetkitError("usage", "adopt needs --out", "for example: -o model.st")
    if not source.dataset:
        raise ForgetkitError("usage", "no data set given: which one was it trained on?", "name it: --dataset digits")
    options = parse_options(origin.model_option or [])
    recipe = resolve_recipe(Recipe(), training)
    console = Console(output)
    path, config = find_weights(weights)
    root = data_root(source.data_root)
    dataset = open_dataset(source.dataset, root, download=source.download, unseen=source.unseen, tell=console)
    machine = set_up(compute.device, compute.precision, compute.threads)
    adoption = plan_adoption(
        path,
        config,
        dataset,
        model=(origin.model, options),
        normalisation=origin.normalisation(dataset.shape[0]),
        recipe={**asdict(recipe), **machine.options()},
        replace_head=origin.replace_head,
        seed=seed,
    )
    _finish(adoption, dataset, machine, console, output)


def _finish(adoption: "Adoption", dataset: "Dataset", machine: "Machine", console: Console, output: Output) -> None:
    """Measure, write and report what was planned."""
    from pathlib import Path

    from forgetkit.files.publish import check_target, claimed
    from forgetkit.training.adopt import carry_out
    from forgetkit.training.outputs import done_already, up_to_date

    target = Path(output.out or "")
    if done := up_to_date(target, adoption.record):
        report(console, done_already("adopt", target, done))
        return
    check_target(target, force=output.force, inputs=(adoption.path,))
    for note in adoption.notes:
        console.note(f"  {note}")
    if output.dry_run:
        console.note("dry run: nothing was computed or written")
    else:
        with claimed((target,), force=output.force):
            written = carry_out(adoption, dataset, machine, target, console)
        report(console, written)


def _numbers(option: str, text: str, channels: int) -> list[float]:
    """Return a number for each channel, of as many or of one; raises ForgetkitError ``usage``."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    hint = f"for example: {option} {','.join(['0.5'] * channels)}"
    if len(found) not in (1, channels):
        message = f"{option}: '{text}' is not a number, or one for each of {channels} channels"
        raise ForgetkitError("usage", message, hint)
    low = 0.0 if option == "--mean" else 1e-6
    if not all(low <= value <= 1 for value in found):
        message = f"{option}: {text} is not of pixels from 0 to 1"
        raise ForgetkitError("usage", message, f"{hint}; divide what is of pixels from 0 to 255 by 255")
    return found * (channels // len(found))
