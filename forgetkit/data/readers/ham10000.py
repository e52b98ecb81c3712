"""``ham10000``: dermatoscopic images as published, 10,015 of 7,470 lesions; no lesion is in both splits.

Source: Tschandl, Rosendahl & Kittler, "The HAM10000 dataset", Scientific Data 5, 180161, 2018, doi:10.7910/DVN/DBW86T.
"""

from pathlib import Path

from forgetkit.data.listing import Listing, Source, check_ids, check_labels, malformed, numbered_labels
from forgetkit.data.readers.table import dataset_columns
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.columns import Columns

METADATA = "HAM10000_metadata.csv"
FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2", "ham10000_images_part_1", "ham10000_images_part_2")
ATTRIBUTES = ("lesion_id", "dx_type", "age", "sex", "localization")


def read_ham10000(root: Path) -> Source:
    """Return HAM10000 from ``root/ham10000``, ``root/HAM10000`` or ``root`` itself.

    An id is an ``image_id``, a label is a ``dx``; whole lesions are held out.

    Raises:
        ForgetkitError: ``dataset-missing``, with what to fetch; ``dataset-malformed``.
    """
    folder = next((path for path in (root / "ham10000", root / "HAM10000", root) if (path / METADATA).is_file()), None)
    if folder is None:
        hint = f"put {METADATA} and {FOLDERS[0]}, …_2 into {root / 'ham10000'}; they are at doi:10.7910/DVN/DBW86T"
        raise ForgetkitError("dataset-missing", f"ham10000 is not in {root}", hint)
    columns = dataset_columns(folder / METADATA)
    columns.need(("image_id", "lesion_id", "dx"), "fetch the table again")
    ids, lesions = columns.filled("image_id"), columns.filled("lesion_id")
    check_ids(ids, columns.place)
    check_labels(diagnoses := columns.filled("dx"), columns.place)
    classes, labels = numbered_labels(diagnoses)
    attributes = {name: columns.texts[name] for name in ATTRIBUTES if name in columns.texts}
    places = [columns.place(row) for row in range(len(ids))]
    listing = Listing(ids, labels, _files(ids, columns, folder), places, folder)
    return Source(classes, listing, files=[folder / METADATA], attributes=attributes, groups=lesions, numbered=False)


def _files(ids: list[str], columns: Columns, folder: Path) -> list[Path]:
    """Return the image of each row, from the published folder that has it."""
    there = {path.stem: path for part in FOLDERS for path in sorted((folder / part).glob("*.jpg"))}
    for row, id_ in enumerate(ids):
        if id_ not in there:
            message = f"the image '{shorten(id_)}.jpg' is in neither {FOLDERS[0]} nor {FOLDERS[1]}"
            raise malformed(columns.place(row), message, "unpack both archives of images beside the table")
    return [there[id_] for id_ in ids]
