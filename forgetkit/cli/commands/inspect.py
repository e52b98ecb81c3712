"""``forgetkit inspect``: print the record of a checkpoint."""

from dataclasses import asdict
from shutil import get_terminal_size
from typing import Annotated, Any

from forgetkit.cli.console import Console
from forgetkit.options import INPUT, Checkpoint, Option, Say

NARROWEST, WIDEST = 40, 100
"""Least and greatest width of the lines for people, in columns."""


def inspect(
    checkpoint: Checkpoint,
    *,
    diff: Annotated[
        str | None, Option("Compare the weights with those of this checkpoint.", metavar="CHECKPOINT", panel=INPUT)
    ] = None,
    say: Say,
) -> None:
    """Print the record of a checkpoint and its lineage. Only --diff reads the weights.

    Examples:
        forgetkit inspect model.st
        forgetkit inspect model.relabel.st --diff model.st
        forgetkit inspect model.st --json
    """
    from forgetkit.files.header import open_checkpoint
    from forgetkit.files.lineage import lineage

    path, record = open_checkpoint(checkpoint)
    document: dict[str, Any] = {"ok": True, "command": "inspect", "outputs": [], "digest": record.digest}
    width = min(max(get_terminal_size((80, 24)).columns, NARROWEST), WIDEST)
    lines = lineage(str(path), record, width=width)
    if diff is not None:
        from forgetkit.models.checkpoint import load_tensors
        from forgetkit.models.weight_diff import difference, differing

        other = open_checkpoint(diff)
        found = difference(load_tensors(*other), load_tensors(path, record))
        document["diff"] = {"from": other[1].digest, **asdict(found)}
        lines += differing(f"{other[0]}", found)
    Console(say).result(lines, {**document, "record": record.to_json()})
