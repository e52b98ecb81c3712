"""Reading scores: ``.npz``, ``.csv`` or ``.parquet``; nothing in a file is unpickled."""

import io
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from forgetkit.auditing.scores.table import Mask, Place, ScoreTable, check_table, logits_of, scores_malformed
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.columns import LARGEST_TABLE, Columns, Form, read_columns
from forgetkit.files.near_file import near_file

SUFFIXES = (".npz", ".csv", ".parquet")
NEEDED = ("id", "label", "group")
OPTIONAL = ("owner", "saw", "forgot")
KINDS = {"logits": "logit", "probabilities": "probability"}
"""Names of the scores: of an array, or a column of lists, and of single columns, which a number follows."""
_COLUMN = re.compile(r"(logit|probability)_(\d{1,6})", re.ASCII)
_TRUE, _FALSE = {"1", "true", "yes"}, {"0", "false", "no"}
_BROKEN = (OSError, ValueError, EOFError, BadZipFile, zlib.error, RuntimeError, MemoryError, SyntaxError, TokenError)
"""What NumPy and zipfile raise for files that are not what they say."""
Array = NDArray[Any]


def read_scores(name: str) -> ScoreTable:
    """Read and check a table of scores.

    Raises:
        ForgetkitError: ``scores-missing``; ``scores-malformed``, which names the row; ``missing-extra`` for parquet
            without pyarrow.
    """
    path = Path(name)
    if not name or not path.is_file():
        message = "no scores given: the path is empty" if not name else f"{name}: there is no such file"
        near = near_file(path, SUFFIXES) if name else None
        other = "forgetkit predict writes scores of a checkpoint; docs/howto/audit-scores.md says how other tools do"
        hint = f"did you mean {near}?" if near else other
        raise ForgetkitError("scores-missing", message, hint)
    if path.suffix.lower() not in SUFFIXES:
        raise scores_malformed(name, "not a table of scores by its name", "it is a .npz, .csv or .parquet file")
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise scores_malformed(
                name, f"has more than {LARGEST_TABLE >> 20:,} MiB", "leave out some retained samples"
            )
        return _arrays(path, name) if path.suffix.lower() == ".npz" else _table(path, name)
    except OSError as problem:
        raise ForgetkitError(
            "scores-missing", f"{name}: {problem.strerror or problem}", "name another file"
        ) from problem


def _arrays(path: Path, name: str) -> ScoreTable:
    """Read an ``.npz`` file."""
    arrays, names = _load(path, name)
    kind = _kind(name, [key for key in KINDS if key in arrays], names)
    _need(name, names)
    scores = arrays[kind]
    if scores.ndim != 2 or scores.dtype.kind not in "fiu":
        what = f"'{kind}' are {scores.dtype} of shape {scores.shape}"
        raise scores_malformed(name, what, "save one row per sample and one column per class, as floats")
    texts = {key: _texts(name, key, arrays[key], len(scores)) for key in (*NEEDED, *OPTIONAL) if key in arrays}
    classes = _texts(name, "classes", arrays["classes"], scores.shape[1]) if "classes" in arrays else []
    model = _model(name, arrays["model"]) if "model" in arrays else None
    floats = scores if scores.dtype.kind == "f" else scores.astype(np.float64)
    return _checked(name, texts, floats, kind, lambda row: f"{name} row {row}", tuple(classes), model)


def _load(path: Path, name: str) -> tuple[dict[str, Array], list[str]]:
    """Return the arrays that count, and the names of all."""
    hint = "write it with numpy.savez, without object arrays"
    wanted = {*NEEDED, *OPTIONAL, *KINDS, "classes", "model"}
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise scores_malformed(name, "a single array, not an .npz file", hint)
            return {key: loaded[key] for key in loaded.files if key in wanted}, list(loaded.files)
    except _BROKEN as problem:
        raise scores_malformed(name, f"not readable as .npz: {' '.join(str(problem).split())}", hint) from problem


def _table(path: Path, name: str) -> ScoreTable:
    """Read a ``.csv`` or ``.parquet`` file."""
    content, code = path.read_bytes(), "scores-malformed"
    form = Form(name, code)
    names = read_columns(Form(name, code, only=()), io.BytesIO(content)).header
    matches = [match for column in names if (match := _COLUMN.fullmatch(column))]
    whole = [kind for kind in KINDS if kind in names and form.is_parquet]
    kind = _kind(name, whole + [kind for kind, stem in KINDS.items() if any(m[1] == stem for m in matches)], names)
    _need(name, names)
    columns = [] if whole else sorted((m[0] for m in matches if m[1] == KINDS[kind]), key=lambda one: int(_number(one)))
    if [_number(column) for column in columns] != [str(number) for number in range(len(columns))]:
        hint = f"name them {KINDS[kind]}_0, {KINDS[kind]}_1, …, one for each class"
        raise form.malformed(0, f"the columns of {kind} are not numbered from 0 without gaps", hint)
    found = read_columns(Form(name, code, only={*NEEDED, *OPTIONAL, *columns}), io.BytesIO(content))
    if not found.lines:
        raise scores_malformed(name, "holds no rows", "a table has a header, then one row per sample")
    scores = _lists(name, content, kind) if whole else _numbers(found, columns)
    texts = {key: found.filled(key) for key in (*NEEDED, "saw", "forgot") if key in found.texts}
    texts |= {"owner": found.texts["owner"]} if "owner" in found.texts else {}
    return _checked(name, texts, scores, kind, found.place)


