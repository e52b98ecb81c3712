"""``folder:DIR``: a data set as class folders of images, and what may be wrong with one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from tests.conftest import Run
from tests.pictures import picture, refusal


def animals(root: Path, per_class: int = 3) -> Path:
    """Write ``train`` and ``test`` with class folders ``cat`` and ``dog``."""
    for part in ("train", "test"):
        for shift, kind in ((0, "cat"), (100, "dog")):
            for row in range(per_class):
                picture(root / part / kind / f"{row}.png", shift + row + 10 * (part == "test"))
    return root


def test_class_folders_below_train_and_test_are_a_data_set(tmp_path: Path) -> None:
    dataset = open_dataset(f"folder:{animals(tmp_path / 'pets', 2)}", tmp_path)
    assert (dataset.name, dataset.classes, dataset.shape) == ("folder:pets", ("cat", "dog"), (1, 3, 4))
    assert dataset.train.ids == ["train/cat/0.png", "train/cat/1.png", "train/dog/0.png", "train/dog/1.png"]
    assert dataset.test.ids == ["test/cat/0.png", "test/cat/1.png", "test/dog/0.png", "test/dog/1.png"]
    assert dataset.train.labels.tolist() == [0, 0, 1, 1]
    assert dataset.train.images[:, 0, 0, 0].tolist() == [0, 1, 100, 101]
    assert dataset.test.images[:, 0, 0, 0].tolist() == [10, 11, 110, 111]


def test_without_test_a_fifth_is_put_aside_and_ids_begin_with_the_class(tmp_path: Path) -> None:
    for row in range(200):
        picture(tmp_path / "pets" / ("cat", "dog")[row % 2] / "deep" / f"{row}.png", row)
    dataset = open_dataset("folder:pets", tmp_path)
    assert 15 < len(dataset.test) < 65
    assert dataset.train.ids == sorted(dataset.train.ids)
    assert dataset.train.ids[0].startswith("cat/deep/")
    assert dataset.options == {"unseen": 0.2}


def test_train_alone_is_divided_like_class_folders(tmp_path: Path) -> None:
    for row in range(50):
        picture(tmp_path / "pets" / "train" / ("cat", "dog")[row % 2] / f"{row}.png", row)
    dataset = open_dataset("folder:pets", tmp_path)
    assert len(dataset.train) + len(dataset.test) == 50
    assert dataset.train.ids[0].startswith("train/cat/")


def test_train_may_be_the_name_of_a_class(tmp_path: Path) -> None:
    for row in range(60):
        picture(tmp_path / "wheels" / ("bus", "car", "train")[row % 3] / f"{row}.png", row)
    assert open_dataset("folder:wheels", tmp_path).classes == ("bus", "car", "train")


@pytest.mark.parametrize(
    "names", ["train val", "train valid", "Train Test", "Training Testing", "TRAIN validation", "train dev"]
)
def test_the_usual_names_of_splits_are_splits_in_any_case(tmp_path: Path, names: str) -> None:
    train, unseen = names.split()
    for row in range(4):
        picture(tmp_path / "pets" / train / ("cat", "dog")[row % 2] / f"{row}.png", row)
        picture(tmp_path / "pets" / unseen / ("cat", "dog")[row % 2] / f"{row}.png", 9 + row)
    dataset = open_dataset("folder:pets", tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.ids == [f"{train}/{name}.png" for name in ("cat/0", "cat/2", "dog/1", "dog/3")]
    assert dataset.test.ids == [f"{unseen}/{name}.png" for name in ("cat/0", "cat/2", "dog/1", "dog/3")]


def test_val_and_test_are_both_unseen(tmp_path: Path) -> None:
    root = animals(tmp_path / "pets", 2)
    for row, kind in enumerate(("cat", "dog")):
        picture(root / "val" / kind / "0.png", 200 + row)
    dataset = open_dataset("folder:pets", tmp_path)
    assert dataset.test.ids == sorted(dataset.test.ids)
    assert dataset.test.ids[-2:] == ["val/cat/0.png", "val/dog/0.png"]
    assert dataset.test.labels.tolist() == [0, 0, 1, 1, 0, 1]
    assert len(dataset.train) == 4


@pytest.mark.parametrize("names", ["fold1 fold2", "val test", "Set-A Set-B", "split_0 split_1 split_2"])
def test_splits_that_are_not_understood_are_no_classes(tmp_path: Path, names: str) -> None:
    for row, name in enumerate(names.split()):
        for kind in ("cat", "dog"):
            picture(tmp_path / "pets" / name / kind / "0.png", row)
    problem = refusal(f"folder:{tmp_path}/pets")
    assert f"{', '.join(sorted(names.split()))} hold the same folders cat, dog" in problem.message
    assert "name splits train and test" in str(problem.hint)


@pytest.mark.parametrize("names", ["left right", "bus train", "setter partridge", "A B"])
def test_classes_may_hold_the_same_folders(tmp_path: Path, names: str) -> None:
    for row in range(40):
        for kind in names.split():
            picture(tmp_path / "pets" / kind / f"ann-{row % 2}" / f"{row}.png", row + 100 * (kind == names.split()[0]))
    assert open_dataset("folder:pets", tmp_path).classes == tuple(sorted(names.split()))


def test_a_folder_around_the_classes_is_named(tmp_path: Path) -> None:
    animals(tmp_path / "pets")
    (tmp_path / "pets" / "test").rename(tmp_path / "elsewhere")
    (tmp_path / "pets" / "train").rename(tmp_path / "pets" / "images")
    problem = refusal(f"folder:{tmp_path}/pets")
    assert str(problem.hint) == f"are the classes one folder below? --dataset folder:{tmp_path}/pets/images"


def test_hidden_files_and_litter_are_passed_over(tmp_path: Path) -> None:
    root = animals(tmp_path / "pets")
    wanted = open_dataset("folder:pets", tmp_path).fingerprint
    for name in (".DS_Store", "train/.git/x", "train/cat/Thumbs.db", "train/cat/.hidden/x.png", "README.md"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("litter")
    assert open_dataset("folder:pets", tmp_path).fingerprint == wanted


def test_the_working_folder_itself_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(animals(tmp_path / "pets"))
    assert open_dataset("folder:.", tmp_path).name == "folder:pets"


def test_links_within_the_folder_are_followed(tmp_path: Path) -> None:
    root = animals(tmp_path / "pets")
    (root / "train" / "cat" / "9.png").symlink_to(root / "train" / "cat" / "0.png")
    dataset = open_dataset("folder:pets", tmp_path)
    assert "train/cat/9.png" in dataset.train.ids


def test_the_order_of_creation_does_not_matter(tmp_path: Path) -> None:
    names = [f"{kind}/{row}.png" for kind in ("cat", "dog") for row in range(20)]
    for root, ordered in (("a", names), ("b", names[::-1])):
        for name in ordered:
            picture(tmp_path / root / "pets" / name, int(np.frombuffer(name.encode()[-6:-4], np.uint8).sum()))
    one, other = (open_dataset("folder:pets", tmp_path / root).fingerprint for root in "ab")
    assert one == other


def lone_class(root: Path) -> None:
    for part in ("train", "test"):
        os.rename(root / part / "dog", root.parent / f"{part}-dog")


def strange_in_test(root: Path) -> None:
    os.rename(root / "train" / "dog", root / "train" / "eel")


def linked_folder(root: Path) -> None:
    (root / "train" / "eel").symlink_to(root / "train" / "cat")


def deep_loop(root: Path) -> None:
    (root / "train" / "cat" / "again").symlink_to(root)


def linked_file(root: Path) -> None:
    picture(root.parent / "secret.png")
    (root / "train" / "cat" / "9.png").symlink_to(root.parent / "secret.png")


def dangling(root: Path) -> None:
    (root / "train" / "cat" / "9.png").symlink_to("gone.png")


def line_feed(root: Path) -> None:
    picture(root / "train" / "cat" / "a\nb.png")


def not_utf8(root: Path) -> None:
    (root / "train" / "cat" / "0.png").rename(os.fsdecode(os.fsencode(root / "train" / "cat") + b"/\xff.png"))


WRONG: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda root: (root / "train" / "eel").mkdir(), "/train/eel: a class folder without an image", "remove it"),
    (lambda root: (root / "train" / "cat" / "a.txt").touch(), ": 'train/cat/a.txt' is not an image", "images are PNG"),
    (lambda root: picture(root / "train" / "a.png"), "/train/a.png: an image outside the class folders", "move it"),
    (lambda root: (root / "more" / "cat").mkdir(parents=True), "/more: a folder beside train and test", "move it"),
    (lambda root: (root / "val" / "cat").mkdir(parents=True), "/val/cat: a class folder without an image", "remove it"),
    (
        lambda root: picture(root / "test/cat/0.png", size=(5, 3)),
        ": 'test/cat/0.png' has 5 × 3 pixels",
        "same size",
    ),
    (lambda root: picture(root / "test/cat/0.png", mode="RGB"), ": 'test/cat/0.png' is in colour", "all grey"),
    (lone_class, ": all images are in one class folder, 'cat'", "two or more"),
    (strange_in_test, ": no training sample is of the class 'dog'", "'test/dog/0.png' of the test split"),
    (linked_folder, "/train/eel: a link to a folder", "move the folder here"),
    (deep_loop, "/train/cat/again: a link to a folder", "move the folder here"),
    (linked_file, ": 'train/cat/9.png' leads out of", "below"),
    (dangling, ": 'train/cat/9.png' is a link that leads nowhere", "remove the row"),
    (line_feed, ": 'train/cat/a\\nb.png' cannot be an id", "no line feed"),
    (not_utf8, ": 'train/cat/\\udcff.png' cannot be an id", "a line of an ID list"),
]


@pytest.mark.parametrize(("change", "words", "cure"), WRONG, ids=[words for _, words, _ in WRONG])
def test_what_is_wrong_is_named_with_its_cure(
    tmp_path: Path, change: Callable[[Path], object], words: str, cure: str
) -> None:
    root = animals(tmp_path / "pets")
    change(root)
    problem = refusal(f"folder:{root}")
    place = "folder:pets" if "training sample" in words else str(root)
    assert problem.message.startswith(f"{place}{words}"), problem.message
    assert cure in (problem.hint or "")


def test_a_folder_without_class_folders_or_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "t.csv").touch()
    assert "there is no class folder" in refusal(f"folder:{tmp_path}/empty").message
    assert refusal(f"folder:{tmp_path}/t.csv").hint == "for a table: --dataset table:t.csv"


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("pets.zip", "unzip {0}.zip -d {0}"),
        ("pets.TGZ", "mkdir {0} && tar -xf {0}.TGZ -C {0}"),
        ("pets.tar.gz", "mkdir {0} && tar -xf {0}.tar.gz -C {0}"),
    ],
)
def test_an_archive_is_to_be_unpacked(tmp_path: Path, name: str, cure: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    hint = f"unpack it: {cure.format(tmp_path / 'pets')}"
    for dataset in (
        f"folder:{tmp_path}/{name}",
        f"table:{tmp_path}/{name}",
        f"folder:{tmp_path}",
        f"{tmp_path}/{name}",
    ):
        problem = refusal(dataset)
        assert problem.message == f"{tmp_path / name}: an archive, not a folder of images"
        assert problem.hint == hint


def test_a_pointer_of_git_lfs_is_called_by_its_name(tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    (animals(tmp_path / "pets") / "train" / "cat" / "1.png").write_text(pointer)
    for name in ("t.csv", "t.parquet", "a.npz"):
        (tmp_path / name).write_text(pointer)
    for name in ("folder:{}/pets", "table:{}/t.csv", "table:{}/t.parquet", "arrays:{}/a.npz"):
        problem = refusal(name.format(tmp_path))
        assert "a Git LFS pointer" in problem.message
        assert "git lfs pull --include '" in str(problem.hint)


@pytest.fixture
def forbid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Return a function that locks a file or folder of ``pets`` up, for this process, too, if it is root's."""
    monkeypatch.chdir(tmp_path)
    animals(tmp_path / "pets", 2)
    picture(tmp_path / "pets" / "train" / "cat" / "deep" / "9.png", 50)
    open_dataset("folder:pets", Path())  # everything is imported, as root
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    user = os.geteuid()

    def lock(name: str) -> Path:
        """Take all permissions of ``name`` away."""
        (tmp_path / name).chmod(0)
        if user == 0:
            os.seteuid(65534)
        return Path(name)

    yield lock
    os.seteuid(user)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755)


