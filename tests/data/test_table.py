"""``table:FILE``: a data set as a table of image files or pixels, and what may be wrong with one."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError
from tests.pictures import pets, picture, refusal


def table(folder: Path, text: str, name: str = "pets.csv") -> Dataset:
    (folder / name).write_text(text)
    return open_dataset(f"table:{folder / name}", folder)


def test_a_table_of_images_comes_out_in_its_order(tmp_path: Path) -> None:
    dataset = open_dataset(f"table:{pets(tmp_path)}", tmp_path)
    assert dataset.name == "table:pets.csv"
    assert dataset.classes == ("cat", "dog")
    assert dataset.train.ids == ["p0", "p1", "p2", "p5", "p6", "p7"]
    assert dataset.test.ids == ["p3", "p4", "p8", "p9"]
    assert dataset.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert dataset.train.images.shape == (6, 1, 3, 4)
    assert dataset.train.images[3].reshape(-1).tolist() == list(range(5, 17))
    assert dataset.test.images[1].reshape(-1).tolist() == list(range(4, 16))


def test_all_other_columns_are_attributes_of_the_training_split(tmp_path: Path) -> None:
    dataset = open_dataset(f"table:{pets(tmp_path)}", tmp_path)
    assert dataset.attributes == {"user": ["u0", "u1", "u2", "u2", "u0", "u1"]}


def test_colour_images_come_out_channels_first(tmp_path: Path) -> None:
    pixels = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3)
    pets(tmp_path)
    for row in range(10):
        Image.fromarray(pixels + np.uint8(row)).save(tmp_path / "img" / f"{row}.png")
    train = open_dataset(f"table:{tmp_path}/pets.csv", tmp_path).train
    assert (train.images[1] == pixels.transpose(2, 0, 1) + 1).all()


@pytest.mark.parametrize("mark", [";", "\t", "|", ", ", " , "])
def test_semicolons_tabs_bars_and_spaces_may_separate_fields(tmp_path: Path, mark: str) -> None:
    wanted = open_dataset(f"table:{pets(tmp_path)}", tmp_path)
    (tmp_path / "pets.csv").write_text((tmp_path / "pets.csv").read_text().replace(",", mark))
    found = open_dataset(f"table:{tmp_path}/pets.csv", tmp_path)
    assert (found.fingerprint, found.attributes) == (wanted.fingerprint, wanted.attributes)


def test_a_field_may_be_long_and_the_last_empty_ones_may_be_missing(tmp_path: Path) -> None:
    pets(tmp_path)
    lines = (tmp_path / "pets.csv").read_text().splitlines()
    lines[1] = lines[1].removesuffix("u0") + "u" * 200_000
    lines[2], lines[3] = lines[2].removesuffix(",u1"), f"{lines[3]},, "
    (tmp_path / "pets.csv").write_text("\n".join([*lines, ",,", " "]))
    user = open_dataset(f"table:{tmp_path}/pets.csv", tmp_path).attributes["user"]
    assert user == ["u" * 200_000, "", "u2", "u2", "u0", "u1"]


@pytest.mark.parametrize("form", ["\ufeff{}", "{}\r\n", "{}", "{}\n\n", '"{}"'])
def test_a_byte_order_mark_crlf_blank_lines_and_quotes_are_tolerated(tmp_path: Path, form: str) -> None:
    lines = pets(tmp_path).read_text().splitlines()
    wanted = open_dataset(f"table:{tmp_path}/pets.csv", tmp_path).fingerprint
    if '"' in form:
        text = "\n".join(",".join(f'"{field}"' for field in line.split(",")) for line in lines)
    else:
        text = form.format(("\r\n" if "\r" in form else "\n").join(lines))
    (tmp_path / "pets.csv").write_text(text, newline="")
    assert open_dataset(f"table:{tmp_path}/pets.csv", tmp_path).fingerprint == wanted


def test_classes_are_sorted_and_numbers_by_value(tmp_path: Path) -> None:
    rows = "".join(
        f"{id_},{label},{split},{label}\n" for id_, label, split in zip("abcd", [10, 9, 10, 9], TRAIN, strict=True)
    )
    assert table(tmp_path, f"id,label,split,pixel0\n{rows}").classes == ("9", "10")


TRAIN = ["train", "train", "train", "test"]


def test_pixel_columns_are_a_grey_square(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 2},{TRAIN[n]},{n},1,2,255\n" for n in range(4))
    dataset = table(tmp_path, f"id,label,split,pixel0,pixel1,pixel2,pixel3\n{rows}")
    assert dataset.shape == (1, 2, 2)
    assert dataset.train.images[2].tolist() == [[[2, 1], [2, 255]]]


def test_pixel_columns_in_three_colours_run_red_green_blue(tmp_path: Path) -> None:
    header = ",".join(f"pixel{n:04}" for n in range(12))
    values = ",".join(str(n) for n in range(12))
    rows = "".join(f"{n},{n % 2},{TRAIN[n]},{values}{n}\n" for n in range(4))
    image = table(tmp_path, f"id,label,split,{header}\n{rows}").train.images[0]
    assert image.tolist() == [[[0, 3], [6, 9]], [[1, 4], [7, 10]], [[2, 5], [8, 110]]]


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    csv = pytest.importorskip("pyarrow.csv")
    parquet = pytest.importorskip("pyarrow.parquet")
    wanted = open_dataset(f"table:{pets(tmp_path)}", tmp_path)
    parquet.write_table(csv.read_csv(tmp_path / "pets.csv"), tmp_path / "pets.parquet")
    found = open_dataset("table:pets.parquet", tmp_path)
    assert (found.fingerprint, found.attributes) == (wanted.fingerprint, wanted.attributes)


def test_pixels_of_a_parquet_file_that_are_no_whole_numbers_are_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"id": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"]}
    for values, fine in (([1.0, 255.0], True), ([0.5, 1.0], False), ([float("inf"), 1.0], False)):
        parquet.write_table(pyarrow.table({**columns, "pixel0": values}), tmp_path / "t.parquet")
        if not fine:
            assert "a pixel is not a whole number" in refusal(f"table:{tmp_path}/t.parquet").message


@pytest.mark.parametrize("column", ["id", "label", "split"])
@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_nan_in_a_parquet_file_is_no_value(tmp_path: Path, column: str, kind: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns: dict[str, object] = {"id": [1, 2, 3], "label": [0, 1, 1], "split": ["train", "train", "test"]}
    columns[column] = pyarrow.array(np.array([1, 0, np.nan], kind))
    parquet.write_table(pyarrow.table({**columns, "pixel0": [0, 1, 2]}), tmp_path / "t.parquet")
    words = "row 1: the split '1'" if column == "split" else f"row 3: '{column}' is empty"
    assert refusal(f"table:{tmp_path}/t.parquet").message.startswith(f"{tmp_path}/t.parquet {words}")


def test_an_attribute_that_is_nan_is_empty_and_its_whole_numbers_stay_whole(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"id": ["a", "b", "c"], "label": [0, 1, 1], "split": ["train", "train", "test"], "pixel0": [0, 1, 2]}
    parquet.write_table(pyarrow.table({**columns, "age": [float("nan"), 41.0, 0.5]}), tmp_path / "t.parquet")
    assert open_dataset("table:t.parquet", tmp_path).attributes == {"age": ["", "41"]}


def test_a_column_may_have_another_name(tmp_path: Path) -> None:
    wanted = open_dataset(f"table:{pets(tmp_path)}", tmp_path)
    text = (tmp_path / "pets.csv").read_text().replace("id,path,label,split,user", "nr,file,class,label,user")
    (tmp_path / "pets.csv").write_text(text)
    columns = {"id": "nr", "path": "file", "label": "class", "split": "label"}
    found = open_dataset("table:pets.csv", tmp_path, columns=columns)
    assert (found.fingerprint, found.attributes) == (wanted.fingerprint, wanted.attributes)
    assert found.options == {"columns": columns}


def test_one_column_may_be_id_and_path_and_one_left_over_is_an_attribute(tmp_path: Path) -> None:
    pets(tmp_path)
    found = open_dataset("table:pets.csv", tmp_path, columns={"id": "path", "label": "user"})
    assert found.train.ids[0] == "img/0.png"
    assert found.classes == ("u0", "u1", "u2")
    assert found.attributes.keys() == {"id", "label"}


def test_another_column_of_the_same_file_is_another_data_set(tmp_path: Path) -> None:
    by_kind = open_dataset(f"table:{pets(tmp_path)}", tmp_path)
    by_user = open_dataset("table:pets.csv", tmp_path, columns={"label": "user"})
    assert by_kind.fingerprint != by_user.fingerprint
    assert open_dataset("table:pets.csv", tmp_path).fingerprint == by_kind.fingerprint


def test_all_missing_columns_are_named_with_those_there_are_and_the_option(tmp_path: Path) -> None:
    pets(tmp_path)
    with pytest.raises(ForgetkitError) as caught:
        open_dataset("table:pets.csv", tmp_path, columns={"label": "kind", "split": "fold"})
    assert caught.value.message == f"{tmp_path}/pets.csv:1: there are no columns 'kind' and 'fold'"
    columns, option = "its columns: id, path, label, split, user", "--column label=NAME --column split=NAME"
    assert caught.value.hint == f"{columns}; rename them, or say which they are: {option}"


def test_only_a_table_has_columns(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match=r"^column: only a table has columns$"):
        open_dataset("digits", tmp_path, columns={"label": "class"})


def test_without_a_split_each_id_stays_where_it_is(tmp_path: Path) -> None:
    rows = [f"x{n},{n % 2},{n % 256}\n" for n in range(2000)]
    whole = table(tmp_path, "id,label,pixel0\n" + "".join(rows))
    fewer = table(tmp_path, "id,label,pixel0\n" + "".join(rows[500:]), "fewer.csv")
    assert abs(len(whole.test) - 400) < 4 * np.sqrt(2000 * 0.2 * 0.8)
    assert set(fewer.test.ids) == set(whole.test.ids) - {f"x{n}" for n in range(500)}
    assert whole.options == {"unseen": 0.2}


def test_unseen_is_another_share_and_nested(tmp_path: Path) -> None:
    text = "id,label,pixel0\n" + "".join(f"x{n},{n % 2},{n % 2}\n" for n in range(1000))
    fifth = table(tmp_path, text)
    half = open_dataset("table:pets.csv", tmp_path, unseen=0.5)
    assert set(fifth.test.ids) < set(half.test.ids)
    assert half.options == {"unseen": 0.5}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_that_is_none_is_a_usage_error(tmp_path: Path, share: float) -> None:
    with pytest.raises(ForgetkitError, match=r"^--unseen: .* is not between 0 and 1$"):
        open_dataset(f"table:{pets(tmp_path, columns='id,path,label')}", tmp_path, unseen=share)


def test_a_share_is_refused_where_there_is_a_test_split(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match="has a test split of its own"):
        open_dataset(f"table:{pets(tmp_path)}", tmp_path, unseen=0.2)


def line(row: int, **changed: str) -> Callable[[Path], None]:
    """Return what changes fields of one line of the table, counted from 2."""

    def change(folder: Path) -> None:
        lines = (folder / "pets.csv").read_text().splitlines()
        names = lines[0].split(",")
        fields = dict(zip(names, lines[row - 1].split(","), strict=True)) | changed
        lines[row - 1] = ",".join(fields[name] for name in names)
        (folder / "pets.csv").write_text("\n".join(lines) + "\n")

    return change


def text(old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "pets.csv"
        path.write_text(path.read_text().replace(old, new))

    return change


def image(row: int, **form: object) -> Callable[[Path], None]:
    return lambda folder: picture(folder / "img" / f"{row}.png", row, **form) and None  # type: ignore[arg-type]


def content(row: int, data: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "img" / f"{row}.png").write_bytes(data) and None


def cut_jpeg(folder: Path) -> None:
    whole = picture(folder / "whole.jpg", size=(64, 64)).read_bytes()
    for row in range(10):
        picture(folder / "img" / f"{row}.png", row, size=(64, 64))
    (folder / "img" / "6.png").write_bytes(whole[: len(whole) * 3 // 4])


def bomb(folder: Path) -> None:
    Image.new("1", (30_000, 30_000)).save(folder / "img" / "6.png")


def transparent(folder: Path) -> None:
    Image.new("LA", (4, 3), (0, 100)).save(folder / "img" / "6.png")


def sixteen_bits(folder: Path) -> None:
    Image.fromarray(np.zeros((3, 4), np.uint16)).save(folder / "img" / "6.png")


def animated(folder: Path) -> None:
    frames = [Image.new("L", (4, 3), shade) for shade in (0, 99)]
    frames[0].save(folder / "img" / "6.gif", save_all=True, append_images=frames[1:])
    line(8, path="img/6.gif")(folder)


def tiff(folder: Path) -> None:
    picture(folder / "img" / "6.tif")
    line(8, path="img/6.tif")(folder)


def pipe(folder: Path) -> None:
    (folder / "img" / "6.png").unlink()
    os.mkfifo(folder / "img" / "6.png")


def loop(folder: Path) -> None:
    (folder / "img" / "6.png").unlink()
    (folder / "img" / "6.png").symlink_to("6.png")


def link_out(folder: Path) -> None:
    picture(folder.parent / "secret.png")
    (folder / "img" / "6.png").unlink()
    (folder / "img" / "6.png").symlink_to(folder.parent / "secret.png")


def folder_link_out(folder: Path) -> None:
    picture(folder.parent / "other" / "6.png")
    (folder / "more").symlink_to(folder.parent / "other")
    line(8, path="more/6.png")(folder)


WRONG: list[tuple[Callable[[Path], None], str, str]] = [
    (text("label", "lable"), ":1: there is no column 'label'", "--column label=lable"),
    (text("id,path", "nr,file"), ":1: there are no columns 'id' and 'path'", "its columns: nr, file, label"),
    (text("path,label", "Path,label"), ":1: there is no column 'path'", "--column path=Path"),
    (text("split,user", "user,user"), ":1: two columns have the name 'user'", "rename"),
    (line(8, path="img/17.png"), ":8: 'img/17.png' is not there", "remove the row"),
    (line(8, path="img\\6.png"), ":8: 'img\\6.png' is not there", "write folders with /"),
    (line(8, path="../../etc/passwd"), ":8: '../../etc/passwd' leads out of", "below"),
    (line(8, path="/etc/passwd"), ":8: '/etc/passwd' is an absolute path", "relative to the table"),
    (line(8, path="img"), ":8: 'img' is not a regular file", "name an image"),
    (line(8, path=""), ":8: 'path' is empty", "fill it in"),
    (line(8, path="img/\x1b6.png"), ":8: 'img/\\x1b6.png' is no path", "name an image"),
    (line(8, user="u\0"), ":8: holds a NUL character", "save the table again"),
    (line(8, label="d\x1bog"), ":8: 'd\\x1bog' cannot be the name of a class", "one line of text"),
    (line(8, label=""), ":8: 'label' is empty", "fill it in"),
    (line(8, id="p0"), ":8: the id 'p0' is in", "its own id"),
    (line(8, id="#6"), ":8: '#6' cannot be an id", "begins a comment"),
    (line(8, id='"a\nb"'), ":9: 'a\\nb' cannot be an id", "no line feed"),
    (line(8, id="x" * 1025), ":8: 'xxx", "1 to 1024 characters"),
    (line(8, split="fold"), ":8: the split 'fold' is neither train nor test", "write train or test"),
    (line(8, user="a,b"), ":8: 6 fields, but the header names 5", "quotes"),
    (text("test", "train"), ": no row has the split 'test'", "remove the column 'split'"),
    (text("dog", "cat"), ": all rows are of one class, 'cat'", "two or more"),
    (line(5, label="eel"), ": no training sample is of the class 'eel'", "'p3' of the test split"),
    (image(6, size=(5, 3)), ":8: 'img/6.png' has 5 × 3 pixels, the first one, 'img/0.png', 4 × 3", "the same size"),
    (image(6, mode="RGB"), ":8: 'img/6.png' is in colour, the first one, 'img/0.png', is grey", "all grey"),
    (content(6, b""), ":8: 'img/6.png' is not an image (0 bytes)", "images are PNG"),
    (content(6, b"hello, world"), ":8: 'img/6.png' is not an image", "images are PNG"),
    (tiff, ":8: 'img/6.tif' is not an image", "images are PNG"),
    (content(6, b"\x89PNG\r\n\x1a\n" + b"\0" * 40), ":8: 'img/6.png' ", "image"),
    (cut_jpeg, ":8: 'img/6.png' cannot be read (image file is truncated", "again"),
    (bomb, ":8: 'img/6.png' has ", "make it smaller"),
    (transparent, ":8: 'img/6.png' is partly transparent", "background"),
    (sixteen_bits, ":8: 'img/6.png' has pixels of mode I;16", "8 bits"),
    (animated, ":8: 'img/6.gif' holds 2 images", "its own file"),
    (pipe, ":8: 'img/6.png' is not a regular file", "name an image"),
    (loop, ":8: 'img/6.png' is a link that leads nowhere", "put the image there"),
    (link_out, ":8: 'img/6.png' leads out of", "below"),
    (folder_link_out, ":8: 'more/6.png' leads out of", "below"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words", "cure"), WRONG, ids=[words for _, words, _ in WRONG])
def test_what_is_wrong_is_named_with_file_row_and_cure(
    tmp_path: Path, change: Callable[[Path], None], words: str, cure: str
) -> None:
    path = pets(tmp_path / "set")
    change(path.parent)
    problem = refusal(f"table:{path}")
    place = "table:pets.csv" if "training sample" in words else str(path)
    assert problem.message.startswith(f"{place}{words}"), problem.message
    assert cure in (problem.hint or "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", ": holds no rows"),
        (b"id,path,label\n", ": holds no rows"),
        (b"\xff\xd8\xff\xe0JFIF", ":1: not UTF-8 text"),
        (b"id,path,label\n1,a,b\n2,a,\xe4\n", ":3: not UTF-8 text"),
        (b'id,path,label\n1,"a', ":2: not CSV"),
        (b"<html><body>404</body></html>\n<p>\n", ":1: there are no columns 'id', 'label' and 'path'"),
        (b"id,label,pixel0,pixel1\n1,a,0,0\n2,b,0,0\n", ":1: 2 pixel columns are no square"),
        (b"id,label,pixel0,pixel2\n1,a,0,0\n", ":1: the pixel columns are not numbered without gaps"),
        (b"id,label,pixel0\n1,a,256\n", ":2: a pixel is not a whole number from 0 to 255"),
        (b"id,label,pixel0\n1,a,\n", ":2: a pixel is not a whole number from 0 to 255"),
        (b"id,label,path,pixel0\n1,a,x,0\n2,b,x,0\n", ":1: there are both a column 'path' and pixel columns"),
    ],
)
def test_a_file_that_is_no_such_table_is_named(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    assert refusal(f"table:{tmp_path}/t.csv").message.startswith(f"{tmp_path}/t.csv{words}")


def test_a_folder_or_another_kind_of_file_is_not_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    (tmp_path / "t.xlsx").touch()
    assert "not a regular file" in refusal(f"table:{tmp_path}/t.csv").message
    assert "not a table by its name" in refusal(f"table:{tmp_path}/t.xlsx").message


def test_a_broken_parquet_file_and_one_with_lists_in_it_are_named(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and so on")
    assert "not a parquet file" in refusal(f"table:{tmp_path}/t.parquet").message
    parquet.write_table(pyarrow.table({"id": ["a"], "image": [[1, 2]], "label": ["x"]}), tmp_path / "t.parquet")
    assert refusal(f"table:{tmp_path}/t.parquet").message == f"{tmp_path}/t.parquet row 1: 'image' holds a list"


def test_a_missing_table_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError) as caught:
        open_dataset("table:gone.csv", tmp_path)
    assert caught.value.code == "dataset-missing"


def outcome(path: Path, place: str = "") -> tuple[str | None, tuple[int, int, int] | None]:
    """Return the cause of the refusal, whose message begins with ``place``, or the shape of the images."""
    try:
        return None, open_dataset(f"table:{path}", path.parent).shape
    except ForgetkitError as problem:
        return problem.code if place in problem.message else problem.message, None


@settings(max_examples=100)
@given(data=st.binary(max_size=200), at=st.integers(0, 400))
def test_a_damaged_table_is_malformed_or_read_whole(
    data: bytes, at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = pets(tmp_path_factory.mktemp("damaged"))
    whole = path.read_bytes()
    path.write_bytes(whole[: at % len(whole)] + data + whole[at % len(whole) + len(data) // 2 :])
    code, shape = outcome(path)
    assert code == "dataset-malformed" or shape == (1, 3, 4)


@settings(max_examples=150)
@given(kind=st.sampled_from(["png", "jpg", "gif", "webp", "bmp", "ppm"]), data=st.data())
def test_a_damaged_image_is_malformed_or_an_image(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    pets(folder)
    whole = bytearray(picture(folder / f"a.{kind}").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    (folder / "img" / "6.png").write_bytes(whole[: data.draw(st.integers(len(whole) // 2, len(whole)))])
    code, shape = outcome(folder / "pets.csv", place=":8: 'img/6.png' ")
    assert code == "dataset-malformed" or shape == (1, 3, 4)


def hub(folder: Path, rows: int = 40, **more: object) -> Path:
    """Write a parquet file as those of the Hugging Face Hub: images as structs of bytes and a path, and labels."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": picture(folder / "x.png", row).read_bytes(), "path": None} for row in range(rows)]
    columns = {"image": images, "label": [row % 2 for row in range(rows)], "age": list(range(rows)), **more}
    held = {name: values for name, values in columns.items() if values is not None}
    parquet.write_table(pyarrow.table(held), folder / "hub.parquet")
    return folder / "hub.parquet"


