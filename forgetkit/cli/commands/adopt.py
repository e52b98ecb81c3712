"""``forgetkit adopt``: make a checkpoint of weights that were trained elsewhere."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, Argument, Compute, Option, Output, Seed, Source
from forgetkit.training.train_options import ImageSize, Training

if TYPE_CHECKING:
    from forgetkit.data.dataset import Dataset
    from forgetkit.training.adopt import Adoption
    from forgetkit.training.device import Machine

Weights = Annotated[str, Argument("A safetensors file, or a folder with config.json.", "WEIGHTS")]


@dataclass(frozen=True)
class Origin:
    """The model of the weights, and how its input was normalised."""

    model: Annotated[str | None, Option("convnet, resnet50 or torchvision:NAME.", metavar="NAME")] = None
    model_option: Annotated[
        list[str] | None, Option("An option of the model. Repeat for more.", metavar="KEY=VALUE")
    ] = None
    image_size: ImageSize = None
    replace_head: Annotated[
        bool,
        Option(
            "The weights are for other classes: replace the layers that depend on their number.",
            flags=("--replace-head",),
        ),
    ] = False
    mean: Annotated[
        str | None,
        Option("Mean that was subtracted from each channel, in pixels from 0 to 1.", metavar="M,M,M", panel=INPUT),
    ] = None
    std: Annotated[
        str | None, Option("Standard deviation by which each channel was then divided.", metavar="S,S,S", panel=INPUT)
    ] = None

    def normalisation(self, channels: int) -> tuple[list[float], list[float]] | None:
        """Return mean and standard deviation of each channel; None if they are not given.

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
    """Make a checkpoint of weights that were trained elsewhere, and measure its accuracy.

    The model counts as trained on the whole training split. The record says how it was trained as the options do, and
    references for the audit are trained by that recipe. With a wrong mean or std, or another order of classes, accuracy
    is no better than chance.

    Adopt weights for other classes, such as those of ImageNet, with --replace-head, then train them with train --from;
    until then they count as trained on none of the samples.

    Examples:
        forgetkit adopt weights.safetensors --model convnet --dataset digits -o adopted.st
        forgetkit adopt exported --dataset digits --epochs 3 -o adopted.st
        forgetkit adopt imagenet --dataset digits --replace-head -o start.st
    """
    from forgetkit.data.of_checkpoint import dataset_named
    from forgetkit.models.factory import parse_options
    from forgetkit.models.foreign import find_weights
    from forgetkit.training.adopt import plan_adoption
    from forgetkit.training.device import machine_for
    from forgetkit.training.recipe import Recipe, resolve_recipe

    if not output.out:
        raise ForgetkitError("usage", "adopt needs --out", "for example: -o model.st")
    if not source.dataset:
        raise ForgetkitError("usage", "no data set given", "name that of the weights: --dataset digits")
    options = parse_options(origin.model_option or [])
    recipe = resolve_recipe(Recipe(), training)
    console = Console(output)
    path, config = find_weights(weights)
    dataset = dataset_named(source.dataset, source, console, image_size=origin.image_size)
    machine = machine_for(compute)
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
    """Carry out an adoption and report it."""
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
    """Return a number for each channel, from as many or from one; raises ForgetkitError ``usage``."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    hint = f"for example: {option} {','.join(['0.5'] * channels)}"
    if len(found) not in (1, channels):
        message = f"{option}: '{text}' is neither a number nor one for each of {channels} channels"
        raise ForgetkitError("usage", message, hint)
    low = 0.0 if option == "--mean" else 1e-6
    if not all(low <= value <= 1 for value in found):
        message = f"{option}: {text} is out of range for pixels from 0 to 1"
        raise ForgetkitError("usage", message, f"{hint}; divide values for pixels from 0 to 255 by 255")
    return found * (channels // len(found))
