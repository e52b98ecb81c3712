"""``--dataset-changed``: forgotten rows are taken out of the data, and the next step goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forgetkit.data.cache import cache_folder
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.files.header import read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record
from tests.conftest import Ran, Run
from tests.data.test_data_arrays import save
from tests.pictures import pets, picture

QUICK = ("--epochs", 1, "--threads", 1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def album(forgetkit: Run, tmp_path: Path) -> Path:
    """Return the table of 40 images from which a model was trained, ``less.st``, that leaves user u0 out."""
    path = pets(tmp_path, 40, size=(5, 4))
    assert forgetkit("forget-ids", "--dataset", "table:pets.csv", "--where", "user=u0", "-o", "u0.txt").code == 0
    ran = forgetkit("train", "--dataset", "table:pets.csv", "--exclude", "u0.txt", *QUICK, "-o", "less.st")
    assert ran.code == 0, ran.err
    return path


def drop(path: Path, end: str) -> None:
    """Take the rows out of a table that end in ``end``."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.endswith(f"{end}\n")))


def retrained(forgetkit: Run, *options: object) -> Ran:
    """Forget p1 by a step that takes any data."""
    (Path("ids.txt")).write_text("p1\n")
    return forgetkit(
        "relabel", "less.st", "--ids", "ids.txt", "--rate", 0.1, "--allow-unforgotten", "--threads", 1, *options
    )


def test_changed_data_are_refused_without_the_flag(forgetkit: Run, album: Path) -> None:
    drop(album, "u0")
    ran = retrained(forgetkit, "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")
    assert "--dataset-changed" in ran.json["hint"]


def test_the_next_step_goes_on_and_records_the_new_fingerprint(forgetkit: Run, album: Path, tmp_path: Path) -> None:
    before = read_record(tmp_path / "less.st")
    drop(album, "u0")
    ran = retrained(forgetkit, "--dataset-changed")
    assert ran.code == 0, ran.err
    assert f"{len(before.forgotten)} of {len(before.forgotten)} forgotten ids are no longer in the data" in ran.err
    after = read_record(tmp_path / "less.relabel.st")
    assert after.dataset["fingerprint"] == open_dataset("table:pets.csv", tmp_path).fingerprint
    assert after.dataset["fingerprint"] != before.dataset["fingerprint"]
    assert after.forgotten.salt == before.forgotten.salt
    assert after.retained == before.retained - 1
    again = forgetkit("forget-ids", "less.relabel.st", "--where", "user=u1")
    assert (again.code, "p1" in again.lines) == (0, False)


def test_the_same_step_again_is_up_to_date(forgetkit: Run, album: Path) -> None:
    drop(album, "u0")
    retrained(forgetkit, "--dataset-changed")
    assert retrained(forgetkit, "--dataset-changed", "--json").json["up_to_date"] is True


def test_forgotten_ids_that_are_gone_are_left_out_of_a_list(forgetkit: Run, album: Path) -> None:
    drop(album, "u0")
    ran = forgetkit("forget-ids", "less.st", "--dataset-changed", "--ids", "u0.txt", "--json")
    assert (ran.code, ran.json["ids"]) == (0, [])
    assert "no longer in the data" in ran.json["warnings"][0]["message"]


def test_rows_that_the_model_still_knows_are_warned_of(forgetkit: Run, album: Path) -> None:
    drop(album, "u0")
    drop(album, "u2")
    ran = forgetkit("forget-ids", "less.st", "--dataset-changed", "--count", 1, "--json")
    assert ran.code == 0
    assert [warning["code"] for warning in ran.json["warnings"]] == ["ids-gone"]


def test_a_class_may_vanish_with_its_rows(forgetkit: Run, tmp_path: Path) -> None:
    path = pets(tmp_path, 40, size=(5, 4))
    path.write_text(path.read_text().replace("p1,img/1.png,dog", "p1,img/1.png,ape"))
    (tmp_path / "ids.txt").write_text("p1\n")
    forgetkit("train", "--dataset", "table:pets.csv", "--exclude", "ids.txt", *QUICK, "-o", "m.st")
    path.write_text("".join(line for line in path.read_text().splitlines(True) if ",ape," not in line))
    (tmp_path / "more.txt").write_text("p2\n")
    step = ("relabel", "--rate", 0.1, "--allow-unforgotten", "--threads", 1, "--dataset-changed")
    ran = forgetkit(*step, "m.st", "--ids", "more.txt")
    assert ran.code == 0, ran.err
    assert read_record(tmp_path / "m.relabel.st").classes == ["ape", "cat", "dog"]
    assert forgetkit("forget-ids", "m.relabel.st", "--class", "dog").code == 0


