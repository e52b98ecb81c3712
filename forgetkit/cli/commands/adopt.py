"""``forgetkit adopt``: make a checkpoint of weights that were trained elsewhere."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.option_groups import requires
from forgetkit.cli.results import report
from forgetkit.options import Argument, Compute, Output, Seed, Source
from forgetkit.training.adopt_options import Origin
from forgetkit.training.train_options import Training

if TYPE_CHECKING:
    from forgetkit.training.adopt import Adoption
    from forgetkit.training.device import Machine

Weights = Annotated[str, Argument("A safetensors file, or a folder with config.json.", "WEIGHTS")]


@requires("out", "dataset")
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
    """Make a checkpoint of weights that were trained elsewhere.

    Its accuracy is measured. The model counts as trained on the whole training split. The record says how it was
    trained as the options do, and references for the audit are trained by that recipe. With a wrong mean or std, or
    another order of classes, accuracy is no better than chance.

    Of a file that holds more than the model, the tensors under the one prefix that fits are taken, and what is left out
    is named.

    Adopt weights for other classes, such as those of ImageNet, with --replace-head, then train them with train --from;
    until then they count as trained on none of the samples.

    Examples:
        forgetkit adopt weights.safetensors --model convnet --dataset digits -o model.st
        forgetkit adopt exported --dataset digits --epochs 3 -o adopted.st
        forgetkit adopt imagenet --dataset digits --replace-head -o start.st
    """
    from forgetkit.data.of_checkpoint import dataset_named
    from forgetkit.models.factory import parse_options
    from forgetkit.models.foreign import find_weights
    from forgetkit.training.adopt import plan_adoption
    from forgetkit.training.device import machine_for
    from forgetkit.training.recipe import Recipe, resolve_recipe

    origin.check()
    options = parse_options(origin.model_option or [])
    recipe = resolve_recipe(Recipe(), training)
    console = Console(output)
    path, config = find_weights(weights)
    dataset = dataset_named(source.dataset or "", source, console, image_size=origin.image_size)
    machine = machine_for(compute)
    adoption = plan_adoption(
        path,
        config,
        dataset,
        origin=origin,
        options=options,
        recipe={**asdict(recipe), **machine.options()},
        seed=seed,
    )
    _finish(adoption, machine, console, output)


def _finish(adoption: "Adoption", machine: "Machine", console: Console, output: Output) -> None:
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
        console.note(f"dry run: nothing was computed, or written to {target}")
    else:
        with claimed((target,), force=output.force):
            written = carry_out(adoption, machine, target, console)
        report(console, written)