@pytest.mark.parametrize("plain", [False, True])
def test_a_column_of_encoded_images_is_read(tmp_path: Path, plain: bool) -> None:
    path = hub(tmp_path)
    if plain:
        hub(tmp_path, image=[picture(tmp_path / "x.png", row).read_bytes() for row in range(40)])
    dataset = open_dataset(f"table:{path}", tmp_path)
    assert (dataset.classes, dataset.shape, dataset.numbered) == (("0", "1"), (1, 3, 4), True)
    assert dataset.train.images[:, 0, 0, 0].tolist() == [int(id_) for id_ in dataset.train.ids]
    assert list(dataset.attributes["age"]) == list(dataset.train.ids)


def test_a_column_of_encoded_images_goes_with_ids(tmp_path: Path) -> None:
    dataset = open_dataset(f"table:{hub(tmp_path, id=[f'p{row}' for row in range(40)])}", tmp_path)
    assert not dataset.numbered
    assert dataset.train.images[:, 0, 0, 0].tolist() == [int(id_[1:]) for id_ in dataset.train.ids]


@pytest.mark.parametrize(
    ("more", "words", "cure"),
    [
        ({"image": [{"bytes": b"text", "path": None}] * 40}, "'hub.parquet/0' is not an image", "images are PNG"),
        ({"image": [None, *[{"bytes": b"x", "path": "0.png"}] * 39]}, "the table holds no bytes of the image", "fetch"),
        ({"mask": [b"x"] * 40}, "'image' and 'mask' hold images", "choose: --column path=image"),
        ({"path": ["x.png"] * 40}, "'image' holds images, and there are pixels, or a column 'path', too", "remove"),
        ({"label": None}, "there is no column 'label'", "--column label="),
    ],
)
def test_what_is_wrong_with_encoded_images_is_named(
    tmp_path: Path, more: dict[str, object], words: str, cure: str
) -> None:
    problem = refusal(f"table:{hub(tmp_path, **more)}")
    assert words in problem.message
    assert cure in str(problem.hint)


def test_the_usual_names_of_splits_are_understood_in_any_case(tmp_path: Path) -> None:
    splits = ["Train", "training", "val", "TEST", "train", "valid"]
    rows = "".join(f"{n},{n % 2},{split},{n}\n" for n, split in enumerate(splits))
    dataset = table(tmp_path, f"id,label,split,pixel0\n{rows}")
    assert (dataset.train.ids, dataset.test.ids) == (["0", "1", "4"], ["2", "3", "5"])
