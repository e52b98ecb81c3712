"""What a checkpoint says about itself, in lines for people: a summary, and its steps as a tree. Without torch."""

import textwrap
from collections.abc import Iterator
from typing import Any

from forgetkit.files.record import Record, Step

SHORT = 8
"""Digits of a digest that name a checkpoint among its kin."""
SHOWN = ("way", "optimizer", "rate", "epochs", "labels", "stop", "mix", "labels_per_id", "replay")
"""Options that tell steps apart; all of them stand in the record."""


def lineage(path: str, record: Record, *, width: int = 80) -> list[str]:
    """Return what a checkpoint is, what it was trained on, and its steps as a tree, in lines of ``width`` columns."""
    return [*_summary(path, record, width), "  lineage", *_tree(record, width)]


def _summary(path: str, record: Record, width: int) -> list[str]:
    options = (f"{key}={value}" for key, value in record.model["options"].items())
    shape = "×".join(str(length) for length in record.input["shape"])
    data = record.dataset
    facts = {
        "model": f"{' '.join([record.model['name'], *options])}, {len(record.classes)} classes, {shape} images",
        "data": f"{data['name']}, {data['size']} training samples, sha256:{data['fingerprint'][:16]}",
        "forgotten": f"{len(record.forgotten)}; a step may draw from the other {record.retained}",
        "software": ", ".join(f"{name} {version}" for name, version in record.software.items()),
    }
    lines = [f"{path}  sha256:{record.digest[:16]}"]
    for name, fact in facts.items():
        lines += _wrapped(fact, f"  {name:<11}", " " * 13, width)
    return lines


def _tree(record: Record, width: int) -> list[str]:
    """Return the steps from the first to the last, each with the digest of the checkpoint that it made."""
    made = [*(step.parent for step in record.steps[1:]), record.digest]
    lines: list[str] = []
    for number, (step, digest) in enumerate(zip(record.steps, made, strict=True), 1):
        last = number == len(record.steps)
        rail = f"  {' ' if last else '│'}{' ' * (SHORT + 3)}"
        lines += _wrapped(_words(step), f"  {'└' if last else '├'}─{(digest or '')[:SHORT]}  ", rail, width)
        for line in (*_measured(step), *_branches(step)):
            lines += _wrapped(line, rail, rail, width)
    return lines


def _words(step: Step) -> str:
    without = " without" if step.command == "train" else ""
    ids = f"{without} {step.ids['count']} ids" if step.ids else ""
    options = (f"{key}={step.options[key]}" for key in SHOWN if step.options.get(key) is not None)
    return f"{step.command}{ids}: {' '.join([*options, f'seed={step.seed}'])}"


def _measured(step: Step) -> Iterator[str]:
    rights = {"test_accuracy": "unseen", "forget_accuracy": "the ids"}
    found = [f"{step.metrics[key]:.2%} {name}" for key, name in rights.items() if _is_number(step.metrics.get(key))]
    if found:
        yield f"right on: {', '.join(found)}"


def _branches(step: Step) -> Iterator[str]:
    for key, value in step.options.items():
        if key.endswith("teacher") and isinstance(value, str):
            yield f"└ {key.replace('_', ' ')} {value[:SHORT]}"


def _is_number(value: Any) -> bool:  # noqa: ANN401 - whatever a record holds
    return isinstance(value, float | int) and not isinstance(value, bool)


def _wrapped(text: str, first: str, others: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