@pytest.mark.parametrize("name", ["pets/train/cat/deep", "pets/train/cat", "pets/train", "pets", "pets/test/dog/0.png"])
def test_what_may_not_be_read_is_named_so(forbid: Callable[[str], Path], name: str) -> None:
    path = forbid(name)
    with pytest.raises(ForgetkitError) as caught:
        open_dataset("folder:pets", Path())
    assert caught.value.message == f"{path}: no permission to read it"
    assert caught.value.hint == f"let this user read it, for example: chmod -R u+rX {path}"


@pytest.mark.parametrize("name", ["table:t.csv", "table:t.parquet", "arrays:t.npz"])
def test_a_file_that_may_not_be_read_is_named_so(forbid: Callable[[str], Path], name: str) -> None:
    file = name.partition(":")[2]
    Path(file).touch()
    forbid(file)
    with pytest.raises(ForgetkitError, match=f"^{file}: no permission to read it$"):
        open_dataset(name, Path())


def test_a_missing_folder_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError) as caught:
        open_dataset("folder:gone", tmp_path)
    assert caught.value.code == "dataset-missing"


READ = """
import sys
from pathlib import Path
from forgetkit.data.open import open_dataset
for name in sys.argv[1:]:
    found = open_dataset(name, Path())
    sys.stdout.buffer.write(f"{found.fingerprint} {found.train.ids} {found.classes}\\n".encode())
"""


