"""Choosing everything of a person, and copies of it elsewhere."""

from pathlib import Path

import numpy as np
import pytest

from forgetkit.data.attributes import conditions_of, parse_where, with_attributes
from forgetkit.data.dataset import Dataset, Split, fingerprint_of
from forgetkit.data.duplicates import average_hashes, duplicates_of, near_duplicates_of
from forgetkit.errors import ForgetkitError
from tests.conftest import Run
from tests.pictures import pets, picture

USERS = ["ann", "bob", "ann", "cyd", "bob", "ann"]


def album(images: np.ndarray | None = None) -> Dataset:
    """Return six training samples by three users."""
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2) if images is None else images
    train = Split([f"s{row}" for row in range(len(images))], images, np.arange(len(images)) % 2)
    fingerprint = fingerprint_of(("a", "b"), train, train)
    return Dataset("album", ("a", "b"), train, train, fingerprint, attributes={"user": USERS})


def rows(mask: np.ndarray) -> list[int]:
    return [int(row) for row in np.flatnonzero(mask)]


def test_a_file_of_persons_means_any_of_them_and_joins_where(tmp_path: Path) -> None:
    (tmp_path / "who.txt").write_text("# to be forgotten\nbob\ncyd\n")
    file = f"user={tmp_path}/who.txt"
    assert rows(with_attributes(6, conditions_of(album(), parse_where([], [file])))) == [1, 3, 4]
    assert rows(with_attributes(6, conditions_of(album(), parse_where(["user=ann"], [file])))) == [0, 1, 2, 3, 4, 5]


def test_an_unknown_person_in_a_file_is_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "who.txt").write_text("bob\nbbo\n")
    with pytest.raises(ForgetkitError) as caught:
        conditions_of(album(), parse_where([], [f"user={tmp_path}/who.txt"]))
    assert caught.value.message == f"{tmp_path}/who.txt:2: no training sample has user=bbo"
    assert (caught.value.code, caught.value.hint) == ("ids-empty", "did you mean 'bob'?")


@pytest.mark.parametrize(("text", "words"), [("user", "is not COLUMN=FILE"), ("usr=x", "there is no column 'usr'")])
def test_a_file_needs_its_column(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x").write_text("bob\n")
    with pytest.raises(ForgetkitError, match=f"^--where-file: .*{words}") as caught:
        conditions_of(album(), parse_where([], [text]))
    assert caught.value.code == "usage"


def test_persons_that_were_typed_are_counted_by_name_those_in_files_in_all(tmp_path: Path) -> None:
    (tmp_path / "who.txt").write_text("bob\ncyd\n")
    (found,) = conditions_of(album(), parse_where(["user=ann"], [f"user={tmp_path}/who.txt"]))
    assert [*found.says(np.ones(6, dtype=bool))] == [
        "user=ann: 3 ids",
        "user: 2 more values from files, 1 to 2 ids each, 3 in all",
    ]
    assert next(found.says(np.array([True, False, False, False, True, True]))) == "user=ann: 2 ids"


def test_exact_copies_are_found_among_the_other_samples() -> None:
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 1, 2, 2)
    images[[3, 5]] = images[1]
    chosen, everyone = np.arange(6) == 1, np.ones(6, dtype=bool)
    assert rows(duplicates_of(album(images), chosen, everyone)) == [3, 5]
    assert rows(duplicates_of(album(images), chosen, np.arange(6) < 5)) == [3]
    assert rows(duplicates_of(album(images), chosen | (np.arange(6) == 5), everyone)) == [3]
    assert rows(duplicates_of(album(images), chosen & False, everyone)) == []


def test_an_average_hash_says_which_fields_are_brighter_than_their_mean() -> None:
    image = np.zeros((1, 1, 16, 16), np.uint8)
    image[0, 0, :2, :2] = 200
    image[0, 0, 14:, 14:] = 200
    hashes, plain = average_hashes(image)
    assert np.unpackbits(hashes.view(np.uint8)).nonzero()[0].tolist() == [0, 63]
    assert not plain[0]


def test_near_duplicates_are_brighter_copies_but_no_plain_images() -> None:
    source = np.random.default_rng(0)
    images = source.integers(0, 200, (6, 3, 19, 21)).astype(np.uint8)
    images[2] = images[0] + np.uint8(40)
    images[4:] = 7
    found = near_duplicates_of(album(images), np.isin(np.arange(6), [0, 4]), np.ones(6, dtype=bool))
    assert rows(found) == [2]


@pytest.fixture
def album_table(tmp_path: Path) -> Path:
    """Return a table in which user u0 has p0 and p6, and p7 (u1) is a copy of p6."""
    path = pets(tmp_path, 20)
    picture(tmp_path / "img" / "7.png", 6)
    return path


CHOOSE = ("forget-ids", "--dataset", "table:./pets.csv", "--where", "user=u0")


def test_where_chooses_a_person_and_counts_are_said_first(forgetkit: Run, album_table: Path) -> None:
    ran = forgetkit(*CHOOSE)
    assert ran.lines == ["p0", "p12", "p15", "p6"]
    assert "user=u0: 4 ids" in ran.err
    assert forgetkit(*CHOOSE[:3], "--by", "user=u0").out == ran.out


def test_copies_are_warned_of_added_or_ignored(forgetkit: Run, album_table: Path) -> None:
    warned, added = forgetkit(*CHOOSE, "--json"), forgetkit(*CHOOSE, "--with-duplicates", "add", "--json")
    assert [warning["code"] for warning in warned.json["warnings"]] == ["ids-untrained", "ids-copied"]
    assert warned.json["warnings"][1]["message"].startswith("exact copies of chosen images among the other samples: 1;")
    assert set(added.json["ids"]) - set(warned.json["ids"]) == {"p7"}
    others = added, forgetkit(*CHOOSE, "--with-duplicates", "ignore", "--json")
    assert all("ids-copied" not in ran.out for ran in others)


def test_near_duplicates_are_counted_apart(forgetkit: Run, album_table: Path, tmp_path: Path) -> None:
    ran = forgetkit(*CHOOSE, "--near-duplicates")
    assert "warning: exact copies of chosen images among the other samples: 1, near ones: 7;" in ran.err


@pytest.mark.parametrize("options", [("--with-duplicates", "ad"), ("--with-duplicates", "ignore", "--near-duplicates")])
def test_options_of_copies_that_make_no_sense_are_usage_errors(
    forgetkit: Run, album_table: Path, options: tuple[str, ...]
) -> None:
    ran = forgetkit(*CHOOSE, *options, "--json")
    assert (ran.code, ran.json["code"]) == (2, "usage")


def test_the_output_replaces_no_file_of_persons(forgetkit: Run, album_table: Path, tmp_path: Path) -> None:
    (tmp_path / "who.txt").write_text("u0\n")
    ran = forgetkit(*CHOOSE[:3], "--where-file", "user=who.txt", "-o", "who.txt", "-f", "--json")
    assert (ran.code, ran.json["code"]) == (2, "output-unwritable")
