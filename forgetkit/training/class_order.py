"""In which order weights from elsewhere number the classes of a data set."""

from forgetkit.data.dataset import Dataset
from forgetkit.data.find import with_classes
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.id_list import digest_of
from forgetkit.statistics.intervals import accuracy as estimate
from forgetkit.training.classifier import Classifier
from forgetkit.training.evaluate import on_unseen_split

FEW = 5
"""Most classes that a message lists."""


def in_order(dataset: Dataset, names: list[str], order: str | None) -> tuple[Dataset, str | None, list[str]]:
    """Return the data set with its classes in the order of the logits.

    Args:
        dataset: in its own order.
        names: of the classes, in the order of the logits, as the files of the weights say; empty if they do not.
        order: that the user chose, one of :data:`.adopt_options.CLASS_ORDERS`, or None.

    Returns:
        the data set; where its order changed, what a record says: ``text``, or the digest of the names; and notes.
    """
    own = list(dataset.classes)
    if order is None and sorted(names) == sorted(own):
        order, wanted = digest_of(names), names
    else:
        wanted = sorted(own) if order == "text" else own
    if wanted == own:
        unknown = bool(names) and order is None
        note = f"beside the weights, the classes have other names ({_few(names)}): order of {dataset.name} assumed"
        return dataset, None, [note] if unknown else []
    row = next(row for row, name in enumerate(own) if name != wanted[row])
    where = "of their names as text" if order == "text" else "in which they are named beside the weights"
    note = f"classes in the order {where}: {row} is '{shorten(wanted[row])}', not '{shorten(own[row])}' …"
    return with_classes(dataset, wanted), order, [note]


def check_order(classifier: Classifier, dataset: Dataset, found: float, device: str) -> None:
    """Refuse the order of the data set's classes if that of their names as text fits clearly better.

    Args:
        classifier: with the weights.
        dataset: with its classes in its own order.
        found: accuracy on its tune half.
        device: of the classifier.

    Raises:
        ForgetkitError: ``checkpoint-mismatch``.
    """
    text, count = sorted(dataset.classes), len(dataset.tune_rows)
    if text == list(dataset.classes) or not count:
        return
    better = on_unseen_split(classifier, with_classes(dataset, text), device).tune_accuracy
    if estimate(round(better * count), count).wide[0] > estimate(round(found * count), count).wide[1]:
        message = (
            f"the weights number the classes otherwise than {dataset.name}: accuracy on {count} unseen samples is "
        )
        message += f"{found:.2%} in its order, {better:.2%} in that of their names as text ({_few(text)})"
        hint = "--class-order text takes that order, --class-order dataset keeps the other"
        raise ForgetkitError("checkpoint-mismatch", message, hint)


def _few(names: list[str]) -> str:
    return ", ".join(shorten(name) for name in names[:FEW]) + (" …" if len(names) > FEW else "")
