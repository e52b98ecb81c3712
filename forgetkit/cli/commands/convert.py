"""``forgetkit convert``: the only command that reads a pickle, and of that only tensors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.option_groups import requires
from forgetkit.errors import listed
from forgetkit.options import INPUT, Argument, Option, Output

if TYPE_CHECKING:
    from forgetkit.models.pickled import State

SHOWN = 8
"""Most names of classes that are listed."""
Pickle = Annotated[str, Argument("A file that torch.save wrote.", "FILE")]
Key = Annotated[
    str | None, Option("Where in the file the state_dict is, if there are several: ema.", metavar="KEY", panel=INPUT)
]


@requires("out")
def convert(file: Pickle, *, key: Key = None, output: Output) -> None:
    """Convert a file of torch.save to safetensors.

    Only tensors are read; no code in the file is run. The file is a state_dict, or has one under state_dict,
    model_state_dict or model, or under any other key if it has no other tensors there. Names of classes beside it are
    kept for adopt; all else is left out. A pickled module is refused: save model.state_dict() where it was made.

    Examples:
        forgetkit convert old.pt -o weights.safetensors
        forgetkit convert old.pt -o weights.safetensors --force
    """
    from forgetkit.files.publish import check_target, claimed
    from forgetkit.models.pickled import read_state
    from forgetkit.models.tensor_file import holds, publish_tensors, tensor_digest

    console, target = Console(output), Path(output.out or "")
    console.warn("pickle", f"{file} is a pickle, a program rather than data: convert only files that you trust")
    state = read_state(file, key)
    _say(state, file, console)
    metadata = {"format": "pt", **({"label_names": json.dumps(state.labels)} if state.labels else {})}
    digest, done = tensor_digest(state.tensors), holds(target, state.tensors, metadata)
    if not done:
        check_target(target, force=output.force, inputs=(Path(file),))
    if output.dry_run:
        console.note(f"dry run: nothing was written to {target}")
        return
    if done:
        console.note(f"convert: {target} is up to date")
    else:
        with claimed((target,), force=output.force):
            publish_tensors(target, state.tensors, metadata)
        console.note(f"convert: wrote {target}  sha256:{digest[:16]}")
        console.note(f"next: forgetkit adopt {target} --model NAME --dataset NAME -o model.st")
    document = {"ok": True, "command": "convert", "outputs": [str(target)], "digest": digest}
    console.result([str(target)], {**document, "up_to_date": done, "metrics": {}, "record": None})


def _say(state: "State", file: str, console: Console) -> None:
    """Say what was taken from the file, and what was not."""
    place = f" under '{state.place}'" if state.place else ""
    console.note(f"convert: {len(state.tensors)} tensors{place} of {file}")
    if state.labels:
        console.note(f"  names of {len(state.labels)} classes")
    if state.left_out:
        console.note(f"  left out what is not a tensor: {', '.join(state.left_out)}")
    if state.strangers:
        console.note(f"  left out, and not run: objects of {listed(state.strangers, SHOWN)}")
    for twin in state.twins:
        console.warn("twin", f"{file} has a state under '{twin}' too; to take that one: --key '{twin}'")
