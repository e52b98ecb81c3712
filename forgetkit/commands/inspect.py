"""``forgetkit inspect``: print what a checkpoint says about itself."""

from typing import Any

from forgetkit.options import Checkpoint, Say


def inspect(checkpoint: Checkpoint, *, say: Say) -> None:
    """Print the record of a checkpoint, its lineage first, without reading the weights.

    Examples:
        forgetkit inspect model.st
        forgetkit inspect model.st --json
    """
    from forgetkit.request import open_checkpoint

    path, record = open_checkpoint(checkpoint)
    content = record.to_json()
    document = {"ok": True, "command": "inspect", "outputs": [], "digest": record.digest, "record": content}
    say.console().result(lines_of(str(path), content, record.retained), document)


def lines_of(path: str, record: dict[str, Any], retained: int) -> list[str]:
    """Return a record in lines for people; ``retained`` is how many samples a step may draw from."""
    model = " ".join(
        [record["model"]["name"], *(f"{key}={value}" for key, value in record["model"]["options"].items())]
    )
    shape = "×".join(str(length) for length in record["input"]["shape"])
    return [
        f"{path}  sha256:{record['digest'][:16]}",
        f"  model      {model}, {len(record['classes'])} classes, {shape} images",
        f"  data       {record['dataset']['name']}, {record['dataset']['size']} training samples, "
        f"sha256:{record['dataset']['fingerprint'][:16]}",
        f"  forgotten  {record['forgotten']['count']}; a step may draw from the other {retained}",
        f"  software   {', '.join(f'{name} {version}' for name, version in record['software'].items())}",
        "  steps",
        *(f"  {number}. {_step(step)}" for number, step in enumerate(record["steps"], 1)),
    ]


def _step(step: dict[str, Any]) -> str:
    without = " without" if step["command"] == "train" else ""
    ids = f"{without} {step['ids']['count']} ids" if step["ids"] else ""
    parent = f" from {step['parent'][:8]}" if step["parent"] else ""
    shown = ("optimizer", "rate", "epochs", "labels", "stop", "labels_per_id", "replay", "teacher")
    options = " ".join(
        f"{key}={str(step['options'][key])[:8]}" for key in shown if step["options"].get(key) is not None
    )
    measured = step["metrics"].get("test_accuracy")
    right = f" → {measured:.2%} right on the unseen split" if isinstance(measured, float) else ""
    return f"{step['command']}{ids}{parent}: {options} seed={step['seed']}{right}"
