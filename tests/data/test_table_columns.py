"""``--column``: a table whose columns have other names, from the training to the last step."""

from pathlib import Path

import pytest

from forgetkit.files.header import open_checkpoint
from tests.conftest import Run
from tests.pictures import pets

MAPPED = ("--column", "id=name", "--column", "label=class", "--column", "path=file")


@pytest.fixture
def album(tmp_path: Path, forgetkit: Run) -> Path:
    """Return a folder with a table of other names, and ``m.st``, which was trained on it."""
    text = pets(tmp_path, 40, size=(8, 8)).read_text().replace("id,path,label", "name,file,class")
    (tmp_path / "pets.csv").write_text(text)
    assert forgetkit("train", "--dataset", "table:pets.csv", *MAPPED, "--epochs", "1", "-q", "-o", "m.st").code == 0
    return tmp_path


def test_the_record_holds_the_columns_and_later_commands_need_no_option(album: Path, forgetkit: Run) -> None:
    columns = {"id": "name", "label": "class", "path": "file"}
    assert open_checkpoint("m.st")[1].dataset["options"] == {"columns": columns}
    assert forgetkit("forget-ids", "m.st", "--where", "user=u1", "-o", "ids.txt").code == 0
    assert forgetkit("relabel", "m.st", "-i", "ids.txt", "--rate", 0.1, "--allow-unforgotten", "-q").code == 0
    assert open_checkpoint("m.relabel.st")[1].dataset["options"] == {"columns": columns}
    ran = forgetkit("train", "--like", "m.st", "--exclude", "ids.txt", "--replicas", "2", "-q", "-o", "r/{n}.st")
    assert ran.lines == ["r/1.st", "r/2.st"]


def test_columns_that_were_renamed_since_are_named_anew_one_by_one(album: Path, forgetkit: Run) -> None:
    (album / "pets.csv").write_text((album / "pets.csv").read_text().replace("name,", "nr,", 1))
    ran = forgetkit("forget-ids", "m.st", "--class", "dog", "--json")
    assert ran.json["hint"].endswith("rename them, or say which they are: --column id=NAME")
    assert len(forgetkit("forget-ids", "m.st", "--class", "dog", "--column", "id=nr").lines) == 12


def test_rows_may_be_deleted_from_such_a_table(album: Path, forgetkit: Run) -> None:
    forgetkit("forget-ids", "m.st", "--where", "user=u1", "-o", "ids.txt")
    forgetkit("relabel", "m.st", "-i", "ids.txt", "--rate", 0.1, "--allow-unforgotten", "-o", "f.st")
    lines = (album / "pets.csv").read_text().splitlines()
    (album / "pets.csv").write_text("\n".join(line for line in lines if not line.endswith(",train,u1")))
    ran = forgetkit("forget-ids", "f.st", "--dataset-changed", "--class", "cat")
    assert (ran.code, "8 of 8 forgotten ids are no longer in the data" in ran.err) == (0, True)


def test_a_pack_of_such_a_table_is_known_as_unchanged(album: Path, forgetkit: Run) -> None:
    forgetkit("data", "pack", "--dataset", "table:pets.csv", *MAPPED)
    packs = {pack["place"]: pack["source"] for pack in forgetkit("data", "info", "--json").json["packs"]}
    assert packs[str(album)] == "unchanged"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lable=class", "--column: 'lable' is not one of id, path, label, split"),
        ("label", "--column: 'label' is not COLUMN=NAME"),
        ("label=", "--column: 'label=' is not COLUMN=NAME"),
        ("id=file", "--column: 'id' is given twice"),
    ],
)
def test_an_option_that_names_no_column_is_a_usage_error(forgetkit: Run, text: str, message: str) -> None:
    ran = forgetkit("train", "--dataset", "table:pets.csv", *MAPPED, "--column", text, "-o", "m.st", "--json")
    assert (ran.code, ran.json["code"], ran.json["message"]) == (2, "usage", message)


def test_a_record_with_columns_that_are_no_names_is_malformed(forgetkit: Run, album: Path) -> None:
    content = (album / "m.st").read_bytes()
    (album / "m.st").write_bytes(content.replace(b'\\"id\\":\\"name\\"', b'\\"id\\":[1,2345]'))
    ran = forgetkit("forget-ids", "m.st", "--count", 1, "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-malformed")