def test_ids_and_fingerprint_are_the_same_in_every_locale(tmp_path: Path) -> None:
    table = ["id,path,label,split"]
    for row, name in enumerate(["z", "é", "Ä/ü", "a b"]):
        for split in ("train", "test"):
            picture(tmp_path / "pets" / split / f"k{row % 2}ß" / f"{name}.png", row)
            table.append(f"{split}{row},pets/{split}/k{row % 2}ß/{name}.png,{row % 2},{split}")
    (tmp_path / "pets.csv").write_text("\n".join(table), encoding="utf-8")
    command = [sys.executable, "-c", READ, "folder:pets", "table:pets.csv"]
    found = []
    for locale, coerced in (("C.UTF-8", "1"), ("C", "0")):
        own = {
            "LC_ALL": locale,
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": coerced,
            "XDG_CACHE_HOME": f"{tmp_path}/{locale}",
        }
        ran = subprocess.run(command, cwd=tmp_path, env={**os.environ, **own}, capture_output=True, check=True)
        found.append(ran.stdout.decode())
    assert found[0] == found[1]
    assert "['train/k0ß/z.png', 'train/k0ß/Ä/ü.png', 'train/k1ß/a b.png', 'train/k1ß/é.png']" in found[0]


def test_a_name_that_is_not_utf_8_is_refused_and_shown(tmp_path: Path) -> None:
    root = animals(tmp_path / "pets")
    os.rename(root / "train/cat/1.png", os.fsencode(root / "train/cat") + b"/\xe4.png")
    assert refusal(f"folder:{root}").message == f"{root}: 'train/cat/\\udce4.png' cannot be an id"


