"""``forgetkit mask``: which weights may change when the ids are forgotten (SalUn)."""

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError
from forgetkit.options import Checkpoint, Compute, ListForm, Option, Output, ResumableOutput, Source
from forgetkit.unlearning.step_options import Lists, StepOptions


@dataclass(frozen=True)
class Method:
    """How to choose weights."""

    share: Annotated[float, Option("Weights that may change, of all weights together.", metavar="SHARE")] = 0.5


def mask(
    checkpoint: Checkpoint, *, lists: Lists, method: Method, source: Source, compute: Compute, output: Output
) -> None:
    """Choose the weights that may change (SalUn, Fan et al. 2024).

    Those with the largest gradient over the ids may change; a step with --mask leaves the others as they are, bit for
    bit. As published, it goes with random labels.

    Examples:
        forgetkit mask model.st --ids ids.txt -o mask.st
        forgetkit mask model.st -i ids.txt --share 0.3
    """
    from forgetkit.files.publish import check_target, claimed
    from forgetkit.methods.importance import saliency, top
    from forgetkit.models.checkpoint import load_model
    from forgetkit.training.classifier import on_machine, take
    from forgetkit.training.device import machine_for
    from forgetkit.training.mask import made_mask, publish_mask
    from forgetkit.training.outputs import Written, ids_entry, output_path, software
    from forgetkit.unlearning.inputs import begin

    if not 0 < method.share < 1:
        raise ForgetkitError("usage", f"--share: {method.share} is not in (0, 1)", "the authors' is 0.5")
    console = Console(output)
    options = StepOptions(
        ids=lists.ids,
        form=ListForm(id_column=lists.id_column, strict=lists.strict),
        source=source,
        compute=compute,
        output=ResumableOutput(**vars(output)),
    )
    request = begin("mask", checkpoint, options, tell=console)
    if isinstance(request, Written):
        report(console, request)
        return
    target = Path(output_path(request.path, "mask", output.out))
    machine = machine_for(compute)
    console.note(f"mask: {len(request.ids)} ids of {request.dataset.name}, {machine} → {target}")
    content = {**asdict(method), "parent": request.record.digest, "ids": ids_entry(request.ids), "software": software()}
    done = made_mask(target, content)
    if done is None:
        check_target(target, force=output.force, inputs=request.inputs)
        model = load_model(request.path, request.record)
        if output.dry_run:
            console.note("dry run: nothing was computed or written")
            return
        with claimed((target,), force=output.force):
            classifier = on_machine(model, request.record, machine)
            sizes = saliency(classifier, take(request.dataset.train, request.forget_rows, machine.device))
            own = {name.removeprefix("model."): size for name, size in sizes.items()}
            digest = publish_mask(target, top(own, method.share), content)
    else:
        digest = done
    given = shlex.join(part for name in lists.ids for part in ("--ids", name))
    console.note(f"mask: {target} {'written' if done is None else 'is up to date'}  sha256:{digest[:16]}")
    console.note(f"next: forgetkit random-labels {checkpoint} {given} --mask {target}")
    result = {"ok": True, "command": "mask", "outputs": [str(target)], "digest": digest, "up_to_date": done is not None}
    console.result([str(target)], {**result, "metrics": {}, "record": None})
