"""``forgetkit mask``: which weights may move when the ids are forgotten (SalUn)."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from forgetkit.errors import ForgetkitError
from forgetkit.options import METHOD, Checkpoint, Compute, Lists, Output, Source


@dataclass(frozen=True)
class Method:
    """How to choose weights."""

    share: Annotated[
        float, typer.Option(metavar="F", help="Of all weights together, those that may move.", rich_help_panel=METHOD)
    ] = 0.5


def mask(
    checkpoint: Checkpoint, *, lists: Lists, method: Method, source: Source, compute: Compute, output: Output
) -> None:
    """Choose the weights that the ids depend on most, for --mask of a step (SalUn, Fan et al. 2024).

    Those with the largest gradient over the ids may move; a step with --mask leaves the others as they are, bit for
    bit. As published, it goes with random labels.

    Examples:
        forgetkit mask model.st --ids ids.txt -o mask.st
        forgetkit mask model.st -i ids.txt --share 0.3
    """
    from forgetkit.checkpoint import load_model, tensor_digest
    from forgetkit.compute import set_up
    from forgetkit.console import compact_json
    from forgetkit.masking import METADATA
    from forgetkit.methods.importance import saliency, top
    from forgetkit.request import begin
    from forgetkit.results import ids_entry, output_path, software
    from forgetkit.steps import on_machine, take
    from forgetkit.storage import check_target
    from forgetkit.tensors import publish_tensors, same_tensors

    if not 0 < method.share < 1:
        raise ForgetkitError("usage", f"--share: {method.share} is not in (0, 1)", "the authors' is 0.5")
    console = output.console()
    request = begin("mask", checkpoint, lists.ids, lists, source=source, console=console)
    if request is None:
        return
    target = Path(output_path(request.path, "mask", output.out))
    machine = set_up(compute.device, compute.precision, compute.threads)
    model = load_model(request.path, request.record)
    if output.dry_run:
        check_target(target, force=True, inputs=request.inputs)
        console.note("dry run: nothing was computed or written")
        return
    classifier = on_machine(model, request.record, machine)
    sizes = saliency(classifier, take(request.dataset.train, request.forget_rows, machine.device))
    own = {name.removeprefix("model."): size for name, size in sizes.items()}
    chosen = {name: of.cpu().contiguous() for name, of in top(own, method.share).items()}
    digest = tensor_digest(chosen)
    content = {**asdict(method), "parent": request.record.digest, "ids": ids_entry(request.ids), "digest": digest}
    metadata = {"format": "pt", METADATA: compact_json({"version": 1, **content, "software": software()})}
    done = same_tensors(target, chosen, metadata)
    if not done:
        check_target(target, force=output.force, inputs=request.inputs)
        publish_tensors(target, chosen, metadata)
    console.note(f"mask: {target} {'is up to date' if done else 'written'}  sha256:{digest[:16]}")
    console.note(f"next: forgetkit relabel {checkpoint} --ids … --mask {target}")
    result = {"ok": True, "command": "mask", "outputs": [str(target)], "digest": digest, "up_to_date": done}
    console.result([str(target)], {**result, "metrics": {}, "record": None})
