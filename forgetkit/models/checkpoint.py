"""Checkpoints: a model's tensors under its own names, and the record. Format: docs/formats.md."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.header import DAMAGED, cut_short, dumps, read_header, read_record
from forgetkit.files.id_digests import forgotten_with
from forgetkit.files.id_list import digest_of
from forgetkit.files.publish import check_target, claimed
from forgetkit.files.record import Record, Step
from forgetkit.models.build import build_recorded, state_of
from forgetkit.models.finite import cure, not_finite
from forgetkit.models.tensor_file import DTYPES, publish_tensors, read_tensors, tensor_digest
from forgetkit.registry import load_plugins

_Layout = Mapping[str, tuple[object, object]]
"""Type, as safetensors names it, and shape of each tensor."""


def load(path: str | Path, *, plugin: str | Path | Iterable[str | Path] = ()) -> nn.Module:
    """Load the model of a checkpoint, on the CPU and in eval mode.

    Args:
        path: the checkpoint.
        plugin: Python file or files that register its model, if it is not built in.

    Returns:
        the model; it maps normalised images, float32 of shape ``(batch, channels, height, width)``, to logits
        ``(batch, classes)``. Its record is its attribute ``forgetkit_record``: mean and standard deviation of the
        images, in pixels from 0 to 255, are in ``forgetkit_record.input``.

    Raises:
        ForgetkitError: ``checkpoint-missing``; ``checkpoint-malformed``, also where the weights are not those that the
            record has the digest of; ``model-unknown``; ``checkpoint-mismatch``; ``plugin-missing`` or
            ``plugin-malformed``.
    """
    load_plugins([plugin] if isinstance(plugin, str | Path) else plugin)
    record = read_record(Path(path))
    model = load_model(Path(path), record).eval()
    model.forgetkit_record = record  # type: ignore[assignment] # torch expects tensors and modules only
    return model


def save(
    path: str | Path, model: nn.Module, *, like: str | Path | Record, ids: Iterable[str] = (), force: bool = False
) -> Record:
    """Write a model that was changed outside forgetkit as a checkpoint, with the record of the one that it was.

    The record says of the change only that there was one: a step ``save``, whose parent is ``like``. Weights that are
    those of ``like`` are written with its record as it is.

    Args:
        path: where to write.
        model: of the architecture, classes and input that ``like`` has.
        like: the checkpoint that the model was loaded from, or its record.
        ids: ids that the change made it forget; no later step trains on them.
        force: replace an existing file.

    Returns:
        the record as it was written.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` for another model; ``output-exists`` or ``output-unwritable``; as
            :func:`save_checkpoint`. Nothing was written.
    """
    record = like if isinstance(like, Record) else read_record(Path(like))
    check_target(Path(path), force=force, inputs=() if isinstance(like, Record) else (Path(like),))
    tensors = model.state_dict()
    _check_layout(str(path), _layout_of(tensors), record)
    forgotten = list(dict.fromkeys(ids))
    if forgotten or tensor_digest(tensors) != record.digest:
        entry = {"count": len(forgotten), "digest": digest_of(forgotten)} if forgotten else None
        step = Step("save", {}, 0, record.digest, entry, {})
        record = replace(record, forgotten=forgotten_with(record.forgotten, forgotten), steps=[*record.steps, step])
    with claimed((Path(path),), force=force):
        return save_checkpoint(Path(path), model, record)


def save_checkpoint(path: Path, model: nn.Module, record: Record) -> Record:
    """Write ``model`` and ``record`` to ``path``; return the record with its digest.

    Raises:
        ForgetkitError: ``diverged`` for weights that are not finite; else as :func:`forgetkit.files.publish.publish`.
    """
    tensors = _own(model.state_dict())
    if broken := not_finite(tensors):
        hint = cure(record.steps[-1].options.get("precision"), "lower --rate, or use another --optimizer")
        raise ForgetkitError("diverged", f"the weights are no longer finite ({broken}); nothing was written", hint)
    record = replace(record, digest=tensor_digest(tensors))
    publish_tensors(path, tensors, {"format": "pt", "forgetkit": dumps(record)})
    return record


def load_tensors(path: Path, record: Record) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint and check them against its record.

    Raises:
        ForgetkitError: ``checkpoint-malformed``.
    """
    try:
        tensors = read_tensors(path)
        found = tensor_digest(tensors)
    except (SafetensorError, KeyError, RuntimeError, OSError) as problem:
        raise ForgetkitError("checkpoint-malformed", f"{path}: {cut_short(path) or problem}", DAMAGED) from problem
    if found != record.digest:
        message = f"{path}: the tensors are not those of the record (their digest differs)"
        raise ForgetkitError("checkpoint-malformed", message, "the file was changed by another tool, or is damaged")
    return tensors


def load_model(path: Path, record: Record, *, finite: bool = True) -> nn.Module:
    """Build the model of ``record`` and load the weights of the checkpoint into it; see :func:`load_with_weights`."""
    return load_with_weights(path, record, finite=finite)[0]


def load_with_weights(path: Path, record: Record, *, finite: bool = True) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build the model of ``record`` and load the weights of the checkpoint into it.

    Args:
        path: the checkpoint.
        record: its record.
        finite: refuse NaN and infinity; an audit checks for them itself.

    Returns:
        the model, and the weights as the file has them, mapped: they take no further memory.

    Raises:
        ForgetkitError: ``model-unknown``, ``checkpoint-mismatch`` or ``checkpoint-malformed``.
    """
    header = read_header(path)
    header.pop("__metadata__", None)
    entries = {name: entry if isinstance(entry, dict) else {} for name, entry in header.items()}
    layout = {name: (entry.get("dtype"), entry.get("shape")) for name, entry in entries.items()}
    _check_layout(str(path), layout, record)
    tensors = load_tensors(path, record)
    if finite and (broken := not_finite(tensors)):
        raise ForgetkitError("checkpoint-malformed", f"{path}: '{broken}' holds NaN or infinity")
    model = build_recorded(record, seed=0)
    state = model.state_dict()  # keeps the versions that some modules look for
    state.update(tensors)
    model.load_state_dict(state, strict=True)
    return model, tensors


def _layout_of(tensors: Mapping[str, Tensor]) -> _Layout:
    return {name: (DTYPES.get(one.dtype, str(one.dtype)), list(one.shape)) for name, one in tensors.items()}


def _check_layout(name: str, found: _Layout, record: Record) -> None:
    """Refuse tensors that are not those of the record's model, before memory is taken for either."""
    expected = _layout_of(state_of(lambda: build_recorded(record, seed=0)))
    if wrong := sorted(expected.keys() ^ found.keys()) or [key for key in found if found[key] != expected[key]]:
        more = f" ({len(wrong)} tensors differ)" if len(wrong) > 1 else ""
        message = f"{name}: '{shorten(wrong[0])}' does not fit the model {record.model['name']}{more}"
        raise ForgetkitError("checkpoint-mismatch", message, "was the model's code changed since?")


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors on the CPU that share no memory, as tied weights do: safetensors refuses those."""
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        found = tensor.detach().cpu().contiguous()
        if (place := found.untyped_storage().data_ptr()) in seen:
            found = found.clone()
        seen.add(place)
        own[name] = found
    return own