CHANGES: list[tuple[Callable[[Path], Any], str]] = [
    (lambda path: path.write_text(path.read_text() + "p40,img/0.png,cat,train,u1\n"), "'p40' was not in the data"),
    (lambda path: edit(path, "p1,img/1.png,dog", "p1,img/1.png,cat"), "'p1' had another label"),
    (lambda path: edit(path, "p1,img/1.png,dog,train", "p1,img/1.png,dog,test"), "'p1' was in the other split"),
    (lambda path: picture(path.parent / "img" / "1.png", 99, size=(5, 4)), "'p1' had another image"),
    (lambda path: edit(path, "p1,img/1.png,dog", "p1,img/1.png,eel"), "the model has no class 'eel'"),
    (lambda path: bigger(path.parent), "the images have another shape"),
]


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def bigger(folder: Path) -> None:
    for row in range(40):
        picture(folder / "img" / f"{row}.png", row, size=(8, 8))


@pytest.mark.parametrize(("change", "words"), CHANGES, ids=[words for _, words in CHANGES])
def test_a_row_that_is_not_as_it_was_is_refused(
    forgetkit: Run, album: Path, change: Callable[[Path], Any], words: str
) -> None:
    drop(album, "u0")
    change(album)
    ran = retrained(forgetkit, "--dataset-changed", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-mismatch")
    assert words in ran.json["message"]


def test_without_the_cache_the_record_names_the_ids(forgetkit: Run, album: Path) -> None:
    drop(album, "u0")
    shutil.rmtree(cache_folder())
    assert read_record(Path("less.st")).trained is not None
    assert retrained(forgetkit, "--dataset-changed").code == 0


def test_without_the_cache_ids_are_compared_by_the_record(forgetkit: Run, tmp_path: Path) -> None:
    path = pets(tmp_path, 40, size=(5, 4))
    (tmp_path / "only.txt").write_text("".join(f"p{row}\n" for row in range(40) if row % 5 < 3))
    (tmp_path / "ids.txt").write_text("p1\n")
    given = ("--only", "only.txt", "--exclude", "ids.txt", *QUICK, "-o", "m.st")
    assert forgetkit("train", "--dataset", "table:pets.csv", *given).code == 0
    shutil.rmtree(cache_folder())
    edit(path, "p1,img/1.png,dog,train,u1\n", "")
    ran = forgetkit("forget-ids", "m.st", "--dataset-changed", "--count", 2)
    assert ran.code == 0, ran.err
    assert "only ids were compared, not labels and images" in ran.err
    edit(path, "p2,", "new,")
    assert "'new' was not in the data before" in forgetkit("forget-ids", "m.st", "--dataset-changed", "--count", 2).err


def test_row_numbers_are_refused(forgetkit: Run, model: Path) -> None:
    ran = forgetkit("forget-ids", "model.st", "--dataset-changed", "--count", 1, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
    assert "row numbers" in ran.json["message"]


def test_arrays_have_row_numbers_unless_they_have_ids(tmp_path: Path) -> None:
    numbered: list[Dataset] = [
        open_dataset(f"arrays:{save(tmp_path, id=ids)}", tmp_path) for ids in (None, ["a", "b", "c", "d", "e", "f"])
    ]
    assert [dataset.numbered for dataset in numbered] == [True, False]


def test_canaries_are_refused(forgetkit: Run, tmp_path: Path) -> None:
    pets(tmp_path, 40, size=(5, 4))
    ran = forgetkit("train", "--dataset", "table:pets.csv", "--canaries", 8, *QUICK, "-o", "m.st")
    assert ran.code == 0, ran.err
    ran = forgetkit("forget-ids", "m.st", "--dataset-changed", "--count", 1, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")
    assert "does not go with canaries" in ran.json["message"]


def test_a_data_set_needs_a_checkpoint_that_knew_it(forgetkit: Run) -> None:
    ran = forgetkit("forget-ids", "--dataset", "digits", "--dataset-changed", "--count", 1, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")


def test_keys_in_the_cache_are_those_of_the_record(album: Path, tmp_path: Path) -> None:
    from forgetkit.data.row_digests import known_rows

    record: Record = read_record(tmp_path / "less.st")
    rows = known_rows(record.dataset["fingerprint"])
    assert rows is not None
    dataset = open_dataset("table:pets.csv", tmp_path)
    keys = KeySet.of([*dataset.train.ids, *dataset.test.ids], record.forgotten.salt).keys
    assert sorted(rows.ids.tolist()) == keys.tolist()
