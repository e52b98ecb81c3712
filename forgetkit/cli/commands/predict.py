"""``forgetkit predict``: what a model says of samples, as a file."""

from pathlib import Path
from typing import Annotated

from forgetkit.auditing.options import Asked
from forgetkit.cli.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, LISTS, Argument, Attributes, Compute, DataPlace, ListForm, Option, Output, Source


def predict(
    checkpoint: Annotated[list[str], Argument("The model under audit, and others to compare.", "CHECKPOINT")],
    *,
    ids: Asked = None,
    unseen: Annotated[bool, Option("Add the unseen samples that an audit judges on.", panel=INPUT)] = False,
    retain: Annotated[str, Option("Add N retained samples, drawn; or all.", "all|N", panel=INPUT)] = "0",
    owner: Annotated[
        str | None, Option("Also write this attribute column: whose sample it is.", "COLUMN", panel=LISTS)
    ] = None,
    attributes: Attributes = None,
    form: ListForm,
    place: DataPlace,
    compute: Compute,
    output: Output,
) -> None:
    """Write the logits of samples, for audit --scores and other tools.

    The first model decides which samples: those in question, and with --unseen and --retain those to compare them with.
    All others predict the same samples. A folder stands for its checkpoints. The format follows from --out: .npz, .csv
    or .parquet; {name} in it is the name of the checkpoint. The file lists ids: it is personal data.

    Examples:
        forgetkit predict model.forget.st --ids ids.txt --unseen --retain 2000 -o scores.npz
        forgetkit predict model.forget.st model.st refs --unseen --retain all -o scores/{name}.npz
    """
    from forgetkit.auditing.scores.predict import Wanted, open_models, samples_of, score
    from forgetkit.auditing.scores.write import scores_as
    from forgetkit.files.header import checkpoint_files, open_checkpoint
    from forgetkit.files.publish import check_target, claimed, publish_bytes
    from forgetkit.training.device import set_up

    console = Console(output)
    files = [path for name in checkpoint for path in checkpoint_files(name)]
    first = open_checkpoint(str(files[0]))
    models = [first, *open_models(first, [str(path) for path in files[1:]])]
    targets = _targets(output.out, files)
    for target in targets:
        check_target(target, force=output.force, inputs=tuple(files))
    source = Source(**vars(place))
    wanted = Wanted(ids or (), form, unseen, _count(retain), owner, attributes)
    samples = samples_of(first, wanted, source, console)
    counts = {**{name: len(rows) for name, rows in samples.rows.items()}, "unseen": len(samples.unseen)}
    said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    precision = "float32" if compute.precision == "auto" else compute.precision
    machine = set_up(compute.device, precision, compute.threads)
    console.note(f"predict: {said} samples of {samples.dataset.name}, {machine}")
    if output.dry_run:
        console.note(f"dry run: nothing was written to {', '.join(map(str, targets))}")
        return
    with claimed(targets, force=output.force):
        for model, target in zip(models, targets, strict=True):
            publish_bytes(target, scores_as(target, score(model, samples, machine)))
            console.note(f"predict: {target} written")
    document = {"ok": True, "command": "predict", "outputs": list(map(str, targets)), "samples": counts}
    console.result(list(map(str, targets)), document)


def _targets(out: str | None, files: list[Path]) -> list[Path]:
    """Return the output of each checkpoint; raises ForgetkitError ``usage``."""
    from forgetkit.auditing.scores.predict import default_target
    from forgetkit.auditing.scores.read import SUFFIXES

    if out is None:
        targets = list(map(default_target, files))
    elif len(files) > 1 and "{name}" not in out:
        hint = "for example: -o scores/{name}.npz"
        raise ForgetkitError("usage", "several checkpoints need {name} in --out", hint, option="out")
    else:
        targets = [Path(out.replace("{name}", path.stem)) for path in files]
    if targets[0].suffix not in SUFFIXES:
        hint = f"for example: -o {targets[0].with_suffix('.npz')}"
        raise ForgetkitError("usage", "a name that ends in .npz, .csv or .parquet is needed", hint, option="out")
    if len({*targets}) < len(targets):
        twice = next(one for at, one in enumerate(targets) if one in targets[:at])
        hint = "predict models of the same name one by one, each with its own -o"
        raise ForgetkitError("usage", f"two checkpoints would write {twice}", hint, option="out")
    return targets


def _count(retain: str) -> int | None:
    """Return the number of retained samples; None for all."""
    if retain == "all":
        return None
    if not (retain.isascii() and retain.isdecimal() and len(retain) < 10):
        raise ForgetkitError("usage", f"'{retain}' is neither a number nor all", "as in --retain 2000", option="retain")
    return int(retain)
