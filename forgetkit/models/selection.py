"""Which tensors of a file are the model's: those under one prefix, where a file holds more than the model."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from forgetkit.errors import ForgetkitError, listed, shorten

SHOWN = 6
"""Most names that a note lists."""


@dataclass(frozen=True)
class Selection:
    """Tensors of a file, as the user names them.

    Attributes:
        prefix: of their names; None for the one under which the whole model is.
        drop: patterns of names to leave out, ``*`` for any text.
    """

    prefix: str | None = None
    drop: tuple[str, ...] = ()


EVERYTHING = Selection()


@dataclass(frozen=True)
class Selected:
    """The tensors that were selected.

    Attributes:
        state: by name without the prefix.
        prefix: of their names in the file.
        notes: in words, what was left out.
        partly: whether tensors outside the prefix were left out.
    """

    state: dict[str, Tensor]
    prefix: str
    notes: list[str]
    partly: bool


def select(
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    required: Collection[str],
    selection: Selection,
    *,
    where: str,
) -> Selected:
    """Return the tensors of one model.

    DataParallel adds the prefix ``module.``, torch.compile ``_orig_mod.``, and many training scripts ``model.``. A file
    may hold more beside it: counters, losses, the average of the weights.

    Args:
        found: the file's tensors.
        expected: the model's.
        required: names that every file of the model has.
        selection: what the user wants.
        where: name of the file in messages.

    Raises:
        ForgetkitError: ``usage`` for a prefix or pattern that no name has; ``checkpoint-mismatch`` for two models.
    """
    dropped = [name for name in found if any(fnmatchcase(name, pattern) for pattern in selection.drop)]
    for pattern in selection.drop:
        if not any(fnmatchcase(name, pattern) for name in dropped):
            raise ForgetkitError("usage", f"--drop: no tensor's name is like '{shorten(pattern)}'", _known(found))
    left = {name: tensor for name, tensor in found.items() if name not in dropped}
    given = selection.prefix
    prefix = _find(left, expected, required, where) if given is None else _given(given, left)
    state = {name.removeprefix(prefix): tensor for name, tensor in left.items() if name.startswith(prefix)}
    beside = [name for name in left if not name.startswith(prefix)]
    notes = [f"removed the prefix '{prefix}' from {len(state)} names"] if prefix else []
    notes += [f"left out, as not under '{prefix}': {_listed(beside)}"] if beside else []
    notes += [f"left out, as --drop says: {_listed(dropped)}"] if dropped else []
    return Selected(state, prefix, notes, bool(beside))


def _given(prefix: str, found: Mapping[str, Tensor]) -> str:
    """Return the prefix that the user names, with or without its last dot; raises ForgetkitError ``usage``."""
    prefix += "." if prefix and not prefix.endswith(".") else ""
    if not any(name.startswith(prefix) for name in found):
        raise ForgetkitError("usage", f"--prefix: no tensor's name begins with '{shorten(prefix)}'", _known(found))
    return prefix


def _find(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], required: Collection[str], where: str) -> str:
    """Return the prefix under which the whole model is; where there is none, that of most of its names.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` for two whole models.
    """
    hits = Counter(prefix for name in found for prefix in _prefixes(name) if name[len(prefix) :] in expected)
    whole = [prefix for prefix in hits if all(f"{prefix}{name}" in found for name in required)]
    alone = sorted((prefix for prefix in whole if hits[prefix] == len(found)), key=len)[:1]
    fit = [prefix for prefix in whole if all(found[f"{prefix}{n}"].shape == expected[n].shape for n in required)]
    fit = alone or sorted(fit or whole)
    if len(fit) > 1:
        names = " and ".join(f"under '{prefix}'" if prefix else "without a prefix" for prefix in fit)
        ways = (f"--prefix {prefix}" if prefix else f"--drop '{fit[-1]}*'" for prefix in fit)
        hint = f"choose one: {' or '.join(ways)}"
        raise ForgetkitError("checkpoint-mismatch", f"{where} holds {len(fit)} whole models, {names}", hint)
    most = max(hits.values(), default=0)
    return fit[0] if fit else min((prefix for prefix, count in hits.items() if count == most), key=len, default="")


def _prefixes(name: str) -> list[str]:
    """Return the texts before each part of a dotted name: ``''``, ``'model.'``, ``'model.fc.'``."""
    return [name[: at + 1] for at in (-1, *(at for at, letter in enumerate(name) if letter == "."))]


def _listed(names: list[str]) -> str:
    return listed([shorten(name) for name in names], SHOWN)


def _known(found: Mapping[str, Tensor]) -> str:
    """Return a hint with what names begin with."""
    first = list(dict.fromkeys(name.partition(".")[0] for name in found))
    return f"names begin with {', '.join(shorten(name) for name in first[:SHOWN])}{' …' if len(first) > SHOWN else ''}"
