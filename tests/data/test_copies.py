"""Copies of images: unseen samples that were seen under another id, and data sets of equal images."""

from pathlib import Path

import numpy as np
import pytest

from forgetkit.data.dataset import Dataset, fingerprint_of
from forgetkit.data.open import open_dataset
from forgetkit.data.row_digests import copied_rows, rows_of
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from tests.conftest import Run

TRAIN, UNSEEN = 60, 40


def save(folder: Path, *, copied: int = 0, equal: int = 0) -> Dataset:
    """Write noise; so many unseen images are copies of training images, and so many of these are equal."""
    images = np.random.default_rng(0).integers(0, 256, (TRAIN + UNSEEN, 8, 8), np.uint8)
    images[:equal] = images[0]
    images[TRAIN : TRAIN + copied] = images[:copied]
    split, ids = np.arange(len(images)) >= TRAIN, [f"s{row}" for row in range(len(images))]
    np.savez(folder / "noise.npz", images=images, labels=np.arange(len(images)) % 2, split=split, id=ids)
    return open_dataset("arrays:noise.npz", folder)


def train(forgetkit: Run) -> str:
    ran = forgetkit("train", "--dataset", "arrays:noise.npz", "--epochs", 1, "-o", "m.st")
    assert ran.code == 0, ran.err
    return ran.err


def test_unseen_copies_of_training_images_are_in_neither_half(tmp_path: Path) -> None:
    dataset = save(tmp_path, copied=7)
    assert dataset.copies.tolist() == list(range(7))
    assert sorted([*dataset.tune_rows, *dataset.check_rows]) == list(range(7, UNSEEN))


def test_every_other_sample_stays_in_its_half_and_the_fingerprint_covers_all(tmp_path: Path) -> None:
    before, after = save(tmp_path), save(tmp_path, copied=7)
    assert (after.tune_rows == before.tune_rows[before.tune_rows >= 7]).all()
    assert after.fingerprint == fingerprint_of(after.classes, after.train, after.test)


def test_copies_are_found_again_where_the_cache_knows_the_data(tmp_path: Path) -> None:
    save(tmp_path, copied=7)
    assert open_dataset("arrays:noise.npz", tmp_path).copies.tolist() == list(range(7))


def test_a_copy_of_a_deleted_training_image_stays_out_of_the_halves(tmp_path: Path) -> None:
    before = rows_of(save(tmp_path, copied=7))
    with np.load(tmp_path / "noise.npz") as whole:
        kept = {name: whole[name][5:] for name in whole.files}
    np.savez(tmp_path / "noise.npz", **kept)
    rest = open_dataset("arrays:noise.npz", tmp_path)
    assert copied_rows(rows_of(rest)).tolist() == [5, 6]
    assert copied_rows(rows_of(rest), trained=before).tolist() == list(range(7))


def test_a_training_warns_of_copies_and_records_their_number(forgetkit: Run, tmp_path: Path) -> None:
    save(tmp_path, copied=7)
    assert "warning: 7 of 40 unseen samples are exact copies of training images" in train(forgetkit)
    assert read_record(tmp_path / "m.st").dataset["copies"] == 7
    assert "60 training samples, 7 unseen copies of them left out" in " ".join(forgetkit("inspect", "m.st").out.split())


def test_without_copies_a_training_says_nothing_of_them(forgetkit: Run, tmp_path: Path) -> None:
    save(tmp_path)
    assert "copies" not in train(forgetkit)
    assert "copies" not in read_record(tmp_path / "m.st").dataset


def test_an_audit_judges_without_copies_and_says_so(forgetkit: Run, tmp_path: Path) -> None:
    dataset = save(tmp_path, copied=20)
    train(forgetkit)
    (tmp_path / "ids.txt").write_text("".join(f"s{row}\n" for row in range(20)))
    ran = forgetkit("audit", "m.st", "--ids", "ids.txt", "--json")
    assert "warning: 20 of 40 unseen samples are exact copies" in ran.err
    checks = {check["id"]: check for check in ran.json["checks"]}
    assert "20 unseen samples are exact copies of training images" in checks["integrity"]["note"]
    assert checks["chance"]["n"] == 20
    assert 0 < len(dataset.check_rows) < 20


def test_equal_images_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match="all 100 images are equal") as caught:
        save(tmp_path, copied=UNSEEN, equal=TRAIN)
    assert "multiply by 255 first" in str(caught.value.hint)


def test_a_training_warns_where_many_images_are_equal(forgetkit: Run, tmp_path: Path) -> None:
    save(tmp_path, equal=13)
    assert "warning: 12 of 60 training images are exact copies of others" in train(forgetkit)


def test_a_training_names_its_first_classes(forgetkit: Run, tmp_path: Path) -> None:
    save(tmp_path)
    assert "  2 classes: 0, 1\n" in train(forgetkit)
    ran = forgetkit("train", "--dataset", "digits", "--epochs", 1, "-o", "d.st", "--dry-run")
    assert "  10 classes: 0, 1, 2, 3, 4, …\n" in ran.err
