"""``ham10000``: the table and folders as published; made-up images stand in for the real ones."""

from pathlib import Path

import pytest

from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from tests.conftest import Run
from tests.pictures import picture

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def published(root: Path, lesions: int = 140, size: tuple[int, int] = (6, 4)) -> Path:
    """Write a set in the published layout: each lesion has two images, one in each folder."""
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for lesion in range(lesions):
        for part in (1, 2):
            number = 2 * lesion + part
            image = f"ISIC_{number:07}"
            picture(root / f"HAM10000_images_part_{part}" / f"{image}.jpg", number % 200, mode="RGB", size=size)
            lines.append(f"HAM_{lesion:07},{image},{CLASSES[lesion % 7]},histo,{lesion % 90}.0,male,back")
    (root / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")
    return root


def test_classes_ids_and_attributes_are_those_of_the_table(tmp_path: Path) -> None:
    published(tmp_path / "ham10000")
    dataset = open_dataset("ham10000", tmp_path)
    assert (dataset.classes, dataset.shape) == (CLASSES, (3, 4, 6))
    assert len(dataset.train) + len(dataset.test) == 280
    assert dataset.train.ids[0].startswith("ISIC_")
    assert set(dataset.attributes) == {"lesion_id", "dx_type", "age", "sex", "localization"}
    assert {len(values) for values in dataset.attributes.values()} == {len(dataset.train)}


def test_no_lesion_is_in_both_splits(tmp_path: Path) -> None:
    dataset = open_dataset("ham10000", published(tmp_path))
    lesions = {id_: (int(id_[5:]) - 1) // 2 for id_ in [*dataset.train.ids, *dataset.test.ids]}
    train, test = ({lesions[id_] for id_ in split.ids} for split in (dataset.train, dataset.test))
    assert not train & test
    assert 10 < len(test) < 50
    assert [f"HAM_{lesions[id_]:07}" for id_ in dataset.train.ids] == dataset.attributes["lesion_id"]


def test_images_as_published_are_trained_on_and_forgotten_at_28_pixels(forgetkit: Run, tmp_path: Path) -> None:
    published(tmp_path / "ham10000", lesions=70, size=(600, 450))
    data = ("--dataset", "ham10000", "--data-root", tmp_path)
    assert forgetkit("train", *data, "--image-size", 28, "--epochs", 1, "-o", "m.st").code == 0
    record = read_record(tmp_path / "m.st")
    assert (record.input["shape"], record.input["resized_from"]) == ([3, 28, 28], [450, 600])
    assert forgetkit("forget-ids", "m.st", *data, "--count", 5, "-o", "ids.txt").code == 0
    assert forgetkit("relabel", "m.st", *data, "--ids", "ids.txt", "--rate", 0.001).code == 0
    assert forgetkit("audit", "m.relabel.st", *data, "--original", "m.st").code in {0, 1, 3}


def test_a_missing_image_is_named_with_its_row(tmp_path: Path) -> None:
    (published(tmp_path) / "HAM10000_images_part_1" / "ISIC_0000003.jpg").unlink()
    problem = refusal_at(tmp_path)
    assert problem.message.startswith(f"{tmp_path}/HAM10000_metadata.csv:4: the image 'ISIC_0000003.jpg' is in neither")


def refusal_at(root: Path) -> ForgetkitError:
    with pytest.raises(ForgetkitError) as caught:
        open_dataset("ham10000", root)
    assert caught.value.code == "dataset-malformed"
    return caught.value


def test_what_to_get_is_said_where_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError) as caught:
        open_dataset("ham10000", tmp_path)
    assert (caught.value.code, caught.value.message) == ("dataset-missing", f"ham10000 is not in {tmp_path}")
    assert "doi:10.7910/DVN/DBW86T" in (caught.value.hint or "")
