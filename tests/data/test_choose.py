"""Choosing ids by class, by attribute and by a draw."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.data.attribute_table import read_attributes
from forgetkit.data.attributes import column_of, conditions_of, parse_where, with_attributes
from forgetkit.data.dataset import Dataset, Split
from forgetkit.data.select import drawn, in_classes
from forgetkit.errors import ForgetkitError
from forgetkit.events import Event, Note, Warned


def dataset_of(labels: list[int], classes: tuple[str, ...] = ("cat", "dog", "eel"), **attributes: list[str]) -> Dataset:
    train, test = (
        Split(
            [f"{kind}{row}" for row in range(len(labels))], np.zeros((len(labels), 1, 2, 2), np.uint8), np.array(labels)
        )
        for kind in "st"
    )
    return Dataset("toys", classes, train, test, "f", attributes=attributes)


def refusal(conditions: list[str], code: str, *, table: str | None = None) -> ForgetkitError:
    dataset = dataset_of([0, 1], colour=["red", "blue"], size=["1", "2"])
    with pytest.raises(ForgetkitError) as caught:
        conditions_of(dataset, parse_where(conditions, ()), table=table)
    assert caught.value.code == code
    return caught.value


@pytest.mark.parametrize(
    ("names", "expected"), [(["dog"], [1, 2]), (["1"], [1, 2]), (["cat", "dog"], [0, 1, 2]), (["0"], [0]), (["2"], [3])]
)
def test_a_class_is_meant_by_name_then_by_index(names: list[str], expected: list[int]) -> None:
    assert np.flatnonzero(in_classes(dataset_of([0, 1, 1, 2]), names)).tolist() == expected


@pytest.mark.parametrize("classes", [("1", "2", "3"), ("1", "2", "other"), ("1.0", "2.0", "3.0"), ("-1", "+1", "0")])
def test_where_names_of_classes_are_numbers_only_names_count(classes: tuple[str, ...]) -> None:
    dataset = dataset_of([0, 1, 1, 2], classes)
    for row, name in enumerate(classes):
        assert (in_classes(dataset, [name]) == (dataset.train.labels == row)).all()
    with pytest.raises(ForgetkitError, match=r"^toys has no class '7'$") as caught:
        in_classes(dataset, ["7"])
    assert caught.value.hint == f"its classes: {', '.join(repr(name) for name in sorted(classes))}"
    with pytest.raises(ForgetkitError):
        in_classes(dataset, ["0" if classes[0] == "1" else "1"])


def test_an_index_is_answered_by_the_name(told: list[Event]) -> None:
    in_classes(dataset_of([0, 1]), ["1", "cat"], told.append)
    assert told == [Note("forget-ids: class 1 is 'dog'")]


@pytest.mark.parametrize("name", ["dgo", "3", "-1", "1.0", "٣", "9" * 5000, ""])
def test_an_unknown_class_is_a_usage_error(name: str) -> None:
    with pytest.raises(ForgetkitError, match=r"^toys has no class '") as caught:
        in_classes(dataset_of([0]), [name])
    assert caught.value.code == "usage"


def test_an_unknown_class_is_told_the_nearest() -> None:
    with pytest.raises(ForgetkitError) as caught:
        in_classes(dataset_of([0]), ["dgo"])
    assert caught.value.hint == "did you mean 'dog'?"


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["colour=red"], [0, 1]),
        (["colour=red", "colour=blue"], [0, 1, 2]),
        (["colour=red", "size=1"], [0]),
        (["colour=red", "colour=blue", "size=2"], [1, 2]),
        (["note=a=b"], [2]),
    ],
)
def test_conditions_mean_any_value_of_a_column_and_all_columns(conditions: list[str], expected: list[int]) -> None:
    columns = {"colour": ["red", "red", "blue", "green"], "size": ["1", "2", "2", "1"], "note": ["", "", "a=b", "a"]}
    found = conditions_of(dataset_of([0, 0, 0, 0], **columns), parse_where(conditions, ()))
    assert np.flatnonzero(with_attributes(4, found)).tolist() == expected


def test_a_condition_without_a_value_is_a_usage_error() -> None:
    assert refusal(["colour"], "usage").message == "--where: 'colour' is not COLUMN=VALUE"


def test_an_unknown_column_is_told_the_nearest() -> None:
    assert refusal(["color=red"], "usage").hint == "did you mean 'colour'?"


def test_an_unknown_value_is_told_the_nearest() -> None:
    problem = refusal(["colour=rde"], "ids-empty")
    assert (problem.message, problem.hint) == (
        "--where: no training sample has colour=rde",
        "did you mean 'red'?",
    )


def test_a_column_is_asked_for_where_there_is_none() -> None:
    with pytest.raises(ForgetkitError) as caught:
        conditions_of(dataset_of([0]), {"writer": "1"})
    assert caught.value.hint == "give a table that has it: --attributes FILE.csv"


def attributes(folder: Path, text: str, *wanted: str, rows: int = 2) -> dict[str, list[str | None]]:
    (folder / "a.csv").write_text(text, newline="")
    return read_attributes(str(folder / "a.csv"), dataset_of([0] * rows), wanted).columns


@pytest.mark.parametrize(
    "text",
    ["\ufeffwriter,id\nw1,s0\nw2,t1\n", "id;writer\r\ns0; w1 \r\n", 'id,writer\n"s0", "w1"', "id\twriter\rs0\tw1\r"],
)
def test_a_table_is_keyed_by_id_and_those_of_the_test_split_are_passed_over(tmp_path: Path, text: str) -> None:
    assert attributes(tmp_path, text, "writer", "colour") == {"writer": ["w1", None]}


def test_a_table_of_attributes_may_be_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = {"id": ["s1", "s0"], "age": [float("nan"), 7.0], "photo": [b"1", b"2"]}
    parquet.write_table(pyarrow.table(table), tmp_path / "a.parquet")
    found = read_attributes(str(tmp_path / "a.parquet"), dataset_of([0, 0]), ["age"])
    assert found.columns == {"age": ["7", ""]}


@pytest.fixture
def told() -> list[Event]:
    return []


def test_rows_with_a_wanted_value_and_an_unknown_id_are_counted(tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "a.csv").write_text("id,user\ns0,ann\nS1,ann\nx,bob\nt0,ann\nx9,ann\ns1,ann\n")
    where = {"user": ["ann", "cid"]}
    with pytest.raises(ForgetkitError, match="no training sample has user=cid"):
        conditions_of(dataset_of([0, 0]), where, str(tmp_path / "a.csv"), told.append)
    text = f"{tmp_path}/a.csv:3: 'S1' is not an id of toys; rows like it, which choose nothing: 2 of 6 (user=ann: 2); "
    assert told == [Warned("ids-unknown", f"{text}did you mean 's1'?")]


def test_a_value_whose_rows_all_have_unknown_ids_is_an_error_about_the_ids(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,colour\ns0,red\ns7,blue\ns8,blue\n")
    problem = refusal(["colour=blue"], "ids-unknown", table=str(tmp_path / "a.csv"))
    words = "'s7' is not an id of toys; rows like it: 2 of 3 (colour=blue: 2)"
    assert problem.message == f"{tmp_path}/a.csv:3: {words}"


def test_values_of_a_list_are_counted_but_not_named(tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "a.csv").write_text("id,user\ns0,ann\ns7,ann\n")
    (tmp_path / "who.txt").write_text("ann\n")
    where = parse_where([], [f"user={tmp_path}/who.txt"])
    conditions_of(dataset_of([0, 0]), where, str(tmp_path / "a.csv"), told.append)
    assert "(values from files: 1)" in str(told)
    assert "ann" not in str(told).replace(str(tmp_path), "")


def test_a_table_with_no_id_of_the_data_set_is_refused_with_the_nearest(tmp_path: Path) -> None:
    numbers = Split([str(row) for row in range(60)], np.zeros((60, 1, 2, 2), np.uint8), np.zeros(60, np.int64))
    dataset = Dataset("numbers", ("cat", "dog"), numbers, numbers, "f")
    (tmp_path / "a.csv").write_text("id,user\n" + "".join(f"{row}.0,ann\n" for row in range(3, 60)))
    with pytest.raises(ForgetkitError) as caught:
        conditions_of(dataset, {"user": "ann"}, str(tmp_path / "a.csv"))
    assert caught.value.code == "ids-unknown"
    assert caught.value.message.endswith("a.csv:2: '3.0' is not an id of numbers; rows like it: all 57")
    assert caught.value.hint == "ids run from 0 to 59; did you mean '3'?"


def test_groups_of_a_table_are_told_of_unknown_ids(tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "a.csv").write_text("id,user\ns0,ann\ns7,ann\n")
    assert column_of(dataset_of([0, 0]), "user", str(tmp_path / "a.csv"), told.append) == ["user=ann", "id s1"]
    assert "1 of 2" in str(told)


def test_a_table_wins_over_the_columns_of_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,colour\ns1,red\n")
    dataset = dataset_of([0, 0], colour=["red", "blue"])
    found = conditions_of(dataset, {"colour": "red"}, table=str(tmp_path / "a.csv"))
    assert with_attributes(2, found).tolist() == [False, True]


def test_a_short_row_has_no_value_and_a_longer_one_is_refused(tmp_path: Path) -> None:
    assert attributes(tmp_path, "id,a,b\ns0,1\ns1,1,2,\n", "a", "b") == {"a": ["1", "1"], "b": ["", "2"]}
    with pytest.raises(ForgetkitError, match=r"a.csv:2: 4 fields, but the header names 3$"):
        attributes(tmp_path, "id,a,b\ns0,Ann, Jr.,1\n", "a", "b")


def test_an_id_that_is_repeated_is_named(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match=r"a.csv:4: the id 's0' is repeated$"):
        attributes(tmp_path, "id,a\ns0,1\ns1,1\ns0,2\n", "a")


@pytest.mark.parametrize("content", [b"", b"name,x\n1,2\n", b"id\n\xff\n", b'id,x\ns0,"x', b"id,x\ns0,\0"])
def test_a_malformed_table_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    problem = refusal(["colour=red"], "attributes-malformed", table=str(tmp_path / "a.csv"))
    assert problem.message.startswith(f"{tmp_path}/a.csv:")


@pytest.mark.parametrize("path", ["", "no-such-table.csv", "/"])
def test_a_table_that_cannot_be_opened_is_missing(path: str) -> None:
    refusal(["colour=red"], "attributes-missing", table=path)


IDS = [str(row) for row in range(200)]


@given(st.integers(1, 200), st.integers(0, 99))
def test_a_draw_has_the_wanted_size(count: int, seed: int) -> None:
    assert len(set(drawn(IDS, count=count, fraction=None, seed=seed))) == count


@pytest.mark.parametrize(("fraction", "size"), [(0.5, 100), (0.0125, 3), (0.001, 1), (1.0, 200)])
def test_a_fraction_is_rounded_and_at_least_one(fraction: float, size: int) -> None:
    assert len(drawn(IDS, count=None, fraction=fraction, seed=0)) == size


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan"), float("inf")])
def test_a_fraction_outside_0_to_1_is_a_usage_error(fraction: float) -> None:
    with pytest.raises(ForgetkitError, match=r"^--fraction: "):
        drawn(IDS, count=None, fraction=fraction, seed=0)


def test_more_than_there_are_is_a_usage_error() -> None:
    with pytest.raises(ForgetkitError, match=r"^--count: 201 ids wanted, 200 are there$"):
        drawn(IDS, count=201, fraction=None, seed=0)


def test_nothing_is_drawn_from_nothing() -> None:
    assert drawn([], count=5, fraction=None, seed=0) == drawn([], count=None, fraction=0.5, seed=0) == []


def test_without_a_draw_all_stay_in_their_order() -> None:
    assert drawn(["b", "a"], count=None, fraction=None, seed=0) == ["b", "a"]