def sizes(root: Path) -> Path:
    """Write images of three fields, each of 8 pixels, side by side or one above the other; the middle one differs."""
    for row in range(12):
        fields = np.repeat(np.array([0, 50 + 10 * row, 255], np.uint8), 8)
        pixels = np.tile(fields, (8, 1)) if row % 2 else np.tile(fields[:, None], (1, 8))
        path = root / ("train", "test")[row >= 8] / ("cat", "dog")[row // 2 % 2] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((pixels.shape[1] * (1 + row % 3), pixels.shape[0] * (1 + row % 3)), 0).save(path)
    return root


def test_images_of_different_sizes_name_the_option(tmp_path: Path) -> None:
    problem = refusal(f"folder:{sizes(tmp_path / 'pets')}")
    assert "'train/cat/1.png' has 48 × 16 pixels" in problem.message
    assert "forgetkit train --image-size S" in str(problem.hint)


def test_the_shorter_side_is_resized_and_the_middle_cropped(tmp_path: Path) -> None:
    sizes(tmp_path / "pets")
    dataset = open_dataset("folder:pets", tmp_path, image_size=4)
    assert (dataset.shape, dataset.options) == ((1, 4, 4), {"image_size": 4})
    assert dataset.train.images[:, 0, 1:3, 1:3].min(axis=(1, 2)).tolist() == [50, 60, 90, 100, 70, 80, 110, 120]
    assert dataset.train.images[:, 0, 1:3, 1:3].max(axis=(1, 2)).tolist() == [50, 60, 90, 100, 70, 80, 110, 120]


def test_every_later_command_crops_as_the_training_did(forgetkit: Run, tmp_path: Path) -> None:
    sizes(tmp_path / "pets")
    assert forgetkit("train", "--dataset", "folder:pets", "--epochs", 1, "-o", "m.st").code == 2
    ran = forgetkit("train", "--dataset", "folder:pets", "--image-size", 8, "--epochs", 1, "-o", "m.st")
    assert ran.code == 0, ran.err
    record = read_record(tmp_path / "m.st")
    assert (record.dataset["options"], record.input["shape"]) == ({"image_size": 8}, [1, 8, 8])
    assert "resized_from" not in record.input
    assert "1×8×8 images, resized and cropped" in " ".join(forgetkit("inspect", "m.st").out.split())
    assert forgetkit("forget-ids", "m.st", "--count", 2, "-o", "ids.txt").code == 0
    like = ("train", "--like", "m.st", "--exclude", "ids.txt", "--replicas", 2, "-o", "r{n}.st")
    assert forgetkit(*like).code == 0
    assert read_record(tmp_path / "r1.st").dataset == record.dataset
    packs = forgetkit("data", "info", "--json").json["packs"]
    assert [pack["source"] for pack in packs if pack["place"] == str(tmp_path)] == ["unchanged"]


def test_images_of_one_size_are_not_cropped(forgetkit: Run, tmp_path: Path) -> None:
    animals(tmp_path / "pets")
    ran = forgetkit("train", "--dataset", "folder:pets", "--image-size", 8, "--epochs", 1, "-o", "m.st")
    assert ran.code == 0, ran.err
    record = read_record(tmp_path / "m.st")
    assert (record.dataset["options"], record.input["resized_from"]) == ({}, [3, 4])
