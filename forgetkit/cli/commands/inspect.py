"""``forgetkit inspect``: print the record of a checkpoint."""

from dataclasses import asdict
from typing import Annotated, Any

from forgetkit.cli.console import Console, text_width
from forgetkit.options import INPUT, Checkpoint, Option, Say


def inspect(
    checkpoint: Checkpoint,
    *,
    diff: Annotated[
        str | None, Option("Compare the weights with those of this checkpoint.", metavar="CHECKPOINT", panel=INPUT)
    ] = None,
    say: Say,
) -> None:
    """Print the record and the lineage of a checkpoint.

    Only --diff reads the weights.

    Examples:
        forgetkit inspect model.st
        forgetkit inspect model.relabel.st --diff model.st
        forgetkit inspect model.st --json
    """
    from forgetkit.files.header import open_checkpoint
    from forgetkit.files.lineage import lineage

    path, record = open_checkpoint(checkpoint)
    document: dict[str, Any] = {"ok": True, "command": "inspect", "outputs": [], "digest": record.digest}
    lines = lineage(str(path), record, width=text_width())
    if diff is not None:
        from forgetkit.models.checkpoint import load_tensors
        from forgetkit.models.weight_diff import difference, differing

        other = open_checkpoint(diff)
        found = difference(load_tensors(*other), load_tensors(path, record))
        document["diff"] = {"from": other[1].digest, **asdict(found)}
        lines += differing(f"{other[0]}", found)
    Console(say).result(lines, {**document, "record": record.to_json()})