def _number(column: str) -> str:
    """Return the number at the end of a column's name."""
    return column.rpartition("_")[2]


def _lists(name: str, content: bytes, kind: str) -> NDArray[np.float64]:
    """Return a column of lists in a parquet file, float64 of shape ``(rows, classes)``."""
    import pyarrow
    import pyarrow.parquet

    hint = "save a list of numbers for each sample, one for each class"
    try:
        rows = pyarrow.parquet.read_table(io.BytesIO(content), columns=[kind]).column(kind).to_pylist()
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    except (pyarrow.ArrowException, *_BROKEN, TypeError) as problem:
        raise scores_malformed(name, f"'{kind}' does not hold lists of numbers of one length", hint) from problem


def _numbers(found: Columns, names: Sequence[str]) -> NDArray[np.float64]:
    """Return columns as numbers, float64 of shape ``(rows, columns)``."""
    scores = np.empty((len(found.lines), len(names)))
    for at, column in enumerate(names):
        try:
            scores[:, at] = np.array(found.texts[column], dtype=np.str_).astype(np.float64)
        except ValueError as problem:
            row, text = next((row, text) for row, text in enumerate(found.texts[column]) if not _is_number(text))
            hint = "write numbers with a decimal point"
            raise scores_malformed(found.place(row), f"'{shorten(text)}' in '{column}' is no number", hint) from problem
    return scores


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kind(name: str, kinds: Sequence[str], names: Iterable[str]) -> str:
    """Return what the scores are; there must be one kind."""
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        raise scores_malformed(
            name, "there are both logits and probabilities", "leave one of them out: logits are exact"
        )
    known = ", ".join(shorten(one) for one in list(names)[:20]) or "nothing"
    hint = "arrays or lists: 'logits' or 'probabilities'; single columns: logit_0, logit_1, … or probability_0, …"
    raise scores_malformed(name, f"there are no scores, only {known}", hint)


def _need(name: str, names: Iterable[str]) -> None:
    """Refuse a file without the columns that say which sample a row is of."""
    if missing := [f"'{key}'" for key in NEEDED if key not in set(names)]:
        hint = "id: of the sample; label: number of its class; group: forget, retain or unseen"
        raise scores_malformed(name, f"there is no {' and no '.join(missing)}", hint)


def _checked(
    name: str,
    texts: Mapping[str, list[str]],
    scores: NDArray[np.floating[Any]],
    kind: str,
    place: Place,
    classes: tuple[str, ...] = (),
    model: dict[str, Any] | None = None,
) -> ScoreTable:
    """Return the table of what was read."""
    if not len(scores):
        raise scores_malformed(name, "holds no rows", "write one row per sample")
    table = ScoreTable(
        name=name,
        ids=_ids(texts["id"], place),
        labels=_labels(texts["label"], place),
        groups=[group.lower() for group in texts["group"]],
        logits=scores if kind == "logits" else logits_of(scores, place),
        owners=texts.get("owner"),
        saw=_truths(texts["saw"], "saw", place) if "saw" in texts else None,
        forgot=_truths(texts["forgot"], "forgot", place) if "forgot" in texts else None,
        classes=classes,
        model=model,
    )
    return check_table(table, place)


def _texts(name: str, key: str, array: Array, count: int) -> list[str]:
    """Return the ``count`` values of an array as text."""
    if array.dtype.kind not in "USiub" or array.shape != (count,):
        message = f"'{key}' is {array.dtype} of shape {array.shape}, not {count} texts or whole numbers"
        raise scores_malformed(name, message, "save one value for each, as text or whole numbers")
    try:
        return [one.decode() if isinstance(one, bytes) else str(one) for one in array.tolist()]
    except UnicodeDecodeError as problem:
        raise scores_malformed(name, f"'{key}' is not UTF-8", "save text, not bytes") from problem


def _ids(ids: list[str], place: Place) -> list[str]:
    for row, id_ in enumerate(ids):
        if not id_.strip() or not id_.isprintable():
            raise scores_malformed(place(row), f"'{shorten(id_)}' cannot be an id", "an id is text on one line")
    return ids


def _labels(labels: list[str], place: Place) -> NDArray[np.int64]:
    """Return labels as numbers."""
    for row, label in enumerate(labels):
        if not (label.isascii() and label.isdecimal() and len(label) < 10):
            message = f"the label '{shorten(label)}' is not the number of a class"
            raise scores_malformed(place(row), message, "number the classes from 0, in the order of the scores")
    return np.array(labels, dtype=np.str_).astype(np.int64)


def _truths(values: list[str], key: str, place: Place) -> Mask:
    """Return values that are true or false."""
    lower = [value.lower() for value in values]
    for row, value in enumerate(lower):
        if value not in _TRUE | _FALSE:
            raise scores_malformed(place(row), f"'{shorten(value)}' in '{key}' is neither 1 nor 0", "write 1 or 0")
    return np.array([value in _TRUE for value in lower])


def _model(name: str, array: Array) -> dict[str, Any]:
    """Return what a file says of its model."""
    try:
        model = json.loads(str(array[()]))
    except (ValueError, RecursionError):
        model = None
    step = model.get("step") if isinstance(model, dict) else 0
    whole = isinstance(step, dict) and isinstance(step.get("command"), str) and isinstance(step.get("options"), dict)
    if not isinstance(model, dict) or not (whole or step is None):
        raise scores_malformed(name, "'model' is not what forgetkit predict writes there", "leave it out")
    return model
