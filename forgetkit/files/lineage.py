"""A record in lines for people: a summary, and the steps as a tree. Without torch."""

import textwrap
from collections.abc import Iterator
from typing import Any

from forgetkit.files.record import Record, Step

SHORT = 8
"""Digits of a digest that identify a checkpoint in a lineage."""
SHOWN = ("way", "optimizer", "rate", "epochs", "labels", "stop", "mix", "labels_per_id", "replay")
"""Options that the tree shows; the record has all."""


def lineage(path: str, record: Record, *, width: int = 80) -> list[str]:
    """Return what a checkpoint is, what it was trained on, and its steps as a tree; lines of ``width`` columns."""
    return [*_summary(path, record, width), "  lineage", *_tree(record, width)]


def _summary(path: str, record: Record, width: int) -> list[str]:
    options = [f"{key}={value}" for key, value in record.model["options"].items()]
    options += [f"from {plugin}"] if (plugin := record.model.get("plugin")) else []
    shape = "×".join(str(length) for length in record.input["shape"])
    resized_from = "×".join(str(length) for length in record.input.get("resized_from", []))
    shape = f"{shape} images" + (f", resized from {resized_from}" if resized_from else "")
    data = record.dataset
    shape += ", resized and cropped" if "image_size" in data["options"] else ""
    copies = f", {data['copies']} unseen copies of them left out" if "copies" in data else ""
    facts = {
        "model": f"{' '.join([record.model['name'], *options])}, {len(record.classes)} classes, {shape}",
        "data": f"{data['name']}, {data['size']} training samples{copies}, sha256:{data['fingerprint'][:16]}",
        "forgotten": f"{len(record.forgotten):,} of {data['size']:,} samples; {record.retained:,} retained",
        "software": ", ".join(f"{name} {version}" for name, version in record.software.items()),
    }
    lines = [f"{path}  sha256:{record.digest[:16]}"]
    for name, fact in facts.items():
        lines += _wrapped(fact, f"  {name:<11}", " " * 13, width)
    return lines


def _tree(record: Record, width: int) -> list[str]:
    """Return the steps, first to last, each with the digest of the checkpoint that it made."""
    made = [*(step.parent for step in record.steps[1:]), record.digest]
    lines: list[str] = []
    steps = zip(record.steps, made, _forgotten_after(record), strict=True)
    for number, (step, digest, forgotten) in enumerate(steps, 1):
        last = number == len(record.steps)
        rail = f"  {' ' if last else '│'}{' ' * (SHORT + 3)}"
        lines += _wrapped(_words(step, forgotten), f"  {'└' if last else '├'}─{(digest or '')[:SHORT]}  ", rail, width)
        for line in (*_measured(step), *_branches(step)):
            lines += _wrapped(line, rail, rail, width)
    return lines


def _forgotten_after(record: Record) -> list[int]:
    """Return for each step the number of ids that were forgotten when it had been carried out.

    A step holds the ids of its own request only; what was forgotten before it is what the record has, less those of
    this step and of the later ones.
    """
    counts = [step.ids["count"] if step.ids else 0 for step in record.steps]
    return [len(record.forgotten) - sum(counts[number:]) for number in range(1, len(counts) + 1)]


def _words(step: Step, forgotten: int) -> str:
    """Return what a step did, and to how many ids; a training leaves out every id ``forgotten`` so far."""
    own = step.ids["count"] if step.ids else 0
    ids = f" {_count(own)}" if own else ""
    if step.command == "train" and (left_out := max(own, forgotten)):
        before = left_out - own
        which = f", {before if own else 'all'} of them forgotten before" if before else ""
        ids = f" without {_count(left_out)}{which}"
    options = (f"{key}={step.options[key]}" for key in SHOWN if step.options.get(key) is not None)
    return f"{step.command}{ids}: {' '.join([*options, f'seed={step.seed}'])}"


def _count(ids: int) -> str:
    return f"{ids} id{'s' * (ids != 1)}"


def _measured(step: Step) -> Iterator[str]:
    names = {"test_accuracy": "test set", "forget_accuracy": "forget set"}
    if "kept_test_accuracy" in step.metrics:
        names = {"kept_test_accuracy": "test set of classes with retained samples", "forget_accuracy": "forget set"}
    found = [f"{step.metrics[key]:.2%} {name}" for key, name in names.items() if _is_number(step.metrics.get(key))]
    if found:
        yield f"accuracy: {', '.join(found)}"


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
